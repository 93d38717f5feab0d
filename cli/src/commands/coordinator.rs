//! `btctl coordinator`: the server that keeps the queue.

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::logging::{self, LogFormat};
use crate::measures;
use crate::output::say;
use crate::signals::Signals;
use crate::up::exposure_warning;

const EXAMPLES: &str = "\
Example:
  export BTCTL_DATABASE_URL=postgres://btctl@db/btctl
  btctl coordinator --listen 10.0.0.5:7600 --store /srv/results --auth tokens --admin-token-file /etc/btctl/admin.token";

/// Run a coordinator: it keeps the queue in Postgres and hands jobs to agents.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Coordinator {
    #[command(flatten)]
    options: bt_coordinator::Options,
    #[command(flatten)]
    log: LogFormat,
}

impl Coordinator {
    pub(crate) async fn run(self) -> Result<(), Error> {
        let _log = logging::start(&self.log)?;
        measures::record();
        self.options.asking.check(self.options.listen).map_err(Error::Usage)?;
        let is_insecure = self.options.asking.is_insecure(self.options.listen);
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
                    if let Some(warning) = address.ok().filter(|_| is_insecure).and_then(exposure_warning) {
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
