//! The agent: runs attempts in containers on one machine, and streams their outputs back.
//!
//! What it holds is on disk and at the engine, so it can be killed at any time: when it comes back it takes its running
//! containers back, sends again what was not acknowledged, and removes what nobody waits for. Start reading at
//! `attempt`.

mod agent;
mod assignment;
mod attempt;
mod capacity;
mod collect;
mod config;
mod container;
mod ending;
mod engine;
mod holdings;
mod link;
mod logfile;
mod machine;
mod offer;
mod outbox;
mod push_log;
mod reconcile;
mod session;
mod upload;
mod workdir;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use agent::Agent;
use container::Identity;
use ending::Halt;
use engine::Engine;
use offer::Offer;
use workdir::StateDir;

pub use config::{EngineKind, Options, Place};

/// How often the notice that the machine is being taken back is looked for.
const NOTICE_LOOK: Duration = Duration::from_secs(1);
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
    Offer::read(options, &machine::detect(), u64::MAX)?;
    if options.engine == EngineKind::Docker {
        Engine::connect().await?.version().await?;
    }
    Ok(())
}

/// Works until told to end.
pub async fn run(options: Options, place: Place, shutdown: Shutdown) -> anyhow::Result<()> {
    let machine = machine::detect();
    let state = StateDir::open(&place.state_dir)?;
    let offer = Offer::read(&options, &machine, state.free_bytes()?)?;
    let engine = match options.engine {
        EngineKind::Docker => Engine::connect().await?,
        EngineKind::Simulated => Engine::simulated(),
    };
    let engine_version = engine.version().await?;
    let identity = Identity {
        agent: state.agent_id()?,
        ids: (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
    };
    info!(
        agent.id = %identity.agent,
        "agent {} offers {} on {engine_version}", offer.name, offer.capacity
    );
    let engine = (engine, engine_version);
    let draining = shutdown.drain.clone();
    let agent = Arc::new(Agent::new(options, identity, offer, engine, state, draining));
    reconcile::take_back(&agent).context("take back the attempts of an earlier run")?;
    let end = CancellationToken::new();
    agent.tasks.spawn(reconcile::run(agent.clone(), end.clone()));
    agent.tasks.spawn(watch_for_notice(agent.clone(), shutdown.drain.clone(), end.clone()));
    let talking = session::run(agent.clone(), place.coordinators, end.clone());
    let served = tokio::select! {
        served = talking => served,
        () = drain(&agent, &shutdown) => Ok(()),
    };
    end.cancel();
    agent.tasks.close();
    let left = agent.holdings.all().len();
    if left > 0 {
        warn!(attempts = left, "attempts are left; the next start of this agent takes them back");
    }
    served
}

/// Looks for the notice that the machine is being taken back, and drains when it comes.
async fn watch_for_notice(agent: Arc<Agent>, drain: CancellationToken, end: CancellationToken) {
    let Some(notice) = &agent.options.preempt_notice else { return };
    while !notice.exists() {
        if timeout(NOTICE_LOOK, end.cancelled()).await.is_ok() {
            return;
        }
    }
    info!("the machine is being taken back: {} is there", notice.display());
    agent.preempted.store(true, Ordering::Relaxed);
    drain.cancel();
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
        () = sleep(agent.options.drain_timeout) => {}
    }
    let held = agent.holdings.all();
    info!(attempts = held.len(), "what still runs is stopped and handed back");
    for held in held {
        held.halt(Halt::Release("the agent stops".into()));
    }
    let limit = agent.options.stop_grace + HAND_BACK;
    if timeout(limit, empty(agent)).await.is_err() {
        warn!("not everything could be handed back in {limit:?}");
    }
}

/// Waits until no attempt is held.
async fn empty(agent: &Agent) {
    while !agent.holdings.all().is_empty() {
        sleep(Duration::from_millis(100)).await;
    }
}
