//! One job: its parameters and metrics, its attempts, what it says point by point, what it left, and the end of its log.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bt_documents::{Attempt, Output, ProgressSeries, ShownJob};
use bt_model::resources::ByteSize;
use bt_model::state::JobState;
use bt_model::{percent, span};
use bt_proto::v1;
use bt_proto::v1::sweeps_server::Sweeps as _;
use jiff::Timestamp;
use tonic::{Request, Status};

use super::plot::Plot;
use super::preview::is_shown_as_image;
use super::progress::Said;
use super::ranking::{plain, text};
use super::tail::log;
use super::timeline::{Spans, Timeline, is_live, length, ready};
use super::{Fact, Frame, ago, curve, is_update, rendered, shown_of};
use crate::clients::Clients;
use crate::http::jobs::{published, shown_job};
use crate::http::reply::Refused;
use crate::queue::Found;
use crate::rpc::status;

/// Lines of the log that are shown, from its end.
const LINES: usize = 200;
/// Files that are listed, and of these how many pictures are shown at once.
const FILES: usize = 500;
const PICTURES: usize = 4;

#[derive(Template)]
#[template(path = "job.html")]
struct Page {
    frame: Frame,
    /// It changes by itself.
    is_live: bool,
    id: String,
    sweep: String,
    number: u32,
    sentence: String,
    facts: Vec<Fact>,
    said: Option<Said>,
    parameters: Vec<Fact>,
    metrics: Vec<Fact>,
    timeline: Option<Timeline>,
    attempts: Vec<Try>,
    curve: Option<Plot>,
    curve_title: &'static str,
    no_curve: Option<String>,
    outputs: Vec<File>,
    /// Files that are not listed.
    more: usize,
    no_outputs: Option<String>,
    log: String,
    no_log: String,
    again: String,
}

/// How the last attempt of a job ended that was given up.
const PRUNED: &str = JobState::Pruned.name();

struct Try {
    number: u32,
    state: &'static str,
    agent: String,
    memory: String,
    reason: String,
    waited: String,
    prepared: String,
    ran: String,
    published: String,
    started: String,
}

struct File {
    path: String,
    address: String,
    size: String,
    sha256: String,
    is_picture: bool,
}

pub(super) async fn show(
    State(clients): State<Clients>,
    Path((sweep, number)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let frame = Frame::new("../../../", "job");
    shown_of(&clients, &sweep, frame.clone(), async {
        let number = number_of(&number)?;
        let found = clients.find(&sweep).await?;
        let id = found.id.to_string();
        let shown = shown_job(&clients, id.clone(), number).await?;
        let job = &shown.job;
        let submitted =
            clients.queue.sweep(found.id).await.map_err(status::queue)?.map(|sweep| sweep.created);
        let now = Timestamp::now();
        let (outputs, no_outputs) = outputs(&clients, &id, &shown).await?;
        let mut no_curve = None;
        let (curve, curve_title) = match job.state {
            "running" | "pruned" => (on_the_way(&clients, &id, number).await?, "On the way"),
            _ => match equity(&clients, &found, number, &outputs).await {
                Ok(curve) => (curve, "Equity and drawdown"),
                Err(refused) => {
                    no_curve = Some(refused.message().to_owned());
                    (None, "")
                }
            },
        };
        let (log, no_log) = match is_update(&headers) {
            // What changes by itself does not have it.
            true => Default::default(),
            false => log(&clients, &id, number, LINES).await?,
        };
        let parameters = job.params.iter().map(|(name, value)| Fact::new(name, plain(Some(value))));
        let metrics = job.metrics.iter().map(|(name, value)| Fact::new(name, text(Some(value))));
        let ready = ready(&shown.history, submitted);
        let attempts = shown.history.iter().zip(ready).map(|(attempt, ready)| Try::of(attempt, ready, now));
        let mut attempts: Vec<_> = attempts.collect();
        let mut timeline = Timeline::of(&shown.history, submitted, now);
        if job.state == PRUNED {
            // The attempt was stopped as a cancelled one.
            attempts.iter_mut().last().into_iter().for_each(|attempt| attempt.state = PRUNED);
            let bars = timeline.iter_mut().flat_map(|timeline| timeline.bars.last_mut());
            bars.for_each(|bar| bar.state = PRUNED);
        }
        let more = outputs.len().saturating_sub(FILES);
        rendered(&Page {
            frame,
            is_live: matches!(job.state, "queued" | "running") || is_live(&shown.history),
            sentence: sentence(&shown),
            facts: facts(&shown),
            said: job.progress.as_ref().map(Said::of),
            parameters: parameters.collect(),
            metrics: metrics.collect(),
            timeline,
            attempts,
            curve,
            curve_title,
            no_curve,
            outputs: files(outputs),
            more,
            no_outputs,
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

/// A job's number, as an address has it.
pub(super) fn number_of(text: &str) -> Result<u32, Refused> {
    let told = |_| Status::not_found(format!("{text:?} is no job; jobs have numbers, from 0 on"));
    Ok(text.parse::<u32>().map_err(told)?)
}

/// What it has published; or nothing, and why not.
async fn outputs(
    clients: &Clients,
    id: &str,
    shown: &ShownJob,
) -> Result<(Vec<Output>, Option<String>), Refused> {
    if shown.job.state != "succeeded" {
        return Ok((Vec::new(), None));
    }
    match published(clients, id.to_owned(), shown.job.job).await {
        Ok(outputs) => Ok((outputs, None)),
        // They were given up.
        Err(refused) if refused.status() == StatusCode::NOT_FOUND => {
            Ok((Vec::new(), Some(refused.message().to_owned())))
        }
        Err(refused) => Err(refused),
    }
}

fn files(outputs: Vec<Output>) -> Vec<File> {
    let mut pictures = 0;
    let files = outputs.into_iter().take(FILES).map(|output| {
        let is_picture = pictures < PICTURES && is_shown_as_image(&output.path, output.size);
        pictures += usize::from(is_picture);
        File {
            address: address(&output.path),
            size: output.size.map_or_else(String::new, |size| ByteSize(size).to_string()),
            sha256: output.sha256.unwrap_or_default(),
            path: output.path,
            is_picture,
        }
    });
    files.collect()
}

/// The curve of the account that its metrics file holds.
async fn equity(
    clients: &Clients,
    found: &Found,
    number: u32,
    outputs: &[Output],
) -> Result<Option<Plot>, Refused> {
    let known = clients.manifests.get(found.id).await.map_err(status::manifest)?;
    let path = &known.manifest.metrics;
    let Some(size) = outputs.iter().find(|output| output.path == *path).and_then(|output| output.size) else {
        return Ok(None);
    };
    if size > curve::LARGEST {
        let told = format!(
            "{path} has {}; an equity curve is drawn of {} at most.",
            ByteSize(size),
            ByteSize(curve::LARGEST)
        );
        return Err(Status::failed_precondition(told).into());
    }
    let results = clients.results();
    let file = results.published_file(found, number, path).await?;
    let text = results.plain_part(&file, 0, size).await?;
    let drawn = tokio::task::spawn_blocking(move || curve::of_metrics(&text)).await;
    drawn.map_err(|error| Refused::internal(format!("the curve can't be drawn: {error}")))
}

/// Its metrics on the way.
async fn on_the_way(clients: &Clients, id: &str, number: u32) -> Result<Option<Plot>, Refused> {
    let request = v1::ShowProgressRequest { sweep: id.to_owned(), job: number };
    let said = clients.show_progress(Request::new(request)).await?.into_inner();
    Ok(curve::of_progress(&ProgressSeries::of(number, &said)?))
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
        ("pruned", Some(reason), ..) => format!("It was given up{on}: {reason}."),
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
    fn of(attempt: &Attempt, ready: Option<Timestamp>, now: Timestamp) -> Self {
        let spans = Spans::of(attempt, ready, now);
        Self {
            number: attempt.attempt,
            state: attempt.state.name(),
            agent: attempt.agent.clone(),
            memory: attempt.memory_bytes.map(|bytes| ByteSize(bytes).to_string()).unwrap_or_default(),
            reason: attempt.reason.clone().or(attempt.note.clone()).unwrap_or_default(),
            waited: length(spans.queued),
            prepared: length(spans.pulling),
            ran: length(spans.running),
            published: length(spans.publishing),
            started: ago(attempt.started),
        }
    }
}

/// A path as a part of an address.
pub(super) fn address(path: &str) -> String {
    percent::encoded(path.as_bytes(), b"/")
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
