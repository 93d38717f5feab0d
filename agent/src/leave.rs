//! How the agent goes: by itself or told to, it takes no new work, lets its jobs finish for as long as it may, and hands
//! back the rest.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::agent::Agent;
use crate::config::Options;
use crate::preempt;
use crate::record::ending::Halt;

/// How often an agent that ends when it is idle looks whether it is.
const IDLE_LOOK: Duration = Duration::from_millis(500);
/// How long handing attempts back may take besides stopping their containers.
const HAND_BACK: Duration = Duration::from_secs(10);

/// Drains when the machine is being taken back, when the agent's time is over, or when there was nothing to do for long.
pub(crate) async fn by_itself(agent: Arc<Agent>, end: CancellationToken) {
    let options = &agent.site.options;
    tokio::select! {
        () = end.cancelled() => return,
        left = noticed(options) => {
            info!("the machine is being taken back");
            agent.leaving.take_back(left);
        }
        () = after(options.lifetime) => info!("the agent's lifetime is over"),
        () = idle(&agent) => info!("there was nothing to do for long enough"),
    }
    agent.leaving.draining.cancel();
}

async fn noticed(options: &Options) -> Option<Duration> {
    match &options.preempt_notice {
        Some(notice) => preempt::watch(notice).await,
        None => std::future::pending().await,
    }
}

async fn after(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => std::future::pending().await,
    }
}

/// Waits until nothing was held for as long as the options say.
async fn idle(agent: &Agent) {
    let Some(limit) = agent.site.options.exit_when_idle else {
        return std::future::pending().await;
    };
    let mut since = Instant::now();
    while since.elapsed() < limit {
        sleep(IDLE_LOOK.min(limit)).await;
        if agent.is_busy() {
            since = Instant::now();
        }
    }
}

/// How long running jobs may go on when the agent drains: of the time that the machine has left, enough remains to stop
/// them and hand them back.
fn drain_time(agent: &Agent) -> Duration {
    let handing_back = agent.site.options.stop_grace + HAND_BACK;
    let left = agent.leaving.time_left().map(|left| left.saturating_sub(handing_back));
    left.unwrap_or(agent.site.options.drain_timeout)
}

/// Waits for the order to end, and then until nothing is held any more or the time is over.
pub(crate) async fn drain(agent: &Agent, now: &CancellationToken) {
    tokio::select! {
        () = agent.leaving.draining.cancelled() => {}
        () = now.cancelled() => agent.leaving.draining.cancel(),
    }
    info!("draining: no new work is taken");
    tokio::select! {
        () = empty(agent) => return,
        () = now.cancelled() => {}
        () = sleep(drain_time(agent)) => {}
    }
    let held = agent.holdings.all();
    info!(attempts = held.len(), "what still runs is stopped and handed back");
    for held in held {
        held.halt(Halt::Release("the agent stops".into()));
    }
    let graces = agent.holdings.all().into_iter().filter_map(|held| {
        let manifest = agent.manifests.of(&held.assignment).ok()?;
        manifest.sandbox.stop_grace
    });
    let limit = graces.max().unwrap_or_default().max(agent.site.options.stop_grace) + HAND_BACK;
    if timeout(limit, empty(agent)).await.is_err() {
        warn!("not everything could be handed back in {limit:?}");
    }
}

/// Removes shells and shared containers: a later start of the agent can't use them.
pub(crate) async fn remove_guests(agent: &Arc<Agent>) {
    agent.slots.sweep_out(true).await;
    for shell in agent.site.guests.all() {
        if let Err(error) = agent.site.engine.remove(shell).await {
            warn!(container = %shell, error = %error, "a shell's container is left to the next start");
        }
    }
}

/// Waits until no attempt is held and no user has a shell.
async fn empty(agent: &Agent) {
    while agent.is_busy() {
        sleep(Duration::from_millis(100)).await;
    }
}
