//! `btctl agent`: the server that runs containers on one machine.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use bt_agent::{EngineKind, Place, Shutdown, StoreChoice};
use bt_model::address::{self, Scheme};
use bt_proto::bearer;
use tokio::task::JoinSet;

use super::umask::FileModes;
use crate::error::Error;
use crate::files;
use crate::logging::{self, LogFormat};
use crate::measures;
use crate::settings::Settings;
use crate::signals::Signals;
use crate::state_dir::UpDir;

const EXAMPLES: &str = "\
Examples:
  btctl agent --coordinator http://10.0.0.5:7600 --volume prices=/srv/prices:ro --label pool=spot
  btctl agent --join btctl.example:7600 --token-file /etc/btctl/join.token --ca-pin sha256:...

After a first SIGTERM or Ctrl-C, running jobs have the drain timeout to finish, and are then handed back; a second one \
hands them back at once. SIGUSR1 upgrades the agent: it restarts as the program that is installed now, and keeps its \
containers.";

/// Run an agent: it takes jobs from the coordinator and runs them in containers on this machine.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Agent {
    #[command(flatten)]
    options: bt_agent::Options,
    /// Join the cluster of this coordinator, e.g. btctl.example:7600: the agent trades a token (--token-file), once, for a
    /// certificate of its own, which it renews by itself. Needs --ca-pin, and takes the place of --coordinator. Several
    /// addresses, separated by commas, are tried in turn.
    #[arg(long, env = "BTCTL_AGENT_JOIN", value_name = "HOST:PORT")]
    join: Option<String>,
    /// Directory for the agent's id, logs, and outputs that are not published yet [default:
    /// $XDG_STATE_HOME/btctl/agent, as root /var/lib/btctl/agent].
    #[arg(long, env = "BTCTL_AGENT_STATE_DIR", value_name = "DIR", value_parser = files::directory)]
    state_dir: Option<PathBuf>,
    /// How outputs get into the store: `auto` (the agent writes them itself if it reaches the store at the
    /// coordinator's address, else through the coordinator), `relay` (through the coordinator), or the store's address
    /// on this machine, e.g. a mount at another path.
    #[arg(long, env = "BTCTL_AGENT_STORE", default_value = "auto", value_name = "auto|relay|DIR|URL")]
    store: StoreChoice,
    /// So many agents in one process, each with a directory and a name of its own; only with the simulated engine.
    #[arg(long, hide = true, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
    /// Address to serve Prometheus's metrics on, e.g. 127.0.0.1:7601: those of all agents of this process, at /metrics. If
    /// not given, the agent listens on no port.
    #[arg(long, env = "BTCTL_AGENT_METRICS_ADDRESS", value_name = "ADDR:PORT")]
    metrics_address: Option<SocketAddr>,
    #[command(flatten)]
    modes: FileModes,
    #[command(flatten)]
    log: LogFormat,
}

impl Agent {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let _log = logging::start(&self.log)?;
        self.modes.apply();
        let mut signals = Signals::listen()?;
        // What stands there later may be a newer one.
        let program = std::env::current_exe()
            .map_err(|error| Error::Failed(format!("this program can't be found: {error}")))?;
        let state_dir = match self.state_dir {
            Some(dir) => dir,
            None => UpDir::new(UpDir::default_dir()?).agent_dir(),
        };
        if self.count > 1 && self.options.engine != EngineKind::Simulated {
            return Err(Error::Usage("--count is for the simulated engine only".to_owned()));
        }
        let coordinators = match &self.join {
            Some(addresses) => to_join(addresses, settings)?,
            None => {
                // What is wrong with it is said at once; later it is read again for each connection.
                settings.token().read().map_err(Error::Usage)?;
                settings.coordinators()?
            }
        };
        warn_of_clear_text(&coordinators, settings);
        let mut beside = JoinSet::new();
        if let Some(address) = self.metrics_address {
            measures::serve(address, &mut beside).await?;
        }
        let shutdown = Shutdown::default();
        let mut agents = JoinSet::new();
        for number in 1..=self.count {
            let mut options = self.options.clone();
            let mut place = Place {
                coordinators: coordinators.clone(),
                trust: settings.trust()?,
                token: settings.token(),
                joins: self.join.is_some(),
                state_dir: state_dir.clone(),
                store: self.store.clone(),
            };
            if self.count > 1 {
                options.name = Some(format!("{}-{number}", options.name.as_deref().unwrap_or("simulated")));
                place.state_dir.push(number.to_string());
            }
            agents.spawn(bt_agent::run(options, place, shutdown.clone()));
        }
        let working = async {
            while let Some(worked) = agents.join_next().await {
                worked.map_err(|error| Error::Failed(format!("an agent broke down: {error}")))??;
            }
            Ok(())
        };
        tokio::pin!(working);
        let mut upgrades = Signals::listen()?;
        loop {
            tokio::select! {
                worked = &mut working => return worked,
                () = signals.next() => match shutdown.drain.is_cancelled() {
                    false => shutdown.drain.cancel(),
                    true => shutdown.now.cancel(),
                },
                () = upgrades.upgrade() => become_the_installed_program(&program),
            }
        }
    }
}

/// The coordinators to join, whose certificate must be known beforehand.
fn to_join(addresses: &str, settings: &Settings) -> Result<Vec<String>, Error> {
    let coordinators = address::coordinators(addresses, Scheme::Https)
        .map_err(|error| Error::Usage(format!("--join: {error}")))?;
    if let Some(plain) = coordinators.iter().find(|address| address.starts_with("http://")) {
        return Err(Error::Usage(format!("--join {plain}: an agent joins by TLS alone; write HOST:PORT")));
    }
    match settings.trust()?.pin {
        Some(_) => Ok(coordinators),
        None => Err(Error::Usage(
            "--join needs the pin of the coordinator's authority: give --ca-pin sha256:..., as `btctl coordinator init` \
             prints it"
                .to_owned(),
        )),
    }
}

/// Says so where the token can be read on its way.
fn warn_of_clear_text(coordinators: &[String], settings: &Settings) {
    let in_clear = bearer::in_clear(coordinators);
    if settings.token().is_some() && !in_clear.is_empty() {
        tracing::warn!(
            "the token is sent without encryption to {}: whoever is on the way can read and use it",
            in_clear.join(", ")
        );
    }
}

/// Goes on as the program that is installed now, in the same process: containers run on, and the new program takes them
/// back as after any restart. Returns only if there is no such program; then the old one goes on.
fn become_the_installed_program(program: &Path) {
    tracing::info!("going on as {}", program.display());
    bt_traces::flush();
    let error = std::process::Command::new(program).args(std::env::args_os().skip(1)).exec();
    tracing::error!(error = %error, "{} can't be run; this program goes on", program.display());
}
