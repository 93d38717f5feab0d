//! Two sweeps side by side, point by point.
//!
//! Jobs with equal parameters are the same point. Parameters that a sweep has more than once are matched in the order of
//! their jobs, so that none is folded into another.

mod goals;
mod points;

use bt_documents::{
    self as documents, ComparedMetric, ComparedPoint, ComparedPoints, ComparedSweep, Comparison, Difference,
    SweepReport, Unreadable,
};
use bt_proto::v1;
use serde_json::{Map, Value};

use self::goals::Goals;
use self::points::{MatchedPair, MatchedSweeps, MetricSummary, SweepPoints};

/// Keys of a manifest that say which points there are, and not what becomes of them.
const WHICH: [&str; 5] = ["name", "matrix", "params", "where", "sample"];
/// Characters of a value that are shown.
const SHOWN: usize = 60;

/// Why two sweeps can't be compared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error(
        "both name the sweep {0}; name two, by their ids where they have the same name (`btctl ls --all` lists them)"
    )]
    Same(String),
    #[error(
        "the goals of the two sweeps for {0:?} contradict each other; say whether lower is better (ascending) or higher \
         (descending)"
    )]
    Goals(String),
    #[error("{metric:?} is reported at no point that both sweeps have; {}", reported(.there))]
    NoSuchMetric { metric: String, there: Vec<String> },
}

fn reported(there: &[String]) -> String {
    match there.is_empty() {
        true => "there is not a metric that both have reported at one".to_owned(),
        false => format!("both have reported: {}", there.join(", ")),
    }
}

/// What is asked of two sweeps.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The metric whose values are listed point by point; none: all metrics are summed up.
    pub by: Option<String>,
    /// Whether lower is better, whatever the goals in the manifests are.
    pub ascending: Option<bool>,
    /// Points that are listed at most.
    pub limit: Option<usize>,
}

/// A comparison that jobs are handed to.
pub struct Comparing {
    question: Question,
    sweeps: [SweepReport; 2],
    points: SweepPoints,
}

impl Comparing {
    pub fn begin(question: Question, sweeps: [SweepReport; 2]) -> Result<Self, Error> {
        let [a, b] = &sweeps;
        if a.sweep.id == b.sweep.id {
            return Err(Error::Same(a.sweep.id.clone()));
        }
        Ok(Self { points: SweepPoints::new(question.by.clone()), question, sweeps })
    }

    /// The two sweeps, in the order in which their jobs are to come.
    pub fn ids(&self) -> [String; 2] {
        self.sweeps.each_ref().map(|shown| shown.sweep.id.clone())
    }

    /// Takes a job of the first sweep (side 0), or of the second (side 1) after all of the first.
    pub fn take(&mut self, side: usize, job: &v1::Job) -> Result<(), Unreadable> {
        self.points.take(side, job)
    }

    pub fn finish(self) -> Result<Comparison, Error> {
        let Question { by, ascending, limit } = self.question;
        let [a, b] = &self.sweeps;
        let goals = Goals::of(ascending, [a, b])?;
        let found = self.points.finish(&goals);
        if let Some(metric) = &by
            && found.pairs.is_empty()
        {
            let there = found.metrics.into_iter().map(|summary| summary.metric).collect();
            return Err(Error::NoSuchMetric { metric: metric.clone(), there });
        }
        let sweep = |shown: &SweepReport, side: usize| ComparedSweep {
            id: shown.sweep.id.clone(),
            name: shown.sweep.name.clone(),
            image: shown.sweep.image.clone(),
            image_pin: shown.sweep.image_pin.clone(),
            agents: found.agents[side].iter().cloned().collect(),
        };
        let listed = found.pairs.iter().take(limit.unwrap_or(usize::MAX)).map(point);
        Ok(Comparison {
            a: sweep(a, 0),
            b: sweep(b, 1),
            points: ComparedPoints { both: found.matched, only_a: found.only[0], only_b: found.only[1] },
            differences: differences(a, b, &found)?,
            values: by.is_some().then(|| listed.collect()),
            metrics: by.is_none().then(|| found.metrics.iter().map(metric).collect()),
            by,
        })
    }
}

fn metric(summary: &MetricSummary) -> ComparedMetric {
    let pair = |[a, b]: [f64; 2]| documents::Pair { a, b };
    ComparedMetric {
        metric: summary.metric.clone(),
        goal: summary.goal.name(),
        points: summary.points,
        best: pair(summary.best),
        median: pair(summary.median),
        mean: pair(summary.mean),
        better: summary.better,
        worse: summary.worse,
        same: summary.same,
        only_a: summary.only[0],
        only_b: summary.only[1],
    }
}

fn point(pair: &MatchedPair) -> ComparedPoint {
    let ([job_a, job_b], [a, b]) = (pair.jobs, pair.values);
    ComparedPoint { job_a, job_b, params: pair.parameters.clone(), a, b, difference: b - a }
}

fn differences(
    a: &SweepReport,
    b: &SweepReport,
    found: &MatchedSweeps,
) -> Result<Vec<Difference>, Unreadable> {
    let mut differences = Vec::new();
    let mut compare = |what: &str, a: String, b: String| {
        if a != b {
            differences.push(Difference { what: what.to_owned(), a, b });
        }
    };
    let pin = |shown: &SweepReport| match &shown.sweep.image_pin {
        None => "not pinned yet".to_owned(),
        Some(pin) => pin.clone(),
    };
    compare("the image's pin", pin(a), pin(b));
    for (what, [a, b]) in [("images that were run", &found.images), ("agents", &found.agents)] {
        // Where all results are taken from elsewhere, nothing was run that could differ.
        if !a.is_empty() && !b.is_empty() {
            let list = |names: &std::collections::BTreeSet<String>| {
                names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
            };
            compare(what, list(a), list(b));
        }
    }
    let (a, b) = (manifest(a)?, manifest(b)?);
    let mut keys: Vec<&String> = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))).collect();
    keys.retain(|key| !WHICH.contains(&key.as_str()));
    for key in keys {
        if a.get(key) != b.get(key) {
            let (one, other) = cut_alike(text(a.get(key)), text(b.get(key)));
            compare(&format!("`{key}` of the manifest"), one, other);
        }
    }
    Ok(differences)
}

fn manifest(shown: &SweepReport) -> Result<Map<String, Value>, Unreadable> {
    documents::manifest(&shown.manifest)
}

fn text(value: Option<&Value>) -> String {
    value.map_or_else(|| "not given".to_owned(), ToString::to_string)
}

/// The two around the place where they begin to differ, if they are long.
fn cut_alike(a: String, b: String) -> (String, String) {
    let alike = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    let from = alike.saturating_sub(SHOWN / 2);
    let cut = |text: &str| {
        let all = text.chars().count();
        if all <= SHOWN {
            return text.to_owned();
        }
        let part: String = text.chars().skip(from).take(SHOWN).collect();
        let before = if from > 0 { "..." } else { "" };
        let after = if from + SHOWN < all { "..." } else { "" };
        format!("{before}{part}{after}")
    };
    (cut(&a), cut(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_shown_where_they_differ() {
        let (a, b) = cut_alike(format!("{}1{}", "x".repeat(100), "y".repeat(100)), "x".repeat(100) + "2");
        assert_eq!(a, format!("...{}1{}...", "x".repeat(30), "y".repeat(29)));
        assert_eq!(b, format!("...{}2", "x".repeat(30)));
        assert_eq!(cut_alike("a".into(), "b".into()), ("a".into(), "b".into()));
    }
}
