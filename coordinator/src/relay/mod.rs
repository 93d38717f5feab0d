//! What agents send to clients through a coordinator: logs of running jobs, shells, and what volumes hold. A client's call waits here until
//! its agent opens the other end by a call of its own.

mod files;
mod followed;
mod logs;
mod shells;
mod waiting;

use bt_store::Store;
use tokio_util::task::TaskTracker;

use crate::queue::Queue;
use crate::sessions::Sessions;
use followed::Followed;
use waiting::Waiting;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Relay {
    queue: Queue,
    store: Store,
    sessions: Sessions,
    tasks: TaskTracker,
    followed: Followed,
    waiting: Waiting,
}

impl Relay {
    pub(crate) fn new(queue: Queue, store: Store, sessions: Sessions, tasks: TaskTracker) -> Self {
        let (followed, waiting) = (Followed::default(), Waiting::default());
        Self { queue, store, sessions, tasks, followed, waiting }
    }

    /// Ends all calls that wait for an agent.
    pub(crate) fn close_all(&self) {
        self.waiting.close();
    }
}
