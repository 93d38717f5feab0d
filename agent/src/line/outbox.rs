//! Reports that no coordinator has acknowledged yet. They are kept in the order in which they were made and sent again
//! after every reconnect; sending one twice is harmless. What attempts do on their way is of less interest than how
//! they end: steps are sent a moment later, together, and not at all if the end overtakes them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bt_model::id::AttemptId;
use bt_proto::convert::present;
use bt_proto::v1::{self, report};
use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

/// How long a report of a step on the way may wait for others, or for the attempt's end, which makes it needless.
pub(crate) const STEP_WAIT: Duration = Duration::from_millis(50);

/// Reports that are sent without an answer to any of them. A coordinator reads far more before it stops reading, so that a
/// heartbeat never waits behind reports.
const UNANSWERED: usize = 1_000;
/// Bytes of small outputs and logs in them; a single report may have more.
const UNANSWERED_BYTES: usize = 16 << 20;

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    reports: Mutex<Reports>,
    added: Notify,
    step_added: Notify,
}

#[derive(Debug, Default)]
struct Reports {
    last: u64,
    waiting: BTreeMap<u64, UnansweredReport>,
    /// Those that the present session has not sent yet.
    unsent: BTreeSet<u64>,
}

#[derive(Debug)]
struct UnansweredReport {
    attempt: AttemptId,
    kind: report::Kind,
    attached: Attached,
    acknowledged: oneshot::Sender<()>,
}

/// What comes with the report of an attempt's end.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Attached {
    /// Small outputs: their paths, and what is in them.
    pub(crate) files: Vec<(String, Bytes)>,
    /// The whole log, if it is small.
    pub(crate) log: Bytes,
    /// What its container ran, if one was started.
    pub(crate) image_id: String,
    /// What its container used, if that was measured.
    pub(crate) usage: Option<v1::Usage>,
    /// What the volumes held that it mounted, where their owner asked for it.
    pub(crate) volumes: BTreeMap<String, String>,
    /// What it was given, if its container was started.
    pub(crate) given: Option<v1::Given>,
    /// What its owner should know besides how it ended.
    pub(crate) remark: String,
}

impl Outbox {
    /// Adds a report of a step on the way.
    pub(crate) fn step(&self, attempt: AttemptId, kind: report::Kind) {
        drop(self.add(attempt, kind, Attached::default()));
        self.step_added.notify_one();
    }

    /// Adds the report of an attempt's end; the receiver hears when it has been acknowledged.
    pub(crate) fn end(
        &self,
        attempt: AttemptId,
        kind: report::Kind,
        attached: Attached,
    ) -> oneshot::Receiver<()> {
        // Steps that nobody has heard of are needless now.
        let mut reports = self.lock();
        let Reports { waiting, unsent, .. } = &mut *reports;
        unsent.retain(|sequence| {
            let needed = waiting.get(sequence).is_some_and(|waiting| waiting.attempt != attempt);
            if !needed {
                waiting.remove(sequence);
            }
            needed
        });
        drop(reports);
        let receiver = self.add(attempt, kind, attached);
        self.added.notify_one();
        receiver
    }

    fn add(&self, attempt: AttemptId, kind: report::Kind, attached: Attached) -> oneshot::Receiver<()> {
        let (acknowledged, receiver) = oneshot::channel();
        let mut reports = self.lock();
        reports.last += 1;
        let sequence = reports.last;
        reports.waiting.insert(sequence, UnansweredReport { attempt, kind, attached, acknowledged });
        reports.unsent.insert(sequence);
        receiver
    }

    /// A new session has begun: it must hear of everything that is not acknowledged.
    pub(crate) fn rewind(&self) {
        let mut reports = self.lock();
        reports.unsent = reports.waiting.keys().copied().collect();
    }

    /// The reports that this session has not sent, in order, up to the limit of unanswered ones; steps on the way only if
    /// asked for.
    pub(crate) fn take(&self, steps: bool) -> Vec<v1::Report> {
        let mut reports = self.lock();
        let Reports { waiting, unsent, .. } = &mut *reports;
        if unsent.is_empty() {
            return Vec::new();
        }
        let unanswered = waiting.iter().filter(|(sequence, _)| !unsent.contains(sequence));
        let (mut open, mut bytes) = unanswered
            .fold((0, 0), |(open, bytes), (_, waiting)| (open + 1, bytes + waiting.attached.bytes()));
        let mut taken = Vec::new();
        unsent.retain(|sequence| {
            let Some(waiting) = waiting.get(sequence) else { return false };
            let has_room = open == 0 || (open < UNANSWERED && bytes < UNANSWERED_BYTES);
            let take = has_room && (steps || !is_step(&waiting.kind));
            if take {
                open += 1;
                bytes += waiting.attached.bytes();
                taken.push(waiting.report(*sequence));
            }
            !take
        });
        taken
    }

    /// Waits until an attempt's end was added since the last wait.
    pub(crate) async fn added(&self) {
        self.added.notified().await;
    }

    /// Waits until a step was added since the last wait.
    pub(crate) async fn step_added(&self) {
        self.step_added.notified().await;
    }

    pub(crate) fn acknowledge(&self, sequence: u64) {
        let mut reports = self.lock();
        reports.unsent.remove(&sequence);
        if let Some(waiting) = reports.waiting.remove(&sequence) {
            // Nobody waits for the reports of steps on the way.
            waiting.acknowledged.send(()).ok();
        }
        if !reports.unsent.is_empty() {
            // There is room for those now.
            self.added.notify_one();
            self.step_added.notify_one();
        }
    }

    /// Drops an attempt's reports: nobody wants them any more.
    pub(crate) fn forget(&self, attempt: AttemptId) {
        let mut reports = self.lock();
        reports.waiting.retain(|_, waiting| waiting.attempt != attempt);
    }

    fn lock(&self) -> MutexGuard<'_, Reports> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attached {
    fn bytes(&self) -> usize {
        self.files.iter().map(|(_, data)| data.len()).sum::<usize>() + self.log.len()
    }
}

impl UnansweredReport {
    fn report(&self, sequence: u64) -> v1::Report {
        let Attached { files, log, image_id, usage, volumes, given, remark } = self.attached.clone();
        v1::Report {
            sequence,
            attempt: self.attempt.to_string(),
            kind: Some(self.kind.clone()),
            files: files.into_iter().map(|(path, data)| v1::SmallFile { path, data: data.into() }).collect(),
            log: present(Some(log.into())),
            image_id: present(Some(image_id)),
            usage,
            volume_fingerprints: volumes.into_iter().collect(),
            given,
            remark: present(Some(remark)),
        }
    }
}

fn is_step(kind: &report::Kind) -> bool {
    use report::Kind;
    matches!(kind, Kind::Preparing(_) | Kind::Running(_) | Kind::Publishing(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequences(reports: Vec<v1::Report>) -> Vec<u64> {
        reports.into_iter().map(|report| report.sequence).collect()
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again_in_order() {
        let outbox = Outbox::default();
        let (a, b) = (AttemptId::random(), AttemptId::random());
        outbox.step(a, report::Kind::Preparing(v1::Preparing {}));
        outbox.step(b, report::Kind::Publishing(v1::Publishing {}));
        assert!(outbox.take(false).is_empty(), "steps wait for others");
        assert_eq!(sequences(outbox.take(true)), [1, 2]);
        assert!(outbox.take(true).is_empty());
        let mut ended = outbox.end(a, report::Kind::Released(v1::Released::default()), Attached::default());
        assert_eq!(sequences(outbox.take(false)), [3]);
        outbox.rewind();
        assert_eq!(sequences(outbox.take(true)), [1, 2, 3]);
        outbox.acknowledge(2);
        outbox.acknowledge(3);
        assert!(ended.try_recv().is_ok());
        outbox.rewind();
        assert_eq!(sequences(outbox.take(true)), [1]);
        outbox.forget(a);
        outbox.rewind();
        assert!(outbox.take(true).is_empty());
    }

    #[test]
    fn no_more_is_sent_than_may_be_unanswered() {
        let outbox = Outbox::default();
        let released = || report::Kind::Released(v1::Released::default());
        for _ in 0..UNANSWERED + 5 {
            drop(outbox.end(AttemptId::random(), released(), Attached::default()));
        }
        assert_eq!(outbox.take(true).len(), UNANSWERED);
        assert!(outbox.take(true).is_empty());
        outbox.acknowledge(1);
        outbox.acknowledge(2);
        assert_eq!(sequences(outbox.take(true)), [UNANSWERED as u64 + 1, UNANSWERED as u64 + 2]);
        outbox.rewind();
        let again = outbox.take(true);
        assert_eq!((again.len(), again[0].sequence), (UNANSWERED, 3));
        let large = Outbox::default();
        for _ in 0..3 {
            let log = Bytes::from(vec![0; UNANSWERED_BYTES]);
            drop(large.end(AttemptId::random(), released(), Attached { log, ..Attached::default() }));
        }
        for sequence in 1..=3 {
            assert_eq!(sequences(large.take(true)), [sequence]);
            large.acknowledge(sequence);
        }
    }

    #[test]
    fn an_end_makes_the_steps_before_it_needless() {
        let outbox = Outbox::default();
        let (a, b) = (AttemptId::random(), AttemptId::random());
        outbox.step(a, report::Kind::Preparing(v1::Preparing {}));
        outbox.step(b, report::Kind::Preparing(v1::Preparing {}));
        let attached = Attached { log: Bytes::from_static(b"x"), ..Attached::default() };
        drop(outbox.end(a, report::Kind::Released(v1::Released::default()), attached));
        let sent = outbox.take(true);
        assert_eq!(sent.iter().map(|report| report.log().len()).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(sequences(sent), [2, 3]);
    }
}
