//! `btctl coordinator`: the server that keeps the queue.

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::logging::{self, LogFormat};
use crate::signals::Signals;

const EXAMPLES: &str = "\
Example:
  BTCTL_DATABASE_URL=postgres://btctl@db/btctl btctl coordinator --listen 10.0.0.5:7600 --store /srv/results";

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
        logging::start(&self.log);
        let mut signals = Signals::listen()?;
        let shutdown = CancellationToken::new();
        let (ready, _) = oneshot::channel();
        let serving = bt_coordinator::run(self.options, ready, shutdown.clone());
        tokio::pin!(serving);
        tokio::select! {
            served = &mut serving => return Ok(served?),
            () = signals.next() => shutdown.cancel(),
        }
        tokio::select! {
            served = serving => Ok(served?),
            () = signals.next() => Err(Error::Interrupted),
        }
    }
}
