//! `btctl compare`: two sweeps side by side, point by point.
//!
//! Jobs with equal parameters are the same point. Parameters that a sweep has more than once are matched in the order of
//! their jobs, so that none is folded into another.

mod goals;
mod points;

use bt_documents::{
    self as documents, ComparedMetric, ComparedPoint, ComparedPoints, ComparedSweep, Comparison, Difference,
    SweepReport,
};
use bt_proto::v1;
use serde_json::{Map, Value};
use tokio_stream::StreamExt;

use self::goals::Goals;
use self::points::{MatchedPair, MatchedSweeps, MetricSummary, SweepPoints};
use super::top::direction;
use crate::client::Client;
use crate::error::Error;
use crate::output::{Cell, Column, Json, ListArgs, OutputFormat, Row, View, print_json, say};
use crate::settings::Settings;
use crate::target;

const EXAMPLES: &str = "\
Examples:
  btctl compare sma-cross sma-cross-v2                     # each metric that both reported
  btctl compare sma-cross sma-cross-v2 --by sharpe -n 20   # the points that changed most
  btctl compare 3f2a 91bc --by max_drawdown --ascending -o csv

A is the first sweep, B the second. B is better at a point if its metric is higher there; if the metric's goal in the \
manifest is `minimize`, or with --ascending, if it is lower. Differences between the two sweeps' manifests, images and \
agents are printed on standard error, and are part of the JSON.";

/// Keys of a manifest that say which points there are, and not what becomes of them.
const WHICH: [&str; 5] = ["name", "matrix", "params", "where", "sample"];
/// Characters of a value that are shown.
const SHOWN: usize = 60;

/// Compare two sweeps' metrics at the points that both have.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Compare {
    #[arg(value_name = "SWEEP", value_parser = target::sweep)]
    a: String,
    #[arg(value_name = "SWEEP", value_parser = target::sweep)]
    b: String,
    /// List the points by the difference in this metric, the largest first.
    #[arg(long, value_name = "METRIC")]
    by: Option<String>,
    /// Lower is better, whatever the goals in the manifests are.
    #[arg(long, visible_alias = "asc")]
    ascending: bool,
    /// Higher is better, whatever the goals in the manifests are.
    #[arg(long, visible_alias = "desc", conflicts_with = "ascending")]
    descending: bool,
    /// How many points to list [default: all].
    #[arg(short = 'n', long, value_name = "N", requires = "by")]
    limit: Option<usize>,
    #[command(flatten)]
    output: ListArgs,
}

impl Compare {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        let (a, b) = (client.show(&self.a).await?, client.show(&self.b).await?);
        if a.sweep.id == b.sweep.id {
            return Err(Error::Usage(format!(
                "{:?} and {:?} name the same sweep, {}; take their ids, as `btctl ls --all` lists them",
                self.a, self.b, a.sweep.id
            )));
        }
        let mut points = SweepPoints::new(self.by.clone());
        for (side, shown) in [&a, &b].into_iter().enumerate() {
            let request =
                v1::ListJobsRequest { sweep: shown.sweep.id.clone(), ..v1::ListJobsRequest::default() };
            let mut jobs = client.jobs(request).await?;
            while let Some(job) = jobs.next().await {
                points.take(side, &job.map_err(Error::broken_off)?)?;
            }
        }
        let goals = Goals::of(direction(self.ascending, self.descending), [&a, &b])?;
        let found = points.finish(&goals);
        let differences = differences(&a, &b, &found)?;
        if self.output.format() == OutputFormat::Json {
            return self.print_json(&a, &b, &found, &differences);
        }
        say(&format!("A: {} ({}), B: {} ({})", a.sweep.name, short(&a), b.sweep.name, short(&b)));
        say(&format!(
            "{} points are in both, {} in A alone, {} in B alone",
            found.matched, found.only[0], found.only[1]
        ));
        for difference in &differences {
            say(&format!("differs: {}: {} in A, {} in B", difference.what, difference.a, difference.b));
        }
        let view = match &self.by {
            Some(metric) => {
                self.check_metric(metric, &found)?;
                by_point(&found, self.limit)
            }
            None => by_metric(&found),
        };
        view.print(&self.output)
    }

    fn print_json(
        &self,
        a: &SweepReport,
        b: &SweepReport,
        found: &MatchedSweeps,
        differences: &[Difference],
    ) -> Result<(), Error> {
        let sweep = |shown: &SweepReport, side: usize| ComparedSweep {
            id: shown.sweep.id.clone(),
            name: shown.sweep.name.clone(),
            image: shown.sweep.image.clone(),
            image_pin: shown.sweep.image_pin.clone(),
            agents: found.agents[side].iter().cloned().collect(),
        };
        if let Some(metric) = &self.by {
            self.check_metric(metric, found)?;
        }
        let points = chosen(found, self.limit).iter().map(point);
        print_json(&Json::of(&Comparison {
            a: sweep(a, 0),
            b: sweep(b, 1),
            points: ComparedPoints { both: found.matched, only_a: found.only[0], only_b: found.only[1] },
            differences: differences.to_vec(),
            by: self.by.clone(),
            values: self.by.is_some().then(|| points.collect()),
            metrics: self.by.is_none().then(|| found.metrics.iter().map(metric).collect()),
        })?)
    }

    fn check_metric(&self, metric: &str, found: &MatchedSweeps) -> Result<(), Error> {
        if !found.pairs.is_empty() {
            return Ok(());
        }
        let there: Vec<&str> = found.metrics.iter().map(|summary| summary.metric.as_str()).collect();
        let there = match there.is_empty() {
            true => "there is not a metric that both have reported at one".to_owned(),
            false => format!("both have reported: {}", there.join(", ")),
        };
        Err(Error::Usage(format!("{metric:?} is reported at no point that both sweeps have; {there}")))
    }
}

fn short(shown: &SweepReport) -> &str {
    shown.sweep.id.get(..8).unwrap_or(&shown.sweep.id)
}

fn by_metric(found: &MatchedSweeps) -> View {
    let mut columns = vec![Column::always("metric"), Column::always("points")];
    columns.extend(
        ["best_a", "best_b", "median_a", "median_b", "mean_a", "mean_b", "better", "worse", "same"]
            .map(Column::always),
    );
    columns.extend(["only_a", "only_b"].map(Column::wide));
    let row = |summary: &MetricSummary| {
        let MetricSummary { metric, goal: _, points, best, median, mean, better, worse, same, only } =
            summary;
        let mut cells = vec![Cell::text(metric), Cell::number(points)];
        cells.extend([best, median, mean].into_iter().flatten().map(|value| Cell::Number(rounded(*value))));
        cells.extend([better, worse, same, &only[0], &only[1]].map(Cell::number));
        Row { cells, json: Json::none(), name: metric.clone() }
    };
    View { columns, rows: found.metrics.iter().map(row).collect() }
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

/// The points that are listed.
fn chosen(found: &MatchedSweeps, limit: Option<usize>) -> &[MatchedPair] {
    &found.pairs[..limit.unwrap_or(usize::MAX).min(found.pairs.len())]
}

fn by_point(found: &MatchedSweeps, limit: Option<usize>) -> View {
    let mut names: Vec<String> = Vec::new();
    let pairs = chosen(found, limit);
    for pair in pairs {
        for name in pair.parameters.keys() {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    let own = ["job_a", "job_b", "a", "b", "difference"];
    let title = |name: &String| match own.contains(&name.as_str()) {
        true => format!("param.{name}"),
        false => name.clone(),
    };
    let mut columns: Vec<_> = ["job_a", "job_b"].map(|name| Column::always(name).rank(0)).into();
    let parameter = |name: &String| Column::always(title(name)).alias(format!("params.{name}"));
    columns.extend(names.iter().map(|name| parameter(name).folds().rank(2)));
    columns.extend(["a", "b", "difference"].map(|name| Column::always(name).rank(1)));
    let rows = pairs.iter().map(|pair| {
        let [a, b] = pair.values;
        let mut cells = pair.jobs.map(Cell::number).to_vec();
        cells.extend(names.iter().map(|name| pair.parameters.get(name).map(Cell::from).unwrap_or_default()));
        cells.extend([a, b].map(Cell::number));
        cells.push(Cell::Number(rounded(b - a)));
        Row { cells, json: Json::none(), name: format!("{}", pair.jobs[0]) }
    });
    View { columns, rows: rows.collect() }
}

/// A computed number, without the digits that computing it made up.
fn rounded(value: f64) -> String {
    let text = format!("{value:.6e}");
    text.parse::<f64>().map_or(text, |value| value.to_string())
}

fn differences(a: &SweepReport, b: &SweepReport, found: &MatchedSweeps) -> Result<Vec<Difference>, Error> {
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

fn manifest(shown: &SweepReport) -> Result<Map<String, Value>, Error> {
    Ok(documents::manifest(&shown.manifest)?)
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
        assert_eq!([rounded(0.1 + 0.2), rounded(3.0), rounded(-1.0 / 3.0)], ["0.3", "3", "-0.3333333"]);
    }
}
