//! Sends ready jobs to agents that have room. It runs when it is woken and, because wake-ups get lost, every now and
//! then without; what is ready and what has room is asked of Postgres each time.

use std::sync::Arc;
use std::time::Duration;

use bt_proto::v1::{self, coordinator_message};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Health;
use crate::queue::{self, Claimed, Queue};
use crate::scheduling::{Offer, plan};
use crate::sessions::{Ready, Sessions};

/// How long a lost wake-up may go unnoticed.
const POLL: Duration = Duration::from_secs(1);
/// Jobs that one pass plans at most; what is left over makes it run again at once.
const BATCH: u32 = 256;

pub(crate) struct Dispatcher {
    pub(crate) queue: Queue,
    pub(crate) sessions: Sessions,
    pub(crate) work: Arc<Notify>,
    pub(crate) lease: Duration,
}

impl Dispatcher {
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut health = Health::new("dispatching");
        loop {
            // Armed before the pass, so that what happens during the pass is not missed.
            let woken = self.work.notified();
            let sent = health.note(self.run_once().await).unwrap_or(0);
            if sent == BATCH {
                continue;
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = timeout(POLL, woken) => {}
            }
        }
    }

    /// One pass: says how many jobs it sent.
    pub(crate) async fn run_once(&self) -> Result<u32, queue::Error> {
        let agents = self.sessions.ready();
        if agents.is_empty() {
            return Ok(0);
        }
        let sweeps = self.queue.candidates().await?;
        if sweeps.is_empty() {
            return Ok(0);
        }
        let owners = self.queue.owners_running().await?;
        let offers = self.offers(agents).await?;
        let indexed = offers.iter().enumerate();
        let indexed: Vec<_> = indexed.map(|(index, (_, offer))| (index, offer.clone())).collect();
        let mut sent = 0;
        for (index, sweep, jobs) in plan(&indexed, &sweeps, &owners, BATCH) {
            let agent = &offers[index].0;
            let claimed = self.queue.claim(sweep, jobs, agent.agent, agent.session, self.lease).await?;
            sent += claimed.len() as u32;
            self.assign(agent, claimed);
        }
        Ok(sent)
    }

    async fn offers(&self, agents: Vec<Ready>) -> Result<Vec<(Ready, Offer)>, queue::Error> {
        let ids: Vec<_> = agents.iter().map(|agent| agent.agent).collect();
        let used = self.queue.used(&ids).await?;
        let offer = |agent: Ready| {
            let used = used.get(&agent.agent).copied().unwrap_or_default();
            let offer = Offer {
                capacity: agent.capacity,
                free: agent.capacity.less(&used.resources),
                labels: agent.labels.clone(),
                volumes: agent.volumes.clone(),
            };
            (agent, offer)
        };
        Ok(agents.into_iter().map(offer).collect())
    }

    /// Sends leases to their agent. If it has gone meanwhile, its next Hello shows that it never received them, and
    /// they go back to the queue.
    fn assign(&self, agent: &Ready, claimed: Vec<Claimed>) {
        if claimed.is_empty() {
            return;
        }
        debug!(agent.id = %agent.agent, jobs = claimed.len(), "jobs are sent");
        let ids: Vec<_> = claimed.iter().map(|claimed| claimed.attempt).collect();
        self.sessions.assigned(agent.agent, ids);
        let assignments = claimed.into_iter().map(|claimed| v1::Assignment {
            attempt: claimed.attempt.to_string(),
            sweep: claimed.sweep.to_string(),
            job: claimed.job,
            attempt_number: claimed.number,
            sweep_name: claimed.sweep_name,
            manifest: claimed.manifest,
            parameters: claimed.parameters,
            image_pin: claimed.image_pin.unwrap_or_default(),
        });
        let assign = v1::Assign { assignments: assignments.collect() };
        self.sessions.send(agent.agent, coordinator_message::Kind::Assign(assign));
    }
}
