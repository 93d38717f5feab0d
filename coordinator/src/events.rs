//! What happens, for those who watch: one task reads it from Postgres for all of them, and only while there are any.
//!
//! What always holds: a watcher gets all events behind its place in their order, each once, or is told of a gap. Of a
//! watcher only its place is kept, so that a slow one costs nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bt_documents::{Event, Happening, MovedAttempt};
use bt_model::id::{AgentId, SweepId};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::loops::Health;
use crate::queue::{self, EventPlace, Noted, Queue};

/// How often it is looked for new events.
const LOOK: Duration = Duration::from_millis(300);
/// Watchers of one coordinator.
pub(crate) const WATCHERS: usize = 1_000;
/// Events that are read at once.
const PAGE: i64 = 500;
/// Events that are kept in memory for watchers that are a little behind.
const RECENT: usize = 2_000;
/// Events that a watcher is given at once.
const AT_ONCE: usize = 200;

/// Why somebody is told nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Queue(#[from] queue::Error),
    #[error("{WATCHERS} already watch this coordinator; try again in a moment")]
    Full,
    #[error("the coordinator stops")]
    Stopping,
    #[error("an event can't be written: {0}")]
    Unwritable(serde_json::Error),
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    queue: Queue,
    recent: Arc<Mutex<Recent>>,
    /// The place of the latest event that was read; none while nobody watches.
    newest: watch::Sender<Option<EventPlace>>,
    places: Arc<Semaphore>,
    shutdown: CancellationToken,
}

/// The latest events that were read, without a gap between them.
#[derive(Debug, Default)]
struct Recent {
    /// Of the event before the first.
    start: EventPlace,
    events: VecDeque<Arc<Known>>,
}

/// An event whose place is known.
#[derive(Debug)]
pub(crate) struct Known {
    place: EventPlace,
    pub(crate) event: Event,
}

/// Which events somebody wants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// Those of this sweep alone.
    pub(crate) sweep: Option<SweepId>,
    /// Those of these kinds; empty: all.
    pub(crate) kinds: Vec<String>,
}

/// Somebody who watches.
#[derive(Debug)]
pub(crate) struct Watcher {
    events: Events,
    newest: watch::Receiver<Option<EventPlace>>,
    wanted: Wanted,
    place: EventPlace,
    /// It asked for events that are not kept any more, and has not been told.
    missed: bool,
    _one_of_few: OwnedSemaphorePermit,
}

impl Events {
    /// Tells what happens until `shutdown`.
    pub(crate) fn new(queue: Queue, shutdown: CancellationToken) -> Self {
        let (newest, _) = watch::channel(None);
        let places = Arc::new(Semaphore::new(WATCHERS));
        Self { queue, recent: Arc::default(), newest, places, shutdown }
    }

    /// Watches from behind a place, or from now on.
    pub(crate) async fn watch(&self, after: Option<EventPlace>, wanted: Wanted) -> Result<Watcher, Error> {
        let one_of_few = self.places.clone().try_acquire_owned().map_err(|_| Error::Full)?;
        let now = self.queue.newest_event().await?;
        let (place, missed) = match after {
            None => (now, false),
            Some(after) => {
                let oldest = self.queue.oldest_event().await?;
                // That it is kept itself says that none behind it is missing.
                let is_kept = oldest.is_some_and(|oldest| oldest <= after) && after <= now;
                if is_kept || after == now { (after, false) } else { (now, true) }
            }
        };
        let newest = self.newest.subscribe();
        Ok(Watcher { events: self.clone(), newest, wanted, place, missed, _one_of_few: one_of_few })
    }

    /// Reads events for all watchers.
    pub(crate) async fn run(self) {
        let mut health = Health::new("reading events");
        loop {
            if timeout(LOOK, self.shutdown.cancelled()).await.is_ok() {
                return;
            }
            if self.newest.receiver_count() == 0 {
                if self.newest.borrow().is_some() {
                    self.newest.send_replace(None);
                    *self.lock() = Recent::default();
                }
                continue;
            }
            health.note(self.read().await);
        }
    }

    async fn read(&self) -> Result<(), queue::Error> {
        let known = *self.newest.borrow();
        let mut place = match known {
            Some(place) => place,
            None => {
                let place = self.queue.newest_event().await?;
                self.lock().start = place;
                place
            }
        };
        loop {
            let page = self.page(place).await?;
            let is_full = page.len() >= PAGE.unsigned_abs() as usize;
            if let Some(last) = page.last() {
                place = last.place;
            }
            self.lock().add(page);
            // Also where nothing came: who waits for the first look goes on.
            self.newest.send_if_modified(|newest| newest.replace(place) != Some(place));
            if !is_full {
                return Ok(());
            }
        }
    }

    async fn page(&self, after: EventPlace) -> Result<Vec<Arc<Known>>, queue::Error> {
        let noted = self.queue.events_after(after, PAGE).await?;
        noted.into_iter().map(|noted| Known::of(noted).map(Arc::new)).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    fn add(&mut self, page: Vec<Arc<Known>>) {
        self.events.extend(page);
        while self.events.len() > RECENT {
            if let Some(first) = self.events.pop_front() {
                self.start = first.place;
            }
        }
    }

    /// Events behind a place; none if some of them are not in memory.
    fn after(&self, place: EventPlace) -> Option<Vec<Arc<Known>>> {
        if place < self.start {
            return None;
        }
        let first = self.events.partition_point(|known| known.place <= place);
        Some(self.events.iter().skip(first).take(AT_ONCE).cloned().collect())
    }
}

impl Watcher {
    /// The id behind which it is told all.
    pub(crate) fn place(&self) -> EventPlace {
        self.place
    }

    /// The next events that are wanted, one at least. Waits for them.
    pub(crate) async fn next(&mut self) -> Result<Vec<Arc<Known>>, Error> {
        if std::mem::take(&mut self.missed) {
            let event =
                Event { id: self.place.to_string(), at: jiff::Timestamp::now(), what: Happening::Gap };
            return Ok(vec![Arc::new(Known { place: self.place, event })]);
        }
        loop {
            let newest = *self.newest.borrow_and_update();
            let page = match newest.filter(|newest| *newest > self.place) {
                None => Vec::new(),
                Some(_) => {
                    let recent = self.events.lock().after(self.place);
                    match recent {
                        Some(page) => page,
                        None => self.events.page(self.place).await?,
                    }
                }
            };
            let Some(last) = page.last() else {
                tokio::select! {
                    _ = self.newest.changed() => continue,
                    () = self.events.shutdown.cancelled() => return Err(Error::Stopping),
                }
            };
            self.place = last.place;
            let mut page = page;
            page.retain(|known| self.wanted.takes(&known.event.what));
            if !page.is_empty() {
                return Ok(page);
            }
        }
    }
}

impl Wanted {
    fn takes(&self, what: &Happening) -> bool {
        let is_of_kind = self.kinds.is_empty() || self.kinds.iter().any(|kind| kind == what.kind());
        is_of_kind && (self.sweep.is_none() || self.sweep == what.sweep())
    }
}

/// What the triggers note of each kind.
#[derive(Deserialize)]
struct SweepBody {
    change: String,
    name: String,
    owner: String,
}

#[derive(Deserialize)]
struct JobsBody {
    state: String,
    count: u32,
    jobs: Option<Vec<u32>>,
}

/// Of each attempt the job, the attempt's number and the agent, side by side.
#[derive(Deserialize)]
struct AttemptsBody {
    state: String,
    jobs: Vec<u32>,
    attempts: Vec<u32>,
    agents: Vec<AgentId>,
}

#[derive(Deserialize)]
struct AgentBody {
    change: String,
    agent: AgentId,
    name: String,
    why: String,
}

impl Known {
    /// In one line.
    pub(crate) fn json(&self) -> Result<String, Error> {
        serde_json::to_string(&self.event).map_err(Error::Unwritable)
    }

    fn of(noted: Noted) -> Result<Self, queue::Error> {
        let corrupt = |error: serde_json::Error| {
            queue::Error::Corrupt(format!("the event {} ({}): {error}", noted.place, noted.kind))
        };
        let sweep = || {
            let none = || queue::Error::Corrupt(format!("the event {} is of no sweep", noted.place));
            noted.sweep.ok_or_else(none)
        };
        let body = noted.body.as_str();
        let what = match noted.kind.as_str() {
            "sweep" => {
                let SweepBody { change, name, owner } = serde_json::from_str(body).map_err(corrupt)?;
                Happening::Sweep { sweep: sweep()?, name, owner, change }
            }
            "jobs" => {
                let JobsBody { state, count, jobs } = serde_json::from_str(body).map_err(corrupt)?;
                Happening::Jobs { sweep: sweep()?, state, count, jobs }
            }
            "attempts" => {
                let AttemptsBody { state, jobs, attempts, agents } =
                    serde_json::from_str(body).map_err(corrupt)?;
                let moved = jobs.into_iter().zip(attempts).zip(agents);
                let moved = moved.map(|((job, attempt), agent)| MovedAttempt { job, attempt, agent });
                Happening::Attempts { sweep: sweep()?, state, attempts: moved.collect() }
            }
            _ => {
                let AgentBody { change, agent, name, why } = serde_json::from_str(body).map_err(corrupt)?;
                Happening::Agent { agent, name, change, why: Some(why).filter(|why| !why.is_empty()) }
            }
        };
        Ok(Self { place: noted.place, event: Event { id: noted.place.to_string(), at: noted.at, what } })
    }
}
