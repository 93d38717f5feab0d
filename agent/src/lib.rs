//! The agent: runs attempts in containers on one machine, and streams their outputs back.
//!
//! What it holds is on disk and at the engine, so it can be killed at any time: when it comes back it takes its running
//! containers back, sends again what was not acknowledged, and removes what nobody waits for. Start reading at
//! `attempt`.

mod agent;
mod assembly;
mod attempt;
mod availability;
mod away;
mod batch;
mod config;
mod debug;
mod gateway;
mod job;
mod journal;
mod leave;
mod line;
mod local;
mod preempt;
mod progress;
mod reconcile;
mod record;
mod runner;
mod session;
mod site;
mod slots;
mod stock;
mod store_choice;
mod warm;

use std::sync::Arc;

use agent::Agent;
use anyhow::{Context, ensure};
use bt_engine::machine;
use session::dial::Dialer;
use session::joining::Joining;
use site::Site;
use site::identity::Identity;
use site::offer::Offer;
use site::workdir::StateDir;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, info_span, warn};

pub use config::{EngineKind, Options, Place};
pub use local::{Diagnosis, LocalEnd, LocalEvent, LocalImage, LocalJob, diagnose, run_local, volume_files};
pub use preempt::Notice;
pub use store_choice::StoreChoice;

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
    if options.engine == EngineKind::Docker && !options.no_engine {
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
    let state_dir = std::path::absolute(&place.state_dir)?;
    let engine = options.find_engine_and(state_dir.join("processes")).await?;
    let engine_version = engine.version().await?;
    offer.check_at(&*engine, &options).await?;
    offer.shared.check("the state directory (--state-dir)", &state_dir).map_err(anyhow::Error::msg)?;
    let identity = Identity::of(state.agent_id());
    // Several agents may share a process and its log.
    let span = info_span!("agent", agent.id = %identity.agent, agent.name = offer.name);
    let site = Site::new(options, identity, offer, (engine, engine_version), state)?;
    work(Arc::new(site), place, shutdown).instrument(span).await
}

async fn work(site: Arc<Site>, place: Place, shutdown: Shutdown) -> anyhow::Result<()> {
    let Site { offer, engine_version, .. } = &*site;
    info!("agent {} offers {} on {engine_version}", offer.name, offer.capacity);
    site.look_at_disk_and_state();
    let agent = Arc::new(Agent::new(site, place.store.clone(), shutdown.drain.clone()));
    reconcile::take_back(&agent).context("take back the attempts of an earlier run")?;
    let end = CancellationToken::new();
    let tasks = &agent.site.tasks;
    tasks.spawn(reconcile::run(agent.clone(), end.clone()).in_current_span());
    tasks.spawn(leave::by_itself(agent.clone(), end.clone()).in_current_span());
    tasks.spawn(availability::run(agent.clone(), end.clone()).in_current_span());
    let beside = (agent.clone(), end.clone());
    let beside = async move {
        let (agent, end) = beside;
        tokio::join!(
            stock::software::run(&agent.stock.software, &agent.line, end.clone()),
            agent.slots.make_room(end.clone()),
            progress::run(&agent.holdings, &agent.line, end.clone()),
            agent.stock.fingerprints.run(end),
            agent.stock.images.prefetch(),
        );
    };
    tasks.spawn(beside.in_current_span());
    let joining = joining(&place, &agent)?;
    if let Some(joining) = &joining {
        let (joining, agent, end) = (joining.clone(), agent.clone(), end.clone());
        tasks.spawn(async move { joining.renew(&agent.line.link, end).await }.in_current_span());
    }
    let dialer = Dialer { trust: place.trust, tokens: place.token, joining };
    let talking = session::run(agent.clone(), place.coordinators, dialer, end.clone());
    let served = tokio::select! {
        served = talking => served,
        () = leave::drain(&agent, &shutdown.now) => Ok(()),
    };
    leave::remove_guests(&agent).await;
    agent.site.state.flush();
    agent.stock.cuts.stop();
    end.cancel();
    tasks.close();
    agent.site.secrets.close();
    let left = agent.holdings.all().len();
    if left > 0 {
        warn!(attempts = left, "attempts are left; the next start of this agent takes them back");
    }
    served
}

/// The agent's certificate, or what it gets one with, if it is to have one.
fn joining(place: &Place, agent: &Agent) -> anyhow::Result<Option<Arc<Joining>>> {
    if !place.joins {
        return Ok(None);
    }
    let joining = Joining::open(&place.state_dir, agent.site.identity.agent, &agent.site.offer.name)?;
    if joining.certificate().is_none() {
        ensure!(
            place.token.is_some(),
            "this agent has no certificate yet: to join it needs a token (--token-file FILE); `btctl token create NAME --role \
             agent` makes one"
        );
        place.token.read().map_err(anyhow::Error::msg)?;
    }
    Ok(Some(Arc::new(joining)))
}
