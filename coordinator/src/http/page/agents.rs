//! The agents, and the jobs that they work on.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use bt_documents::{Agent, RunningJob};
use bt_model::resources::ByteSize;

use super::{Frame, ago, rendered, shown};
use crate::clients::Clients;
use crate::http::machines;

#[derive(Template)]
#[template(path = "agents.html")]
struct Page {
    frame: Frame,
    agents: Vec<Row>,
    running: Vec<Running>,
    cut: bool,
}

struct Row {
    id: String,
    name: String,
    /// What its button does.
    action: &'static str,
    version: String,
    contested: Option<String>,
    state: String,
    running: u32,
    cpus: String,
    memory: String,
    gpus: String,
    labels: String,
    volumes: String,
    seen: String,
}

struct Running {
    sweep: String,
    sweep_id: String,
    job: u32,
    state: &'static str,
    agent: String,
    since: String,
    owner: String,
    note: String,
}

pub(super) async fn list(State(clients): State<Clients>) -> Response {
    let frame = Frame::new("", "agents");
    shown(frame, async {
        let agents = machines::all_agents(&clients).await?;
        let (running, cut) = machines::running_of(&clients, None).await?;
        let agents = agents.into_iter().map(Row::of).collect();
        rendered(&Page { frame, agents, running: running.into_iter().map(Running::of).collect(), cut })
    })
    .await
}

impl Row {
    fn of(agent: Agent) -> Self {
        let (free, all) = (&agent.free, &agent.capacity);
        let mut labels: Vec<_> = agent.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        labels.sort_unstable();
        Self {
            action: if agent.state.starts_with("drain") { "undrain" } else { "drain" },
            contested: agent.contested_by,
            version: agent.version,
            id: agent.id,
            running: agent.running,
            cpus: format!("{} of {}", free.cpus, all.cpus),
            memory: format!("{} of {}", ByteSize(free.memory_bytes), ByteSize(all.memory_bytes)),
            gpus: format!("{} of {}", free.gpus, all.gpus),
            labels: labels.join(", "),
            volumes: agent.volumes.join(", "),
            seen: ago(agent.last_seen),
            name: agent.name,
            state: agent.state,
        }
    }
}

impl Running {
    fn of(job: RunningJob) -> Self {
        Self {
            since: ago(job.started.or(job.leased)),
            note: job.note.unwrap_or_default(),
            sweep: job.sweep,
            sweep_id: job.sweep_id,
            job: job.job,
            state: job.state,
            agent: job.agent,
            owner: job.owner,
        }
    }
}
