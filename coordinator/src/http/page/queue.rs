//! What waits and why, sweep by sweep, and how many agents would clear it in an hour.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use bt_documents::Agent;
use bt_model::demand::jobs_at_once;
use bt_model::resources::{ByteSize, Resources};
use bt_model::span;

use super::{Frame, ago, rendered, shown};
use crate::clients::{Clients, WaitingSweep};
use crate::http::machines::all_agents;

/// Sweeps that are looked at.
const MOST: u32 = 50;
const HOUR: f64 = 3_600.0;

#[derive(Template)]
#[template(path = "queue.html")]
struct Page {
    frame: Frame,
    sentence: String,
    rows: Vec<Row>,
    /// There are more sweeps than are looked at.
    cut: bool,
    shapes: Vec<Shape>,
}

struct Row {
    id: String,
    name: String,
    owner: String,
    state: &'static str,
    queued: u32,
    running: u32,
    work: String,
    why: Vec<String>,
    submitted: String,
}

/// Agents that are alike, and how many of them would clear the queue in an hour.
struct Shape {
    size: String,
    there: usize,
    needed: String,
}

pub(super) async fn list(State(clients): State<Clients>) -> Response {
    let frame = Frame::new("", "queue");
    shown(frame.clone(), async {
        let (sweeps, cut) = clients.queue_now(MOST).await?;
        let agents = all_agents(&clients).await?;
        let page = Page {
            frame,
            sentence: sentence(&sweeps, &agents),
            rows: sweeps.iter().map(Row::of).collect(),
            cut,
            shapes: shapes(&sweeps, &agents),
        };
        rendered(&page)
    })
    .await
}

fn sentence(sweeps: &[WaitingSweep], agents: &[Agent]) -> String {
    let queued: u64 = sweeps.iter().map(|one| u64::from(one.sweep.counts.queued)).sum();
    if queued == 0 {
        return "No job waits.".to_owned();
    }
    let work: Option<f64> = sweeps.iter().map(work).sum();
    let work = match work {
        Some(seconds) => format!("; one after the other they take about {}", span::of_seconds(seconds)),
        None => String::new(),
    };
    let ready = agents.iter().filter(|agent| agent.state == "ready").count();
    let jobs = if queued == 1 { "1 job waits".to_owned() } else { format!("{queued} jobs wait") };
    format!("{jobs}{work}. {ready} of {} agents take jobs.", agents.len())
}

/// Seconds that its queued jobs take, one after the other; none before one has finished.
fn work(waits: &WaitingSweep) -> Option<f64> {
    Some(f64::from(waits.sweep.counts.queued) * waits.seconds?)
}

impl Row {
    fn of(waits: &WaitingSweep) -> Self {
        let sweep = &waits.sweep;
        Self {
            id: sweep.id.clone(),
            name: sweep.name.clone(),
            owner: sweep.owner.clone(),
            state: sweep.state.name(),
            queued: sweep.counts.queued,
            running: sweep.counts.running,
            work: work(waits).map_or_else(|| "not known yet".to_owned(), span::of_seconds),
            why: waits.why.clone(),
            submitted: ago(sweep.created),
        }
    }
}

/// Of each size of agents that there are.
fn shapes(sweeps: &[WaitingSweep], agents: &[Agent]) -> Vec<Shape> {
    let mut alike: BTreeMap<String, Vec<&Agent>> = BTreeMap::new();
    for agent in agents {
        let size = format!("{} cpus, {}", agent.capacity.cpus, ByteSize(agent.capacity.memory_bytes));
        alike.entry(size).or_default().push(agent);
    }
    let shape = |(size, agents): (String, Vec<&Agent>)| {
        let needed = agents.first().map(|agent| needed(sweeps, &capacity(agent))).unwrap_or_default();
        Shape { size, there: agents.len(), needed }
    };
    alike.into_iter().map(shape).collect()
}

fn capacity(agent: &Agent) -> Resources {
    let all = &agent.capacity;
    Resources {
        cpu_millis: (all.cpus * 1_000.0).round() as u64,
        memory_bytes: all.memory_bytes,
        gpus: all.gpus,
        disk_bytes: all.disk_bytes,
        jobs: all.jobs,
    }
}

fn needed(sweeps: &[WaitingSweep], size: &Resources) -> String {
    let mut hours = 0.0;
    for one in sweeps {
        let name = &one.sweep.name;
        let Some(seconds) = work(one) else {
            return format!("not known before a job of {name} has finished");
        };
        let jobs = jobs_at_once(&one.wanted.needs, size);
        if jobs == 0 {
            return format!("too small for {name}");
        }
        hours += seconds / HOUR / jobs as f64;
    }
    format!("{:.0}", hours.ceil())
}
