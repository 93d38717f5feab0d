//! A sweep's page as one file that needs nothing else: no script, no other file, nothing to click. It can be kept, sent and
//! printed.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bt_documents::ShownSweep;
use jiff::Timestamp;
use serde_json::Value;

use super::standing::sentence;
use super::sweep::{Failure, Wanted, best, facts, failures, manifest, waiting};
use super::{Fact, LATER, Progress, assess, tail, text};
use crate::clients::Clients;
use crate::http::reply::Refused;
use crate::http::sweeps::shown_sweep;

/// Failures whose logs are shown, and lines of each.
const TAILS: usize = 10;
const LINES: usize = 20;

#[derive(Template)]
#[template(path = "report.html")]
struct Report {
    is_report: bool,
    id: String,
    name: String,
    sentence: String,
    progress: Progress,
    /// None: nothing can be done with a file.
    actions: Vec<&'static str>,
    waiting: Vec<String>,
    failures: Vec<Failure>,
    facts: Vec<Fact>,
    manifest: String,
    made: String,
    version: &'static str,
    tails: Vec<Tail>,
}

/// The end of the log of a job that failed.
struct Tail {
    job: u32,
    reason: String,
    log: String,
    no_log: String,
}

pub(in crate::http) async fn get(
    State(clients): State<Clients>,
    Path(sweep): Path<String>,
) -> Result<Response, Refused> {
    let report = report(&clients, sweep).await?;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; sandbox"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, report).into_response())
}

/// The whole file.
pub(in crate::http) async fn report(clients: &Clients, sweep: String) -> Result<String, Refused> {
    let shown = shown_sweep(clients, sweep).await?;
    let mut facts = facts(&shown, moment);
    facts.extend(command(&shown.manifest).map(|command| Fact::new("Command", command)));
    let report = Report {
        is_report: true,
        sentence: sentence(&shown),
        progress: Progress::of(&shown.sweep.counts),
        actions: Vec::new(),
        waiting: waiting(&shown),
        failures: failures(&shown),
        facts,
        manifest: manifest(&shown),
        made: moment(Some(Timestamp::now())),
        version: env!("CARGO_PKG_VERSION"),
        tails: tails(clients, &shown).await?,
        name: shown.sweep.name.clone(),
        id: shown.sweep.id.clone(),
    };
    let page = text(&report)?;
    // What a user wrote is escaped, so that only the template has this mark.
    let best = best(clients, &shown, Wanted::of_report()).await?;
    let judged = assess::judged(clients, &shown.sweep.id, "").await?;
    let later = format!("{best}<h2>How much of it is luck?</h2>\n{judged}");
    Ok(page.replacen(LATER, &later, 1))
}

async fn tails(clients: &Clients, shown: &ShownSweep) -> Result<Vec<Tail>, Refused> {
    let mut tails = Vec::new();
    for Failure { reason, first_job, .. } in failures(shown).into_iter().take(TAILS) {
        let (log, no_log) = tail::log(clients, &shown.sweep.id, first_job, LINES).await?;
        tails.push(Tail { job: first_job, reason, log, no_log });
    }
    Ok(tails)
}

/// A time that says the same whenever the file is read.
fn moment(time: Option<Timestamp>) -> String {
    time.map_or_else(String::new, |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// The command of all jobs, as the manifest has it.
fn command(manifest: &Value) -> Option<String> {
    let words = manifest["command"].as_array()?.iter().filter_map(Value::as_str);
    Some(words.collect::<Vec<_>>().join(" ")).filter(|command| !command.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_says_what_stays_true() {
        assert_eq!(moment("2026-01-02T03:04:05.6Z".parse().ok()), "2026-01-02 03:04:05 UTC");
        assert_eq!(
            command(&json!({"command": ["run", "--n", "{{ n }}"]})).as_deref(),
            Some("run --n {{ n }}")
        );
        assert_eq!(command(&json!({})), None);
    }
}
