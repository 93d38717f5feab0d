//! Takes away leases that have run out, and brings sweeps up to date with their jobs. Any number of coordinators may
//! run it: Postgres lets one at a time take leases away.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::Health;
use crate::queue::{self, Queue};

/// How long an ended sweep may still look open.
const TEND: Duration = Duration::from_secs(1);

pub(crate) struct Reconciler {
    pub(crate) id: Uuid,
    pub(crate) queue: Queue,
    pub(crate) lease: Duration,
    pub(crate) heartbeat: Duration,
}

impl Reconciler {
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut leases = Health::new("taking expired leases away");
        let mut sweeps = Health::new("tending sweeps");
        loop {
            let is_ours = leases.note(self.expire_once().await).unwrap_or(false);
            let more = is_ours && sweeps.note(self.tend_once().await).unwrap_or(false);
            // Often enough that a lost job waits little longer than its lease.
            let pause = if more { Duration::ZERO } else { TEND.min(self.heartbeat / 3) };
            if timeout(pause, shutdown.cancelled()).await.is_ok() {
                return;
            }
        }
    }

    async fn tend_once(&self) -> Result<bool, queue::Error> {
        let more = self.queue.tend_sweeps().await;
        self.queue.refresh_statistics().await?;
        let more_events = self.queue.forget_events().await?;
        Ok(more? || more_events)
    }

    /// One pass. A stamp older than a heartbeat and a half means that no coordinator was there to renew leases. False if
    /// another coordinator is at it.
    async fn expire_once(&self) -> Result<bool, queue::Error> {
        let gap = self.heartbeat + self.heartbeat / 2;
        let Some(lost) = self.queue.expire_leases(self.id, gap, self.lease).await? else { return Ok(false) };
        for attempt in &lost {
            warn!(attempt.id = %attempt, "attempt is lost: its agent did not renew its lease");
        }
        if !lost.is_empty() {
            info!(attempts = lost.len(), "lost attempts' jobs go back to the queue");
        }
        Ok(true)
    }
}
