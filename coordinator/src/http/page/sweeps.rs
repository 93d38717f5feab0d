//! All sweeps, the newest first.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use bt_documents::Sweep;
use bt_model::span;
use serde::Deserialize;

use super::ranking::figure;
use super::{Frame, Progress, ago, rendered, shown};
use crate::clients::Clients;
use crate::http::reply::Asked;
use crate::http::sweeps::{ListSweeps, listed_sweeps};

const STATES: [&str; 6] = ["queued", "running", "paused", "succeeded", "failed", "cancelled"];

/// What the form asks for; empty: all.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    name: String,
    owner: String,
    state: String,
    all: bool,
}

#[derive(Template)]
#[template(path = "sweeps.html")]
struct Page {
    frame: Frame,
    asked: Wanted,
    states: &'static [&'static str],
    sweeps: Vec<Row>,
    hidden: u32,
    /// Only some are asked for.
    is_filtered: bool,
}

struct Row {
    id: String,
    name: String,
    state: &'static str,
    progress: Progress,
    jobs: u32,
    failed: u32,
    best: Option<Best>,
    rate: String,
    left: String,
    submitted: String,
    owner: String,
    image: String,
    tags: String,
}

struct Best {
    metric: String,
    value: String,
    job: u32,
}

pub(super) async fn list(State(clients): State<Clients>, Asked(asked): Asked<Wanted>) -> Response {
    let frame = Frame::new("", "sweeps");
    shown(frame.clone(), async {
        let some = |text: &str| Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned);
        let wanted = ListSweeps {
            // Who asks for a state wants to see those that have it.
            all: asked.all || !asked.state.is_empty(),
            // Whoever types a part of a name looks for all that have it.
            name: some(&asked.name).map(|name| if name.contains('*') { name } else { format!("*{name}*") }),
            owner: some(&asked.owner),
            state: some(&asked.state),
            ..ListSweeps::default()
        };
        let found = listed_sweeps(&clients, wanted).await?;
        let sweeps = found.sweeps.into_iter().map(Row::of).collect();
        let is_filtered =
            [&asked.name, &asked.owner, &asked.state].iter().any(|text| !text.trim().is_empty());
        rendered(&Page { frame, is_filtered, asked, states: &STATES, sweeps, hidden: found.hidden })
    })
    .await
}

impl Row {
    fn of(sweep: Sweep) -> Self {
        let counts = &sweep.counts;
        let best =
            sweep.best.map(|best| Best { metric: best.metric, value: figure(best.value), job: best.job });
        Self {
            best,
            rate: sweep.jobs_per_minute.filter(|rate| *rate > 0.0).map_or_else(String::new, rate),
            left: sweep.seconds_left.map_or_else(String::new, span::of_seconds),
            jobs: counts.total(),
            failed: counts.failed,
            progress: Progress::of(counts),
            state: sweep.state.name(),
            submitted: ago(sweep.created),
            tags: sweep.tags.join(", "),
            id: sweep.id,
            name: sweep.name,
            owner: sweep.owner,
            image: sweep.image,
        }
    }
}

/// Jobs that end in a minute, with one digit behind the point where they are few.
fn rate(per_minute: f64) -> String {
    if per_minute < 10.0 { format!("{per_minute:.1}") } else { format!("{per_minute:.0}") }
}
