//! `btctl jobs`: the jobs of a sweep with their parameters and metrics.

use bt_documents as documents;
use bt_proto::v1;
use serde_json::{Map, Value};
use tokio_stream::StreamExt;
use tonic::Streaming;

use crate::client::Client;
use crate::error::Error;
use crate::output::{Cell, Column, Json, ListArgs, OutputFormat, Printer, Row, View, tries, words};
use crate::settings::Settings;
use crate::target;

const EXAMPLES: &str = "\
Examples:
  btctl jobs sma-cross
  btctl jobs sma-cross --state failed
  btctl jobs sma-cross --where 'trades < 30 or fast == 5'
  btctl jobs sma-cross -o csv > jobs.csv     # pandas.read_csv(\"jobs.csv\")";

/// List a sweep's jobs with their parameters and metrics.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Jobs {
    #[arg(value_name = "SWEEP", value_parser = target::sweep)]
    sweep: String,
    /// Only jobs in this state; may be repeated.
    #[arg(long, value_name = "STATE")]
    state: Vec<JobStateArg>,
    /// Only jobs for which this expression over metrics and parameters holds; see `btctl top --help`.
    #[arg(long = "where", value_name = "EXPRESSION", allow_hyphen_values = true)]
    filter: Option<String>,
    #[command(flatten)]
    output: ListArgs,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum JobStateArg {
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
    Pruned,
}

impl From<JobStateArg> for v1::JobState {
    fn from(state: JobStateArg) -> Self {
        match state {
            JobStateArg::Queued => Self::Queued,
            JobStateArg::Running => Self::Running,
            JobStateArg::Succeeded => Self::Succeeded,
            JobStateArg::Failed => Self::Failed,
            JobStateArg::Cancelled => Self::Cancelled,
            JobStateArg::Pruned => Self::Pruned,
        }
    }
}

impl Jobs {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let request = v1::ListJobsRequest {
            sweep: self.sweep.clone(),
            states: self.state.iter().map(|state| v1::JobState::from(*state).into()).collect(),
            filter: self.filter.clone(),
            ..v1::ListJobsRequest::default()
        };
        let jobs = Client::connect(settings).await?.jobs(request).await?;
        print(jobs, &List { sweep: &self.sweep, by: "" }, &self.output).await
    }
}

/// Whose jobs are listed, and the metric that comes first among their columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct List<'a> {
    pub(super) sweep: &'a str,
    pub(super) by: &'a str,
}

/// Prints jobs as they come where the form allows it; a table needs them all to know its columns.
pub(super) async fn print(
    mut jobs: Streaming<v1::Job>,
    list: &List<'_>,
    form: &ListArgs,
) -> Result<(), Error> {
    if !matches!(form.format(), OutputFormat::Json | OutputFormat::Name) {
        let mut all = Vec::new();
        while let Some(job) = jobs.next().await {
            all.push(job.map_err(Error::broken_off)?);
        }
        return view(all, list)?.print(form);
    }
    let mut printer = Printer::new(Vec::new(), form)?;
    while let Some(job) = jobs.next().await {
        let job = job.map_err(Error::broken_off)?;
        printer.row(Row {
            cells: Vec::new(),
            json: Json::of(&documents::Job::try_from(&job)?)?,
            name: name(list, &job),
        })?;
    }
    printer.finish()
}

fn name(list: &List<'_>, job: &v1::Job) -> String {
    format!("{}/{}", list.sweep, job.number)
}

/// What is to be said of a job that has not failed.
fn told(job: &v1::Job) -> Result<String, Error> {
    let name = |twin: &v1::Twin| format!("{}/{}", twin.sweep_name, twin.job);
    Ok(match (&job.reused_from, &job.attached_to, &job.last_failure) {
        (Some(twin), _, _) => format!("the result of {}", name(twin)),
        (None, Some(twin), _) => format!("waits for {}, which is the same", name(twin)),
        (None, None, Some(failure)) if job.state() == v1::JobState::Queued => tries::again(failure)?,
        (None, None, _) => match (job.note.as_str(), &job.progress) {
            ("", Some(said)) => said.note().to_owned(),
            (note, _) => note.to_owned(),
        },
    })
}

/// Seconds that the latest attempt's container ran.
fn ran(job: &v1::Job) -> Option<f64> {
    Some(job.usage?.wall_millis? as f64 / 1e3)
}

/// The columns of every list of jobs that are neither parameters nor metrics.
const OWN: [&str; 12] = [
    "job",
    "state",
    "attempts",
    "agent",
    "reason",
    "started",
    "finished",
    "memory_bytes",
    "peak_memory_bytes",
    "cpu_seconds",
    "written_bytes",
    "wall_seconds",
];

/// The column of running jobs' progress.
const PROGRESS: &str = "progress";

/// Ranks of the columns in a table that is too wide.
const KEY: u8 = 0;
const RANKED_BY: u8 = 1;
const REASON: u8 = 2;
const STATE: u8 = 3;
const PARAMETER: u8 = 4;

/// Jobs as a list whose columns are their parameters and metrics.
pub(super) fn view(jobs: Vec<v1::Job>, list: &List<'_>) -> Result<View, Error> {
    let mut parameters = NamesInOrder::default();
    let mut metrics = NamesInOrder::default();
    let mut read = Vec::with_capacity(jobs.len());
    for job in jobs {
        let maps = (documents::parameters(&job.parameters)?, documents::metrics(job.metrics())?);
        parameters.take(&maps.0);
        metrics.take(&maps.1);
        read.push((job, maps));
    }
    let (parameters, mut metrics) = (parameters.0, metrics.0);
    metrics.sort_by_key(|name| (name != list.by, name.clone()));
    let is_ranked = metrics.first().is_some_and(|name| name == list.by);
    let first: Vec<String> = metrics.drain(..usize::from(is_ranked)).collect();
    let all_metrics: Vec<String> = first.iter().chain(&metrics).cloned().collect();
    // Only where there is something in it: a parameter of that name keeps its own name elsewhere.
    let fraction = |job: &v1::Job| job.progress.as_ref().and_then(|said| said.fraction);
    let has_progress = read.iter().any(|(job, _)| fraction(job).is_some());
    let is_own = |name: &str| OWN.contains(&name) || has_progress && name == PROGRESS;
    let title = |kind: &str, name: &String, others: &[String]| match is_own(name) || others.contains(name) {
        true => format!("{kind}.{name}"),
        false => name.clone(),
    };
    let metric =
        |name: &String| Column::always(title("metric", name, &parameters)).alias(format!("metrics.{name}"));
    let parameter = |name: &String| {
        let column = Column::always(title("param", name, &all_metrics)).alias(format!("params.{name}"));
        column.folds().rank(PARAMETER)
    };
    let mut columns = vec![Column::always("job").rank(KEY)];
    columns.extend(first.iter().map(|name| metric(name).rank(RANKED_BY)));
    columns.push(Column::always("state").rank(STATE));
    columns.extend(has_progress.then(|| Column::always(PROGRESS).rank(STATE)));
    columns.extend(parameters.iter().map(parameter));
    columns.extend(metrics.iter().map(|name| metric(name).folds()));
    columns.extend(["attempts", "agent"].map(Column::always));
    columns.push(Column::always("reason").optional().rank(REASON));
    columns.extend(["started", "finished"].map(Column::wide));
    columns.push(Column::wide("memory_bytes").headed("given_memory"));
    let usage = [
        ("peak_memory_bytes", "memory"),
        ("cpu_seconds", "cpu_time"),
        ("written_bytes", "written"),
        ("wall_seconds", "ran"),
    ];
    columns.extend(usage.map(|(name, heading)| Column::wide(name).headed(heading)));
    let mut rows = Vec::with_capacity(read.len());
    for (job, (own, reported)) in read {
        let cell =
            |map: &Map<String, Value>, name: &String| map.get(name).map(Cell::from).unwrap_or_default();
        let mut cells = vec![Cell::number(job.number)];
        cells.extend(first.iter().map(|name| cell(&reported, name)));
        cells.push(Cell::text(words::job_state(job.state())?.name()));
        cells.extend(has_progress.then(|| Cell::part(fraction(&job))));
        cells.extend(parameters.iter().map(|name| cell(&own, name)));
        cells.extend(metrics.iter().map(|name| cell(&reported, name)));
        cells.push(Cell::number(job.attempts));
        cells.push(Cell::text(&job.agent));
        let reason = words::reason(job.reason.clone())?;
        cells.push(Cell::text(reason.map_or_else(|| told(&job), Ok)?));
        cells.push(Cell::time(words::instant(job.started.as_ref())?));
        cells.push(Cell::time(words::instant(job.finished.as_ref())?));
        cells.push(Cell::bytes(job.memory_bytes));
        let usage = job.usage.unwrap_or_default();
        cells.push(Cell::bytes(usage.peak_memory_bytes));
        cells.push(Cell::seconds(usage.cpu_micros.map(|micros| micros as f64 / 1e6)));
        cells.push(Cell::bytes(usage.written_bytes));
        cells.push(Cell::seconds(ran(&job)));
        rows.push(Row { cells, json: Json::of(&documents::Job::try_from(&job)?)?, name: name(list, &job) });
    }
    Ok(View { columns, rows })
}

/// Names in the order in which they were first met.
#[derive(Default)]
struct NamesInOrder(Vec<String>);

impl NamesInOrder {
    fn take(&mut self, map: &Map<String, Value>) {
        for name in map.keys() {
            if !self.0.contains(name) {
                self.0.push(name.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_one_name_are_told_apart() {
        let job = v1::Job {
            state: v1::JobState::Succeeded.into(),
            parameters: r#"{"state": 1, "x": 2, "fast": 5}"#.to_owned(),
            metrics: Some(r#"{"x": 3.5}"#.to_owned()),
            ..v1::Job::default()
        };
        let view = view(vec![job], &List { sweep: "s", by: "" }).unwrap();
        let titles: Vec<_> = view.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(titles[..6], ["job", "state", "param.state", "param.x", "fast", "metric.x"]);
        assert_eq!(view.rows[0].cells[2..6], ["1", "2", "5", "3.5"].map(Cell::number));
    }
    #[test]
    fn progress_has_a_column_where_a_job_says_it() {
        let said = v1::JobProgress { fraction: Some(0.42), ..v1::JobProgress::default() };
        let job = |progress| v1::Job {
            state: v1::JobState::Running.into(),
            parameters: r#"{"progress": 7}"#.to_owned(),
            progress,
            ..v1::Job::default()
        };
        let list = List { sweep: "s", by: "" };
        let titles =
            |view: &View| view.columns[..3].iter().map(|column| column.name.clone()).collect::<Vec<_>>();
        assert_eq!(titles(&view(vec![job(None)], &list).unwrap()), ["job", "state", "progress"]);
        let view = view(vec![job(None), job(Some(said))], &list).unwrap();
        assert_eq!(titles(&view)[2], "progress");
        assert_eq!(view.columns[3].name, "param.progress");
        assert_eq!(view.rows[0].cells[2..4], [Cell::None, Cell::number(7)]);
        assert_eq!(view.rows[1].cells[2..4], [Cell::Part(0.42), Cell::number(7)]);
    }
}
