//! The agent: runs attempts in containers on one machine, and streams their outputs back.
//!
//! What it holds is on disk and at the engine, so it can be killed at any time: when it comes back it takes its running
//! containers back, sends again what was not acknowledged, and removes what nobody waits for. Start reading at
//! `attempt`.

mod agent;
mod assignment;
mod attempt;
mod blame;
mod caches;
mod config;
mod container;
mod debug;
mod ending;
mod fetched;
mod fingerprints;
mod hints;
mod holdings;
mod images;
mod inside;
mod link;
mod local;
mod mountpoints;
mod offer;
mod outbox;
mod preempt;
mod pulled;
mod push_log;
mod reach;
mod reconcile;
mod resolve;
mod session;
mod shipping;
mod slots;
mod software;
mod tenancy;
mod threads;
mod upload;
mod usage;
mod workdir;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use agent::Agent;
use anyhow::Context;
use bt_engine::machine;
use container::Identity;
use ending::Halt;
use offer::Offer;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use workdir::StateDir;

pub use config::{EngineKind, Options, Place};
pub use local::{Diagnosis, LocalEnd, LocalEvent, LocalImage, LocalJob, diagnose, run_local};
pub use preempt::Notice;
pub use reach::StoreChoice;

/// How often an agent that ends when it is idle looks whether it is.
const IDLE_LOOK: Duration = Duration::from_millis(500);
/// How long handing attempts back may take besides stopping their containers.
const HAND_BACK: Duration = Duration::from_secs(10);

/// How an agent is told to end. `drain` first: no new work, running jobs may finish for the drain timeout. Then `now`:
/// what still runs is stopped and handed back.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    pub drain: CancellationToken,
    pub now: CancellationToken,
}

/// Says whether an agent with these options could work here: whether what it offers is there, and its engine answers.
pub async fn check(options: &Options) -> anyhow::Result<()> {
    let mut offer = Offer::read(options, &machine::detect(), u64::MAX)?;
    if options.engine == EngineKind::Docker {
        let engine = options.find_engine().await?;
        engine.version().await?;
        offer.check_at(&*engine, options).await?;
    }
    Ok(())
}

/// Works until told to end.
pub async fn run(options: Options, place: Place, shutdown: Shutdown) -> anyhow::Result<()> {
    let machine = machine::detect();
    let state = StateDir::open(&place.state_dir)?;
    let mut offer = Offer::read(&options, &machine, state.free_bytes()?)?;
    let engine = options.find_engine().await?;
    let engine_version = engine.version().await?;
    offer.check_at(&*engine, &options).await?;
    let identity = Identity::of(state.agent_id());
    info!(
        agent.id = %identity.agent,
        "agent {} offers {} on {engine_version}", offer.name, offer.capacity
    );
    let engine = (engine, engine_version);
    let draining = shutdown.drain.clone();
    let agent = Arc::new(Agent::new(options, identity, offer, engine, state, place.store, draining)?);
    agent.look_at_disk();
    agent.look_at_state();
    reconcile::take_back(&agent).context("take back the attempts of an earlier run")?;
    let end = CancellationToken::new();
    agent.tasks.spawn(reconcile::run(agent.clone(), end.clone()));
    agent.tasks.spawn(end_by_itself(agent.clone(), shutdown.drain.clone(), end.clone()));
    agent.tasks.spawn(software::run(agent.clone(), end.clone()));
    agent.tasks.spawn(slots::make_room(agent.clone(), end.clone()));
    agent.tasks.spawn(agent.fingerprints.clone().run(end.clone()));
    let prefetching = agent.clone();
    agent.tasks.spawn(async move { prefetching.prefetch().await });
    let talking = session::run(agent.clone(), place.coordinators, end.clone());
    let served = tokio::select! {
        served = talking => served,
        () = drain(&agent, &shutdown) => Ok(()),
    };
    remove_guests(&agent).await;
    end.cancel();
    agent.tasks.close();
    let left = agent.holdings.all().len();
    if left > 0 {
        warn!(attempts = left, "attempts are left; the next start of this agent takes them back");
    }
    served
}

/// Drains when the machine is being taken back, when the agent's time is over, or when there was nothing to do for long.
async fn end_by_itself(agent: Arc<Agent>, drain: CancellationToken, end: CancellationToken) {
    let options = &agent.options;
    tokio::select! {
        () = end.cancelled() => return,
        left = noticed(options) => {
            info!("the machine is being taken back");
            if let Some(left) = left {
                agent.time_left.get_or_init(|| left);
            }
            agent.preempted.store(true, Ordering::Relaxed);
        }
        () = after(options.lifetime) => info!("the agent's lifetime is over"),
        () = idle(&agent) => info!("there was nothing to do for long enough"),
    }
    drain.cancel();
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
    let Some(limit) = agent.options.exit_when_idle else {
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

impl Agent {
    /// How long running jobs may go on when the agent drains: of the time that the machine has left, enough remains to
    /// stop them and hand them back.
    fn drain_time(&self) -> Duration {
        let handing_back = self.options.stop_grace + HAND_BACK;
        let left = self.time_left.get().map(|left| left.saturating_sub(handing_back));
        left.unwrap_or(self.options.drain_timeout)
    }
}

/// Waits for the order to end, and then until nothing is held any more or the time is over.
async fn drain(agent: &Agent, shutdown: &Shutdown) {
    tokio::select! {
        () = shutdown.drain.cancelled() => {}
        () = shutdown.now.cancelled() => shutdown.drain.cancel(),
    }
    info!("draining: no new work is taken");
    tokio::select! {
        () = empty(agent) => return,
        () = shutdown.now.cancelled() => {}
        () = sleep(agent.drain_time()) => {}
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
    let limit = graces.max().unwrap_or_default().max(agent.options.stop_grace) + HAND_BACK;
    if timeout(limit, empty(agent)).await.is_err() {
        warn!("not everything could be handed back in {limit:?}");
    }
}

/// Removes the containers that are no attempt's: nobody would take them back.
async fn remove_guests(agent: &Arc<Agent>) {
    slots::sweep_out(agent, true).await;
    for shell in agent.guests.all() {
        if let Err(error) = agent.engine.remove(shell).await {
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
