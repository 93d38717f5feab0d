//! `btctl coordinator`: the server that keeps the queue.

mod init;

use bt_coordinator::Auth;
use clap::ArgMatches;
use init::Init;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::umask::FileModes;
use crate::error::Error;
use crate::exposed;
use crate::logging::{self, LogFormat};
use crate::measures;
use crate::output::{OutputArgs, print_findings, say, worst};
use crate::signals::Signals;

const EXAMPLES: &str = "\
Examples:
  btctl coordinator init --tls-dir /etc/btctl/tls
  BTCTL_DATABASE_URL=postgres://btctl@db/btctl btctl coordinator --listen 10.0.0.5:7600 --store /srv/results \
      --tls-dir /etc/btctl/tls --auth tokens --admin-token-file /etc/btctl/admin.token
  btctl coordinator --check-config ...   # with the same flags and variables";

/// Run a coordinator, or make its certificate.
#[derive(Clone, Debug)]
pub(crate) enum Coordinator {
    Serve(Box<Server>),
    Init(Init),
}

/// Run a coordinator: it keeps the queue in Postgres and hands jobs to agents.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Server {
    #[command(flatten)]
    options: bt_coordinator::Options,
    /// Only check what a start would need: settings, files, certificates, Postgres, the store. Says what is wrong and what
    /// to do, changes nothing, and exits with 1 if a start would fail.
    #[arg(long)]
    check_config: bool,
    #[command(flatten)]
    modes: FileModes,
    #[command(flatten)]
    log: LogFormat,
    #[command(flatten)]
    output: OutputArgs,
}

// By hand: what the derived code makes of required arguments beside a subcommand is that both are needed.
impl clap::FromArgMatches for Coordinator {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        match matches.subcommand() {
            Some((_, matches)) => Init::from_arg_matches(matches).map(Self::Init),
            None => Server::from_arg_matches(matches).map(|server| Self::Serve(Box::new(server))),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for Coordinator {
    fn augment_args(command: clap::Command) -> clap::Command {
        let init = Init::augment_args(clap::Command::new("init"));
        Server::augment_args(command).subcommand(init).subcommand_negates_reqs(true)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl Coordinator {
    pub(crate) async fn run(self) -> Result<(), Error> {
        match self {
            Self::Serve(server) => server.run().await,
            Self::Init(init) => init.run(),
        }
    }
}

impl Server {
    async fn run(self) -> Result<(), Error> {
        if self.check_config {
            let found = bt_coordinator::check_config(&self.options).await;
            print_findings(&found, self.output.output)?;
            return worst(&found);
        }
        let _log = logging::start(&self.log)?;
        self.modes.apply();
        measures::record();
        let bt_coordinator::Options { listen, asking, tls, sign_in, telling, .. } = &self.options;
        asking.check(*listen, tls).map_err(Error::Usage)?;
        sign_in.check(asking, telling.public_url.as_ref()).map_err(Error::Usage)?;
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
                    if let Some(warning) = address.ok().filter(|_| is_open).and_then(exposed::warning) {
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
