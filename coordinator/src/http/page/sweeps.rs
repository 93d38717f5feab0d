//! All sweeps, the newest first.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use bt_documents::Sweep;
use serde::Deserialize;

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
}

struct Row {
    id: String,
    name: String,
    state: &'static str,
    progress: Progress,
    jobs: u32,
    failed: u32,
    submitted: String,
    owner: String,
    image: String,
    tags: String,
}

pub(super) async fn list(State(clients): State<Clients>, Asked(asked): Asked<Wanted>) -> Response {
    let frame = Frame::new("", "sweeps");
    shown(frame, async {
        let some = |text: &str| Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned);
        let wanted = ListSweeps {
            // Who asks for a state wants to see those that have it.
            all: asked.all || !asked.state.is_empty(),
            name: some(&asked.name),
            owner: some(&asked.owner),
            state: some(&asked.state),
            ..ListSweeps::default()
        };
        let found = listed_sweeps(&clients, wanted).await?;
        let sweeps = found.sweeps.into_iter().map(Row::of).collect();
        rendered(&Page { frame, asked, states: &STATES, sweeps, hidden: found.hidden })
    })
    .await
}

impl Row {
    fn of(sweep: Sweep) -> Self {
        let counts = &sweep.counts;
        Self {
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
