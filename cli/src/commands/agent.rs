//! `btctl agent`: the server that runs containers on one machine.

use std::path::PathBuf;

use bt_agent::{Place, Shutdown};

use crate::error::Error;
use crate::logging::{self, LogFormat};
use crate::settings::Settings;
use crate::signals::Signals;
use crate::up;

const EXAMPLES: &str = "\
Example:
  btctl agent --coordinator http://10.0.0.5:7600 --volume prices=/srv/prices:ro --label pool=spot

A first SIGTERM or Ctrl-C lets running jobs finish for the drain timeout, then hands them back; a second hands them
back at once.";

/// Run an agent: it takes jobs from the coordinator and runs them in containers on this machine.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Agent {
    #[command(flatten)]
    options: bt_agent::Options,
    /// Directory of the agent's id, logs, and outputs that are not published yet [default:
    /// $XDG_STATE_HOME/btctl/agent, as root /var/lib/btctl/agent].
    #[arg(long, env = "BTCTL_AGENT_STATE_DIR", value_name = "DIR")]
    state_dir: Option<PathBuf>,
    #[command(flatten)]
    log: LogFormat,
}

impl Agent {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        logging::start(&self.log);
        let mut signals = Signals::listen()?;
        let state_dir = match self.state_dir {
            Some(dir) => dir,
            None => up::Place::new(up::Place::default_dir()?).agent_dir(),
        };
        let place = Place { coordinators: settings.coordinators(), state_dir };
        let shutdown = Shutdown::default();
        let working = bt_agent::run(self.options, place, shutdown.clone());
        tokio::pin!(working);
        loop {
            tokio::select! {
                worked = &mut working => return Ok(worked?),
                () = signals.next() => match shutdown.drain.is_cancelled() {
                    false => shutdown.drain.cancel(),
                    true => shutdown.now.cancel(),
                },
            }
        }
    }
}
