//! Files that agents are sending. A call that breaks off leaves what it has brought: for a while it is kept, and the agent
//! goes on where it ends. Another coordinator knows nothing of it, and there the agent begins anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bt_model::id::AgentId;
use bt_store::Upload;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::debug;

/// Files that are received at once; each may take three parts of memory where the store is slower than its senders.
const AT_ONCE: usize = 64;
/// Of these, so many of one agent: no agent can keep the others out.
const AT_ONCE_OF_AGENT: usize = 16;
/// How long a file that broke off is kept, and how many of them.
const KEPT: Duration = Duration::from_secs(600);
const MOST_KEPT: usize = 256;
/// How long a call that has no listener any more may take to let go of its file.
const LET_GO: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);

/// Files that are being received, and those that broke off, by their place in the store. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Uploads {
    begun: Arc<Mutex<HashMap<String, Begun>>>,
    pub(super) room: Arc<Semaphore>,
    /// The shares of the agents that send something.
    shares: Arc<Mutex<HashMap<AgentId, Weak<Semaphore>>>>,
}

enum Begun {
    /// A call is at it; the token ends it.
    Received(CancellationToken),
    BrokenOff(Box<Upload>, Instant),
}

impl Default for Uploads {
    fn default() -> Self {
        Self { begun: Arc::default(), room: Arc::new(Semaphore::new(AT_ONCE)), shares: Arc::default() }
    }
}

pub(super) async fn give_up(upload: Upload) {
    if let Err(error) = upload.abort().await {
        debug!(error = %error, "an unfinished upload is left behind");
    }
}

impl Uploads {
    /// An agent's share of the room, as long as it sends something.
    pub(super) fn share(&self, agent: AgentId) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(&agent).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(AT_ONCE_OF_AGENT));
        shares.insert(agent, Arc::downgrade(&share));
        share
    }

    /// Bytes that are there of a file that broke off. A call that is still at it is ended first: its sender has come back.
    pub(super) async fn let_go(&self, path: &str) -> Result<u64, Status> {
        let since = Instant::now();
        loop {
            match self.lock().get(path) {
                None => return Ok(0),
                Some(Begun::BrokenOff(upload, _)) => return Ok(upload.size()),
                Some(Begun::Received(superseded)) => superseded.cancel(),
            }
            if since.elapsed() > LET_GO {
                return Err(Status::unavailable("an earlier call is still at this file"));
            }
            sleep(LOOK).await;
        }
    }

    /// What is there of a file, if that is so much; what is not gone on with is given up.
    pub(super) async fn take(&self, path: &str, size: u64) -> Option<Upload> {
        let begun = self.lock().remove(path);
        let Some(Begun::BrokenOff(upload, _)) = begun else { return None };
        if size > 0 && upload.size() == size {
            return Some(*upload);
        }
        give_up(*upload).await;
        None
    }

    /// A call has begun to receive a file; the token ends it.
    pub(super) fn receives(&self, path: &str) -> CancellationToken {
        let superseded = CancellationToken::new();
        self.lock().insert(path.to_owned(), Begun::Received(superseded.clone()));
        superseded
    }

    pub(super) fn forget(&self, path: &str) {
        self.lock().remove(path);
    }

    /// Keeps what broke off, for a while.
    pub(super) async fn keep(&self, path: &str, upload: Upload) {
        let left = {
            let mut begun = self.lock();
            begun.remove(path);
            if upload.size() > 0 && begun.len() < MOST_KEPT {
                begun.insert(path.to_owned(), Begun::BrokenOff(Box::new(upload), Instant::now()));
                return;
            }
            upload
        };
        give_up(left).await;
    }

    /// Gives up files whose senders did not come back, until it is time to stop, and then all that is kept.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        while timeout(KEPT / 10, shutdown.cancelled()).await.is_err() {
            self.give_up_older_than(KEPT).await;
        }
        self.give_up_older_than(Duration::ZERO).await;
    }

    async fn give_up_older_than(&self, age: Duration) {
        let is_old = |_: &String, begun: &mut Begun| match begun {
            Begun::Received(_) => false,
            Begun::BrokenOff(_, since) => since.elapsed() >= age,
        };
        let old: Vec<_> = self.lock().extract_if(is_old).collect();
        for (_, begun) in old {
            if let Begun::BrokenOff(upload, _) = begun {
                give_up(*upload).await;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Begun>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
