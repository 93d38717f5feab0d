//! `btctl top`: the best jobs of a sweep by a metric.

use bt_documents::SweepReport;
use bt_proto::v1;
use jiff::Timestamp;
use ratatui::text::Line;
use tokio::time::{Instant, sleep};

use super::jobs;
use crate::client::Client;
use crate::error::Error;
use crate::output::{Block, Channel, ListArgs, View, print};
use crate::progress::{self, Heard, pause_after};
use crate::settings::Settings;
use crate::target;

const EXAMPLES: &str = "\
Examples:
  btctl top sma-cross --by sharpe
  btctl top sma-cross --by max_drawdown --ascending -n 5
  btctl top sma-cross --by sharpe -w         # drawn again every few seconds, until the end
  btctl top sma-cross --by sharpe --where 'trades > 30 and fast < 20'
  btctl top sma-cross --by sharpe --robust
  btctl top sma-cross --by sharpe --where 'dsr > 0.95'

--where is an expression over metrics and parameters. Write a name as it is (sharpe, dd.max); write \
metrics[\"Sharpe Ratio\"] if the name is not one word, and metrics.x or params.x if a metric and a parameter have the same \
name. Jobs without a value that the expression names are left out. psr and dsr, the probabilities that a job's Sharpe ratio \
is above 0 and above what luck would show (btctl assess), can be named too, also in --by.";

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
    /// Rank by the median of the metric of a job and of its neighbours, which differ from it by one step of one parameter: a
    /// job that is good alone is more likely to be so by chance. The column `robust` has the median.
    #[arg(long)]
    robust: bool,
    /// Only jobs for which this holds.
    #[arg(long = "where", value_name = "EXPRESSION", allow_hyphen_values = true)]
    filter: Option<String>,
    /// How many jobs to list.
    #[arg(short = 'n', long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Draw the ranking on the terminal again every few seconds, until the sweep has finished.
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    output: ListArgs,
}

impl Top {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        if self.watch {
            return tokio::select! {
                ended = self.watch(&client) => ended,
                pressed = tokio::signal::ctrl_c() => {
                    // Behind the keys that the terminal shows.
                    print("")?;
                    pressed.map_err(|error| Error::Failed(format!("Ctrl-C can't be heard: {error}")))?;
                    Err(Error::Interrupted)
                }
            };
        }
        let jobs = client.jobs(self.request(&self.sweep)).await?;
        let list = jobs::List { sweep: &self.sweep, by: &self.by };
        jobs::print(jobs, &list, &self.output).await
    }

    fn request(&self, sweep: &str) -> v1::ListJobsRequest {
        v1::ListJobsRequest {
            sweep: sweep.to_owned(),
            by: Some(self.by.clone()),
            ascending: direction(self.ascending, self.descending),
            limit: Some(self.limit),
            filter: self.filter.clone(),
            robust: self.robust,
            ..v1::ListJobsRequest::default()
        }
    }

    /// Draws the ranking in place until the sweep has finished; it stays on the screen.
    async fn watch(&self, client: &Client) -> Result<(), Error> {
        let block = Block::on(Channel::Stdout).filter(|_| self.output.format().is_for_people());
        let mut block = block.ok_or_else(|| {
            Error::Usage(
                "--watch draws a table on a terminal; scripts write btctl wait SWEEP && btctl top SWEEP ..."
                    .to_owned(),
            )
        })?;
        // By its id from now on: a newer sweep may take the name meanwhile.
        let id = client.resolve(&self.sweep).await?.id;
        let (client, mut heard) = (client.quiet(), Heard::now());
        let mut known = None;
        loop {
            let began = Instant::now();
            let answer =
                heard.answer(self.look(&client, &id), |away| self.draw(&mut block, known.as_ref(), away));
            if let Ok((shown, jobs)) = answer.await? {
                if shown.counts.queued + shown.counts.running == 0 && !shown.sweep.open {
                    block.clear()?;
                    return self.view(jobs)?.print(&self.output);
                }
                known = Some((shown, jobs));
                self.draw(&mut block, known.as_ref(), None)?;
            }
            sleep(pause_after(began.elapsed())).await;
        }
    }

    async fn look(&self, client: &Client, id: &str) -> Result<Ranked, Error> {
        let shown = client.show(id).await?;
        match progress::list(client, self.request(id)).await {
            // No job can have reported any metric, so none is unknown.
            Err(Error::NotFound(_) | Error::Usage(_)) if shown.counts.succeeded == 0 => {
                Ok((shown, Vec::new()))
            }
            jobs => Ok((shown, jobs?)),
        }
    }

    fn view(&self, jobs: Vec<v1::Job>) -> Result<View, Error> {
        jobs::view(jobs, &jobs::List { sweep: &self.sweep, by: &self.by })
    }

    fn draw(&self, block: &mut Block, known: Option<&Ranked>, away: Option<Timestamp>) -> Result<(), Error> {
        let (width, _) = Channel::Stdout.size();
        let mut lines: Vec<_> = progress::away(away).into_iter().collect();
        if let Some((shown, jobs)) = known {
            lines.insert(0, progress::bar(&shown.counts, width));
            match jobs.is_empty() {
                true => lines.push(Line::from(format!("no job has reported {} yet", self.by))),
                false => {
                    let table = self.view(jobs.clone())?.table(&self.output, width)?;
                    lines.extend(table.lines().map(|line| Line::from(line.to_owned())));
                }
            }
        }
        block.draw(&lines)
    }
}

/// A sweep and its best jobs.
type Ranked = (SweepReport, Vec<v1::Job>);

/// What the flags say of a metric's direction; nothing where the manifest's goal decides.
pub(super) fn direction(ascending: bool, descending: bool) -> Option<bool> {
    (ascending || descending).then_some(ascending)
}
