//! The wish to end: SIGINT (Ctrl-C), SIGTERM, and SIGHUP when a terminal closes. And to be replaced: SIGUSR1.

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
        let listen = |kind| {
            signal(kind).map_err(|error| Error::Failed(format!("signals can't be listened for: {error}")))
        };
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
