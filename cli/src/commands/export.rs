//! `btctl export`: all of a sweep's jobs as one table, for pandas, DuckDB, R and the like.

use std::path::{Path, PathBuf};

use bt_analysis::export::{self, Form};
use bt_proto::v1;
use tokio_stream::StreamExt;

use crate::client::Client;
use crate::document_target::{DocumentTarget, directory_of};
use crate::error::Error;
use crate::files;
use crate::output::{say, terminal};
use crate::settings::Settings;
use crate::target;

const EXAMPLES: &str = "\
Examples:
  btctl export sma-cross --file sma.parquet     # pandas.read_parquet(\"sma.parquet\")
  btctl export sma-cross > sma.csv
  btctl export sma-cross -o json | jq '.[] | select(.metrics.sharpe > 1)'

There is one row for each job, also for failed and unfinished ones: parameters, metrics, state, reason, times (UTC), \
image, agent, attempts, and what the latest attempt used. If a parameter and a metric have the same name, their columns \
are param.NAME and metric.NAME. Parquet has typed columns; a column with values of several types is text.";

/// Write all jobs of a sweep, with parameters and metrics, as CSV, JSON or Parquet.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Export {
    #[arg(value_name = "SWEEP", value_parser = target::sweep)]
    sweep: String,
    /// Form of the output [default: by the file's ending, else csv].
    #[arg(short, long, value_enum, value_name = "FORM")]
    output: Option<ExportForm>,
    /// File to write; it appears once it is complete. - is standard output.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ExportForm {
    Csv,
    Json,
    Parquet,
}

impl From<ExportForm> for Form {
    fn from(form: ExportForm) -> Self {
        match form {
            ExportForm::Csv => Self::Csv,
            ExportForm::Json => Self::Json,
            ExportForm::Parquet => Self::Parquet,
        }
    }
}

impl Export {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let form = self.form()?;
        if form == Form::Parquet && self.named().is_none() && terminal::is_stdout() {
            let told = "Parquet is for programs, not for a terminal; name a file with --file, or send it on with > or |";
            return Err(Error::Usage(told.to_owned()));
        }
        let out = DocumentTarget::open(self.named())?;
        let client = Client::connect(settings).await?;
        let sweep = client.show(&self.sweep).await?.sweep;
        // By its id from now on: a newer sweep may take the name meanwhile.
        let request = v1::ListJobsRequest { sweep: sweep.id.clone(), ..v1::ListJobsRequest::default() };
        let mut jobs = client.jobs(request).await?;
        // Beside the file that is to be written, where there is room for it; else where temporary files go.
        let beside = self.named().map_or_else(std::env::temp_dir, |path| directory_of(path).to_owned());
        let mut export = export::Export::begin(form, sweep, &beside, out)?;
        while let Some(job) = jobs.next().await {
            export.take(&job.map_err(Error::broken_off)?)?;
        }
        let (rows, out) = export.finish()?;
        out.finish()?;
        if let Some(file) = self.named() {
            say(&format!("{rows} jobs in {}", file.display()));
        }
        Ok(())
    }

    /// The file that is written; none for standard output.
    fn named(&self) -> Option<&Path> {
        self.file.as_deref().filter(|file| !files::is_standard(file))
    }

    /// The form that was asked for, or that the file's ending means. A file must not hold another form than its name
    /// says.
    fn form(&self) -> Result<Form, Error> {
        let file = self.named();
        let ending = file.and_then(Path::extension).map(|ending| ending.to_string_lossy().to_lowercase());
        let meant = match ending.as_deref() {
            None => None,
            Some("csv") => Some(Form::Csv),
            Some("json") => Some(Form::Json),
            Some("parquet") => Some(Form::Parquet),
            Some(other) if self.output.is_none() || NOT_WRITTEN.contains(&other) => {
                return Err(Error::Usage(format!(
                    "--file {}: .{other} is not a form of an export; write .csv, .json or .parquet. -o csv, json or \
                     parquet chooses the form of a file with another ending",
                    file.unwrap_or(Path::new("")).display()
                )));
            }
            Some(_) => None,
        };
        match (self.output.map(Form::from), meant) {
            (Some(form), Some(meant)) if form != meant => Err(Error::Usage(format!(
                "--file {} and -o {} are different forms; leave out -o, or give the file the other ending",
                file.unwrap_or(Path::new("")).display(),
                form.name()
            ))),
            (form, meant) => Ok(form.or(meant).unwrap_or(Form::Csv)),
        }
    }
}

/// Endings of forms that people may expect and that are not written; no `-o` makes such a file.
const NOT_WRITTEN: [&str; 12] =
    ["arrow", "db", "feather", "gz", "h5", "hdf5", "ods", "pkl", "sqlite", "tsv", "xls", "xlsx"];
