//! Hears what other coordinators and clients did. Notifications are hints that make things faster: whoever misses one
//! finds out by polling, or with the next heartbeat.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Health;
use crate::queue::{self, Heard};
use crate::services::Services;

/// The wait before a lost connection is made again.
const AGAIN: Duration = Duration::from_secs(2);

pub(crate) struct Listener {
    pub(crate) services: Services,
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
        let mut notifications = self.services.queue.listen().await?;
        // What was said while nobody listened.
        self.services.work.notify_one();
        self.stop_taken().await?;
        loop {
            match notifications.next().await? {
                Heard::Ready => {
                    self.services.work.notify_one();
                    self.services.reuse.wake();
                }
                Heard::Taken => {
                    self.stop_taken().await?;
                    self.services.work.notify_one();
                    self.services.reuse.ended();
                }
            }
        }
    }

    /// Tells the agents that are connected here which of their attempts are not theirs any more.
    async fn stop_taken(&self) -> Result<(), queue::Error> {
        for (agent, held) in self.services.sessions.held() {
            if held.is_empty() {
                continue;
            }
            for attempt in self.services.queue.taken_away(agent, &held).await? {
                self.services.stop(agent, attempt);
            }
        }
        Ok(())
    }
}
