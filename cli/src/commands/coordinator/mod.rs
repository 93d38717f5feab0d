//! `btctl coordinator`: the server that keeps the queue.

mod init;

use bt_coordinator::Auth;
use init::Init;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::logging::{self, LogFormat};
use crate::measures;
use crate::output::say;
use crate::signals::Signals;
use crate::up::exposure_warning;

const EXAMPLES: &str = "\
Examples:
  btctl coordinator init --tls-dir /etc/btctl/tls
  BTCTL_DATABASE_URL=postgres://btctl@db/btctl btctl coordinator --listen 10.0.0.5:7600 --store /srv/results \
      --tls-dir /etc/btctl/tls --auth tokens --admin-token-file /etc/btctl/admin.token";

/// Run a coordinator: it keeps the queue in Postgres and hands jobs to agents.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Coordinator {
    #[command(subcommand)]
    command: Option<CoordinatorCommand>,
    #[command(flatten)]
    server: Option<Server>,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum CoordinatorCommand {
    Init(Init),
}

#[derive(Clone, Debug, clap::Args)]
struct Server {
    #[command(flatten)]
    options: bt_coordinator::Options,
    #[command(flatten)]
    log: LogFormat,
}

impl Coordinator {
    pub(crate) async fn run(self) -> Result<(), Error> {
        match (self.command, self.server) {
            (Some(CoordinatorCommand::Init(init)), _) => init.run(),
            (None, Some(server)) => server.run().await,
            (None, None) => Err(Error::Usage("--database-url and --store are needed".to_owned())),
        }
    }
}

impl Server {
    async fn run(self) -> Result<(), Error> {
        let _log = logging::start(&self.log)?;
        measures::record();
        let bt_coordinator::Options { listen, asking, tls, .. } = &self.options;
        asking.check(*listen, tls).map_err(Error::Usage)?;
        let is_open = asking.is_insecure(*listen, tls) && asking.auth == Auth::None;
        let mut signals = Signals::listen()?;
        let shutdown = CancellationToken::new();
        let (ready, mut is_ready) = oneshot::channel();
        let serving = bt_coordinator::run(self.options, logging::CONTROL, ready, shutdown.clone());
        tokio::pin!(serving);
        loop {
            tokio::select! {
                served = &mut serving => return Ok(served?),
                () = signals.next() => break shutdown.cancel(),
                address = &mut is_ready, if !is_ready.is_terminated() => {
                    if let Some(warning) = address.ok().filter(|_| is_open).and_then(exposure_warning) {
                        say(&warning);
                    }
                }
            }
        }
        tokio::select! {
            served = serving => Ok(served?),
            () = signals.next() => Err(Error::Interrupted),
        }
    }
}
