//! `btctl rm`: removes finished sweeps and their results.

use bt_proto::v1;

use crate::batch::BatchOutcome;
use crate::client::Client;
use crate::error::Error;
use crate::output::{confirm, say, words};
use crate::settings::Settings;
use crate::target::{self, resolve_to_change};

const EXAMPLES: &str = "\
Examples:
  btctl rm sma-cross --dry-run
  btctl rm sma-cross --yes
  btctl ls --all --owner ann --state failed -o name | xargs btctl rm --yes
A sweep that has not finished is refused (btctl cancel stops it), and so is a sweep whose results other sweeps took with \
--reuse. Its files are removed from the store at once; if that is interrupted, the coordinator's next collection \
removes the rest.";

/// Remove finished sweeps: their jobs, metrics, logs and results.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Rm {
    #[arg(required = true, value_name = "SWEEP", value_parser = target::sweep)]
    sweeps: Vec<String>,
    /// Only print what would be removed.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
}

impl Rm {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        let mut batch = BatchOutcome::of_named(self.sweeps.len());
        let mut found = Vec::new();
        for name in &self.sweeps {
            if let Some(sweep) = batch.note(name, resolve_to_change(&client, name).await)? {
                found.push(sweep);
            }
        }
        let named: Vec<_> = found.iter().map(|sweep| format!("{} ({})", sweep.name, sweep.id)).collect();
        if !self.dry_run && !self.yes && !found.is_empty() {
            confirm(&format!("remove {} for good", named.join(", ")))?;
        }
        let would = if self.dry_run { "would be removed" } else { "removed" };
        for (sweep, name) in found.into_iter().zip(named) {
            let request = v1::RemoveSweepRequest { sweep: sweep.id, dry_run: self.dry_run };
            let Some(removed) = batch.note(&name, client.remove_sweep(request).await)? else { continue };
            let (jobs, size) = (sweep.jobs, words::size(removed.bytes));
            say(&format!("{name}: {would}, with {jobs} jobs and {} files of results, {size}", removed.files));
        }
        batch.finish()
    }
}
