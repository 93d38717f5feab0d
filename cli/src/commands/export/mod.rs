//! `btctl export`: all of a sweep's jobs as one table, for pandas, DuckDB, R and the like.
//!
//! Which columns there are is known when all jobs have come, so they are put by on disk; no more than a part of them is
//! ever in memory.

mod columns;
mod parquet;
mod spool;

use std::fs::Permissions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bt_proto::v1;
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio_stream::StreamExt;
use tonic::Streaming;

use self::columns::{Columns, Export as Exported};
use self::spool::Spool;
use super::jobs;
use crate::client::Client;
use crate::error::Error;
use crate::output::{Out as Stdout, say, terminal};
use crate::settings::Settings;
use crate::target;

const EXAMPLES: &str = "\
Examples:
  btctl export sma-cross --file sma.parquet     # pandas.read_parquet(\"sma.parquet\")
  btctl export sma-cross > sma.csv
  btctl export sma-cross -o json | jq '.[] | select(.metrics.sharpe > 1)'

One row for each job, also for those that failed or have not ended: parameters, metrics, state, reason, times (UTC), image,
agent, attempts and what the latest attempt used. A parameter and a metric of one name are param.NAME and metric.NAME.
Parquet has typed columns: a column whose values are of several types is text.";

/// Write all jobs of a sweep, with parameters and metrics, as CSV, JSON or Parquet.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Export {
    #[arg(value_name = "SWEEP", value_parser = target::sweep)]
    sweep: String,
    /// Form of the output [default: by the file's ending, else csv].
    #[arg(short, long, value_enum, value_name = "FORM")]
    output: Option<Form>,
    /// File to write, in place of standard output; it appears when it is whole.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Csv,
    Json,
    Parquet,
}

impl Export {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let form = self.form();
        if form == Form::Parquet && self.file.is_none() && terminal::is_stdout() {
            let told = "Parquet is for programs, not for a terminal; name a file with --file, or send it on with > or |";
            return Err(Error::Usage(told.to_owned()));
        }
        let mut out = Out::open(self.file.as_deref())?;
        let client = Client::connect(settings).await?;
        let sweep = client.show(&self.sweep).await?.sweep;
        // By its id from now on: a newer sweep may take the name meanwhile.
        let request = v1::ListJobsRequest { sweep: sweep.id.clone(), ..v1::ListJobsRequest::default() };
        let jobs = client.jobs(request).await?;
        let rows = match form {
            Form::Json => write_json(&sweep, jobs, &mut out).await?,
            Form::Csv | Form::Parquet => {
                let mut spool = Spool::new(self.file.as_deref())?;
                let mut columns = Columns::default();
                let mut jobs = jobs;
                while let Some(job) = jobs.next().await {
                    let job = job.map_err(Error::broken_off)?;
                    columns.note(&job)?;
                    spool.put(&job)?;
                }
                let exported = columns.finish(sweep);
                match form {
                    Form::Parquet => parquet::write(&exported, spool, &mut out)?,
                    _ => write_csv(&exported, spool, &mut out)?,
                }
            }
        };
        out.finish()?;
        if let Some(file) = &self.file {
            say(&format!("{rows} jobs in {}", file.display()));
        }
        Ok(())
    }

    fn form(&self) -> Form {
        let ending = self.file.as_deref().and_then(Path::extension).map(|ending| ending.to_ascii_lowercase());
        match (self.output, ending.as_deref().and_then(|ending| ending.to_str())) {
            (Some(form), _) => form,
            (None, Some("parquet")) => Form::Parquet,
            (None, Some("json")) => Form::Json,
            (None, _) => Form::Csv,
        }
    }
}

async fn write_json(sweep: &v1::Sweep, mut jobs: Streaming<v1::Job>, out: &mut Out) -> Result<u64, Error> {
    let mut rows = 0;
    while let Some(job) = jobs.next().await {
        let mut row = jobs::json(&job.map_err(Error::broken_off)?)?;
        row["sweep"] = sweep.name.as_str().into();
        row["sweep_id"] = sweep.id.as_str().into();
        row["image"] = sweep.image.as_str().into();
        row["image_pin"] =
            Some(&sweep.image_pin).filter(|pin| !pin.is_empty()).cloned().map_or(Value::Null, Into::into);
        let before = if rows == 0 { "[\n" } else { ",\n" };
        write!(out, "{before}{row}").map_err(Error::output)?;
        rows += 1;
    }
    let end = if rows == 0 { "[]" } else { "\n]" };
    writeln!(out, "{end}").map_err(Error::output)?;
    Ok(rows)
}

fn write_csv(exported: &Exported, spool: Spool, out: &mut Out) -> Result<u64, Error> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(exported.columns.iter().map(|column| &column.title)).map_err(Error::output)?;
    let mut rows = 0;
    for job in spool.jobs()? {
        let row = exported.row(job?)?;
        csv.write_record(row.iter().map(ToString::to_string)).map_err(Error::output)?;
        rows += 1;
    }
    csv.flush().map_err(Error::output)?;
    Ok(rows)
}

/// Where the table goes.
enum Out {
    Stdout(Stdout),
    File(BufWriter<NamedTempFile>, PathBuf),
}

impl Out {
    fn open(file: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = file else { return Ok(Self::Stdout(Stdout::stdout())) };
        let part = tempfile::Builder::new()
            .prefix(".btctl-part-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(directory_of(path))
            .map_err(|error| Error::Failed(format!("{} can't be written: {error}", path.display())))?;
        Ok(Self::File(BufWriter::new(part), path.to_owned()))
    }

    fn finish(self) -> Result<(), Error> {
        match self {
            Self::Stdout(out) => out.finish(),
            Self::File(out, path) => {
                let failed = |error: std::io::Error| {
                    Error::Failed(format!("{} can't be written: {error}", path.display()))
                };
                let part = out.into_inner().map_err(|error| failed(error.into_error()))?;
                part.as_file().sync_all().map_err(failed)?;
                part.persist(&path).map_err(|error| failed(error.error))?;
                Ok(())
            }
        }
    }
}

impl Write for Out {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(data),
            Self::File(out, _) => out.write(data),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::File(out, _) => out.flush(),
        }
    }
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
