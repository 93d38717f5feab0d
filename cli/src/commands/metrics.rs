//! `btctl metrics`: metrics that jobs have not reported in a form that btctl reads by itself.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use bt_documents::ImportedMetrics;
use bt_model::metrics::{MAX_TEXT, Mapping, check_name, number_in_text, plain_number, read_csv, read_json};
use bt_model::rfc4180;
use bt_proto::v1::{self, import_metrics_request::Kind};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value};

use super::results;
use crate::batch::BatchOutcome;
use crate::client::Client;
use crate::error::Error;
use crate::files;
use crate::output::{Json, OutputFormat, print_json, say};
use crate::settings::Settings;
use crate::target::{Target, resolve_to_change};

/// Outputs that are read at once.
const AT_ONCE: usize = 8;
/// Jobs in a message, and bytes of them.
const BATCH: usize = 500;
const BATCH_BYTES: usize = 1 << 20;

const EXAMPLES: &str = "\
Examples:
  btctl metrics import lean --output stats.json
  btctl metrics import lean --output stats.json --map 'sharpe=Statistics.Sharpe Ratio' --map 'dd=Statistics.Drawdown'
  btctl metrics import lean/17 --output summary.csv        # a name and a number on each line, or names above numbers
  btctl metrics import lean --table metrics.csv            # the column job, and one for each metric

Without --map, every number in the file becomes a metric; names within objects and lists are joined by dots. With --map, \
only the mapped values become metrics, and texts are read as numbers: \"$1,234.50\" is 1234.5, and \"12.5%\" is 0.125. \
All files are read and checked before anything is written, and each bad file is listed. If any is bad, no job gets its \
metrics; with --keep-going, the jobs with good files do.";

/// Add metrics to jobs that succeeded.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Metrics {
    Import(Import),
}

/// Take metrics from an output of each job, or from a table.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("from").required(true).args(["from_output", "table"]))]
pub(crate) struct Import {
    #[arg(value_name = "SWEEP[/JOB]")]
    target: Target,
    /// Output of each job that holds its metrics, as `btctl results ls` names it: JSON, or CSV if it ends with .csv.
    #[arg(id = "from_output", long = "output", value_name = "PATH")]
    file: Option<String>,
    /// CSV file on this machine with a row for each job: the column `job`, and one for each metric; - is standard input.
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    /// Name in the file that becomes a metric; may be repeated.
    #[arg(long, value_name = "METRIC=NAME")]
    map: Vec<Mapping>,
    /// Skip jobs that have no such output.
    #[arg(long, requires = "from_output")]
    skip_missing: bool,
    /// List the jobs whose output is missing, damaged or not metrics, import the metrics of all others, and exit with
    /// 1.
    #[arg(long, requires = "from_output")]
    keep_going: bool,
    /// Replace existing metrics that have another value.
    #[arg(long)]
    overwrite: bool,
    /// Only print what would change.
    #[arg(long)]
    dry_run: bool,
    /// table, or json.
    #[arg(
        short = 'o',
        short_alias = 'f',
        long = "output-format",
        value_enum,
        default_value_t,
        value_name = "FORM",
        env = "BTCTL_OUTPUT"
    )]
    format: OutputFormat,
}

type MetricsByJob = Vec<(u32, Map<String, Value>)>;

impl Metrics {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let Self::Import(import) = self;
        import.run(settings).await
    }
}

impl Import {
    async fn run(self, settings: &Settings) -> Result<(), Error> {
        let table = self.table.as_ref().map(|path| self.read_table(path)).transpose()?;
        let client = Client::connect(settings).await?;
        let sweep = resolve_to_change(&client, &self.target.sweep).await?;
        let (given, read) = match (&self.file, table) {
            (Some(file), _) => self.read_outputs(&client, &sweep.id, file).await?,
            (None, table) => (table.unwrap_or_default(), Ok(())),
        };
        let header =
            v1::ImportMetricsHeader { sweep: sweep.id, overwrite: self.overwrite, dry_run: self.dry_run };
        let reply = client.import_metrics(messages(header, given)).await?;
        self.tell(&reply)?;
        read
    }

    fn tell(&self, reply: &v1::ImportMetricsReply) -> Result<(), Error> {
        if self.format == OutputFormat::Json {
            return print_json(&Json::of(&ImportedMetrics {
                changed: reply.changed,
                unchanged: reply.unchanged,
                added: reply.added.clone(),
                overwritten: reply.overwritten.clone(),
                dry_run: self.dry_run,
            })?);
        }
        let would = if self.dry_run { "would get" } else { "got" };
        let names = |names: &[String]| match names.is_empty() {
            true => "none".to_owned(),
            false => names.join(", "),
        };
        say(&format!("{} jobs {would} metrics; {} had them all before", reply.changed, reply.unchanged));
        say(&format!("new: {}", names(&reply.added)));
        if !reply.overwritten.is_empty() {
            say(&format!("replaced: {}", names(&reply.overwritten)));
        }
        Ok(())
    }

    /// Reads the output of every job that has succeeded. Each that is wrong is listed; beside the others stands the
    /// error that the command ends with all the same.
    async fn read_outputs(
        &self,
        client: &Client,
        sweep: &str,
        path: &str,
    ) -> Result<(MetricsByJob, Result<(), Error>), Error> {
        let request = v1::ListJobsRequest {
            sweep: sweep.to_owned(),
            states: vec![v1::JobState::Succeeded.into()],
            job: self.target.job,
            ..v1::ListJobsRequest::default()
        };
        let jobs = client.jobs(request).await?;
        let numbers: Vec<u32> = jobs.map_ok(|job| job.number).try_collect().await?;
        if numbers.is_empty() {
            let what = match self.target.job {
                Some(job) => format!("job {job} has not succeeded"),
                None => "no job has succeeded yet".to_owned(),
            };
            return Err(Error::Failed(format!("{what}; only jobs that have succeeded have metrics")));
        }
        let all = numbers.len();
        let read =
            stream::iter(numbers).map(async |job| (job, self.read_output(client, sweep, job, path).await));
        let mut read = std::pin::pin!(read.buffered(AT_ONCE));
        let mut batch = BatchOutcome::of_found(all);
        let (mut given, mut missing) = (MetricsByJob::new(), Vec::new());
        while let Some((job, outcome)) = read.next().await {
            match batch.note(&format!("job {job}"), outcome)? {
                Some(Some(numbers)) => given.push((job, numbers)),
                Some(None) => missing.push(job),
                None => {}
            }
        }
        let are_missing = match missing.first() {
            Some(first) if !self.skip_missing || missing.len() == all => Err(Error::NotFound(format!(
                "{} of {all} jobs have no output {path} (job {first} is the first); `btctl results ls` lists what there \
                 is, --skip-missing takes the others",
                missing.len()
            ))),
            _ => Ok(()),
        };
        let read = batch.finish().and(are_missing);
        match read {
            Err(error) if !self.keep_going || given.is_empty() => Err(error),
            // The others get their metrics, so this is not just a name that was not found.
            read => Ok((given, read.map_err(|error| Error::Failed(error.to_string())))),
        }
    }

    /// The metrics in one job's output; none if it has no such output.
    async fn read_output(
        &self,
        client: &Client,
        sweep: &str,
        job: u32,
        path: &str,
    ) -> Result<Option<Map<String, Value>>, Error> {
        let request =
            v1::DownloadRequest { sweep: sweep.to_owned(), job, path: path.to_owned(), ..Default::default() };
        let Some(text) = results::content(client, request, MAX_TEXT).await? else { return Ok(None) };
        let wrong = |why: String| Error::Failed(format!("job {job}: {path}: {why}"));
        if text.len() > MAX_TEXT {
            return Err(wrong(format!("it is larger than {MAX_TEXT} bytes, the limit")));
        }
        let numbers = match path.to_ascii_lowercase().ends_with(".csv") {
            true => read_csv(&text, &self.map),
            false => read_json(&text, &self.map),
        };
        let numbers = numbers.map_err(|error| wrong(error.to_string()))?;
        if numbers.is_empty() {
            return Err(wrong(
                "it holds no number; texts are taken only where they are mapped (--map)".to_owned(),
            ));
        }
        Ok(Some(numbers))
    }

    /// Reads a table with a row for each job.
    fn read_table(&self, path: &Path) -> Result<MetricsByJob, Error> {
        let shown = files::called(path);
        let wrong = |why: String| Error::Usage(format!("{shown}: {why}"));
        if self.target.job.is_some() {
            return Err(Error::Usage("--table has a row for each job; name the sweep alone".to_owned()));
        }
        let text = String::from_utf8(files::read(path)?).map_err(|error| wrong(error.to_string()))?;
        let mut reader = rfc4180::CsvReader::new(&text);
        let malformed =
            |wrong: rfc4180::MalformedCsv| Error::Usage(format!("{shown}:{}: {}", wrong.line, wrong.message));
        let header = reader.record().map_err(malformed)?;
        let columns: Vec<String> =
            header.into_iter().flat_map(|header| header.cells).map(|cell| cell.text).collect();
        let separator = match &columns[..] {
            [only] => rfc4180::other_separator(only),
            _ => None,
        };
        if let Some(separator) = separator {
            return Err(wrong(format!(
                "the columns are separated by {separator}; write the file with commas"
            )));
        }
        let at = columns.iter().position(|column| column.trim() == "job");
        let at = at.ok_or_else(|| wrong("it has no column `job` for the jobs' numbers".to_owned()))?;
        // Which columns are metrics, under which names, and whether texts are taken.
        let mut metrics: Vec<(usize, &str, bool)> = Vec::new();
        for (index, column) in columns.iter().enumerate().filter(|(index, _)| *index != at) {
            let column = column.trim();
            let mapped = self.map.iter().filter(|mapping| mapping.source == column);
            match self.map.is_empty() {
                true => metrics.push((index, column, false)),
                false => metrics.extend(mapped.map(|mapping| (index, mapping.metric.as_str(), true))),
            }
        }
        let missing =
            self.map.iter().find(|mapping| !columns.iter().any(|name| name.trim() == mapping.source));
        if let Some(mapping) = missing {
            return Err(wrong(format!("it has no column {:?}", mapping.source)));
        }
        let mut names = HashSet::new();
        for (_, name, _) in &metrics {
            check_name(name).map_err(|error| wrong(error.to_string()))?;
            if !names.insert(*name) {
                return Err(wrong(format!("two columns would be the metric `{name}`")));
            }
        }
        let mut given = Vec::new();
        while let Some(rfc4180::Record { line, cells }) = reader.record().map_err(malformed)? {
            let wrong = |why: String| wrong(format!("line {line}: {why}"));
            if cells.len() != columns.len() {
                return Err(wrong(format!(
                    "it has {} columns, and the header has {}",
                    cells.len(),
                    columns.len()
                )));
            }
            let cell = |index: usize| cells.get(index).map_or("", |cell| cell.text.trim());
            let number = cell(at);
            let job = number.parse().map_err(|_| wrong(format!("{number:?} is not a number of a job")))?;
            let mut numbers = Map::new();
            for (index, name, texts) in &metrics {
                let cell = cell(*index);
                if ["", "nan", "none", "null"].contains(&cell.to_ascii_lowercase().as_str()) {
                    continue;
                }
                let number = if *texts { number_in_text(cell) } else { plain_number(cell) };
                let number = number.ok_or_else(|| wrong(format!("{cell:?} for `{name}` is not a number")))?;
                numbers.insert((*name).to_owned(), Value::Number(number));
            }
            if !numbers.is_empty() {
                given.push((job, numbers));
            }
        }
        match given.is_empty() {
            true => Err(wrong("it holds no metric of any job".to_owned())),
            false => Ok(given),
        }
    }
}

fn messages(header: v1::ImportMetricsHeader, given: MetricsByJob) -> Vec<v1::ImportMetricsRequest> {
    let message = |kind| v1::ImportMetricsRequest { kind: Some(kind) };
    let mut messages = vec![message(Kind::Header(header))];
    let (mut jobs, mut bytes) = (Vec::new(), 0);
    for (job, metrics) in given {
        let metrics = Value::Object(metrics).to_string();
        bytes += metrics.len();
        jobs.push(v1::JobMetrics { job, metrics });
        if jobs.len() == BATCH || bytes >= BATCH_BYTES {
            messages.push(message(Kind::Jobs(v1::JobsMetrics { jobs: std::mem::take(&mut jobs) })));
            bytes = 0;
        }
    }
    if !jobs.is_empty() {
        messages.push(message(Kind::Jobs(v1::JobsMetrics { jobs })));
    }
    messages
}
