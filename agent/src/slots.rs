//! Containers that outlive a job, for sweeps that ask for it (`containers: reuse` or `warm`): jobs of one sweep that follow each
//! other run in one, each alone in it. One that is in any doubt is thrown away, and so is one that nobody has used for a
//! while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bt_engine::capacity::Share;
use bt_model::id::{AttemptId, SweepId};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::job::inside::Inside;
use crate::site::Site;
use crate::site::workdir::AttemptDir;
use crate::warm::Runner;

/// How long a container may wait for a next job.
const IDLE: Duration = Duration::from_secs(20);

/// How often it is looked for containers that wait, while attempts wait for room.
const ROOM_LOOK: Duration = Duration::from_millis(200);

/// A container that waits for jobs, or runs one.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) id: AttemptId,
    pub(crate) dir: AttemptDir,
    /// What the image runs by itself: what a job's command is appended to, and what runs if it has none.
    pub(crate) entrypoint: Vec<String>,
    pub(crate) default_command: Vec<String>,
    pub(crate) image_id: String,
    pub(crate) inside: Inside,
    /// The interpreter that its jobs are forks of (`containers: warm`).
    pub(crate) runner: Option<Arc<Runner>>,
    /// What it takes of the agent's capacity; of one that waits, its memory alone, where jobs have left files.
    pub(crate) share: Option<Share>,
    since: Instant,
}

impl Slot {
    pub(crate) fn new(site: &Site) -> Self {
        let id = AttemptId::random();
        site.guests.add(id);
        Self {
            id,
            dir: site.state.guest(id),
            entrypoint: Vec::new(),
            default_command: Vec::new(),
            image_id: String::new(),
            inside: Inside::default(),
            runner: None,
            share: None,
            since: Instant::now(),
        }
    }
}

/// The containers that wait.
pub(crate) struct Slots {
    site: Arc<Site>,
    waiting: Mutex<HashMap<SweepId, Vec<Slot>>>,
}

impl Slots {
    pub(crate) fn new(site: Arc<Site>) -> Self {
        Self { site, waiting: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SweepId, Vec<Slot>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that waits for a job of this sweep, with or without an interpreter to fork.
    pub(crate) fn take(&self, sweep: SweepId, is_warm: bool) -> Option<Slot> {
        let mut slots = self.lock();
        let waiting = slots.get_mut(&sweep)?;
        let index = waiting.iter().rposition(|slot| slot.runner.is_some() == is_warm)?;
        Some(waiting.remove(index))
    }

    /// Gives one back that is as good as new.
    pub(crate) fn give_back(&self, sweep: SweepId, mut slot: Slot) {
        if let Some(share) = &mut slot.share {
            share.keep_memory();
        }
        self.lock().entry(sweep).or_default().push(Slot { since: Instant::now(), ..slot });
    }

    /// The one that has waited for longest.
    fn oldest(&self) -> Option<Slot> {
        let mut slots = self.lock();
        let of = |slots: &Vec<Slot>| slots.iter().map(|slot| slot.since).min();
        let (sweep, _) = slots
            .iter()
            .filter_map(|(sweep, slots)| Some((*sweep, of(slots)?)))
            .min_by_key(|(_, since)| *since)?;
        let waiting = slots.get_mut(&sweep)?;
        let index = waiting.iter().enumerate().min_by_key(|(_, slot)| slot.since)?.0;
        Some(waiting.remove(index))
    }

    /// Those that have waited for too long, or all.
    fn idle(&self, all: bool) -> Vec<Slot> {
        let mut slots = self.lock();
        let idle = slots.values_mut().flat_map(|slots| {
            let (idle, kept) =
                std::mem::take(slots).into_iter().partition(|slot| all || slot.since.elapsed() > IDLE);
            *slots = kept;
            let idle: Vec<Slot> = idle;
            idle
        });
        let idle = idle.collect();
        slots.retain(|_, slots| !slots.is_empty());
        idle
    }

    /// Removes a container that is not to be used again, and what is on disk for it.
    pub(crate) async fn discard(&self, slot: Slot) {
        if let Err(error) = self.site.engine.remove(slot.id).await {
            self.site.health.leave_container(slot.id, &error);
        }
        self.site.secrets.remove(slot.id);
        slot.dir.remove();
        self.site.guests.remove(slot.id);
    }

    /// Gives the memory of containers that wait for jobs to attempts that wait for room, until `end`.
    pub(crate) async fn make_room(&self, end: CancellationToken) {
        let making = async {
            loop {
                self.site.capacity.wanted().await;
                match self.oldest() {
                    Some(slot) => self.discard(slot).await,
                    None => sleep(ROOM_LOOK).await,
                }
            }
        };
        tokio::select! {
            () = making => {}
            () = end.cancelled() => {}
        }
    }

    /// Removes those that nobody has used for a while, or all of them.
    pub(crate) async fn sweep_out(&self, all: bool) {
        for slot in self.idle(all) {
            self.discard(slot).await;
        }
    }
}
