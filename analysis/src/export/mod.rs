//! All of a sweep's jobs as one table, for pandas, DuckDB, R and the like.
//!
//! Which columns there are is known when all jobs have come, so they are put by on disk; no more than a part of them is
//! ever in memory.

mod columns;
mod parquet;
mod spool;

use std::error::Error as StdError;
use std::io::{self, Write};
use std::path::Path;

use bt_documents::{ExportedJob, Job, Unreadable};
use bt_model::rfc4180::without_formula;
use bt_proto::v1;

use self::columns::{Columns, ExportedTable};
use self::spool::JobSpool;

/// In which form a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Csv,
    Json,
    Parquet,
}

impl Form {
    /// As it is written in commands and addresses, and as the ending of a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Parquet => "parquet",
        }
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Json => "application/json",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

/// Why a table can't be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("the jobs can't be put by in a temporary file: {0}")]
    Spool(#[from] io::Error),
    #[error("the table can't be written: {0}")]
    Output(Box<dyn StdError + Send + Sync>),
}

impl Error {
    fn output(error: impl StdError + Send + Sync + 'static) -> Self {
        Self::Output(Box::new(error))
    }
}

/// A table that is being written.
pub struct Export<W> {
    sweep: v1::Sweep,
    out: W,
    /// JSON has no columns: each job is written as it comes.
    waiting: Option<Waiting>,
    rows: u64,
}

/// Jobs that wait until all columns are known.
struct Waiting {
    form: TableForm,
    columns: Columns,
    spool: JobSpool,
}

#[derive(Clone, Copy)]
enum TableForm {
    Csv,
    Parquet,
}

impl<W: Write + Send> Export<W> {
    /// Begins the table of this sweep. Jobs are put by in `directory`.
    pub fn begin(form: Form, sweep: v1::Sweep, directory: &Path, out: W) -> Result<Self, Error> {
        let form = match form {
            Form::Json => None,
            Form::Csv => Some(TableForm::Csv),
            Form::Parquet => Some(TableForm::Parquet),
        };
        let waiting = |form| {
            let spool = JobSpool::new(directory)?;
            Ok::<_, Error>(Waiting { form, columns: Columns::default(), spool })
        };
        Ok(Self { sweep, out, waiting: form.map(waiting).transpose()?, rows: 0 })
    }

    /// Takes the next job.
    pub fn take(&mut self, job: &v1::Job) -> Result<(), Error> {
        match &mut self.waiting {
            Some(Waiting { columns, spool, .. }) => {
                columns.note(job)?;
                spool.put(job)?;
            }
            None => {
                let row = ExportedJob {
                    job: Job::try_from(job)?,
                    sweep: &self.sweep.name,
                    sweep_id: &self.sweep.id,
                    image: &self.sweep.image,
                    image_pin: self.sweep.image_pin.as_deref(),
                };
                let row = serde_json::to_string(&row).map_err(Error::output)?;
                let before = if self.rows == 0 { "[\n" } else { ",\n" };
                write!(self.out, "{before}{row}").map_err(Error::output)?;
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// Writes the rest. Gives how many rows there are, and what was written to.
    pub fn finish(mut self) -> Result<(u64, W), Error> {
        match self.waiting {
            None => {
                let end = if self.rows == 0 { "[]" } else { "\n]" };
                writeln!(self.out, "{end}").map_err(Error::output)?;
            }
            Some(Waiting { form, columns, spool }) => {
                let table = columns.finish(self.sweep);
                match form {
                    TableForm::Csv => write_csv(&table, spool, &mut self.out)?,
                    TableForm::Parquet => parquet::write(&table, spool, &mut self.out)?,
                }
            }
        }
        Ok((self.rows, self.out))
    }
}

fn write_csv(table: &ExportedTable, spool: JobSpool, out: &mut impl Write) -> Result<(), Error> {
    let mut csv = csv::Writer::from_writer(out);
    let titles = table.columns.iter().map(|column| without_formula(&column.title).into_owned());
    csv.write_record(titles).map_err(Error::output)?;
    for job in spool.jobs()? {
        let row = table.row(job?)?;
        csv.write_record(row.iter().map(|cell| without_formula(&cell.to_string()).into_owned()))
            .map_err(Error::output)?;
    }
    csv.flush().map_err(Error::output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_of_a_csv_is_a_formula() {
        let job = v1::Job {
            state: v1::JobState::Succeeded.into(),
            parameters: r#"{"kind": "=HYPERLINK(\"http://a.example\")", "fast": -5}"#.to_owned(),
            metrics: Some(r#"{"=1+1": 0.5, "@SUM": -0.25}"#.to_owned()),
            ..v1::Job::default()
        };
        let sweep = v1::Sweep { name: "s".to_owned(), ..v1::Sweep::default() };
        let mut export = Export::begin(Form::Csv, sweep, &std::env::temp_dir(), Vec::new()).unwrap();
        export.take(&job).unwrap();
        let (_, written) = export.finish().unwrap();
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&written[..]);
        let cells: Vec<String> = reader
            .records()
            .flat_map(|row| row.unwrap().iter().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        for expected in ["'=1+1", "'@SUM", "'=HYPERLINK(\"http://a.example\")", "-5", "-0.25"] {
            assert!(cells.iter().any(|cell| cell == expected), "{expected}: {cells:?}");
        }
    }
}
