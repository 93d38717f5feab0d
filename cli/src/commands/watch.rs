//! `btctl watch`: a sweep, live, until its end.

use crate::client::Client;
use crate::error::Error;
use crate::output::Channel;
use crate::progress;
use crate::settings::Settings;
use crate::target;

const HELP: &str = "\
Examples:
  btctl watch sma-cross
  btctl watch sma-cross && btctl top sma-cross --by sharpe
Ctrl-C ends the watching; the sweep goes on. If the coordinator goes away, it is waited for.
Exit code: 0 if all jobs succeeded; 1 if one failed or was cancelled; 130 after Ctrl-C.";

/// Watch a sweep until all of its jobs have finished: progress, speed, running jobs, failures, the best job so far.
///
/// On a terminal it is redrawn in place; elsewhere a line is printed when something has changed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Watch {
    #[arg(value_name = "SWEEP", value_parser = target::sweep)]
    sweep: String,
}

impl Watch {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        let found = client.resolve(&self.sweep).await?;
        progress::watch(&client, &found.id, &found.name, Channel::Stdout).await
    }
}
