//! The agent's own certificate: got once for a token, renewed after two thirds of its time, kept in the state directory with
//! the key, which never leaves it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bt_model::id::AgentId;
use bt_proto::bearer::Line;
use bt_proto::v1;
use bt_proto::v1::agents_client::AgentsClient;
use bt_trust::{AgentKey, OwnCertificate};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::{info, warn};

use crate::line::link::Link;
use crate::site::workdir::{CERTIFICATE, KEY};

/// Bounds of how often it is looked whether the certificate is to be renewed; between them a part of the time that is left.
const LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));
const PART: u32 = 10;
/// How long the answer to a request may take.
const ANSWER: Duration = Duration::from_secs(20);

/// How the agent comes by its certificate, and what it has.
#[derive(Debug)]
pub(crate) struct Joining {
    agent: AgentId,
    name: String,
    key: AgentKey,
    file: PathBuf,
    /// None: the agent joins before it does anything else.
    current: Mutex<Option<OwnCertificate>>,
}

impl Joining {
    /// Reads what an earlier run has left in the state directory.
    pub(crate) fn open(dir: &Path, agent: AgentId, name: &str) -> anyhow::Result<Self> {
        let file = dir.join(CERTIFICATE);
        let key = AgentKey::open(&dir.join(KEY))?;
        let found = match key.certificate(&file) {
            Ok(found) => found.filter(|own| own.agent() == agent.uuid()),
            Err(error) => {
                warn!(error = %error, "the agent's certificate can't be used, it joins again");
                None
            }
        };
        Ok(Self { agent, name: name.to_owned(), key, file, current: Mutex::new(found) })
    }

    /// What the agent shows, if it has a certificate that is valid now.
    pub(crate) fn certificate(&self) -> Option<OwnCertificate> {
        self.lock().clone().filter(|own| own.is_valid_at(SystemTime::now()))
    }

    /// A coordinator does not take the certificate: the agent joins again.
    pub(crate) fn distrust(&self) {
        *self.lock() = None;
    }

    /// Gets a certificate by a line whose calls say who the agent is.
    pub(crate) async fn certify(&self, line: Line) -> Result<OwnCertificate, Status> {
        let unable = |error: bt_trust::Error| Status::unavailable(error.to_string());
        let request = v1::CertifyRequest {
            agent_id: self.agent.to_string(),
            name: self.name.clone(),
            request: self.key.request().map_err(unable)?,
        };
        let mut client = AgentsClient::new(line);
        let answer = timeout(ANSWER, client.certify(request)).await;
        let answer = answer.map_err(|_| Status::unavailable("no answer to the request for a certificate"))?;
        let own = self.key.keep(&self.file, &answer?.into_inner().certificate).map_err(unable)?;
        *self.lock() = Some(own.clone());
        let until = jiff::Timestamp::try_from(own.expires()).unwrap_or_default();
        info!("the agent has a certificate of its own, valid until {until:.0}");
        Ok(own)
    }

    /// Renews the certificate again and again, until the end.
    pub(crate) async fn renew(&self, link: &Link, end: CancellationToken) {
        loop {
            let (due, ends) = self.lock().as_ref().map(|own| (own.renew_at(), own.expires())).unzip();
            // Until it is due, and then until it ends: a coordinator that can't renew it is not asked all the time.
            let left =
                [due, ends].into_iter().flatten().find_map(|at| at.duration_since(SystemTime::now()).ok());
            let wait = left.map_or(LOOKS.0, |left| (left / PART).clamp(LOOKS.0, LOOKS.1));
            tokio::select! {
                () = end.cancelled() => return,
                () = sleep(wait) => {}
            }
            // Without a certificate it is the next connection that joins.
            if due.is_none_or(|due| due > SystemTime::now()) {
                continue;
            }
            let renewing = async {
                let line = link.connection().await.channel;
                self.certify(line).await
            };
            let renewed = tokio::select! {
                () = end.cancelled() => return,
                renewed = renewing => renewed,
            };
            if let Err(status) = renewed {
                warn!(error = status.message(), "the certificate is not renewed, trying again");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<OwnCertificate>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
