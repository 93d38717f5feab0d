//! `btctl results verify`: reads results again where they are stored.

use bt_documents::Damage;
use bt_proto::v1;
use indicatif::{ProgressBar, ProgressStyle};
use tokio_stream::StreamExt;

use crate::client::Client;
use crate::error::Error;
use crate::output::{Cell, Column, Json, OutputArgs, Row, View, say, terminal, words};
use crate::settings::Settings;
use crate::target::Target;

const EXAMPLES: &str = "\
Examples:
  btctl results verify sma-cross
  btctl results verify sma-cross/17 -o json
  btctl results verify sma-cross --repair    # result.json is written anew where it is damaged
It lists what differs from what was published, and exits with 1 if anything does.";

/// Read published results in the store again, and compare their SHA-256 with what was published.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Verify {
    #[arg(value_name = "SWEEP[/JOB]")]
    target: Target,
    /// Write result.json again where it is missing or damaged. Outputs can't be repaired: run their jobs again.
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl Verify {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let request = v1::VerifyResultsRequest {
            sweep: self.target.sweep.clone(),
            job: self.target.job,
            repair: self.repair,
        };
        let mut verified = Client::connect(settings).await?.verify(request).await?;
        let bar = progress();
        let (mut results, mut files, mut bytes, mut rows) = (0_u64, 0_u64, 0, Vec::new());
        while let Some(item) = verified.next().await {
            let item = item?;
            match item.path.is_none() {
                true => results += 1,
                false => files += 1,
            }
            bytes += item.size;
            bar.set_message(format!("{files} files, {}", words::size(bytes)));
            bar.tick();
            if let Some(fault) = item.fault.clone() {
                rows.push(row(item, fault)?);
            }
        }
        bar.finish_and_clear();
        if results == 0 {
            let what = format!("{} has no published results", self.target);
            return Err(Error::NotFound(what));
        }
        let damaged = rows.len();
        let columns = ["job", "path", "fault"].map(Column::always).into_iter().collect();
        View { columns, rows }.print_unless_empty(self.output.output)?;
        let told = format!("{results} results, {files} files, {}", words::size(bytes));
        match damaged {
            0 => {
                say(&format!("{told}: all as published"));
                Ok(())
            }
            damaged => Err(Error::Failed(format!("{told}: {damaged} not as published"))),
        }
    }
}

fn row(item: v1::Verified, fault: String) -> Result<Row, Error> {
    let path = item.path.as_deref().unwrap_or("result.json");
    Ok(Row {
        json: Json::of(&Damage {
            job: item.job,
            path: path.to_owned(),
            document: item.path.is_none(),
            fault: fault.clone(),
        })?,
        cells: vec![Cell::number(item.job), Cell::text(path), Cell::text(fault)],
        name: format!("{}/{path}", item.job),
    })
}

fn progress() -> ProgressBar {
    if !terminal::is_stderr() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {msg}");
    ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}
