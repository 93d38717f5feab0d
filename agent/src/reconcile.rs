//! What the agent finds when it starts, and what it looks after while it runs: attempts of an earlier run are taken
//! back, containers of attempts that it does not hold are removed, and the engine's health is watched.

use std::sync::Arc;
use std::time::Duration;

use bt_model::id::AttemptId;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::agent::Agent;
use crate::attempt;

/// How often strangers are looked for and the engine is asked how it is.
const PASS: Duration = Duration::from_secs(10);
/// The same while the engine is in trouble.
const TROUBLED_PASS: Duration = Duration::from_secs(2);

/// Takes back the attempts of an earlier run. They go on at once; the next Hello names them.
pub(crate) fn take_back(agent: &Arc<Agent>) -> anyhow::Result<()> {
    let mut taken_back = Vec::new();
    for (assignment, dir) in agent.site.state.held()? {
        if let Some(held) = agent.holdings.add(assignment, dir, true) {
            info!(attempt.id = %held.id(), "an attempt of an earlier run is taken back");
            taken_back.push(held);
        }
    }
    let batches: Vec<_> = taken_back.iter().filter_map(|held| held.assignment.batch).collect();
    agent.site.state.remove_batches_but(&batches);
    let containers = batches.iter().map(|batch| AttemptId::from_uuid(batch.uuid()));
    let containers: Vec<_> = containers.chain(taken_back.iter().map(|held| held.id())).collect();
    agent.site.secrets.remove_all_but(&containers);
    attempt::begin(agent, taken_back);
    Ok(())
}

/// Runs until `end`.
pub(crate) async fn run(agent: Arc<Agent>, end: CancellationToken) {
    loop {
        let health = match remove_strangers(&agent).await {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        };
        let works = health.is_empty();
        if agent.site.health.note_engine(health.clone()) {
            match works {
                true => info!("the engine works again"),
                false => warn!("the engine is in trouble: {health}"),
            }
        }
        agent.site.look_at_disk_and_state();
        agent.site.state.flush();
        agent.slots.sweep_out(false).await;
        let held: Vec<_> = agent.holdings.all().into_iter().map(|held| held.assignment.sweep).collect();
        agent.caches.sweep_out(&agent.site.state, &held).await;
        if agent.site.health.wants_room() {
            agent.stock.images.make_room().await;
        }
        let pause = if works { PASS } else { TROUBLED_PASS };
        tokio::select! {
            () = end.cancelled() => return,
            () = agent.site.health.doubted() => {}
            () = sleep(pause) => {}
        }
    }
}

/// One pass: removes containers that carry this agent's label but that it holds no attempt for.
pub(crate) async fn remove_strangers(agent: &Agent) -> Result<(), bt_engine::Error> {
    for found in agent.site.engine.list(agent.site.identity.agent).await? {
        let held = found.attempt.and_then(|attempt| agent.holdings.find(attempt));
        let is_guest = found.attempt.is_some_and(|attempt| agent.site.guests.contains(attempt));
        let is_batch = found.attempt.is_some_and(|attempt| agent.holdings.has_batch(attempt));
        let Some(attempt) = found.attempt.filter(|_| held.is_none() && !is_guest && !is_batch) else {
            continue;
        };
        warn!(attempt.id = %attempt, "a container of an attempt that is not held is removed");
        agent.site.engine.remove(attempt).await?;
    }
    Ok(())
}
