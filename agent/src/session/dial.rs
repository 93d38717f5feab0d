//! Connecting to a coordinator.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bt_proto::bearer::{Bearer, Line, TokenSource};
use bt_trust::ClientTrust;
use tokio::time::timeout;
use tonic::Status;
use tonic::transport::Endpoint;

use super::joining::Joining;

/// How long the system may take to connect.
const CONNECT: Duration = Duration::from_secs(10);
/// How often an idle connection is probed, and how long the answer may take.
const KEEPALIVE: Duration = Duration::from_secs(10);

pub(crate) fn endpoints(coordinators: &[String]) -> anyhow::Result<Vec<Endpoint>> {
    let endpoint = |address: &String| {
        let endpoint = Endpoint::from_shared(address.clone());
        let endpoint = endpoint.with_context(|| {
            format!("{address:?} is not a coordinator's address; it looks like http://host:7600")
        })?;
        let endpoint = endpoint
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        anyhow::Ok(endpoint)
    };
    coordinators.iter().map(endpoint).collect()
}

/// How coordinators are reached.
#[derive(Clone, Debug)]
pub(crate) struct Dialer {
    /// Whom to believe.
    pub(crate) trust: ClientTrust,
    /// What says who the agent is; where it joins, only until it has a certificate.
    pub(crate) tokens: TokenSource,
    /// The certificate that says it, where the agent joins.
    pub(crate) joining: Option<Arc<Joining>>,
}

impl Dialer {
    /// A connection whose calls say who the agent is.
    pub(crate) async fn dial(&self, endpoint: &Endpoint, patience: Duration) -> Result<Line, Status> {
        let Some(joining) = &self.joining else {
            return self.dial_by_token(endpoint, patience).await;
        };
        let own = match joining.certificate() {
            Some(own) => own,
            None => joining.certify(self.dial_by_token(endpoint, patience).await?).await?,
        };
        let trust = ClientTrust { own: Some(own), ..self.trust.clone() };
        connect(endpoint, &trust, Bearer::default(), patience).await
    }

    /// The token is read anew each time: another may have taken its place.
    async fn dial_by_token(&self, endpoint: &Endpoint, patience: Duration) -> Result<Line, Status> {
        let bearer = self.tokens.read().map_err(Status::unavailable)?;
        connect(endpoint, &self.trust, bearer, patience).await
    }
}

async fn connect(
    endpoint: &Endpoint,
    trust: &ClientTrust,
    bearer: Bearer,
    patience: Duration,
) -> Result<Line, Status> {
    match timeout(patience, bt_trust::connect(endpoint, trust)).await {
        Ok(Ok(channel)) => Ok(Line::new(channel, bearer)),
        Ok(Err(error)) => Err(Status::unavailable(format!("{:#}", anyhow::Error::from(error)))),
        Err(_) => Err(Status::unavailable(format!("no connection within {patience:?}"))),
    }
}
