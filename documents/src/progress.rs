//! How far running jobs are, as they say themselves.

use std::collections::HashMap;

use bt_model::progress::percent;
use bt_proto::v1;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::Object;
use super::from_wire::{Unreadable, instant};

/// How far a running job is, as it says itself; null is what it does not say.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Progress {
    /// 0 to 1.
    pub fraction: Option<f64>,
    /// So many of `of`, in the job's own unit.
    pub done: Option<f64>,
    pub of: Option<f64>,
    /// In the job's own words.
    pub note: Option<String>,
    /// Numbers so far; those of the result are its metrics.
    pub metrics: Object,
    /// When it last said something new.
    pub at: Option<Timestamp>,
}

/// How far the latest attempt of a job is or was.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProgressSeries {
    pub job: u32,
    /// The number of the attempt, counted from 1; null where there is none.
    pub attempt: Option<u32>,
    /// What it said last.
    pub progress: Option<Progress>,
    /// Its metrics on the way, the first ones first: 1,000 points at most, of a longer series evenly chosen ones.
    pub points: Vec<ProgressPoint>,
}

/// Metrics of a job on its way.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProgressPoint {
    pub at: Option<Timestamp>,
    /// What the job gave as `done`.
    pub done: Option<f64>,
    pub metrics: Object,
}

impl Progress {
    /// `42 % (42 of 100)`, as far as the job says it.
    pub fn amount(&self) -> Option<String> {
        let counted = match (self.done, self.of) {
            (Some(done), Some(of)) => Some(format!("{done} of {of}")),
            (Some(done), None) => Some(format!("{done} done")),
            (None, _) => None,
        };
        match (self.fraction.map(percent), counted) {
            (Some(percent), Some(counted)) => Some(format!("{percent} ({counted})")),
            (percent, counted) => percent.or(counted),
        }
    }
}

impl TryFrom<&v1::JobProgress> for Progress {
    type Error = Unreadable;

    fn try_from(said: &v1::JobProgress) -> Result<Self, Unreadable> {
        Ok(Self {
            fraction: said.fraction,
            done: said.done,
            of: said.of,
            note: said.note.clone(),
            metrics: numbers(&said.metrics),
            at: instant(said.at.as_ref())?,
        })
    }
}

impl ProgressSeries {
    pub fn of(job: u32, reply: &v1::ShowProgressReply) -> Result<Self, Unreadable> {
        let point = |point: &v1::ProgressPoint| {
            Ok(ProgressPoint {
                at: instant(point.at.as_ref())?,
                done: point.done,
                metrics: numbers(&point.metrics),
            })
        };
        Ok(Self {
            job,
            attempt: reply.attempt,
            progress: reply.progress.as_ref().map(Progress::try_from).transpose()?,
            points: reply.points.iter().map(point).collect::<Result<_, Unreadable>>()?,
        })
    }
}

/// Numbers by name, in the names' order.
fn numbers(numbers: &HashMap<String, f64>) -> Object {
    let mut names: Vec<_> = numbers.iter().collect();
    names.sort_unstable_by_key(|(name, _)| *name);
    names.into_iter().map(|(name, number)| (name.clone(), (*number).into())).collect()
}
