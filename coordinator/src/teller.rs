//! Tells those whom a manifest's `notify` names that a sweep has finished, or was paused by its canary.
//!
//! What is to be told is in the outbox (`queue::outbox`), written by the transaction that made it true. A [`Teller`] of any
//! coordinator takes it from there, and notes what became of it. What always holds: a message is delivered at least once, or
//! given up with the reason in sight; more than once only if a coordinator dies, or loses Postgres, between the receiver's
//! answer and the commit. A host that is slow holds up no other.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bt_documents::{BestJob, Counts, EventName, Job, Notification, SweepState, main_metric};
use bt_model::excerpt::excerpt;
use bt_model::state::SweepEvent;
use bt_proto::v1;
use bt_proto::v1::sweeps_server::Sweeps as _;
use futures_util::StreamExt;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Request;
use tracing::{info, warn};

use crate::clients::Clients;
use crate::loops::Health;
use crate::queue::{self, Due, Queue};
use crate::telling::{Failed, Ways};

/// How long it may take to look for the best job.
const RANKING: Duration = Duration::from_secs(20);
/// How long a message is its coordinator's that has taken it: longer than making it, a try and its note take.
const LEASE: Duration = Duration::from_secs(120);
/// How often the outbox is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Messages that are on their way at once.
const AT_ONCE: usize = 16;
/// The first and the longest wait after a try that failed, and how long a message is tried.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Tries where the receiver says that it does not want the message.
const REFUSALS: u32 = 3;
/// How often it is tried to note what became of a try.
const NOTES: usize = 8;
/// Characters of a reason that are kept.
const WORDS: usize = 300;

/// Delivers what is in the outbox. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Teller {
    pub(crate) queue: Queue,
    pub(crate) clients: Clients,
    pub(crate) ways: Ways,
    busy: Arc<Mutex<HashSet<String>>>,
    /// A host is no longer busy.
    free: Arc<Notify>,
}

/// A host that is being talked to, until this is dropped.
struct Busy {
    teller: Teller,
    host: String,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.teller.hosts().remove(&self.host);
        self.teller.free.notify_one();
    }
}

impl Teller {
    pub(crate) fn new(queue: Queue, clients: Clients, ways: Ways) -> Self {
        Self { queue, clients, ways, busy: Arc::default(), free: Arc::default() }
    }

    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut health = Health::new("looking for messages to deliver");
        loop {
            health.note(self.run_once().await);
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.free.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Takes what is due, and delivers each in a task of its own.
    async fn run_once(&self) -> Result<(), queue::Error> {
        let busy: Vec<_> = self.hosts().iter().cloned().collect();
        let room = AT_ONCE.saturating_sub(busy.len());
        if room == 0 {
            return Ok(());
        }
        for due in self.queue.take_due(room, &busy, LEASE).await? {
            self.hosts().insert(due.host.clone());
            let busy = Busy { teller: self.clone(), host: due.host.clone() };
            let teller = self.clone();
            self.clients.tasks.spawn(async move {
                teller.deliver(&due).await;
                drop(busy);
            });
        }
        Ok(())
    }

    fn hosts(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn deliver(&self, due: &Due) {
        let told = self.notification(due).await;
        let sent = self.ways.send(due, &told).await;
        for _ in 0..NOTES {
            match self.note(due, &sent).await {
                Ok(()) => return,
                Err(error) => {
                    warn!(event.id = %due.event_id, receiver = ?due.receiver, error = %error,
                        "what became of a message can't be noted; trying on");
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    async fn note(&self, due: &Due, sent: &Result<(), Failed>) -> Result<(), queue::Error> {
        let failed = match sent {
            Ok(()) => {
                self.queue.note_delivered(due).await?;
                info!(event.id = %due.event_id, receiver = ?due.receiver, "told of sweep {}", due.name);
                return Ok(());
            }
            Err(failed) => failed,
        };
        let is_last = failed.is_lasting && due.tries >= REFUSALS;
        let pause = failed.pause.unwrap_or_default().max(pause(due.tries));
        let why = excerpt(&failed.why, WORDS);
        let given_up = self.queue.note_failed(due, &why, pause, is_last, LONGEST).await?;
        if given_up {
            warn!(event.id = %due.event_id, receiver = ?due.receiver, tries = due.tries, "given up: {why}");
        } else {
            info!(event.id = %due.event_id, receiver = ?due.receiver, tries = due.tries, "not told yet: {why}");
        }
        Ok(())
    }

    async fn notification(&self, due: &Due) -> Notification {
        let [queued, running, succeeded, failed, cancelled, pruned] = due.counts;
        let counts = v1::Counts { queued, running, succeeded, failed, cancelled, pruned };
        let is_paused = due.event == SweepEvent::Paused;
        let sweep = v1::Sweep { counts: Some(counts), paused: is_paused, ..v1::Sweep::default() };
        let id = due.sweep.to_string();
        Notification {
            event: EventName::from(due.event),
            event_id: due.event_id.to_string(),
            happened: due.happened,
            name: due.name.clone(),
            owner: due.owner.clone(),
            state: SweepState::from(&sweep),
            // A user may have resumed it meanwhile.
            reason: match is_paused {
                true => Some(queue::CANARY_FAILED.to_owned()),
                false => Some(due.cancel_reason.clone()).filter(|why| !why.is_empty()),
            },
            counts: Counts::from(counts),
            submitted: due.submitted,
            seconds: due.happened.duration_since(due.submitted).as_secs_f64(),
            // What can't be told of it does not keep it from being told.
            best: timeout(RANKING, self.best(&id, due)).await.ok().and_then(Result::ok).flatten(),
            page: self.ways.page_of(&id),
            id,
        }
    }

    /// The best job by the metric that the sweep is about.
    async fn best(&self, id: &str, due: &Due) -> anyhow::Result<Option<BestJob>> {
        let metrics = self.queue.metric_names(due.sweep).await?;
        let known = self.clients.manifests.get(due.sweep).await?;
        let metric = main_metric(known.manifest.goals.keys(), &metrics).map(str::to_owned);
        let Some(metric) = metric else { return Ok(None) };
        let request = v1::ListJobsRequest {
            sweep: id.to_owned(),
            by: Some(metric.clone()),
            limit: Some(1),
            ..v1::ListJobsRequest::default()
        };
        let mut jobs = self.clients.list_jobs(Request::new(request)).await?.into_inner();
        let Some(job) = jobs.next().await else { return Ok(None) };
        let job = Job::try_from(&job?)?;
        let value = job.metrics.get(&metric).and_then(Value::as_f64);
        Ok(value.map(|value| BestJob { job: job.job, metric, value, params: job.params }))
    }
}

/// How long to wait after so many tries: about twice as long each time, an hour at most, and not for all the same.
fn pause(tries: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1).min(16)));
    let capped = doubled.min(LONGEST_PAUSE);
    // Between as long and half as long again.
    let mut jittered =
        ExponentialBuilder::new().with_min_delay(capped / 2).with_max_delay(capped).with_jitter().build();
    jittered.next().map_or(capped, |jitter| capped / 2 + jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_an_hour_and_are_not_all_the_same() {
        for (tries, seconds) in [(1, 1), (2, 2), (5, 16), (12, 2048), (13, 3600), (40, 3600)] {
            let base = Duration::from_secs(seconds);
            let pause = pause(tries);
            assert!(pause >= base && pause <= base * 2, "{tries}: {pause:?}");
        }
        let some: HashSet<_> = (0..20).map(|_| pause(9)).collect();
        assert!(some.len() > 1, "{some:?}");
    }
}
