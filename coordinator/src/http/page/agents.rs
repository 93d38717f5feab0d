//! The agents, the jobs that they work on, and what they offered and gave over the last day.

use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use bt_documents::{Agent, Fleet, FleetSample, RunningJob};
use bt_model::id::AgentId;
use bt_model::placement::Offer;
use bt_model::resources::ByteSize;

use super::plot::{LineOf, Lines, Plot, short};
use super::{Frame, ago, is_update, rendered, shown};
use crate::access::call;
use crate::access::rights::Right;
use crate::clients::Clients;
use crate::http::machines;
use crate::http::reply::Refused;
use crate::rpc::status;

#[derive(Template)]
#[template(path = "agents.html")]
struct Page {
    frame: Frame,
    agents: Vec<Row>,
    running: Vec<Running>,
    cut: bool,
    load: Option<Plot>,
}

struct Row {
    id: String,
    name: String,
    /// What its button does; empty: it has none.
    action: &'static str,
    version: String,
    contested: Option<String>,
    state: String,
    running: u32,
    cpus: String,
    memory: String,
    gpus: String,
    disk: String,
    places: String,
    /// Why it can't run jobs.
    trouble: Option<String>,
    labels: Vec<String>,
    volumes: Vec<String>,
    /// Those that it had when it came, if it is connected to this coordinator.
    images: Vec<String>,
    engine: String,
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

pub(super) async fn list(State(clients): State<Clients>, headers: HeaderMap) -> Response {
    let frame = Frame::new("", "agents");
    shown(frame.clone(), async {
        let agents = machines::all_agents(&clients).await?;
        let (running, cut) = machines::running_of(&clients, None).await?;
        let load = match is_update(&headers) {
            // A day changes little in seconds.
            true => None,
            false => load(&machines::load(&clients).await?),
        };
        let images = images(&clients).await?;
        let agents = agents.into_iter().map(|agent| Row::of(agent, &images)).collect();
        rendered(&Page { frame, agents, running: running.into_iter().map(Running::of).collect(), cut, load })
    })
    .await
}

impl Row {
    fn of(agent: Agent, images: &HashMap<String, Vec<String>>) -> Self {
        let (free, all) = (&agent.free, &agent.capacity);
        let mut labels: Vec<_> = agent.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        labels.sort_unstable();
        Self {
            images: images.get(&agent.id).cloned().unwrap_or_default(),
            trouble: agent.state.split_once(": ").map(|(_, why)| why.to_owned()),
            disk: format!("{} of {}", ByteSize(free.disk_bytes), ByteSize(all.disk_bytes)),
            places: format!("{} of {}", free.jobs, all.jobs),
            engine: agent.engine,
            action: match agent.state.starts_with("drain") {
                _ if !call::may(Right::Operate) => "",
                true => "undrain",
                false => "drain",
            },
            contested: agent.contested_by,
            version: agent.version,
            id: agent.id,
            running: agent.running,
            cpus: format!("{} of {}", free.cpus, all.cpus),
            memory: format!("{} of {}", ByteSize(free.memory_bytes), ByteSize(all.memory_bytes)),
            gpus: format!("{} of {}", free.gpus, all.gpus),
            labels,
            volumes: agent.volumes,
            seen: ago(agent.last_seen),
            name: agent.name,
            state: agent.state.split(':').next().unwrap_or_default().to_owned(),
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

const GIB: f64 = (1_u64 << 30) as f64;

/// Of each agent that is connected to this coordinator the pushed images that it had when it came, with their sizes, and how
/// many others.
async fn images(clients: &Clients) -> Result<HashMap<String, Vec<String>>, Refused> {
    let pushed = clients.queue.images().await.map_err(status::queue)?;
    let of = |(agent, offer): (AgentId, Arc<Offer>)| {
        let mut held: Vec<_> = pushed
            .iter()
            .filter(|image| offer.images.contains(&image.id))
            .map(|image| format!("{} ({})", image.name, ByteSize(image.size)))
            .collect();
        let ids = offer.images.iter().filter(|image| image.starts_with("sha256:")).count();
        match ids.saturating_sub(held.len()) {
            0 => {}
            others if held.is_empty() => held.push(format!("{others} that were not pushed")),
            others => held.push(format!("and {others} that were not pushed")),
        }
        (agent.to_string(), held)
    };
    Ok(clients.sessions.offers().into_iter().map(of).collect())
}

/// Time without a sample after which a line breaks off.
const GAP: f64 = 3.0 * 60.0;

type Figure = fn(&FleetSample) -> f64;

/// What the agents offered and what of it was used, over the last day.
fn load(fleet: &Fleet) -> Option<Plot> {
    let last = fleet.samples.last()?.at;
    let panel = |title: &str, write: fn(f64) -> String, lines: [(&'static str, Figure); 2]| Lines {
        title: title.to_owned(),
        height: 80.0,
        from_zero: true,
        write,
        lines: lines.map(|(class, figure)| LineOf { class, points: points(&fleet.samples, figure) }).into(),
    };
    let mut panels = vec![
        panel(
            "Cpus used, of those that are offered",
            short,
            [("used", |sample| sample.used.cpus), ("offered", |sample| sample.offered.cpus)],
        ),
        panel(
            "Memory used, of what is offered (GiB)",
            short,
            [
                ("used", |sample| sample.used.memory_bytes as f64 / GIB),
                ("offered", |sample| sample.offered.memory_bytes as f64 / GIB),
            ],
        ),
        panel(
            "Agents that take jobs, of those that are connected",
            short,
            [("used", |sample| f64::from(sample.ready)), ("offered", |sample| f64::from(sample.connected))],
        ),
    ];
    if fleet.samples.iter().any(|sample| sample.offered.gpus > 0) {
        panels.push(panel(
            "Gpus used, of those that are offered",
            short,
            [
                ("used", |sample| f64::from(sample.used.gpus)),
                ("offered", |sample| f64::from(sample.offered.gpus)),
            ],
        ));
    }
    let about = "What agents offered and what of it was used, over the last day".to_owned();
    let newest = last.as_second() as f64;
    Plot::of(about, &panels, |time| match newest - time {
        ago if ago < 30.0 => "now".to_owned(),
        ago => format!("{} ago", bt_model::span::of_seconds(ago)),
    })
}

/// A figure over time, with a gap where nobody looked.
fn points(samples: &[FleetSample], figure: Figure) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for sample in samples {
        let at = sample.at.as_second() as f64;
        if points.last().is_some_and(|(before, _)| at - before > GAP) {
            points.push((f64::NAN, f64::NAN));
        }
        points.push((at, figure(sample)));
    }
    points
}

#[cfg(test)]
mod tests {
    use bt_documents::FleetLoad;

    use super::*;

    fn sample(minute: i64, cpus: f64) -> FleetSample {
        let load = |cpus: f64| FleetLoad { cpus, memory_bytes: 1 << 30, gpus: 0 };
        FleetSample {
            at: jiff::Timestamp::from_second(60 * minute).unwrap(),
            ready: 1,
            connected: 2,
            running: 1,
            offered: load(8.0),
            used: load(cpus),
        }
    }

    #[test]
    fn the_load_is_drawn_and_what_nobody_saw_is_a_gap() {
        let samples = [0, 1, 2, 30, 31].map(|minute| sample(minute, 4.0));
        let plot = load(&Fleet { samples: samples.into() }).unwrap();
        assert_eq!(plot.panels.len(), 3, "there are no gpus");
        let offered = &plot.panels[0].traces[1];
        assert_eq!((offered.class, offered.path.matches('M').count()), ("offered", 2), "{}", offered.path);
        let times: Vec<_> = plot.times.iter().map(|mark| mark.text.as_str()).collect();
        assert_eq!((times[0], times[4]), ("31m 0s ago", "now"));
        assert!(load(&Fleet { samples: Vec::new() }).is_none());
    }
}
