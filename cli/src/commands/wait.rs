//! `btctl wait`: waits for the end of sweeps that were submitted before.

use std::time::Duration;

use crate::batch::BatchOutcome;
use crate::client::Client;
use crate::error::Error;
use crate::output::Channel;
use crate::progress;
use crate::settings::Settings;
use crate::target;

const EXAMPLES: &str = "\
Examples:
  btctl wait sma-cross
  btctl wait sma-cross momentum --timeout 2h && btctl top sma-cross --by sharpe
Exit code: 0 if all jobs of all sweeps succeeded or were pruned; 1 if one failed or was cancelled, or at the timeout; 130 after Ctrl-C. \
The sweeps continue in any case.";

/// Show the progress of sweeps until all of their jobs have finished, one after another, as `submit --wait` does.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Wait {
    #[arg(required = true, value_name = "SWEEP", value_parser = target::sweep)]
    sweeps: Vec<String>,
    /// Give up after this time.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
}

impl Wait {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let Some(timeout) = self.timeout else { return self.wait(settings).await };
        tokio::time::timeout(timeout, self.wait(settings)).await.unwrap_or_else(|_| {
            let what = self.sweeps.join(", ");
            let timeout = humantime::format_duration(timeout);
            Err(Error::Failed(format!("not finished within {timeout}: {what}; the jobs go on")))
        })
    }

    async fn wait(&self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        let mut batch = BatchOutcome::of_named(self.sweeps.len());
        // Names are resolved first: a newer sweep may take one while another is waited for.
        let mut found = Vec::new();
        for name in &self.sweeps {
            if let Some(sweep) = batch.note(name, client.resolve(name).await)? {
                found.push(sweep);
            }
        }
        let mut has_failed = false;
        for sweep in found {
            match progress::watch(&client, &sweep.id, &sweep.name, Channel::Stderr).await {
                // It was summarised already.
                Err(Error::SweepFailed) => has_failed = true,
                waited => {
                    batch.note(&sweep.name, waited)?;
                }
            }
        }
        batch.finish()?;
        if has_failed { Err(Error::SweepFailed) } else { Ok(()) }
    }
}
