//! The results of a rerun beside the published ones, and what may explain a difference.

use std::collections::BTreeMap;

use bt_documents::RerunFinding;
use globset::GlobSet;
use serde_json::{Value, json};

use crate::error::Error;
use crate::output::{Cell, Column, Json, OutputFormat, Row, View, say, words};

/// Digits of a SHA-256 that people are shown.
const SHOWN: usize = 12;

/// One result and those that are compared with it.
pub(super) struct RerunComparison<'r> {
    recorded: &'r Value,
    ignored: &'r GlobSet,
    /// The file of the metrics.
    metrics: &'r str,
    rows: Vec<RerunRow>,
    notes: Vec<String>,
    /// Things that are not the same.
    differing: usize,
    same: usize,
    failed: usize,
}

/// One file or metric of one rerun.
struct RerunRow {
    agent: String,
    sweep: String,
    kind: &'static str,
    name: String,
    verdict: &'static str,
    recorded: Value,
    now: Value,
}

impl<'r> RerunComparison<'r> {
    pub(super) fn of(recorded: &'r Value, ignored: &'r GlobSet, metrics: &'r str) -> Self {
        let (rows, notes) = (Vec::new(), Vec::new());
        Self { recorded, ignored, metrics, rows, notes, differing: 0, same: 0, failed: 0 }
    }

    /// Adds a rerun that has a result of its own. `chosen` names its agent, where one was chosen.
    pub(super) fn add(&mut self, chosen: Option<String>, sweep: &str, now: &Value) {
        let agent = chosen.unwrap_or_else(|| words::text(&now["machine"]["name"]));
        let before = self.differing;
        let is_compared = |path: &str| !self.ignored.is_match(path);
        let mut found = pairs(files(self.recorded), files(now), "file");
        found.retain(|(_, name, ..)| is_compared(name));
        if is_compared(self.metrics) {
            found.extend(pairs(metrics(self.recorded), metrics(now), "metric"));
        }
        for (kind, name, recorded, now) in found {
            let verdict = match (&recorded, &now) {
                (Some(recorded), Some(now)) if recorded == now => "same",
                (Some(_), Some(_)) => "different",
                (Some(_), None) => "missing",
                (None, _) => "new",
            };
            match verdict {
                "same" => self.same += 1,
                _ => self.differing += 1,
            }
            let (recorded, now) = (recorded.unwrap_or_default(), now.unwrap_or_default());
            let (agent, sweep) = (agent.clone(), sweep.to_owned());
            self.rows.push(RerunRow { agent, sweep, kind, name, verdict, recorded, now });
        }
        if self.differing > before {
            self.notes.extend(explanations(self.recorded, now));
        }
    }

    /// Adds a rerun that has no result.
    pub(super) fn add_failure(&mut self, chosen: Option<String>, sweep: &str, why: &str) {
        self.failed += 1;
        let on = chosen.as_ref().map(|agent| format!("on agent {agent} ")).unwrap_or_default();
        self.notes.push(format!("{on}{why}"));
        self.rows.push(RerunRow {
            agent: chosen.unwrap_or_default(),
            sweep: sweep.to_owned(),
            kind: "job",
            name: String::new(),
            verdict: "failed",
            recorded: Value::Null,
            now: json!(why),
        });
    }

    /// Prints all of it; fails if anything is not the same.
    pub(super) fn print(self, format: OutputFormat) -> Result<(), Error> {
        let columns = vec![
            Column::always("agent"),
            Column::always("kind"),
            Column::always("name"),
            Column::always("verdict"),
            Column::always("recorded"),
            Column::always("now"),
            Column::wide("sweep"),
        ];
        let cell = |value: &Value, kind: &str| match value.as_str().and_then(|text| text.get(..SHOWN)) {
            Some(digits) if kind == "file" && format == OutputFormat::Table => Cell::text(digits),
            _ => Cell::from(value),
        };
        let rows = self.rows.iter().map(|row| {
            Ok::<_, Error>(Row {
                cells: vec![
                    Cell::text(&row.agent),
                    Cell::text(row.kind),
                    Cell::text(&row.name),
                    Cell::text(row.verdict),
                    cell(&row.recorded, row.kind),
                    cell(&row.now, row.kind),
                    Cell::text(&row.sweep),
                ],
                json: Json::of(&RerunFinding {
                    agent: row.agent.clone(),
                    sweep: row.sweep.clone(),
                    kind: row.kind,
                    name: row.name.clone(),
                    verdict: row.verdict,
                    recorded: row.recorded.clone(),
                    now: row.now.clone(),
                })?,
                name: format!("{} {}", row.verdict, row.name),
            })
        });
        View { columns, rows: rows.collect::<Result<_, _>>()? }.print(format)?;
        for note in &self.notes {
            say(&format!("note: {note}"));
        }
        let Self { same, differing, failed, .. } = self;
        match (differing, failed) {
            (0, 0) => {
                say(&format!("the same: {same} of {same} files and metrics"));
                Ok(())
            }
            (0, failed) => Err(Error::JobFailed(format!("{failed} of the reruns have no result"))),
            (differing, _) => Err(Error::JobFailed(format!(
                "not the same: {differing} of {} files and metrics differ",
                same + differing
            ))),
        }
    }
}

type ValuesByName = BTreeMap<String, Value>;
type ValuePair = (&'static str, String, Option<Value>, Option<Value>);

/// SHA-256 by path.
fn files(record: &Value) -> ValuesByName {
    let files = record["files"].as_array().into_iter().flatten();
    files.map(|file| (words::text(&file["path"]), file["sha256"].clone())).collect()
}

fn metrics(record: &Value) -> ValuesByName {
    let metrics = record["metrics"].as_object().into_iter().flatten();
    metrics.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn pairs(recorded: ValuesByName, mut now: ValuesByName, kind: &'static str) -> Vec<ValuePair> {
    let mut found: Vec<ValuePair> = Vec::with_capacity(recorded.len());
    for (name, value) in recorded {
        let other = now.remove(&name);
        found.push((kind, name, Some(value), other));
    }
    found.extend(now.into_iter().map(|(name, value)| (kind, name, None, Some(value))));
    found
}

/// What was not as it had been.
fn explanations(recorded: &Value, now: &Value) -> Vec<String> {
    let mut notes = Vec::new();
    let volumes = |record: &Value| -> BTreeMap<String, Value> {
        let volumes = record["volumes"].as_array().cloned().unwrap_or_default();
        volumes.into_iter().map(|volume| (words::text(&volume["volume"]), volume)).collect()
    };
    let after = volumes(now);
    for (name, volume) in volumes(recorded) {
        let Some(again) = after.get(&name) else { continue };
        let held = |volume: &Value| match volume["fingerprint"].as_str() {
            _ if volume["changed"] == true => "changed while the job ran".to_owned(),
            Some(digits) => format!("had the fingerprint {digits}"),
            None => "had no fingerprint".to_owned(),
        };
        let (then, now) = (held(&volume), held(again));
        if then != now {
            notes.push(format!("volume {name} {then}, and now {now}"));
        } else if volume["fingerprint"].is_null() {
            notes.push(format!("volume {name} {then}, so it is unknown whether it holds the same"));
        }
    }
    let facts = [
        ("/machine/name", "agent"),
        ("/machine/arch", "architecture"),
        ("/image_id", "image"),
        ("/given/threads", "number of threads"),
        ("/given/cpus", "number of cpus"),
        ("/given/memory_bytes", "memory in bytes"),
        ("/given/user", "user"),
        ("/versions/engine", "engine"),
        ("/versions/agent", "btctl"),
    ];
    for (pointer, what) in facts {
        let [then, now] = [recorded, now].map(|record| record.pointer(pointer).unwrap_or(&Value::Null));
        if then != now && !then.is_null() {
            notes.push(format!("the {what} was {}, and is now {}", words::text(then), words::text(now)));
        }
    }
    if notes.is_empty() {
        notes.push(
            "image, volumes, agent and threads are the same: the job itself does not do the same twice (random numbers \
             without a seed, times, the order of threads)"
                .to_owned(),
        );
    }
    notes
}
