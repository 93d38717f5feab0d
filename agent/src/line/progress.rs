//! How far running attempts are, on the way to the coordinator. Of each only the latest is kept. It is sent when it is new,
//! again now and then, and it needs no answer.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bt_model::id::AttemptId;
use bt_proto::v1;
use tokio::sync::Notify;

/// Attempts that one message speaks of.
const TOGETHER: usize = 500;

#[derive(Debug, Default)]
pub(crate) struct ProgressBox {
    latest: Mutex<Latest>,
    added: Notify,
}

#[derive(Debug, Default)]
struct Latest {
    said: HashMap<AttemptId, v1::JobProgress>,
    /// What the present session has not sent yet.
    unsent: HashSet<AttemptId>,
}

impl ProgressBox {
    /// Takes what attempts have said since the last call. Those that are not among the `living` are forgotten.
    pub(crate) fn put(&self, news: Vec<(AttemptId, v1::JobProgress)>, living: &HashSet<AttemptId>) {
        let mut latest = self.lock();
        let Latest { said, unsent } = &mut *latest;
        said.retain(|attempt, _| living.contains(attempt));
        unsent.retain(|attempt| living.contains(attempt));
        if news.is_empty() {
            return;
        }
        unsent.extend(news.iter().map(|(attempt, _)| *attempt));
        said.extend(news);
        self.added.notify_one();
    }

    /// A new session has begun: it must hear of all that is known.
    pub(crate) fn rewind(&self) {
        let mut latest = self.lock();
        latest.unsent = latest.said.keys().copied().collect();
    }

    /// Says all again that is known: Postgres may have lost it, and the message before may have been.
    pub(crate) fn again(&self) {
        self.rewind();
        self.added.notify_one();
    }

    /// What this session has not sent.
    pub(crate) fn take(&self) -> Vec<v1::JobsProgress> {
        let mut latest = self.lock();
        let Latest { said, unsent } = &mut *latest;
        let unsent = unsent.drain().filter_map(|attempt| {
            let progress = said.get(&attempt)?.clone();
            Some(v1::AttemptProgress { attempt: attempt.to_string(), progress: Some(progress) })
        });
        let all: Vec<_> = unsent.collect();
        all.chunks(TOGETHER).map(|attempts| v1::JobsProgress { attempts: attempts.to_vec() }).collect()
    }

    /// Waits until something was said since the last wait.
    pub(crate) async fn added(&self) {
        self.added.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_hears_the_latest_of_each_attempt_once() {
        let line = ProgressBox::default();
        let ids: Vec<_> = (0..TOGETHER + 1).map(|_| AttemptId::random()).collect();
        let living: HashSet<_> = ids.iter().copied().collect();
        let say = |fraction| {
            ids.iter()
                .map(move |id| (*id, v1::JobProgress { fraction: Some(fraction), ..Default::default() }))
        };
        line.put(say(0.1).collect(), &living);
        line.put(say(0.2).collect(), &living);
        let sizes =
            |sent: Vec<v1::JobsProgress>| sent.iter().map(|sent| sent.attempts.len()).collect::<Vec<_>>();
        let sent = line.take();
        assert_eq!(sent[0].attempts[0].progress.as_ref().unwrap().fraction, Some(0.2));
        assert_eq!(sizes(sent), [TOGETHER, 1]);
        assert!(line.take().is_empty());
        line.rewind();
        assert_eq!(sizes(line.take()), [TOGETHER, 1]);
        line.put(Vec::new(), &HashSet::from([ids[0]]));
        line.rewind();
        assert_eq!(sizes(line.take()), [1], "a finished attempt is forgotten");
    }
}
