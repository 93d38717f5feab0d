//! What is attached to the report of an attempt's end, on its way into the store: small outputs, and the log.

use std::collections::HashMap;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bt_model::encoding::Encoding;
use bt_model::id::{AgentId, AttemptId};
use bt_model::layout::AttemptPlace;
use bt_model::reason::Reason;
use bt_proto::v1;
use bt_store::Receipt;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::time::sleep;
use tonic::Status;
use tracing::warn;

use super::Agents;
use super::upload::takes_log;
use crate::queue::{Error, Publication, PublishedFile};
use crate::rpc::status;

/// The longest wait before a store that failed is asked again.
const STORE_AGAIN: Duration = Duration::from_secs(5);

/// What came with the report of an attempt's end.
pub(super) struct Attached {
    agent: AgentId,
    attempt: AttemptId,
    /// Where its files belong.
    place: AttemptPlace,
    /// It may still be published.
    is_live: bool,
    files: Vec<v1::SmallFile>,
    log: Option<Vec<u8>>,
}

impl Agents {
    /// Sees to it that all outputs are in the store before they are published: writes those that came with the report,
    /// and looks for the others. The error is why the attempt has failed instead.
    pub(super) async fn store_attached(
        &self,
        attached: &Attached,
        publication: &mut Publication,
    ) -> Result<(), Reason> {
        self.store_log(attached).await;
        if !attached.is_live {
            // Postgres refuses the report.
            return Ok(());
        }
        let unkept = |error: bt_store::Error| Reason::Outputs(error.to_string());
        let small: HashMap<_, _> = attached.files.iter().map(|file| (&file.path, &file.data)).collect();
        for file in &mut publication.files {
            let first_name = file.first_name();
            let target = attached.place.output(&file.stored_as());
            let there = match small.get(&file.path) {
                Some(data)
                    if data.len() as u64 == file.size && Sha256::digest(data)[..] == file.sha256[..] =>
                {
                    let data = written(data, file)?;
                    let create = || self.store.create(&target, data.clone());
                    let receipt = self.until_stored(attached, create).await.map_err(unkept)?;
                    file.other_name =
                        attached.place.name_of(&receipt.path).filter(|name| *name != first_name);
                    true
                }
                Some(_) => false,
                None => {
                    let found = self.until_stored(attached, || self.store.size(&target)).await;
                    found.map_err(unkept)? == Some(file.size_there())
                }
            };
            if !there {
                let path = &file.path;
                warn!(attempt.id = %attached.attempt, "output {path} is not in the store as it was sent");
                return Err(Reason::Agent(format!("{path} is not in the store as it was sent")));
            }
        }
        Ok(())
    }

    pub(super) async fn store_log(&self, attached: &Attached) {
        let Some(log) = &attached.log else { return };
        let (target, data) = (attached.place.log(), Bytes::from(log.clone()));
        let stored = self.until_stored(attached, || self.store.create(&target, data.clone())).await;
        match stored {
            Ok(receipt) => self.keep_first_log(attached.attempt, &target, &receipt).await,
            Err(error) => warn!(attempt.id = %attached.attempt, error = %error, "the log is not stored"),
        }
    }

    /// An attempt has one log, the first that came whole: another one is removed again.
    pub(super) async fn keep_first_log(&self, attempt: AttemptId, place: &str, receipt: &Receipt) {
        if receipt.path == place {
            return;
        }
        warn!(attempt.id = %attempt, "another log of this attempt is stored already; this one is left out");
        if let Err(error) = self.store.remove(&receipt.path).await {
            warn!(attempt.id = %attempt, error = %error, "{} is left in the store", receipt.path);
        }
    }

    /// Asks the store until it does what it is asked, and says meanwhile what the attempt waits for: a full or broken
    /// store holds up what is to be put there, and nothing else. Only a name that it can't keep is an error, and whatever
    /// it says of an attempt that is no longer waited for.
    async fn until_stored<T, F>(
        &self,
        attached: &Attached,
        call: impl Fn() -> F,
    ) -> Result<T, bt_store::Error>
    where
        F: Future<Output = Result<T, bt_store::Error>>,
    {
        let mut waits = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(500))
            .with_max_delay(STORE_AGAIN)
            .without_max_times()
            .build();
        loop {
            let error = match call().await {
                Err(error @ bt_store::Error::Name { .. }) => return Err(error),
                Err(error) => error,
                done => return done,
            };
            warn!(attempt.id = %attached.attempt, error = %error, "the store is asked again");
            let note = format!("publishing: {error}; trying again");
            if let Err(error) = self.queue.note(attached.agent, attached.attempt, &note).await {
                warn!(attempt.id = %attached.attempt, error = %error, "the note is not written");
            }
            sleep(waits.next().unwrap_or(STORE_AGAIN)).await;
            let gone = self.queue.taken_away(attached.agent, &[attached.attempt]).await;
            if gone.is_ok_and(|gone| !gone.is_empty()) {
                return Err(error);
            }
        }
    }

    /// What came, and where it belongs; none if the attempt is not this agent's, or the session was superseded, or the
    /// attempt has said how it ended: then nothing of it is stored any more.
    pub(super) async fn attached(
        &self,
        agent: AgentId,
        session: u64,
        attempt: AttemptId,
        files: Vec<v1::SmallFile>,
        log: Option<Vec<u8>>,
    ) -> Result<Option<Attached>, Status> {
        let (place, is_live) = match self.sessions.place(agent, attempt) {
            Some(place) => (place, true),
            None => match self.queue.attempt_place(agent, session, attempt).await {
                Ok((place, state, _)) if takes_log(state) => (place, state.is_live()),
                Ok(_) => return Ok(None),
                Err(Error::NoAttempt(_)) => return Ok(None),
                Err(error) => return Err(status::queue(error)),
            },
        };
        Ok(Some(Attached { agent, attempt, place, is_live, files, log }))
    }
}

/// What is to be stored of a file that came with a report.
fn written(data: &[u8], file: &mut PublishedFile) -> Result<Bytes, Reason> {
    let data = match file.encoding {
        Encoding::None => data.to_vec(),
        Encoding::Zstd => {
            let packed = bt_store::compress(data);
            packed.map_err(|error| Reason::Agent(format!("{} can't be compressed: {error}", file.path)))?
        }
    };
    file.stored_size = file.stored_size.map(|_| data.len() as u64);
    Ok(data.into())
}
