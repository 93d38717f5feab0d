//! One job: its parameters and metrics, its attempts, what it left, and the end of its log.

use std::collections::VecDeque;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use bt_documents::{Attempt, ShownJob};
use bt_model::resources::ByteSize;
use bt_model::{percent, span};
use bt_proto::v1;
use bt_proto::v1::sweeps_server::Sweeps as _;
use futures_util::StreamExt;
use jiff::Timestamp;
use tonic::{Code, Request};

use super::progress::Said;
use super::ranking::{plain, text};
use super::{Fact, Frame, ago, rendered, shown, since};
use crate::clients::Clients;
use crate::http::jobs::{published, shown_job};
use crate::http::reply::Refused;

/// Lines and bytes of the log that are shown, from its end.
const LINES: usize = 200;
const BYTES: usize = 64 << 10;

#[derive(Template)]
#[template(path = "job.html")]
struct Page {
    frame: Frame,
    id: String,
    sweep: String,
    number: u32,
    sentence: String,
    facts: Vec<Fact>,
    said: Option<Said>,
    parameters: Vec<Fact>,
    metrics: Vec<Fact>,
    attempts: Vec<Try>,
    outputs: Vec<File>,
    log: String,
    no_log: String,
    again: String,
}

struct Try {
    number: u32,
    state: &'static str,
    agent: String,
    reason: String,
    started: String,
    ran: String,
}

struct File {
    path: String,
    address: String,
    size: String,
    sha256: String,
}

pub(super) async fn show(
    State(clients): State<Clients>,
    Path((sweep, number)): Path<(String, u32)>,
) -> Response {
    let frame = Frame::new("../../../", "job");
    shown(frame, async {
        let found = clients.find(&sweep).await?;
        let id = found.id.to_string();
        let shown = shown_job(&clients, id.clone(), number).await?;
        let outputs = match shown.job.state {
            "succeeded" => published(&clients, id.clone(), number).await?,
            _ => Vec::new(),
        };
        let outputs = outputs.into_iter().map(|output| File {
            address: address(&output.path),
            size: output.size.map_or_else(String::new, |size| ByteSize(size).to_string()),
            sha256: output.sha256.unwrap_or_default(),
            path: output.path,
        });
        let (log, no_log) = log(&clients, &id, number, LINES).await?;
        let job = &shown.job;
        let parameters = job.params.iter().map(|(name, value)| Fact::new(name, plain(Some(value))));
        let metrics = job.metrics.iter().map(|(name, value)| Fact::new(name, text(Some(value))));
        rendered(&Page {
            frame,
            sentence: sentence(&shown),
            facts: facts(&shown),
            said: job.progress.as_ref().map(Said::of),
            parameters: parameters.collect(),
            metrics: metrics.collect(),
            attempts: shown.history.iter().map(Try::of).collect(),
            outputs: outputs.collect(),
            log,
            no_log,
            again: format!(
                "btctl rerun {}/{number}\nbtctl results get {}/{number} -d DIR",
                found.address(),
                found.address()
            ),
            id,
            sweep: found.name,
            number,
        })
    })
    .await
}

fn sentence(shown: &ShownJob) -> String {
    let job = &shown.job;
    let on = job.agent.as_ref().map(|agent| format!(" on {agent}")).unwrap_or_default();
    match (job.state, &job.reason, &job.reused_from, &job.attached_to) {
        ("succeeded", _, Some(twin), _) => {
            format!("It has the result of {}/{}, which is the same.", twin.name, twin.job)
        }
        ("succeeded", ..) => format!("It succeeded{on}."),
        ("failed", Some(reason), ..) => format!("It failed{on}: {reason}."),
        ("failed", ..) => format!("It failed{on}."),
        ("running", ..) => format!("It runs{on}."),
        ("queued", _, _, Some(twin)) => {
            format!("It waits for {}/{}, which is the same.", twin.name, twin.job)
        }
        ("queued", ..) => match &job.last_failure {
            Some(failure) => {
                let why = failure.reason.as_deref().unwrap_or(failure.state);
                format!("It is tried again after attempt {} on {}: {why}.", failure.attempt, failure.agent)
            }
            None => "It waits.".to_owned(),
        },
        (state, ..) => format!("It is {state}."),
    }
}

fn facts(shown: &ShownJob) -> Vec<Fact> {
    let job = &shown.job;
    let mut facts = Vec::new();
    let mut add = |name: &str, text: Option<String>| facts.extend(text.map(|text| Fact::new(name, text)));
    add("Started", job.started.map(|started| ago(Some(started))));
    add("Ran", job.usage.wall_seconds.map(span::of_seconds));
    add("Memory", job.usage.peak_memory_bytes.map(|bytes| format!("{} at most", ByteSize(bytes))));
    add("Cpu time", job.usage.cpu_seconds.map(|seconds| format!("{seconds:.2} s")));
    add("Image", job.image_id.clone());
    facts
}

impl Try {
    fn of(attempt: &Attempt) -> Self {
        let ran = attempt.started.map(|started| since(started, attempt.ended.unwrap_or_else(Timestamp::now)));
        Self {
            number: attempt.attempt,
            state: attempt.state.name(),
            agent: attempt.agent.clone(),
            reason: attempt.reason.clone().or(attempt.note.clone()).unwrap_or_default(),
            started: ago(attempt.started),
            ran: ran.unwrap_or_default(),
        }
    }
}

/// A path as a part of an address.
fn address(path: &str) -> String {
    percent::encoded(path.as_bytes(), b"/")
}

/// The end of its log; or nothing, and why there is nothing.
pub(super) async fn log(
    clients: &Clients,
    sweep: &str,
    job: u32,
    lines_shown: usize,
) -> Result<(String, String), Refused> {
    let request = v1::LogsRequest { sweep: sweep.to_owned(), job, ..v1::LogsRequest::default() };
    let mut lines = match clients.logs(Request::new(request)).await {
        Ok(lines) => lines.into_inner(),
        Err(status) => return Ok((String::new(), status.message().to_owned())),
    };
    let (mut last, mut bytes) = (VecDeque::new(), 0);
    while let Some(line) = lines.next().await {
        let line = match line {
            Ok(line) => line,
            Err(status)
                if matches!(status.code(), Code::NotFound | Code::FailedPrecondition | Code::Unavailable) =>
            {
                return Ok((joined(&last), status.message().to_owned()));
            }
            Err(status) => return Err(status.into()),
        };
        bytes += line.text.len();
        last.push_back(line.text);
        while last.len() > lines_shown || (bytes > BYTES && last.len() > 1) {
            bytes -= last.pop_front().map_or(0, |line: Vec<u8>| line.len());
        }
    }
    Ok((joined(&last), "It has printed nothing.".to_owned()))
}

fn joined(lines: &VecDeque<Vec<u8>>) -> String {
    let all: Vec<u8> = lines.iter().flatten().copied().collect();
    let cut = all.len().saturating_sub(BYTES);
    String::from_utf8_lossy(&all[cut..]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_one_address() {
        assert_eq!(address("a/b c#?.txt"), "a/b%20c%23%3F.txt");
        assert_eq!(address("\"><script>"), "%22%3E%3Cscript%3E");
    }
}
