//! What agents and clients can ask over gRPC: decode, call, encode. Nothing else makes a `tonic::Status`.

mod agents;
mod answer;
mod attempts;
mod came;
pub(crate) mod debug;
mod describe;
mod explain;
mod images;
mod import;
mod incoming;
mod jobs;
mod keep;
mod layers;
mod listen;
mod logs;
mod many;
mod opened;
mod partial;
mod results;
mod reuse;
mod shown;
mod software;
mod spool;
mod status;
mod submit;
mod sweeps;
pub(crate) mod uploads;

use std::pin::Pin;
use std::time::Duration;

use bt_model::encoding::Encoding;
use bt_store::Store;
use tokio_stream::Stream;
use tokio_util::task::TaskTracker;
use tonic::Status;
use uuid::Uuid;

use crate::bell::Bell;
use crate::calculations::Calculations;
use crate::collector::Collector;
use crate::followed::Followed;
use crate::ledger::Ledger;
use crate::manifests::Manifests;
use crate::queue::Queue;
use crate::reuse::Reuse;
use crate::sessions::Sessions;
use uploads::Uploads;

/// Heartbeats that an offline agent has left out.
pub(crate) const SILENT_BEATS: u32 = 3;
/// Answers that a slow client may have waiting for it.
const ANSWERS: usize = 64;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Both services. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) queue: Queue,
    pub(crate) store: Store,
    /// By which agents know it again.
    pub(crate) store_id: Uuid,
    /// How agents are to write what they store.
    pub(crate) encoding: Encoding,
    pub(crate) uploads: Uploads,
    pub(crate) sessions: Sessions,
    pub(crate) followed: Followed,
    pub(crate) manifests: Manifests,
    pub(crate) ledger: Ledger,
    pub(crate) reuse: Reuse,
    pub(crate) bell: Bell,
    pub(crate) calculations: Calculations,
    pub(crate) tasks: TaskTracker,
    pub(crate) lease: Duration,
    pub(crate) heartbeat: Duration,
    /// How old garbage in the store must be to be removed.
    pub(crate) garbage_age: Duration,
}

impl Services {
    fn collector(&self) -> Collector {
        Collector { queue: self.queue.clone(), store: self.store.clone() }
    }

    /// An agent that was silent for this long is shown as offline.
    fn silence(&self) -> Duration {
        self.heartbeat * SILENT_BEATS
    }
}
