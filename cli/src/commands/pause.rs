//! `btctl pause` and `btctl resume`: holding a sweep up, and letting it go on.

use crate::batch::BatchOutcome;
use crate::client::Client;
use crate::error::Error;
use crate::output::say;
use crate::settings::Settings;
use crate::target::resolve_to_change;

/// Start no more jobs of these sweeps; running jobs continue.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  btctl pause sma-cross")]
pub(crate) struct Pause {
    #[arg(required = true, value_name = "SWEEP")]
    sweeps: Vec<String>,
}

/// Start jobs of these paused sweeps again, even if a failed canary paused them.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  btctl resume sma-cross")]
pub(crate) struct Resume {
    #[arg(required = true, value_name = "SWEEP")]
    sweeps: Vec<String>,
}

impl Pause {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        let mut batch = BatchOutcome::of_named(self.sweeps.len());
        for sweep in self.sweeps {
            let outcome = match resolve_to_change(&client, &sweep).await {
                Ok(found) => client.pause(&found.id).await,
                Err(error) => Err(error),
            };
            match batch.note(&sweep, outcome)? {
                Some(true) => say(&format!("{sweep}: paused; btctl resume {sweep} lets it go on")),
                Some(false) => say(&format!("{sweep}: it was paused before, or has finished")),
                None => {}
            }
        }
        batch.finish()
    }
}

impl Resume {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        let mut batch = BatchOutcome::of_named(self.sweeps.len());
        for sweep in self.sweeps {
            let outcome = match resolve_to_change(&client, &sweep).await {
                Ok(found) => client.resume(&found.id).await,
                Err(error) => Err(error),
            };
            match batch.note(&sweep, outcome)? {
                Some(true) => say(&format!("{sweep}: it goes on")),
                Some(false) => say(&format!("{sweep}: it was not paused")),
                None => {}
            }
        }
        batch.finish()
    }
}
