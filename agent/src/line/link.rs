//! The line to a coordinator, as the rest of the agent sees it: is there a connection, and when was it last heard from.

use std::time::Duration;

use bt_measures::AGENT_CONNECTED;
use bt_proto::bearer::Line;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// A connection that a session is open on.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) channel: Line,
    pub(crate) session: u64,
}

/// The line to a coordinator.
#[derive(Debug)]
pub(crate) struct Link {
    connection: watch::Sender<Option<Connection>>,
    /// When the heartbeat was sent that a coordinator acknowledged last: all leases were renewed after that.
    renewed: watch::Sender<Instant>,
    lease: watch::Sender<Duration>,
}

impl Link {
    /// A line that is not connected yet.
    pub(crate) fn new() -> Self {
        Self {
            connection: watch::Sender::new(None),
            renewed: watch::Sender::new(Instant::now()),
            lease: watch::Sender::new(Duration::from_secs(60)),
        }
    }

    pub(crate) fn up(&self, connection: Connection, lease: Duration) {
        self.lease.send_replace(lease);
        if self.connection.send_replace(Some(connection)).is_none() {
            AGENT_CONNECTED.change([], 1.0);
        }
    }

    /// True if it was up.
    pub(crate) fn down(&self) -> bool {
        let was_up = self.connection.send_replace(None).is_some();
        if was_up {
            AGENT_CONNECTED.change([], -1.0);
        }
        was_up
    }

    pub(crate) fn renewed(&self, sent: Instant) {
        self.renewed.send_replace(sent);
    }

    /// How long a lease holds after its renewal.
    pub(crate) fn lease(&self) -> Duration {
        *self.lease.borrow()
    }

    /// Waits until there is a connection.
    pub(crate) async fn connection(&self) -> Connection {
        let mut changes = self.connection.subscribe();
        loop {
            if let Some(connection) = changes.borrow_and_update().clone() {
                return connection;
            }
            if changes.changed().await.is_err() {
                unreachable!("the sender is held by self");
            }
        }
    }

    /// Waits until no renewal was acknowledged for `limit`.
    pub(crate) async fn silent(&self, limit: Duration) {
        loop {
            let until = *self.renewed.borrow() + limit;
            if Instant::now() >= until {
                return;
            }
            sleep_until(until).await;
        }
    }
}
