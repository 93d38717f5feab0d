//! What agents ask over gRPC: sessions, heartbeats and reports, uploads, and what they need for their jobs.

mod attached;
mod calls;
mod certify;
mod heartbeat;
mod images;
mod listen;
mod report;
mod results;
mod software;
mod upload;
mod uploads;
mod welcome;

use std::sync::Arc;
use std::time::Duration;

use bt_model::encoding::Encoding;
use bt_model::id::{AgentId, AttemptId};
use bt_model::image_policy::ImagePolicy;
use bt_proto::convert::{Malformed, parse};
use bt_proto::v1;
use bt_store::Store;
use tokio_util::task::TaskTracker;
use tonic::Status;
use uuid::Uuid;

use crate::access::call;
use crate::bell::Bell;
use crate::ledger::Ledger;
use crate::progress::Hearing;
use crate::queue::{Fingerprints, Queue};
use crate::relay::Relay;
use crate::resolutions::Resolutions;
use crate::reuse::Reuse;
use crate::rpc::status;
use crate::secrets::Vault;
use crate::sessions::Sessions;

pub(crate) use certify::Certifier;
pub(crate) use uploads::Uploads;

/// The agents' service. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Agents {
    pub(crate) queue: Queue,
    pub(crate) store: Store,
    pub(crate) sessions: Sessions,
    pub(crate) ledger: Ledger,
    pub(crate) hearing: Hearing,
    pub(crate) reuse: Reuse,
    pub(crate) vault: Vault,
    pub(crate) uploads: Uploads,
    pub(crate) relay: Relay,
    pub(crate) bell: Bell,
    pub(crate) tasks: TaskTracker,
    pub(crate) terms: Terms,
    pub(crate) certifier: Certifier,
    /// Which images may run.
    pub(crate) images: Arc<ImagePolicy>,
    /// Callers who wait for what an image stands for.
    pub(crate) resolutions: Resolutions,
}

/// What holds for every session of an agent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) lease: Duration,
    pub(crate) heartbeat: Duration,
    /// An agent that was silent for this long is offline.
    pub(crate) silence: Duration,
    /// By which agents know the store again.
    pub(crate) store_id: Uuid,
    /// How agents are to write what they store.
    pub(crate) encoding: Encoding,
}

fn agent_id(text: &str) -> Result<AgentId, Malformed> {
    parse("agent_id", "a UUID", text)
}

impl Agents {
    /// The agent that calls, as it says. One that has joined is known by its certificate alone.
    async fn caller(&self, text: &str) -> Result<AgentId, Status> {
        let agent = caller(text)?;
        let by_token = call::identity().is_some_and(|identity| identity.is_known && identity.agent.is_none());
        match by_token && self.queue.joined_agent(agent).await.map_err(status::queue)?.is_some() {
            true => Err(welcome::has_joined(agent)),
            false => Ok(agent),
        }
    }
}

/// As it says; one with a certificate of its own is that agent alone.
fn caller(text: &str) -> Result<AgentId, Status> {
    let agent = agent_id(text).map_err(status::malformed)?;
    call::is_agent(agent).map_err(Status::permission_denied)?;
    Ok(agent)
}

fn attempt_id(text: &str) -> Result<AttemptId, Malformed> {
    parse("attempt", "a UUID", text)
}

fn attempt_ids(texts: &[String]) -> Result<Vec<AttemptId>, Malformed> {
    texts.iter().map(|text| attempt_id(text)).collect()
}

fn fingerprints(volumes: &[v1::OfferedVolume]) -> Fingerprints {
    let known = volumes.iter().filter(|volume| volume.fingerprinted);
    known.map(|volume| (volume.name.clone(), volume.fingerprint.clone().unwrap_or_default())).collect()
}
