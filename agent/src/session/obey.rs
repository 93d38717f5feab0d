//! What a coordinator says in a session, and what the agent does about it.

use std::collections::VecDeque;
use std::sync::Arc;

use bt_model::id::AttemptId;
use bt_proto::bearer::Line;
use bt_proto::convert::parse;
use bt_proto::v1::agents_client::AgentsClient;
use bt_proto::v1::{self, coordinator_message};
use futures_util::future::join_all;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::agent::Agent;
use crate::attempt;
use crate::debug;
use crate::job::holdings::Held;
use crate::line::outbox::Attached;
use crate::line::push_log;
use crate::record::assignment::Assignment;
use crate::record::ending::Halt;
use crate::stock::{files, resolve};

pub(super) fn obey(
    agent: &Arc<Agent>,
    channel: &Line,
    kind: coordinator_message::Kind,
    unanswered: &mut VecDeque<Instant>,
) {
    match kind {
        coordinator_message::Kind::Assign(assign) => {
            let mut before = String::new();
            let held = assign.assignments.into_iter().filter_map(|mut assignment| {
                if assignment.batch.is_some() && assignment.manifest.is_empty() {
                    assignment.manifest.clone_from(&before);
                } else {
                    before.clone_from(&assignment.manifest);
                }
                accept(agent, assignment)
            });
            agent.site.tasks.spawn(take(agent.clone(), held.collect()));
        }
        coordinator_message::Kind::Stop(stop) => rule(agent, &stop.attempt, stop.ruling()),
        coordinator_message::Kind::Ack(ack) => agent.line.outbox.acknowledge(ack.sequence),
        coordinator_message::Kind::Renewed(_) => {
            if let Some(sent) = unanswered.pop_front() {
                agent.line.link.renewed(sent);
            }
        }
        coordinator_message::Kind::LogRequest(request) => {
            let client = AgentsClient::new(channel.clone());
            let held = request.attempt.parse().ok().and_then(|attempt| agent.holdings.find(attempt));
            agent.site.tasks.spawn(push_log::answer(held, client, request));
        }
        coordinator_message::Kind::DebugRequest(request) => {
            let client = AgentsClient::new(channel.clone());
            agent.site.tasks.spawn(debug::answer(agent.clone(), client, request));
        }
        coordinator_message::Kind::ResolveImage(request) => {
            let (tasks, agent) = (&agent.site.tasks, agent.clone());
            tasks.spawn(async move { resolve::answer(&agent.stock.images, &agent.line, request).await });
        }
        coordinator_message::Kind::ListFiles(request) => {
            let client = AgentsClient::new(channel.clone());
            agent.site.tasks.spawn(files::answer(agent.site.offer.volumes.clone(), client, request));
        }
        coordinator_message::Kind::Welcome(_) => warn!("a second Welcome is ignored"),
    }
}

/// Reads an assignment. From the moment that it is on disk ([`take`]) the agent holds the attempt. One that can't be written
/// down is not taken, and goes back to the queue because the next heartbeats don't name it.
fn accept(agent: &Arc<Agent>, assignment: v1::Assignment) -> Option<Arc<Held>> {
    let assignment = match Assignment::try_from(assignment) {
        Ok(assignment) => assignment,
        Err(error) => {
            warn!(error = %error, "an assignment that can't be read is ignored");
            return None;
        }
    };
    let dir = agent.site.state.attempt(assignment.attempt);
    agent.holdings.add(assignment, dir, false)
}

/// Takes attempts that came together, and begins their lives at once: those of a batch share a container.
async fn take(agent: Arc<Agent>, held: Vec<Arc<Held>>) {
    let taking = held.into_iter().map(|held| take_one(&agent, held));
    let taken = join_all(taking).await.into_iter().flatten().collect();
    attempt::begin(&agent, taken);
}

async fn take_one(agent: &Agent, held: Arc<Held>) -> Option<Arc<Held>> {
    let holding = async {
        // Its container needs the directory, and an agent that can't make one is of no use to any job.
        if agent.site.engine.mounts_files() {
            held.dir.make()?;
        }
        held.dir.hold(&held.assignment).await
    };
    if let Err(error) = holding.await {
        warn!(attempt.id = %held.id(), error = format!("{error:#}"), "the attempt is not taken");
        agent.site.look_at_disk_and_state();
        agent.holdings.remove(held.id());
        let why = format!("{error:#}");
        let released = v1::report::Kind::Released(v1::Released { why, ..Default::default() });
        drop(agent.line.outbox.end(held.id(), released, Attached::default()));
        return None;
    }
    held.note_on_disk();
    Some(held)
}

pub(super) fn rule(agent: &Agent, attempt: &str, ruling: v1::Ruling) {
    let attempt: AttemptId = match parse("attempt", "a UUID", attempt) {
        Ok(attempt) => attempt,
        Err(error) => {
            warn!(error = %error, "a ruling that can't be read is ignored");
            return;
        }
    };
    match ruling {
        v1::Ruling::Keep => {}
        v1::Ruling::Stop | v1::Ruling::Unknown | v1::Ruling::Unspecified => {
            if let Some(held) = agent.holdings.find(attempt) {
                info!(attempt.id = %attempt, "the attempt is taken away");
                held.halt(Halt::TakenAway);
            }
        }
    }
}
