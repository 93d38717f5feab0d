//! Reports that no coordinator has acknowledged yet. They are kept in the order in which they were made and sent again
//! after every reconnect; sending one twice is harmless.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bt_model::id::AttemptId;
use bt_proto::v1::{self, report};
use tokio::sync::{Notify, oneshot};

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    reports: Mutex<Reports>,
    added: Notify,
}

#[derive(Debug, Default)]
struct Reports {
    last: u64,
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    attempt: AttemptId,
    kind: report::Kind,
    acknowledged: oneshot::Sender<()>,
}

impl Outbox {
    /// Adds a report; the receiver hears when it has been acknowledged.
    pub(crate) fn post(&self, attempt: AttemptId, kind: report::Kind) -> oneshot::Receiver<()> {
        let (acknowledged, receiver) = oneshot::channel();
        let mut reports = self.lock();
        reports.last += 1;
        let sequence = reports.last;
        let waiting = Waiting { attempt, kind, acknowledged };
        reports.waiting.insert(sequence, waiting);
        drop(reports);
        self.added.notify_one();
        receiver
    }

    /// The reports after this one, in order.
    pub(crate) fn after(&self, sequence: u64) -> Vec<v1::Report> {
        let reports = self.lock();
        let later = reports.waiting.range(sequence + 1..);
        later
            .map(|(sequence, waiting)| v1::Report {
                sequence: *sequence,
                attempt: waiting.attempt.to_string(),
                kind: Some(waiting.kind.clone()),
            })
            .collect()
    }

    /// Waits until a report was added since the last wait.
    pub(crate) async fn added(&self) {
        self.added.notified().await;
    }

    pub(crate) fn acknowledge(&self, sequence: u64) {
        if let Some(waiting) = self.lock().waiting.remove(&sequence) {
            // Nobody waits for the reports of steps on the way.
            waiting.acknowledged.send(()).ok();
        }
    }

    /// Drops an attempt's reports: nobody wants them any more.
    pub(crate) fn forget(&self, attempt: AttemptId) {
        self.lock().waiting.retain(|_, waiting| waiting.attempt != attempt);
    }

    fn lock(&self) -> MutexGuard<'_, Reports> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_acknowledged_is_sent_again_in_order() {
        let outbox = Outbox::default();
        let (a, b) = (AttemptId::random(), AttemptId::random());
        outbox.post(a, report::Kind::Preparing(v1::Preparing {}));
        let mut publishing = outbox.post(b, report::Kind::Publishing(v1::Publishing {}));
        outbox.post(a, report::Kind::Stopped(v1::Stopped {}));
        let sequences =
            |after| -> Vec<_> { outbox.after(after).into_iter().map(|report| report.sequence).collect() };
        assert_eq!(sequences(0), [1, 2, 3]);
        assert_eq!(sequences(2), [3]);
        outbox.acknowledge(2);
        assert!(publishing.try_recv().is_ok());
        assert_eq!(sequences(0), [1, 3]);
        outbox.forget(a);
        assert!(sequences(0).is_empty());
    }
}
