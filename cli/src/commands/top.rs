//! `btctl top`: the best jobs of a sweep by a metric.

use bt_proto::v1;

use super::jobs;
use crate::client::Client;
use crate::error::Error;
use crate::output::ListArgs;
use crate::settings::Settings;
use crate::target;

const EXAMPLES: &str = "\
Examples:
  btctl top sma-cross --by sharpe
  btctl top sma-cross --by max_drawdown --ascending -n 5
  btctl top sma-cross --by sharpe --where 'trades > 30 and fast < 20'

--where is an expression over metrics and parameters. Write a name as it is (sharpe, dd.max); write \
metrics[\"Sharpe Ratio\"] if the name is not one word, and metrics.x or params.x if a metric and a parameter have the same \
name. Jobs without a value that the expression names are left out.";

/// Rank a sweep's jobs by a metric, the best first: the highest, or the lowest if that is the metric's goal.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = EXAMPLES
)]
pub(crate) struct Top {
    #[arg(value_name = "SWEEP", value_parser = target::sweep)]
    sweep: String,
    /// Metric to rank by. Jobs that did not report it are left out.
    #[arg(long, value_name = "METRIC")]
    by: String,
    /// The lowest first, whatever the goal in the manifest is.
    #[arg(long, visible_alias = "asc")]
    ascending: bool,
    /// The highest first, whatever the goal in the manifest is.
    #[arg(long, visible_alias = "desc", conflicts_with = "ascending")]
    descending: bool,
    /// Only jobs for which this holds.
    #[arg(long = "where", value_name = "EXPRESSION", allow_hyphen_values = true)]
    filter: Option<String>,
    /// How many jobs to list.
    #[arg(short = 'n', long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    #[command(flatten)]
    output: ListArgs,
}

impl Top {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let request = v1::ListJobsRequest {
            sweep: self.sweep.clone(),
            by: Some(self.by.clone()),
            ascending: direction(self.ascending, self.descending),
            limit: Some(self.limit),
            filter: self.filter.clone(),
            ..v1::ListJobsRequest::default()
        };
        let jobs = Client::connect(settings).await?.jobs(request).await?;
        let list = jobs::List { sweep: &self.sweep, by: &self.by };
        jobs::print(jobs, &list, &self.output).await
    }
}

/// What the flags say of a metric's direction; nothing where the manifest's goal decides.
pub(super) fn direction(ascending: bool, descending: bool) -> Option<bool> {
    (ascending || descending).then_some(ascending)
}
