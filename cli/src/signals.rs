//! The wish to end: SIGINT (Ctrl-C), SIGTERM, and SIGHUP when a terminal closes. To be replaced: SIGUSR1. To
//! say more, or less again: SIGUSR2.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::Error;

pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    user: Signal,
}

impl Signals {
    pub(crate) fn listen() -> Result<Self, Error> {
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
            user: listen(SignalKind::user_defined1())?,
        })
    }

    /// Waits for SIGUSR1: the wish to go on as the program that is installed now.
    pub(crate) async fn upgrade(&mut self) {
        self.user.recv().await;
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

/// Waits for SIGUSR2.
pub(crate) struct Details(Signal);

impl Details {
    pub(crate) fn listen() -> Result<Self, Error> {
        listen(SignalKind::user_defined2()).map(Self)
    }

    pub(crate) async fn next(&mut self) {
        self.0.recv().await;
    }
}

fn listen(kind: SignalKind) -> Result<Signal, Error> {
    signal(kind).map_err(|error| Error::Failed(format!("signals can't be listened for: {error}")))
}
