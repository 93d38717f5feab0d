//! `btctl add` and `btctl close`: jobs for a sweep that was submitted open.

use bt_documents::AddedJobs;
use bt_model::manifest::{csv_rows, parse_row_flag};
use bt_model::parameters::Parameters;
use bt_proto::submit::additions;
use bt_proto::v1;
use uuid::Uuid;

use crate::batch::BatchOutcome;
use crate::client::Client;
use crate::error::Error;
use crate::files;
use crate::output::{self, Cell, Column, Json, OutputArgs, OutputFormat, Row, View, say};
use crate::settings::Settings;
use crate::target::resolve_to_change;

const EXAMPLES: &str = "\
Examples:
  btctl submit --open --image my-backtest:1 --name found -- python /app/backtest.py --fast '{{ fast }}' --slow '{{ slow }}'
  btctl add found --params fast=7,slow=40 --params fast=8,slow=40
  btctl add found --params-from more.csv
  btctl close found";

/// Add jobs to a sweep that was submitted open (btctl submit --open), all of them or none.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Add {
    #[arg(value_name = "SWEEP", value_parser = crate::target::sweep)]
    sweep: String,
    /// Parameters of a job: fast=7,slow=40; may be repeated.
    #[arg(long, value_name = "NAME=VALUE,...", required_unless_present = "params_from")]
    params: Vec<String>,
    /// File with one job per row: CSV whose first row names the parameters, or JSON objects on lines of their own
    /// (.jsonl, .ndjson).
    #[arg(long, value_name = "FILE")]
    params_from: Option<String>,
    /// Key that makes the call safe to repeat: one key adds to a sweep once only. A new one for each call if not given.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Take no more jobs: open sweeps end with the jobs that they have.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  btctl close found")]
pub(crate) struct Close {
    #[arg(required = true, value_name = "SWEEP")]
    sweeps: Vec<String>,
}

impl Add {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let rows = self.params.iter().map(|row| parse_row_flag(row));
        let mut rows = rows.collect::<Result<Vec<_>, _>>()?;
        if let Some(path) = &self.params_from {
            rows.extend(read_rows(path)?);
        }
        let client = Client::connect(settings).await?;
        let found = resolve_to_change(&client, &self.sweep).await?;
        let header = v1::AddJobsHeader {
            sweep: found.id,
            idempotency_key: self.idempotency_key.clone().unwrap_or_else(|| Uuid::new_v4().to_string()),
        };
        let added = client.add_jobs(additions(&rows, header)).await?;
        self.print(&added)
    }

    fn print(&self, added: &v1::AddJobsReply) -> Result<(), Error> {
        let v1::AddJobsReply { first_job, jobs, existed } = *added;
        match self.output.output {
            OutputFormat::Json => output::print_json(&Json::of(&AddedJobs { first_job, jobs, existed })?),
            OutputFormat::Table => {
                let last = first_job + jobs.saturating_sub(1);
                let which = match jobs {
                    1 => format!("job {first_job}"),
                    _ => format!("jobs {first_job} to {last}"),
                };
                let were = if existed { "added before, with the same idempotency key" } else { "queued" };
                say(&format!("{}: {which} {were}", self.sweep));
                Ok(())
            }
            _ => {
                let columns = ["job"].map(Column::always).into();
                let row = |job| Row {
                    cells: vec![Cell::number(job)],
                    json: Json::none(),
                    name: format!("{}/{job}", self.sweep),
                };
                View { columns, rows: (first_job..first_job + jobs).map(row).collect() }
                    .print(self.output.output)
            }
        }
    }
}

impl Close {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        let mut batch = BatchOutcome::of_named(self.sweeps.len());
        for sweep in self.sweeps {
            let outcome = match resolve_to_change(&client, &sweep).await {
                Ok(found) => client.close_sweep(&found.id).await,
                Err(error) => Err(error),
            };
            match batch.note(&sweep, outcome)? {
                Some(true) => {
                    say(&format!("{sweep}: it takes no more jobs, and ends with those that it has"))
                }
                Some(false) => say(&format!("{sweep}: it was not open")),
                None => {}
            }
        }
        batch.finish()
    }
}

fn read_rows(path: &str) -> Result<Vec<Parameters>, Error> {
    let file = std::path::Path::new(path);
    let (content, called) = (files::read(file)?, files::called(file));
    let is_json = file.extension().is_some_and(|ending| ending == "jsonl" || ending == "ndjson");
    if !is_json {
        return Ok(csv_rows(&content, &called)?);
    }
    let text = String::from_utf8(content).map_err(|_| Error::Usage(format!("{called} is not UTF-8")))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let rows = lines.map(|(number, line)| {
        let wrong = |error| Error::Usage(format!("{called}:{}: {error}", number + 1));
        Parameters::from_json(line).map_err(wrong)
    });
    rows.collect()
}
