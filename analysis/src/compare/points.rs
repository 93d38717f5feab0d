//! The points of two sweeps, matched by their parameters.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use bt_documents::{self as documents, Unreadable};
use bt_model::manifest::Goal;
use bt_proto::v1;
use serde_json::{Map, Value};

use super::goals::Goals;

/// Agents and images that are named for a sweep.
const NAMED: usize = 20;

/// Jobs as they come: all of the first sweep, then all of the second.
#[derive(Default)]
pub(super) struct SweepPoints {
    by: Option<String>,
    /// Metrics by name; their places in a job's values.
    names: BTreeMap<String, usize>,
    /// Jobs of the first sweep, by their parameters.
    first: HashMap<String, VecDeque<PointOfJob>>,
    matched: u64,
    only_second: u64,
    /// Of each metric, the values at points that both have; NaN where one has none.
    values: Vec<Vec<[f64; 2]>>,
    pairs: Vec<MatchedPair>,
    agents: [BTreeSet<String>; 2],
    images: [BTreeSet<String>; 2],
}

struct PointOfJob {
    number: u32,
    /// By the places of the metrics.
    values: Vec<f64>,
}

/// A point that both sweeps have, with the metric that is looked at.
pub(super) struct MatchedPair {
    pub(super) jobs: [u32; 2],
    pub(super) parameters: Map<String, Value>,
    pub(super) values: [f64; 2],
}

/// A metric at the points where both have reported it; the first sweep's and the second's.
pub(super) struct MetricSummary {
    pub(super) metric: String,
    pub(super) points: usize,
    pub(super) best: [f64; 2],
    pub(super) median: [f64; 2],
    pub(super) mean: [f64; 2],
    /// Which of two values is better.
    pub(super) goal: Goal,
    pub(super) better: usize,
    pub(super) worse: usize,
    pub(super) same: usize,
    /// Points that both have, but only one has reported it at.
    pub(super) only: [usize; 2],
}

pub(super) struct MatchedSweeps {
    pub(super) matched: u64,
    pub(super) only: [u64; 2],
    pub(super) metrics: Vec<MetricSummary>,
    /// The largest difference first.
    pub(super) pairs: Vec<MatchedPair>,
    pub(super) agents: [BTreeSet<String>; 2],
    pub(super) images: [BTreeSet<String>; 2],
}

impl SweepPoints {
    pub(super) fn new(by: Option<String>) -> Self {
        Self { by, ..Self::default() }
    }

    /// Takes a job of the first sweep (side 0), or of the second (side 1) after all of the first.
    pub(super) fn take(&mut self, side: usize, job: &v1::Job) -> Result<(), Unreadable> {
        for (names, name) in [(&mut self.agents[side], &job.agent), (&mut self.images[side], &job.image_id)] {
            if !name.is_empty() && names.len() < NAMED && !names.contains(name) {
                names.insert(name.clone());
            }
        }
        let parameters = documents::parameters(&job.parameters)?;
        let key = key(&parameters);
        let mut values = vec![f64::NAN; self.names.len()];
        // What a pruned job reported is no result.
        let metrics = if job.state() == v1::JobState::Pruned { "" } else { job.metrics() };
        for (name, value) in documents::metrics(metrics)? {
            let Some(value) = value.as_f64() else { continue };
            let known = self.names.len();
            let place = *self.names.entry(name).or_insert(known);
            values.resize(values.len().max(place + 1), f64::NAN);
            values[place] = value;
        }
        if side == 0 {
            self.first.entry(key).or_default().push_back(PointOfJob { number: job.number, values });
            return Ok(());
        }
        let Some(other) = self.first.get_mut(&key).and_then(VecDeque::pop_front) else {
            self.only_second += 1;
            return Ok(());
        };
        self.matched += 1;
        self.values.resize_with(self.names.len(), Vec::new);
        for (place, all) in self.values.iter_mut().enumerate() {
            let value = |values: &[f64]| values.get(place).copied().unwrap_or(f64::NAN);
            let both = [value(&other.values), value(&values)];
            if !both.iter().all(|value| value.is_nan()) {
                all.push(both);
            }
        }
        let place = self.by.as_ref().and_then(|by| self.names.get(by)).copied();
        if let Some(place) = place
            && let (Some(a), Some(b)) = (other.values.get(place), values.get(place))
            && !a.is_nan()
            && !b.is_nan()
        {
            self.pairs.push(MatchedPair { jobs: [other.number, job.number], parameters, values: [*a, *b] });
        }
        Ok(())
    }

    pub(super) fn finish(mut self, goals: &Goals) -> MatchedSweeps {
        let only_first = self.first.values().map(|jobs| jobs.len() as u64).sum();
        self.pairs.sort_by(|one, other| {
            let size = |pair: &MatchedPair| (pair.values[1] - pair.values[0]).abs();
            size(other).total_cmp(&size(one)).then(one.jobs.cmp(&other.jobs))
        });
        let metrics = self.names.into_iter().filter_map(|(metric, place)| {
            let all = std::mem::take(self.values.get_mut(place)?);
            let goal = goals.of_metric(&metric);
            summary(metric, &all, goal)
        });
        MatchedSweeps {
            matched: self.matched,
            only: [only_first, self.only_second],
            metrics: metrics.collect(),
            pairs: self.pairs,
            agents: self.agents,
            images: self.images,
        }
    }
}

/// None where no point has both values.
fn summary(metric: String, all: &[[f64; 2]], goal: Goal) -> Option<MetricSummary> {
    let ascending = goal == Goal::Minimize;
    let both: Vec<[f64; 2]> =
        all.iter().filter(|pair| !pair.iter().any(|value| value.is_nan())).copied().collect();
    if both.is_empty() {
        return None;
    }
    let sorted = |side: usize| {
        let mut values: Vec<f64> = both.iter().map(|pair| pair[side]).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let sides = [sorted(0), sorted(1)];
    let side = |of: fn(&[f64], bool) -> f64| [of(&sides[0], ascending), of(&sides[1], ascending)];
    let gains = both.iter().map(|[a, b]| if ascending { a - b } else { b - a });
    let (better, worse) = gains.fold((0, 0), |(better, worse), gain| {
        (better + usize::from(gain > 0.0), worse + usize::from(gain < 0.0))
    });
    let only = [1, 0].map(|missing| all.iter().filter(|pair| pair[missing].is_nan()).count());
    Some(MetricSummary {
        metric,
        goal,
        points: both.len(),
        best: side(|sorted, ascending| match ascending {
            true => sorted[0],
            false => sorted[sorted.len() - 1],
        }),
        median: side(|sorted, _| {
            let middle = sorted.len() / 2;
            match sorted.len() % 2 {
                1 => sorted[middle],
                _ => sorted[middle - 1].midpoint(sorted[middle]),
            }
        }),
        mean: side(|sorted, _| sorted.iter().sum::<f64>() / sorted.len() as f64),
        better,
        worse,
        same: both.len() - better - worse,
        only,
    })
}

/// The same text for equal parameters, in whatever order, and for 5 and 5.0.
fn key(parameters: &Map<String, Value>) -> String {
    let sorted: BTreeMap<&String, Value> =
        parameters.iter().map(|(name, value)| (name, canonical(value))).collect();
    serde_json::json!(sorted).to_string()
}

fn canonical(value: &Value) -> Value {
    match value.as_f64() {
        // Parameters keep their spelling: 1.10 and 1.1 are one point.
        Some(float) if value.is_f64() && (float.fract() != 0.0 || float.abs() >= 9e15) => Value::from(float),
        Some(float) if value.is_f64() => Value::from(float as i64),
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(number: u32, parameters: &str, metrics: &str) -> v1::Job {
        let (parameters, metrics) = (parameters.to_owned(), metrics.to_owned());
        v1::Job { number, parameters, metrics: Some(metrics), ..v1::Job::default() }
    }

    #[test]
    fn points_are_matched_by_equal_parameters_and_none_is_folded() {
        let mut points = SweepPoints::new(Some("s".to_owned()));
        let first = [
            job(0, r#"{"x": 1, "y": "a"}"#, r#"{"s": 1, "t": 1}"#),
            job(1, r#"{"x": 2, "y": "a"}"#, r#"{"s": 4}"#),
            job(2, r#"{"x": 2, "y": "a"}"#, r#"{"s": 5, "t": 1}"#),
            job(3, r#"{"x": 9, "y": "a"}"#, r#"{"s": 9}"#),
            job(4, r#"{"x": 4, "y": "a"}"#, ""),
        ];
        let second = [
            job(0, r#"{"y": "a", "x": 2.0}"#, r#"{"s": 4.5, "t": 2, "u": 1}"#),
            job(1, r#"{"y": "a", "x": 2}"#, r#"{"s": 1}"#),
            job(2, r#"{"y": "a", "x": 1}"#, r#"{"s": 1}"#),
            job(3, r#"{"y": "a", "x": "1"}"#, r#"{"s": 7}"#),
            job(4, r#"{"x": 4, "y": "a"}"#, r#"{"s": 7}"#),
        ];
        for (side, jobs) in [first, second].iter().enumerate() {
            jobs.iter().for_each(|job| points.take(side, job).unwrap());
        }
        let found = points.finish(&Goals::default());
        assert_eq!((found.matched, found.only), (4, [1, 1]));
        let pairs: Vec<_> = found.pairs.iter().map(|pair| (pair.jobs, pair.values)).collect();
        assert_eq!(pairs, [([2, 1], [5.0, 1.0]), ([1, 0], [4.0, 4.5]), ([0, 2], [1.0, 1.0])]);
        assert_eq!(found.metrics.len(), 1, "only s is at a point of both");
        let s = &found.metrics[0];
        assert_eq!((s.points, s.better, s.worse, s.same, s.only), (3, 1, 1, 1, [0, 1]));
        assert_eq!((s.best, s.median), ([5.0, 4.5], [4.0, 1.0]));
    }
}
