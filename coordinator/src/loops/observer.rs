//! Asks Postgres every few seconds for the figures that monitoring reads, so that no reader makes it work, and notes once a
//! minute how the fleet stands.

use std::time::Duration;

use bt_measures::{AGENTS, JOBS, POSTGRES_UP, SWEEPS, UNWRITTEN};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::queue::{self, OpenJobs, Queue, SeenAgents};

const EVERY: Duration = Duration::from_secs(2);
/// How long Postgres may take to answer before it counts as away.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Observer {
    pub(crate) queue: Queue,
    /// An agent that was silent for this long is gone.
    pub(crate) silence: Duration,
    /// After what time what owners had running counts half as much for their shares; none: it does not count.
    pub(crate) fair_share_half_life: Option<Duration>,
}

impl Observer {
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        loop {
            note(timeout(PATIENCE, self.look()).await.ok().and_then(Result::ok));
            if timeout(EVERY, shutdown.cancelled()).await.is_ok() {
                return;
            }
        }
    }

    async fn look(&self) -> Result<(OpenJobs, SeenAgents), queue::Error> {
        self.queue.sample(self.silence, self.fair_share_half_life).await?;
        Ok((self.queue.open_jobs().await?, self.queue.seen_agents(self.silence).await?))
    }
}

/// Sets the figures; what Postgres did not tell is not a number.
fn note(seen: Option<(OpenJobs, SeenAgents)>) {
    POSTGRES_UP.set([], if seen.is_some() { 1.0 } else { 0.0 });
    let figure =
        |of: fn(&(OpenJobs, SeenAgents)) -> i64| seen.as_ref().map_or(f64::NAN, |seen| of(seen) as f64);
    JOBS.set(["queued"], figure(|(jobs, _)| jobs.queued));
    JOBS.set(["held"], figure(|(jobs, _)| jobs.held));
    JOBS.set(["running"], figure(|(jobs, _)| jobs.running));
    JOBS.set(["succeeded"], figure(|(jobs, _)| jobs.succeeded));
    JOBS.set(["failed"], figure(|(jobs, _)| jobs.failed));
    JOBS.set(["cancelled"], figure(|(jobs, _)| jobs.cancelled));
    JOBS.set(["pruned"], figure(|(jobs, _)| jobs.pruned));
    SWEEPS.set(["open"], figure(|(jobs, _)| jobs.sweeps));
    SWEEPS.set(["paused"], figure(|(jobs, _)| jobs.paused_sweeps));
    UNWRITTEN.set([], figure(|(jobs, _)| jobs.unwritten));
    AGENTS.set(["ready"], figure(|(_, agents)| agents.ready));
    AGENTS.set(["draining"], figure(|(_, agents)| agents.draining));
    AGENTS.set(["unhealthy"], figure(|(_, agents)| agents.unhealthy));
    AGENTS.set(["gone"], figure(|(_, agents)| agents.gone));
}
