//! Hears what other coordinators and clients did. Notifications are hints that make things faster: whoever misses one
//! finds out by polling, or with the next heartbeat.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Health;
use crate::bell::{Bell, Event};
use crate::queue::{self, Heard, Queue};
use crate::sessions::Sessions;

/// The wait before a lost connection is made again.
const AGAIN: Duration = Duration::from_secs(2);

pub(crate) struct Listener {
    pub(crate) queue: Queue,
    pub(crate) sessions: Sessions,
    pub(crate) bell: Bell,
}

impl Listener {
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut health = Health::new("listening for notifications");
        while !shutdown.is_cancelled() {
            let result = tokio::select! {
                () = shutdown.cancelled() => return,
                result = self.listen() => result,
            };
            health.note(result);
            if timeout(AGAIN, shutdown.cancelled()).await.is_ok() {
                return;
            }
        }
    }

    async fn listen(&self) -> Result<(), queue::Error> {
        let mut notifications = self.queue.listen().await?;
        self.bell.ring(Event::ListeningBegan);
        self.stop_taken().await?;
        loop {
            match notifications.next().await? {
                Heard::Ready => self.bell.ring(Event::HeardReady),
                Heard::Taken => {
                    self.stop_taken().await?;
                    self.bell.ring(Event::HeardTaken);
                }
            }
        }
    }

    /// Tells the agents that are connected here which of their attempts are not theirs any more.
    async fn stop_taken(&self) -> Result<(), queue::Error> {
        for (agent, held) in self.sessions.held() {
            if held.is_empty() {
                continue;
            }
            for attempt in self.queue.taken_away(agent, &held).await? {
                self.sessions.take_away(agent, attempt);
            }
        }
        Ok(())
    }
}
