//! What running jobs say of how far they are. All that agents pass on arrives here, a moment of it is gathered, and it is
//! written in one statement. It waits for no commit and nobody is told: what gets lost is said again, or overtaken.

use std::collections::HashMap;
use std::time::Duration;

use bt_model::id::AgentId;
use bt_model::progress::Progress;
use bt_proto::v1;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use crate::queue::{Queue, Said};

/// What may wait to be written; more is dropped.
const WAITING: usize = 16_384;
/// What is written together.
const BATCH: usize = 4_096;
/// How long what comes first waits for more.
const GATHER: Duration = Duration::from_millis(500);
/// How often, and of which age, what attempts said is forgotten that have ended.
const FORGET_EVERY: Duration = Duration::from_secs(3600);
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Where it is handed in. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Hearing {
    said: mpsc::Sender<Said>,
}

/// The other end: writes until nobody hands in any more.
#[derive(Debug)]
pub(crate) struct Writer {
    said: mpsc::Receiver<Said>,
    queue: Queue,
}

pub(crate) fn open(queue: Queue) -> (Hearing, Writer) {
    let (sender, said) = mpsc::channel(WAITING);
    (Hearing { said: sender }, Writer { said, queue })
}

impl Hearing {
    /// Hands in what an agent passes on. What can't be read, or finds no room, is left out.
    pub(crate) fn hear(&self, agent: AgentId, session: u64, jobs: v1::JobsProgress) {
        for v1::AttemptProgress { attempt, progress } in jobs.attempts {
            let (Ok(attempt), Some(progress)) = (attempt.parse(), progress.and_then(read)) else {
                debug!(agent.id = %agent, attempt, "what an attempt says can't be read");
                continue;
            };
            if self.said.try_send(Said { agent, session, attempt, progress }).is_err() {
                debug!(agent.id = %agent, "no more is taken in of what attempts say");
                return;
            }
        }
    }
}

/// Within the bounds that hold for all, whatever the agent has made of them.
fn read(said: v1::JobProgress) -> Option<Progress> {
    let v1::JobProgress { fraction, done, of, note, metrics, at: _ } = said;
    let read = Progress::from_parts(fraction, done, of).ok()?;
    Some(Progress { note, metrics: metrics.into_iter().collect(), ..read }.bounded())
}

impl Writer {
    pub(crate) async fn run(mut self) {
        let mut said = Vec::with_capacity(BATCH);
        let mut forget = Instant::now();
        while let Some(first) = self.said.recv().await {
            sleep(GATHER).await;
            said.push(first);
            while let Ok(more) = self.said.try_recv() {
                said.push(more);
                if said.len() >= BATCH {
                    break;
                }
            }
            self.write(latest(said.drain(..))).await;
            if forget <= Instant::now() {
                forget = Instant::now() + FORGET_EVERY;
                if let Err(error) = self.queue.forget_progress(FORGET_AFTER).await {
                    warn!(error = %error, "what attempts said that have ended is forgotten later");
                }
            }
        }
    }

    /// Writes what attempts said; whoever acts on it does so here, on what Postgres has taken.
    async fn write(&self, said: Vec<Said>) {
        match self.queue.note_progress(&said).await {
            Ok(news) => debug!(said = said.len(), news = news.len(), "attempts say how far they are"),
            Err(error) => warn!(error = %error, "what running jobs say of how far they are is lost"),
        }
    }
}

/// The last that each attempt said in each session.
fn latest(said: impl Iterator<Item = Said>) -> Vec<Said> {
    let by_attempt = said.map(|said| ((said.attempt, said.agent, said.session), said));
    by_attempt.collect::<HashMap<_, _>>().into_values().collect()
}
