//! `btctl cancel`: stops sweeps or jobs for good.

use bt_proto::v1;

use crate::batch::BatchOutcome;
use crate::client::Client;
use crate::error::Error;
use crate::output::{confirm, say};
use crate::settings::Settings;
use crate::target::{Target, resolve_to_change};

const EXAMPLES: &str = "\
Examples:
  btctl cancel sma-cross
  btctl cancel sma-cross/3 sma-cross/4
  btctl cancel --all                  # every sweep of yours that has not finished; asks first
  btctl cancel --all --owner ann --yes";

/// Cancel sweeps or jobs: queued jobs do not start, and running ones are stopped.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Cancel {
    #[arg(required_unless_present = "all", value_name = "SWEEP[/JOB]")]
    targets: Vec<Target>,
    /// Cancel all of your sweeps that have not finished.
    #[arg(long, conflicts_with = "targets")]
    all: bool,
    /// With --all: the sweeps of this owner instead of yours.
    #[arg(long, requires = "all", value_name = "OWNER")]
    owner: Option<String>,
    /// With --all: do not ask.
    #[arg(short, long, requires = "all")]
    yes: bool,
}

impl Cancel {
    pub(crate) async fn run(mut self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        if self.all {
            self.targets = self.unfinished(&client, settings).await?;
        }
        let mut batch = BatchOutcome::of_named(self.targets.len());
        for target in self.targets {
            let Some(sweep) =
                batch.note(&target.to_string(), resolve_to_change(&client, &target.sweep).await)?
            else {
                continue;
            };
            let request = v1::CancelRequest { sweep: sweep.id, jobs: target.job.into_iter().collect() };
            let outcome = client.cancel(request).await;
            let Some(v1::CancelReply { cancelled, stopping, ended }) =
                batch.note(&target.to_string(), outcome)?
            else {
                continue;
            };
            let mut told = format!("{target}: {cancelled} cancelled");
            if stopping > 0 {
                told += &format!(", {stopping} of them being stopped");
            }
            if ended > 0 {
                told += &format!("; {ended} had finished before");
            }
            say(&told);
        }
        batch.finish()
    }

    /// The sweeps that --all means, once the user has agreed.
    async fn unfinished(&self, client: &Client, settings: &Settings) -> Result<Vec<Target>, Error> {
        let owner = self.owner.clone().unwrap_or_else(|| settings.owner.value.clone());
        let request = v1::ListSweepsRequest {
            owner: Some(owner.clone()),
            limit: Some(u32::MAX),
            ..v1::ListSweepsRequest::default()
        };
        let sweeps = client.sweeps(request).await?.sweeps;
        if sweeps.is_empty() {
            say(&format!("no sweep of {owner} is queued or running"));
        } else if !self.yes {
            let names: Vec<_> = sweeps.iter().map(|sweep| format!("{} ({})", sweep.name, sweep.id)).collect();
            confirm(&format!("cancel {} sweeps of {owner}: {}", sweeps.len(), names.join(", ")))?;
        }
        Ok(sweeps.into_iter().map(|sweep| Target { sweep: sweep.id, job: None }).collect())
    }
}
