//! A sweep as a landscape: one metric over the parameters, and what of it can be seen at a glance: how much each parameter
//! matters, the metric over two of them or beside several, how it is distributed.
//!
//! Everything is made of whole columns, whose size is a few bytes a job, and what comes out has a size that does not depend
//! on the number of jobs.

mod heat;
mod importance;
mod parallel;
mod spread;

use std::collections::HashMap;

use serde_json::Value;

use crate::parameters::Parameters;

pub use heat::{Cell, HeatMap, MOST_CELLS};
pub use importance::Importance;
pub use parallel::{MOST_PARALLEL, PARTS, Parallel, Strand};
pub use spread::Spread;

/// No parameter that takes more values than this is an axis: it tells jobs apart, as a seed does, and no more.
pub const MOST_VALUES: usize = 100_000;
/// Parameters that are looked at, those of the first jobs.
pub const MOST_AXES: usize = 64;

/// One metric of a sweep's jobs, and their parameters.
#[derive(Clone, Debug)]
pub struct Landscape {
    axes: Vec<Axis>,
    /// NaN: the job has not reported it.
    values: Vec<f64>,
    ends: Vec<JobEnd>,
}

/// How a job ended that has no value, as far as it matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JobEnd {
    /// Well, or not yet, or it was cancelled.
    #[default]
    Other,
    Failed,
    Pruned,
}

/// A parameter that differs between jobs.
#[derive(Clone, Debug)]
pub struct Axis {
    pub name: String,
    /// The values as they are written; in rising order if all are numbers, else in the order in which they came.
    pub labels: Vec<String>,
    /// All values are numbers.
    pub is_numeric: bool,
    /// Of each job, the place of its value among the labels; [`NONE`]: it does not have the parameter.
    places: Vec<u32>,
}

impl Axis {
    /// The label of a job's value; none if it does not have the parameter.
    pub fn label(&self, job: usize) -> Option<&str> {
        self.labels.get(self.places[job] as usize).map(String::as_str)
    }
}

const NONE: u32 = u32::MAX;

/// Takes jobs one by one.
#[derive(Debug, Default)]
pub struct Builder {
    axes: Vec<Column>,
    known: HashMap<String, usize>,
    values: Vec<f64>,
    ends: Vec<JobEnd>,
}

#[derive(Debug, Default)]
struct Column {
    name: String,
    seen: HashMap<String, u32>,
    labels: Vec<(String, Option<f64>)>,
    places: Vec<u32>,
    has_too_many: bool,
}

impl Builder {
    /// Takes a job: its parameters, the metric if it has reported it as a finite number, and how it ended.
    pub fn push(&mut self, parameters: &Parameters, value: Option<f64>, end: JobEnd) {
        let job = self.values.len();
        for (name, parameter) in parameters.iter() {
            let axis = match self.known.get(name) {
                Some(axis) => *axis,
                None if self.axes.len() < MOST_AXES => {
                    self.known.insert(name.to_owned(), self.axes.len());
                    self.axes.push(Column { name: name.to_owned(), ..Column::default() });
                    self.axes.len() - 1
                }
                None => continue,
            };
            self.axes[axis].take(job, parameter);
        }
        self.values.push(value.filter(|value| value.is_finite()).unwrap_or(f64::NAN));
        self.ends.push(end);
    }

    /// The landscape of all jobs that were taken. A parameter that is the same for all of them is no axis.
    pub fn finish(self) -> Landscape {
        let jobs = self.values.len();
        let axes = self.axes.into_iter().filter_map(|column| column.finish(jobs)).collect();
        Landscape { axes, values: self.values, ends: self.ends }
    }
}

impl Column {
    fn take(&mut self, job: usize, value: &Value) {
        if self.has_too_many {
            return;
        }
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let next = self.labels.len() as u32;
        let place = match self.seen.get(&text) {
            Some(place) => *place,
            None if self.labels.len() >= MOST_VALUES => {
                self.has_too_many = true;
                return;
            }
            None => {
                let number = value.as_f64().filter(|number| number.is_finite());
                self.seen.insert(text.clone(), next);
                self.labels.push((text, number));
                next
            }
        };
        self.places.resize(job, NONE);
        self.places.push(place);
    }

    fn finish(mut self, jobs: usize) -> Option<Axis> {
        self.places.resize(jobs, NONE);
        if self.has_too_many || (self.labels.len() < 2 && !self.places.contains(&NONE)) {
            return None;
        }
        let is_numeric = self.labels.iter().all(|(_, number)| number.is_some());
        let mut order: Vec<usize> = (0..self.labels.len()).collect();
        if is_numeric {
            let number = |place: &usize| self.labels[*place].1.unwrap_or_default();
            order.sort_by(|a, b| number(a).total_cmp(&number(b)));
        }
        let mut moved = vec![NONE; order.len()];
        for (place, old) in order.iter().enumerate() {
            moved[*old] = place as u32;
        }
        let places = self.places.iter().map(|place| moved.get(*place as usize).copied().unwrap_or(NONE));
        Some(Axis {
            places: places.collect(),
            labels: order.iter().map(|old| self.labels[*old].0.clone()).collect(),
            name: self.name,
            is_numeric,
        })
    }
}

impl Landscape {
    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// How many jobs there are.
    pub fn jobs(&self) -> usize {
        self.values.len()
    }

    /// A job's metric; none if it has not reported it.
    pub fn value(&self, job: usize) -> Option<f64> {
        Some(self.values[job]).filter(|value| !value.is_nan())
    }

    pub fn end(&self, job: usize) -> JobEnd {
        self.ends[job]
    }

    /// How many of them have reported the metric.
    pub fn reported(&self) -> usize {
        self.values.iter().filter(|value| !value.is_nan()).count()
    }

    /// Bytes that it takes, about.
    pub fn bytes(&self) -> usize {
        let labels = |axis: &Axis| axis.labels.iter().map(|label| label.len() + 24).sum::<usize>();
        let axes: usize = self.axes.iter().map(|axis| 4 * axis.places.len() + labels(axis)).sum();
        axes + 9 * self.values.len()
    }
}

/// Where a value stands between the lowest (0) and the highest (1); in the middle if these are the same.
pub fn part_of_range(value: f64, lowest: f64, highest: f64) -> f64 {
    // As halves: the difference of two finite numbers need not be finite.
    let part = (value / 2.0 - lowest / 2.0) / (highest / 2.0 - lowest / 2.0);
    if part.is_finite() { part } else { 0.5 }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    pub(super) fn parameters(value: Value) -> Parameters {
        Parameters::new(value.as_object().unwrap().clone()).unwrap()
    }

    /// Jobs of a grid whose metric is computed from both.
    pub(super) fn grid(columns: i32, rows: i32, metric: impl Fn(i32, i32) -> Option<f64>) -> Landscape {
        let mut builder = Builder::default();
        for x in 0..columns {
            for y in 0..rows {
                let value = metric(x, y);
                builder.push(
                    &parameters(json!({"x": x, "y": y, "same": 1})),
                    value,
                    if value.is_none() { JobEnd::Failed } else { JobEnd::Other },
                );
            }
        }
        builder.finish()
    }

    #[test]
    fn axes_are_what_differs_and_numbers_are_in_order() {
        let mut builder = Builder::default();
        for (window, kind) in [(10, "sma"), (5, "ema"), (7, "sma")] {
            builder.push(
                &parameters(json!({"window": window, "kind": kind, "fee": 0.1})),
                Some(1.0),
                JobEnd::Other,
            );
        }
        builder.push(
            &parameters(json!({"window": 5, "kind": "ema", "fee": 0.1, "extra": true})),
            None,
            JobEnd::Failed,
        );
        let landscape = builder.finish();
        let axes: Vec<_> =
            landscape.axes().iter().map(|axis| (axis.name.as_str(), axis.labels.join(" "))).collect();
        assert_eq!(axes, [("window", "5 7 10".into()), ("kind", "sma ema".into()), ("extra", "true".into())]);
        assert_eq!(landscape.axes[0].places, [2, 0, 1, 0]);
        assert_eq!(landscape.axes[2].places, [NONE, NONE, NONE, 0]);
        assert_eq!((landscape.jobs(), landscape.reported()), (4, 3));
    }

    #[test]
    fn what_tells_jobs_apart_is_no_axis() {
        let mut builder = Builder::default();
        for seed in 0..=MOST_VALUES as u64 {
            builder.push(&parameters(json!({"seed": seed, "x": seed % 2})), Some(seed as f64), JobEnd::Other);
        }
        let landscape = builder.finish();
        assert_eq!(landscape.axes().iter().map(|axis| axis.name.as_str()).collect::<Vec<_>>(), ["x"]);
    }

    #[test]
    fn nothing_is_a_landscape_without_axes() {
        let landscape = Builder::default().finish();
        assert_eq!((landscape.jobs(), landscape.axes().len()), (0, 0));
        assert!(landscape.importance().is_empty());
        assert_eq!(landscape.spread(40), None);
    }
}
