//! `btctl gc`: removes from the store what no result needs.

use std::time::Duration;

use bt_documents as documents;
use bt_proto::v1;
use tokio_stream::StreamExt;

use crate::client::Client;
use crate::error::Error;
use crate::output::{Cell, Column, Json, ListArgs, Row, View, say, words};
use crate::settings::Settings;
use crate::target;

const EXAMPLES: &str = "\
Examples:
  btctl gc --dry-run                     # what would be removed, and its size
  btctl gc
  btctl gc sma-cross --older-than 1h
A coordinator also does this by itself (--gc-every, --keep-unpublished). It removes outputs of failed and lost attempts, \
and of sweeps that were kept as long as their manifest's `keep` says. It never removes other results, nor files that \
btctl did not write.";

/// Remove outputs of failed and lost attempts from the store, and results that were kept for their full time.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Gc {
    /// Only outputs of this sweep.
    #[arg(value_name = "SWEEP", value_parser = target::sweep)]
    sweep: Option<String>,
    /// Only print what would be removed.
    #[arg(long)]
    dry_run: bool,
    /// Remove outputs of attempts that finished longer ago than this [default: the coordinator's --keep-unpublished].
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    older_than: Option<Duration>,
    #[command(flatten)]
    output: ListArgs,
}

impl Gc {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let older_than_ms = self.older_than.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        let request = v1::CollectGarbageRequest { sweep: self.sweep, dry_run: self.dry_run, older_than_ms };
        let mut found = Client::connect(settings).await?.garbage(request).await?;
        let columns =
            ["sweep", "job", "attempt", "why", "files", "size"].map(Column::always).into_iter().collect();
        let (mut rows, mut files, mut bytes, mut left) = (Vec::new(), 0, 0, 0);
        while let Some(garbage) = found.next().await {
            let garbage = garbage?;
            if let Some(fault) = &garbage.fault {
                say(&format!("btctl: {}: {fault}", garbage.path()));
                left += 1;
                continue;
            }
            files += garbage.files;
            bytes += garbage.bytes;
            rows.push(row(&garbage)?);
        }
        View { columns, rows }.print_unless_empty(&self.output)?;
        let what = if self.dry_run { "would be removed" } else { "removed" };
        say(&format!("{files} files, {}, {what}", words::size(bytes)));
        match left {
            0 => Ok(()),
            _ => Err(Error::Failed(format!("{left} could not be removed, as listed above"))),
        }
    }
}

fn row(garbage: &v1::Garbage) -> Result<Row, Error> {
    Ok(Row {
        json: Json::of(&documents::Garbage {
            sweep: garbage.sweep_name.clone(),
            sweep_id: garbage.sweep.clone(),
            job: garbage.job,
            attempt: garbage.attempt,
            why: garbage.why.clone(),
            files: garbage.files,
            size: garbage.bytes,
        })?,
        cells: vec![
            Cell::text(&garbage.sweep_name),
            Cell::number(garbage.job),
            garbage.attempt.map(Cell::number).unwrap_or_default(),
            Cell::text(&garbage.why),
            Cell::number(garbage.files),
            Cell::Bytes(garbage.bytes),
        ],
        name: format!("{}/{}", garbage.sweep_name, garbage.job),
    })
}
