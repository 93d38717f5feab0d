//! Takes away leases that have run out, and writes the `result.json` that a coordinator's death left unwritten. Any
//! number of coordinators may run it: Postgres lets one at a time take leases away.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::Health;
use crate::publisher::Publisher;
use crate::queue::{self, Queue};

pub(crate) struct Reconciler {
    pub(crate) id: Uuid,
    pub(crate) queue: Queue,
    pub(crate) publisher: Publisher,
    pub(crate) lease: Duration,
    pub(crate) heartbeat: Duration,
}

impl Reconciler {
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut leases = Health::new("taking expired leases away");
        let mut documents = Health::new("writing result.json");
        loop {
            leases.note(self.expire_once().await);
            documents.note(self.publisher.write(None).await);
            // Often enough that a lost job waits little longer than its lease.
            if timeout(self.heartbeat / 3, shutdown.cancelled()).await.is_ok() {
                return;
            }
        }
    }

    /// One pass. A stamp older than a heartbeat and a half means that no coordinator was there to renew leases.
    async fn expire_once(&self) -> Result<(), queue::Error> {
        let gap = self.heartbeat + self.heartbeat / 2;
        let lost = self.queue.expire_leases(self.id, gap, self.lease).await?;
        for attempt in &lost {
            warn!(attempt.id = %attempt, "attempt is lost: its agent did not renew its lease");
        }
        if !lost.is_empty() {
            info!(attempts = lost.len(), "lost attempts' jobs go back to the queue");
        }
        Ok(())
    }
}
