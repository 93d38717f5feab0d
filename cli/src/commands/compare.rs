//! `btctl compare`: two sweeps side by side, point by point.

use bt_analysis::compare::{Comparing, Question};
use bt_documents::{ComparedMetric, ComparedPoint, ComparedSweep, Pair};
use bt_proto::v1;
use tokio_stream::StreamExt;

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
        let ascending = direction(self.ascending, self.descending);
        let question = Question { by: self.by, ascending, limit: self.limit };
        let mut comparing = Comparing::begin(question, [a, b])?;
        for (side, sweep) in comparing.ids().into_iter().enumerate() {
            let request = v1::ListJobsRequest { sweep, ..v1::ListJobsRequest::default() };
            let mut jobs = client.jobs(request).await?;
            while let Some(job) = jobs.next().await {
                comparing.take(side, &job.map_err(Error::broken_off)?)?;
            }
        }
        let found = comparing.finish()?;
        if self.output.format() == OutputFormat::Json {
            return print_json(&Json::of(&found)?);
        }
        say(&format!("A: {}, B: {}", named(&found.a), named(&found.b)));
        let points = &found.points;
        say(&format!(
            "{} points are in both, {} in A alone, {} in B alone",
            points.both, points.only_a, points.only_b
        ));
        for difference in &found.differences {
            say(&format!("differs: {}: {} in A, {} in B", difference.what, difference.a, difference.b));
        }
        let view = match (&found.values, &found.metrics) {
            (Some(points), _) => by_point(points),
            (None, metrics) => by_metric(metrics.as_deref().unwrap_or_default()),
        };
        view.print(&self.output)
    }
}

fn named(sweep: &ComparedSweep) -> String {
    format!("{} ({})", sweep.name, sweep.id.get(..8).unwrap_or(&sweep.id))
}

fn by_metric(metrics: &[ComparedMetric]) -> View {
    let mut columns = vec![Column::always("metric"), Column::always("points")];
    columns.extend(
        ["best_a", "best_b", "median_a", "median_b", "mean_a", "mean_b", "better", "worse", "same"]
            .map(Column::always),
    );
    columns.extend(["only_a", "only_b"].map(Column::wide));
    let row = |compared: &ComparedMetric| {
        let ComparedMetric { metric, goal: _, points, best, median, mean, .. } = compared;
        let ComparedMetric { better, worse, same, only_a, only_b, .. } = compared;
        let mut cells = vec![Cell::text(metric), Cell::number(points)];
        let pairs = [best, median, mean].into_iter().flat_map(|Pair { a, b }| [*a, *b]);
        cells.extend(pairs.map(|value| Cell::Number(rounded(value))));
        cells.extend([better, worse, same, only_a, only_b].map(Cell::number));
        Row { cells, json: Json::none(), name: metric.clone() }
    };
    View { columns, rows: metrics.iter().map(row).collect() }
}

fn by_point(points: &[ComparedPoint]) -> View {
    let mut names: Vec<String> = Vec::new();
    for point in points {
        for name in point.params.keys() {
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
    let rows = points.iter().map(|point| {
        let ComparedPoint { job_a, job_b, params, a, b, difference } = point;
        let mut cells = [job_a, job_b].map(Cell::number).to_vec();
        cells.extend(names.iter().map(|name| params.get(name).map(Cell::from).unwrap_or_default()));
        cells.extend([a, b].map(Cell::number));
        cells.push(Cell::Number(rounded(*difference)));
        Row { cells, json: Json::none(), name: job_a.to_string() }
    });
    View { columns, rows: rows.collect() }
}

/// A computed number, without the digits that computing it made up.
fn rounded(value: f64) -> String {
    let text = format!("{value:.6e}");
    text.parse::<f64>().map_or(text, |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computed_numbers_are_shown_without_made_up_digits() {
        assert_eq!([rounded(0.1 + 0.2), rounded(3.0), rounded(-1.0 / 3.0)], ["0.3", "3", "-0.3333333"]);
    }
}
