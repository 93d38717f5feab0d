//! The columns of an export: which there are, what they are called, and of what type they are.

use std::collections::HashSet;
use std::fmt;

use bt_documents::{self as documents, Unreadable};
use bt_model::state::JobState;
use bt_proto::{convert, v1};
use jiff::Timestamp;
use serde_json::{Map, Number, Value};

/// What stands in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnKind {
    Int,
    Float,
    Bool,
    Text,
    /// In UTC, to the microsecond.
    Time,
}

/// What stands in a cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ExportedCell {
    None,
    Int(i64),
    Float(f64),
    /// A parameter's number, as the manifest writes it.
    Spelled(Number),
    Bool(bool),
    Text(String),
    Time(Timestamp),
}

/// Where a cell's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ColumnSource {
    Job(Field),
    Parameter(String),
    Metric(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Sweep,
    SweepId,
    Job,
    State,
    Attempts,
    Agent,
    Reason,
    Started,
    Ended,
    Finished,
    WallSeconds,
    CpuSeconds,
    PeakMemory,
    Written,
    Image,
    ImagePin,
    ImageId,
    ReusedFrom,
}

/// The columns before the parameters, and those behind the metrics.
const FIRST: [(&str, Field, ColumnKind); 4] = [
    ("sweep", Field::Sweep, ColumnKind::Text),
    ("sweep_id", Field::SweepId, ColumnKind::Text),
    ("job", Field::Job, ColumnKind::Int),
    ("state", Field::State, ColumnKind::Text),
];
const LAST: [(&str, Field, ColumnKind); 14] = [
    ("attempts", Field::Attempts, ColumnKind::Int),
    ("agent", Field::Agent, ColumnKind::Text),
    ("reason", Field::Reason, ColumnKind::Text),
    ("started", Field::Started, ColumnKind::Time),
    ("ended", Field::Ended, ColumnKind::Time),
    ("finished", Field::Finished, ColumnKind::Time),
    ("wall_seconds", Field::WallSeconds, ColumnKind::Float),
    ("cpu_seconds", Field::CpuSeconds, ColumnKind::Float),
    ("peak_memory_bytes", Field::PeakMemory, ColumnKind::Int),
    ("written_bytes", Field::Written, ColumnKind::Int),
    ("image", Field::Image, ColumnKind::Text),
    ("image_pin", Field::ImagePin, ColumnKind::Text),
    ("image_id", Field::ImageId, ColumnKind::Text),
    ("reused_from", Field::ReusedFrom, ColumnKind::Text),
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExportedColumn {
    pub(super) title: String,
    pub(super) kind: ColumnKind,
    source: ColumnSource,
}

/// What was found in the jobs so far.
#[derive(Default)]
pub(super) struct Columns {
    parameters: NamedValues,
    metrics: NamedValues,
}

/// Names in the order in which they were met, and what stood under them.
#[derive(Default)]
struct NamedValues(Map<String, Value>);

/// A table whose columns are known.
pub(super) struct ExportedTable {
    pub(super) columns: Vec<ExportedColumn>,
    sweep: v1::Sweep,
}

impl Columns {
    pub(super) fn note(&mut self, job: &v1::Job) -> Result<(), Unreadable> {
        self.parameters.note(&documents::parameters(&job.parameters)?);
        self.metrics.note(&documents::metrics(job.metrics())?);
        Ok(())
    }

    pub(super) fn finish(self, sweep: v1::Sweep) -> ExportedTable {
        let own = |(title, field, kind): &(&str, Field, ColumnKind)| ExportedColumn {
            title: (*title).to_owned(),
            kind: *kind,
            source: ColumnSource::Job(*field),
        };
        let mut columns: Vec<ExportedColumn> = FIRST.iter().map(own).collect();
        let mut titles: HashSet<String> =
            FIRST.iter().chain(&LAST).map(|(title, ..)| (*title).to_owned()).collect();
        let (parameters, mut metrics) = (self.parameters.kinds(), self.metrics.kinds());
        metrics.sort_by(|(a, _), (b, _)| a.cmp(b));
        let shared: HashSet<String> = parameters
            .iter()
            .filter(|(name, _)| metrics.iter().any(|(metric, _)| metric == name))
            .map(|(name, _)| name.clone())
            .collect();
        let mut title = |kind: &str, name: &str| {
            let mut title = match titles.contains(name) || shared.contains(name) {
                true => format!("{kind}.{name}"),
                false => name.to_owned(),
            };
            // A metric may be called `param.x` itself.
            while !titles.insert(title.clone()) {
                title.push('_');
            }
            title
        };
        for (name, kind) in parameters {
            columns.push(ExportedColumn {
                title: title("param", &name),
                kind,
                source: ColumnSource::Parameter(name),
            });
        }
        for (name, kind) in metrics {
            columns.push(ExportedColumn {
                title: title("metric", &name),
                kind,
                source: ColumnSource::Metric(name),
            });
        }
        columns.extend(LAST.iter().map(own));
        ExportedTable { columns, sweep }
    }
}

impl NamedValues {
    fn note(&mut self, values: &Map<String, Value>) {
        for (name, value) in values {
            match self.0.get_mut(name) {
                None => {
                    self.0.insert(name.clone(), sample(value));
                }
                Some(known) if kind_of(known) == kind_of(value) => {}
                Some(known) => {
                    let numbers = [kind_of(known), kind_of(value)]
                        .iter()
                        .all(|kind| [ColumnKind::Int, ColumnKind::Float].contains(kind));
                    *known = if numbers { 0.5.into() } else { "".into() };
                }
            }
        }
    }

    fn kinds(self) -> Vec<(String, ColumnKind)> {
        self.0.into_iter().map(|(name, value)| (name, kind_of(&value))).collect()
    }
}

/// A small value of the same kind.
fn sample(value: &Value) -> Value {
    match kind_of(value) {
        ColumnKind::Text => "".into(),
        _ => value.clone(),
    }
}

fn kind_of(value: &Value) -> ColumnKind {
    match value {
        Value::Bool(_) => ColumnKind::Bool,
        Value::Number(number) if number.is_i64() => ColumnKind::Int,
        Value::Number(_) => ColumnKind::Float,
        _ => ColumnKind::Text,
    }
}

impl ExportedTable {
    pub(super) fn row(&self, job: v1::Job) -> Result<Vec<ExportedCell>, Unreadable> {
        let (parameters, metrics) =
            (documents::parameters(&job.parameters)?, documents::metrics(job.metrics())?);
        let cell = |column: &ExportedColumn| match &column.source {
            ColumnSource::Parameter(name) => {
                Ok(parameters.get(name).map_or(ExportedCell::None, |value| match (column.kind, value) {
                    (ColumnKind::Int | ColumnKind::Float, Value::Number(number)) => {
                        ExportedCell::Spelled(number.clone())
                    }
                    (kind, value) => typed(value, kind),
                }))
            }
            ColumnSource::Metric(name) => {
                Ok(metrics.get(name).map_or(ExportedCell::None, |value| typed(value, column.kind)))
            }
            ColumnSource::Job(field) => self.own(&job, *field),
        };
        self.columns.iter().map(cell).collect()
    }

    fn own(&self, job: &v1::Job, field: Field) -> Result<ExportedCell, Unreadable> {
        let text = |text: &str| {
            if text.is_empty() { ExportedCell::None } else { ExportedCell::Text(text.to_owned()) }
        };
        let time = |time: Option<&prost_types::Timestamp>| {
            Ok::<_, Unreadable>(
                time.map(convert::time).transpose()?.map_or(ExportedCell::None, ExportedCell::Time),
            )
        };
        let int = |value: Option<u64>| {
            value.and_then(|value| i64::try_from(value).ok()).map_or(ExportedCell::None, ExportedCell::Int)
        };
        let usage = job.usage.unwrap_or_default();
        Ok(match field {
            Field::Sweep => text(&self.sweep.name),
            Field::SweepId => text(&self.sweep.id),
            Field::Job => ExportedCell::Int(job.number.into()),
            Field::State => ExportedCell::Text(JobState::try_from(job.state())?.to_string()),
            Field::Attempts => ExportedCell::Int(job.attempts.into()),
            Field::Agent => text(&job.agent),
            Field::Reason => {
                documents::reason(job.reason.clone())?.map_or(ExportedCell::None, ExportedCell::Text)
            }
            Field::Started => time(job.started.as_ref())?,
            Field::Ended => time(job.ended.as_ref())?,
            Field::Finished => time(job.finished.as_ref())?,
            Field::WallSeconds => usage
                .wall_millis
                .map_or(ExportedCell::None, |millis| ExportedCell::Float(millis as f64 / 1e3)),
            Field::CpuSeconds => {
                usage.cpu_micros.map_or(ExportedCell::None, |micros| ExportedCell::Float(micros as f64 / 1e6))
            }
            Field::PeakMemory => int(usage.peak_memory_bytes),
            Field::Written => int(usage.written_bytes),
            Field::Image => text(&self.sweep.image),
            Field::ImagePin => text(self.sweep.image_pin()),
            Field::ImageId => text(&job.image_id),
            Field::ReusedFrom => {
                let twin = job.reused_from.as_ref();
                twin.map_or(ExportedCell::None, |twin| {
                    ExportedCell::Text(format!("{}/{}", twin.sweep, twin.job))
                })
            }
        })
    }
}

/// A value as its column has it.
fn typed(value: &Value, kind: ColumnKind) -> ExportedCell {
    match (kind, value) {
        (_, Value::Null) => ExportedCell::None,
        (ColumnKind::Int, value) => value.as_i64().map_or(ExportedCell::None, ExportedCell::Int),
        (ColumnKind::Float, value) => value.as_f64().map_or(ExportedCell::None, ExportedCell::Float),
        (ColumnKind::Bool, value) => value.as_bool().map_or(ExportedCell::None, ExportedCell::Bool),
        (ColumnKind::Text | ColumnKind::Time, value) => ExportedCell::Text(documents::text(value)),
    }
}

impl fmt::Display for ExportedCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Int(value) => value.fmt(f),
            Self::Float(value) => Value::from(*value).fmt(f),
            Self::Spelled(number) => number.fmt(f),
            Self::Bool(value) => value.fmt(f),
            Self::Text(text) => text.fmt(f),
            Self::Time(time) => time.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(parameters: &str, metrics: &str) -> v1::Job {
        let (parameters, metrics) = (parameters.to_owned(), metrics.to_owned());
        v1::Job {
            state: v1::JobState::Succeeded.into(),
            parameters,
            metrics: Some(metrics),
            ..v1::Job::default()
        }
    }

    #[test]
    fn columns_are_told_apart_and_typed_by_what_stands_in_them() {
        let jobs = [
            job(
                r#"{"x": 1.10, "state": "a", "mixed": 1, "flag": true}"#,
                r#"{"x": 0.5, "n": 1, "param.x": 1}"#,
            ),
            job(r#"{"x": 2.5, "mixed": "b"}"#, r#"{"n": 2, "big": 18446744073709551615}"#),
            job("{}", ""),
        ];
        let mut columns = Columns::default();
        for job in &jobs {
            columns.note(job).unwrap();
        }
        let exported = columns.finish(v1::Sweep { name: "s".to_owned(), ..v1::Sweep::default() });
        let found: Vec<_> =
            exported.columns[4..12].iter().map(|column| (column.title.as_str(), column.kind)).collect();
        let expected = [
            ("param.x", ColumnKind::Float),
            ("param.state", ColumnKind::Text),
            ("mixed", ColumnKind::Text),
            ("flag", ColumnKind::Bool),
            ("big", ColumnKind::Float),
            ("n", ColumnKind::Int),
            ("metric.param.x", ColumnKind::Int),
            ("metric.x", ColumnKind::Float),
        ];
        assert_eq!(found, expected);
        let rows: Vec<_> = jobs.map(|job| exported.row(job).unwrap()[4..12].to_vec()).into();
        assert_eq!(
            rows[0][..4],
            [
                "1.10".parse().map(ExportedCell::Spelled).unwrap(),
                ExportedCell::Text("a".into()),
                ExportedCell::Text("1".into()),
                ExportedCell::Bool(true)
            ]
        );
        assert_eq!(rows[1][2], ExportedCell::Text("b".into()));
        assert!(rows[2].iter().all(|cell| *cell == ExportedCell::None));
    }
}
