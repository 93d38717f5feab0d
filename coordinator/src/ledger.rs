//! Group commit: what all agents report goes through here, many reports per transaction. A report is answered when its
//! transaction has committed; while one commits, the next fills.

use std::sync::Arc;
use std::time::Duration;

use bt_model::retry::Ending;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::warn;

use crate::bell::{Bell, Event};
use crate::queue::{self, News, Queue, Recorded, Report};
use crate::sessions::Sessions;

/// Reports that may wait; who has more to say waits himself.
const WAITING: usize = 8_192;
/// Reports of one transaction.
const BATCH: usize = 2_000;
/// How long reports are written one by one where they can't be written together; those left are sent again.
const ONE_BY_ONE: Duration = Duration::from_secs(15);

/// What became of a report; an error is everybody's whose report was in that transaction.
pub(crate) type Answer = Result<Recorded, Arc<queue::Error>>;

/// Where reports are handed in. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    entries: mpsc::Sender<Entry>,
}

#[derive(Debug)]
struct Entry {
    report: Report,
    answer: oneshot::Sender<Answer>,
}

/// The other end: writes reports down until nobody hands in any more.
#[derive(Debug)]
pub(crate) struct Writer {
    entries: mpsc::Receiver<Entry>,
    queue: Queue,
    sessions: Sessions,
    bell: Bell,
}

pub(crate) fn open(queue: Queue, sessions: Sessions, bell: Bell) -> (Ledger, Writer) {
    let (sender, entries) = mpsc::channel(WAITING);
    (Ledger { entries: sender }, Writer { entries, queue, sessions, bell })
}

impl Ledger {
    /// Hands a report in; the answer comes after the commit. None if the coordinator stops.
    pub(crate) async fn post(&self, report: Report) -> Option<oneshot::Receiver<Answer>> {
        let (answer, receiver) = oneshot::channel();
        self.entries.send(Entry { report, answer }).await.ok()?;
        Some(receiver)
    }
}

impl Writer {
    pub(crate) async fn run(mut self) {
        let mut entries = Vec::with_capacity(BATCH);
        while self.entries.recv_many(&mut entries, BATCH).await > 0 {
            let (reports, answers): (Vec<_>, Vec<_>) =
                entries.drain(..).map(|entry: Entry| (entry.report, entry.answer)).unzip();
            match self.queue.record(&reports).await {
                Ok(recorded) => self.done(&reports, answers, &recorded),
                // One report that Postgres refuses, or whose agent or sweep somebody else holds, must not hold up the
                // others.
                Err(error) if error.is_one_items() && reports.len() > 1 => {
                    warn!(error = %error, "reports are written one by one");
                    let deadline = Instant::now() + ONE_BY_ONE;
                    let error = Arc::new(error);
                    for (report, answer) in reports.into_iter().zip(answers) {
                        if Instant::now() > deadline {
                            drop(answer.send(Err(error.clone())));
                            continue;
                        }
                        let report = [report];
                        match self.queue.record(&report).await {
                            Ok(recorded) => self.done(&report, vec![answer], &recorded),
                            Err(error) => drop(answer.send(Err(Arc::new(error)))),
                        }
                    }
                }
                Err(error) => {
                    let error = Arc::new(error);
                    for answer in answers {
                        // An agent that has gone will say hello again.
                        drop(answer.send(Err(error.clone())));
                    }
                }
            }
        }
    }

    fn done(&self, reports: &[Report], answers: Vec<oneshot::Sender<Answer>>, recorded: &[Recorded]) {
        let (mut ended, mut published) = (false, false);
        for (report, recorded) in reports.iter().zip(recorded) {
            if let (News::Ended { ending, .. }, Recorded::Done(_)) = (&report.news, recorded) {
                self.sessions.stopped(report.agent, report.attempt);
                ended = true;
                published |= *ending == Ending::Published;
            }
        }
        for (answer, recorded) in answers.into_iter().zip(recorded) {
            drop(answer.send(Ok(*recorded)));
        }
        if ended {
            self.bell.ring(Event::AttemptsEnded { published });
        }
    }
}
