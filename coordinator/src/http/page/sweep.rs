//! One sweep: how it stands, what failed, which jobs are the best, and what can be done with it.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use bt_documents::{Counts, Pace, ShownSweep, SweepState, main_metric};
use bt_model::resources::ByteSize;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::lines::Lines;
use super::map::{Bars, CELLS, Drawn, Map, Weight, bars, weights};
use super::progress::{LISTED, Running};
use super::ranking::{Ranked, Ranking};
use super::standing::sentence;
use super::walk::walk;
use super::{Fact, Frame, Progress, ago, is_update, rendered, rendered_in_parts, shown_of, since, text};
use crate::access::call;
use crate::answers::Standing;
use crate::clients::Clients;
use crate::http::reply::{Asked, Refused};
use crate::http::sweeps::shown_sweep;
use crate::rpc::status;

/// Best jobs that the page shows, and a report.
const ROWS: u32 = 20;
const REPORTED: u32 = 100;
/// Bytes of the manifest that the page shows.
const MANIFEST: usize = 20_000;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    by: String,
    order: String,
    #[serde(rename = "where")]
    filter: String,
    across: String,
    down: String,
    cell: String,
    /// A parameter, and between which values it is to be: a condition beside `where`.
    axis: String,
    from: String,
    to: String,
    /// For a report, in which nothing can be clicked.
    #[serde(skip)]
    is_report: bool,
}

impl Wanted {
    /// Which jobs are wanted, as one expression.
    fn condition(&self) -> String {
        let filter = self.filter.trim();
        let parameter = format!("params[{}]", Value::from(self.axis.as_str()));
        let bound = |sign: &str, value: &str| {
            let value = value.trim();
            let written = match value.parse::<f64>() {
                Ok(number) if number.is_finite() => value.to_owned(),
                _ => Value::from(value).to_string(),
            };
            (!self.axis.is_empty() && !value.is_empty()).then(|| format!("{parameter} {sign} {written}"))
        };
        let bounds = bound(">=", &self.from).into_iter().chain(bound("<=", &self.to));
        let before = (!filter.is_empty()).then(|| filter.to_owned());
        match (before, bounds.collect::<Vec<_>>()) {
            (None, bounds) => bounds.join(" and "),
            (Some(filter), bounds) if bounds.is_empty() => filter,
            (Some(filter), bounds) => format!("({filter}) and {}", bounds.join(" and ")),
        }
    }

    pub(super) fn of_report() -> Self {
        Self { is_report: true, ..Self::default() }
    }
}

#[derive(Template)]
#[template(path = "sweep.html")]
struct Page {
    frame: Frame,
    is_report: bool,
    /// It changes by itself.
    is_live: bool,
    id: String,
    name: String,
    sentence: String,
    progress: Progress,
    actions: Vec<&'static str>,
    running: Vec<Running>,
    /// Jobs that run and are not listed.
    more_run: u32,
    waiting: Vec<String>,
    failures: Vec<Failure>,
    facts: Vec<Fact>,
    manifest: String,
}

pub(super) struct Failure {
    pub(super) reason: String,
    pub(super) jobs: u32,
    pub(super) first_job: u32,
}

/// The part that looks at all jobs.
#[derive(Template)]
#[template(path = "best.html")]
struct Best {
    id: String,
    is_report: bool,
    metrics: Vec<String>,
    no_metrics: &'static str,
    by: String,
    order: String,
    filter: String,
    trouble: Option<String>,
    columns: Vec<String>,
    best: Vec<Ranked>,
    across: String,
    down: String,
    cell: String,
    cells: &'static [&'static str],
    axes: Vec<String>,
    map: Option<Map>,
    lines: Option<Lines>,
    told: Option<&'static str>,
    importance: Vec<Weight>,
    spread: Option<Bars>,
}

pub(super) async fn show(
    State(clients): State<Clients>,
    Path(sweep): Path<String>,
    Asked(asked): Asked<Wanted>,
    headers: HeaderMap,
) -> Response {
    let frame = Frame::new("../", "sweep");
    shown_of(&clients.clone(), &sweep, frame.clone(), async {
        let shown = shown_sweep(&clients, sweep.clone()).await?;
        let running = running(&clients, &shown).await?;
        let page = Page {
            frame,
            is_report: false,
            is_live: shown.sweep.finished.is_none(),
            more_run: shown.sweep.counts.running.saturating_sub(running.len() as u32),
            running,
            sentence: sentence(&shown),
            progress: Progress::of(&shown.sweep.counts),
            actions: actions(&shown),
            waiting: waiting(&shown),
            failures: failures(&shown),
            facts: facts(&shown, ago),
            manifest: beginning(manifest(&shown), &shown.sweep.name),
            name: shown.sweep.name.clone(),
            id: shown.sweep.id.clone(),
        };
        if is_update(&headers) {
            return rendered(&page);
        }
        rendered_in_parts(&page, async move { kept_best(&clients, &shown, asked).await })
    })
    .await
}

/// The first of its jobs that run, and how far they are.
async fn running(clients: &Clients, shown: &ShownSweep) -> Result<Vec<Running>, Refused> {
    if shown.sweep.counts.running == 0 {
        return Ok(Vec::new());
    }
    let found = clients.find(&shown.sweep.id).await?;
    let jobs = clients.running_of_sweep(found.id, LISTED).await?;
    Ok(jobs.iter().filter_map(Running::of).collect())
}

pub(super) fn failures(shown: &ShownSweep) -> Vec<Failure> {
    let failures = shown.failures.iter().map(|failures| Failure {
        reason: failures.reason.clone().unwrap_or_default(),
        jobs: failures.jobs,
        first_job: failures.first_job,
    });
    failures.collect()
}

pub(super) fn waiting(shown: &ShownSweep) -> Vec<String> {
    let waiting = shown.waiting.iter().map(|waiting| match &waiting.agent {
        Some(agent) => format!("{agent}: {}", waiting.why),
        None => waiting.why.clone(),
    });
    waiting.collect()
}

pub(super) fn manifest(shown: &ShownSweep) -> String {
    serde_json::to_string_pretty(&shown.manifest).unwrap_or_default()
}

/// A manifest may list a parameter set for each of its jobs.
fn beginning(mut manifest: String, name: &str) -> String {
    if manifest.len() <= MANIFEST {
        return manifest;
    }
    let all = ByteSize(manifest.len() as u64);
    manifest.truncate(manifest.floor_char_boundary(MANIFEST));
    manifest + &format!("\n…\n\nThis is its beginning. `btctl show {name} -o json` prints all of it, {all}.")
}

/// As [`best`], as it was a short time ago at most: it looks at all jobs, and many may look at the page.
async fn kept_best(clients: &Clients, shown: &ShownSweep, asked: Wanted) -> Result<String, Refused> {
    let found = clients.find(&shown.sweep.id).await?;
    let key = (found.id, format!("{asked:?}"));
    let bytes = key.1.len();
    let part = clients
        .parts
        .get(&key, standing(&shown.sweep.counts), best(clients, shown, asked), |part| bytes + part.len());
    Ok(part.await?.as_str().to_owned())
}

fn standing(counts: &Counts) -> Standing {
    let Counts { queued, running, succeeded, failed, cancelled, pruned } = *counts;
    Standing::of([queued, running, succeeded, failed, cancelled, pruned])
}

/// Its best jobs, and the metric over its parameters, as text.
pub(super) async fn best(clients: &Clients, shown: &ShownSweep, asked: Wanted) -> Result<String, Refused> {
    let is_report = asked.is_report;
    let best = text(&look(clients, shown, asked).await?)?;
    Ok(best + &walk(clients, shown, is_report).await?)
}

async fn look(clients: &Clients, shown: &ShownSweep, asked: Wanted) -> Result<Best, Refused> {
    let id = shown.sweep.id.clone();
    let counts = &shown.sweep.counts;
    let found = clients.find(&id).await?;
    let metrics = clients.queue.metric_names(found.id).await.map_err(status::queue)?;
    let by = metric(&asked.by, &shown.manifest, &metrics);
    let no_metrics = match (counts.succeeded, counts.queued + counts.running) {
        (0, 0) => "No job has succeeded.",
        (0, _) => "No job has finished yet.",
        _ => {
            "The jobs report no metrics: one that writes numbers to metrics.json in its results can be ranked."
        }
    };
    let filter = asked.condition();
    let mut best = Best {
        id,
        is_report: asked.is_report,
        no_metrics,
        by,
        order: asked.order,
        filter,
        trouble: None,
        columns: Vec::new(),
        best: Vec::new(),
        across: asked.across,
        down: asked.down,
        cell: asked.cell,
        cells: &CELLS,
        axes: Vec::new(),
        map: None,
        lines: None,
        told: None,
        importance: Vec::new(),
        spread: None,
        metrics,
    };
    if best.metrics.is_empty() {
        return Ok(best);
    }
    let ascending = match best.order.as_str() {
        "highest" => Some(false),
        "lowest" => Some(true),
        _ => None,
    };
    let rows = if best.is_report { REPORTED } else { ROWS };
    match Ranking::of(clients, &best.id, &best.by, ascending, &best.filter, rows).await {
        Ok(Ranking { columns, jobs }) => {
            best.trouble = jobs.is_empty().then(|| "No job is like that.".to_owned());
            (best.columns, best.best) = (columns, jobs);
        }
        // A mistake in the form takes nothing else away from the page.
        Err(refused) if refused.status().is_client_error() => {
            best.trouble = Some(refused.message().to_owned())
        }
        Err(refused) => return Err(refused),
    }
    let landscape = clients.landscapes.get(found.id, &best.by, standing(counts)).await;
    let landscape = landscape.map_err(status::landscape)?;
    let importance = landscape.importance();
    let drawn = Drawn { across: &best.across, down: &best.down, cell: &best.cell };
    best.map = Map::of(&landscape, &importance, &drawn);
    let front: Vec<_> =
        best.best.iter().take(ROWS as usize).map(|job| (job.number, job.value.clone())).collect();
    best.lines = Lines::of(&landscape, &importance, &best.by, &front);
    best.told = match landscape.axes().len() {
        0 => Some("All jobs have the same parameters."),
        1 => Some("The jobs differ in one parameter, so that there is no map."),
        _ if importance.is_empty() => {
            Some("Too few jobs have reported different values to say which parameters matter.")
        }
        _ => None,
    };
    best.axes = landscape.axes().iter().map(|axis| axis.name.clone()).collect();
    best.importance = weights(&landscape, &importance);
    best.spread = bars(&landscape);
    Ok(best)
}

/// The metric to rank by: the one asked for, or the one that the sweep is about.
fn metric(asked: &str, manifest: &Value, metrics: &[String]) -> String {
    let asked = metrics.iter().find(|name| *name == asked).map(String::as_str);
    let goals = || manifest["goals"].as_object().into_iter().flat_map(|goals| goals.keys());
    asked.or_else(|| main_metric(goals(), metrics)).unwrap_or_default().to_owned()
}

/// The buttons; none for those who may not change it.
fn actions(shown: &ShownSweep) -> Vec<&'static str> {
    if !call::may_change(&shown.sweep.owner) {
        return Vec::new();
    }
    let counts = &shown.sweep.counts;
    let mut actions = Vec::new();
    match shown.sweep.state {
        SweepState::Paused => actions.extend(["resume", "cancel"]),
        SweepState::Queued | SweepState::Running | SweepState::Open => actions.extend(["pause", "cancel"]),
        SweepState::Succeeded | SweepState::Failed | SweepState::Cancelled => {}
    }
    if counts.failed + counts.cancelled > 0 && !shown.expired {
        actions.push("retry");
    }
    actions
}

/// `when` says times.
pub(super) fn facts(shown: &ShownSweep, when: fn(Option<Timestamp>) -> String) -> Vec<Fact> {
    let sweep = &shown.sweep;
    let mut facts =
        vec![Fact::new("Id", &sweep.id), Fact::new("Owner", &sweep.owner), Fact::new("Image", &sweep.image)];
    let mut add = |name: &str, text: Option<String>| facts.extend(text.map(|text| Fact::new(name, text)));
    add("Pinned to", sweep.image_pin.clone());
    add("Alias", sweep.image_alias.clone());
    add("Warning", sweep.not_reproducible.clone());
    add("Waits for", Some(sweep.waits_for.join(", ")).filter(|sweeps| !sweeps.is_empty()));
    add("Cancelled", sweep.cancel_reason.clone());
    add("Submitted", Some(when(sweep.created)));
    add("Finished", sweep.finished.map(|finished| when(Some(finished))));
    add("A job takes", shown.pace.as_ref().map(Pace::of_a_job));
    add("Tags", Some(sweep.tags.join(", ")).filter(|tags| !tags.is_empty()));
    add("Note", sweep.note.clone());
    add("Data", sweep.held_out.words());
    add(
        "Results",
        Some(match (shown.expired, shown.kept_until) {
            (true, _) => "removed, as the manifest's `keep` says".to_owned(),
            (false, None) => format!("{} in the store", shown.store),
            (false, Some(until)) => {
                format!("{} in the store, for {} more", shown.store, since(Timestamp::now(), until))
            }
        }),
    );
    for told in &shown.notifications {
        let became = match (told.delivered, told.given_up, &told.last_error) {
            (Some(delivered), ..) => format!("told, {}", when(Some(delivered))),
            (_, Some(_), Some(why)) => format!("given up after {} tries: {why}", told.tries),
            (.., Some(why)) => format!("not told yet: {why}"),
            _ => "is being told".to_owned(),
        };
        add("Notify", Some(format!("{} ({}): {became}", told.receiver, told.event)));
    }
    if let Some(warm) = &shown.warm {
        add(
            "Containers",
            warm.why.as_ref().map(|why| {
                format!("{} instead of warm: {why}", warm.containers.as_deref().unwrap_or("others"))
            }),
        );
        let left_out: Vec<_> =
            warm.left_out.iter().map(|(module, why)| format!("{module} ({why})")).collect();
        add("Not imported ahead", Some(left_out.join(", ")).filter(|text| !text.is_empty()));
    }
    facts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_metric_is_what_was_asked_for_or_the_goal_or_a_usual_one() {
        let metrics = ["cagr", "profit", "sharpe"].map(str::to_owned);
        let goal = json!({"goals": {"profit": "maximize"}});
        assert_eq!(metric("cagr", &goal, &metrics), "cagr");
        assert_eq!(metric("", &goal, &metrics), "profit");
        assert_eq!(metric("gone", &json!({}), &metrics), "sharpe");
        assert_eq!(metric("", &json!({}), &metrics[1..2]), "profit");
        assert_eq!(metric("", &json!({}), &[]), "");
    }

    #[test]
    fn an_axis_is_a_condition_beside_the_others() {
        let wanted = |filter: &str, from: &str, to: &str| {
            let (filter, axis) = (filter.to_owned(), "fast \"x\"".to_owned());
            Wanted { filter, axis, from: from.to_owned(), to: to.to_owned(), ..Wanted::default() }.condition()
        };
        assert_eq!(wanted("", "", " "), "");
        assert_eq!(wanted(" a > 1 ", "", ""), "a > 1");
        assert_eq!(wanted("", "5", ""), r#"params["fast \"x\""] >= 5"#);
        assert_eq!(
            wanted("a or b", "5", "b"),
            r#"(a or b) and params["fast \"x\""] >= 5 and params["fast \"x\""] <= "b""#
        );
    }
}
