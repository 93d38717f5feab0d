//! Starts containers, and decides who is to blame when one does not start.

use bt_engine::{ContainerSpec, Error};
use bt_model::reason::Reason;
use tokio::time::Instant;
use tracing::warn;

use super::state::Stop;
use crate::agent::Agent;
use crate::gateway::{self, Way};
use crate::job::blame::{self, Blame, Plain};
use crate::job::container::Job;

/// Makes and starts a container that is no attempt's own. If the engine does not, it says who is to blame.
pub(super) async fn start(agent: &Agent, spec: &ContainerSpec) -> Result<(), Stop> {
    start_noted(agent, spec, async { Ok(()) }).await
}

/// Makes and starts a container; `noted` is done in between. If the engine does not, who is to blame is decided here, for
/// jobs of every kind.
pub(super) async fn start_noted(
    agent: &Agent,
    spec: &ContainerSpec,
    noted: impl Future<Output = Result<(), Reason>>,
) -> Result<(), Stop> {
    let started = match agent.site.engine.create(spec).await {
        Ok(()) => {
            noted.await?;
            let _unfrozen = agent.away.may_start().await;
            agent.site.engine.start(spec.attempt).await
        }
        refused => refused,
    };
    agent.site.health.note_start(&started);
    let Err(error) = started else {
        agent.starts.started(spec.sweep, Instant::now());
        return gateway::open(&agent.site, Way { held: agent.holdings.find(spec.attempt), ..Way::of(spec) })
            .await
            .map_err(Stop::Refused);
    };
    let others_start = agent.starts.refused(spec.sweep, Instant::now());
    let plain = match blame::is_open(&error) {
        true => plain_starts(agent, spec).await,
        false => None,
    };
    Err(match blame::of(&error, plain, others_start) {
        Blame::Job(reason) => Stop::Failed(reason),
        Blame::Agent(why) => Stop::Refused(why),
        Blame::Now(reason) => Stop::Hindered(reason),
    })
}

/// A program that a shell holds back does not start where the image has none.
pub(super) fn without_shell(job: &Job, stop: Stop) -> Stop {
    match stop {
        Stop::Failed(Reason::Image(message)) if !job.manifest.network.addresses().is_empty() => {
            Stop::Failed(Reason::Image(format!(
                "`network.allow` needs the program /bin/sh in the image, which holds the job back until the address can be \
                 reached: {message}"
            )))
        }
        stop => stop,
    }
}

/// Makes the way out of a container again that an earlier run of the agent has started.
pub(super) async fn open_again(agent: &Agent, way: Way<'_>) -> Result<(), Stop> {
    let way = Way { held: agent.holdings.find(way.container), ..way };
    let opened = gateway::open(&agent.site, way).await;
    opened.map_err(|why| Stop::Hindered(Reason::Agent(format!("after its restart the agent {why}"))))
}

/// Whether a plain container of the image starts; nothing if the engine does not answer.
async fn plain_starts(agent: &Agent, spec: &ContainerSpec) -> Option<Plain> {
    let plain = spec.plain();
    let id = plain.attempt;
    agent.site.guests.add(id);
    let starting = async {
        agent.site.engine.create(&plain).await?;
        agent.site.engine.start(id).await
    };
    let started = starting.await;
    if let Err(error) = agent.site.engine.remove(id).await {
        warn!(container = %id, error = %error, "a container that only tried the engine is left to a later pass");
    }
    agent.site.guests.remove(id);
    match started {
        // Its command is not there.
        Ok(()) | Err(Error::NoSuchCommand { .. }) => Some(Plain::Starts),
        Err(Error::Timeout { .. } | Error::Unreachable { .. } | Error::DiskFull { .. }) => None,
        Err(_) => Some(Plain::Fails),
    }
}
