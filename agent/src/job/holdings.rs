//! The attempts that the agent holds, and how each is told to stop.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bt_engine::Sample;
use bt_measures::AGENT_ATTEMPTS;
use bt_model::encoding::Encoding;
use bt_model::id::{AttemptId, BatchId};
use tokio::sync::{OnceCell, watch};

use crate::record::assignment::Assignment;
use crate::record::ending::Halt;
use crate::record::usage::Usage;
use crate::site::workdir::AttemptDir;

/// Bytes of what is said of an attempt besides how it ended.
const LONGEST_REMARK: usize = 2000;

/// An attempt that the agent holds.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) assignment: Assignment,
    pub(crate) dir: AttemptDir,
    /// An earlier run of the agent held it, and may have made its container.
    pub(crate) taken_back: bool,
    is_on_disk: AtomicBool,
    halt: watch::Sender<Option<Halt>>,
    /// None: it is the coordinator that knows.
    note: Mutex<Option<String>>,
    image_id: OnceLock<String>,
    /// Where in the store its outputs belong, once that is known.
    pub(crate) prefix: OnceLock<String>,
    encoding: OnceCell<Encoding>,
    usage: Mutex<Usage>,
    remarks: Mutex<Vec<String>>,
    /// Bytes in its results directory when that was last measured; 0 if it asked for the room that it takes.
    disk: AtomicU64,
    /// It runs in a container of its sweep's, and not its own.
    shared: AtomicBool,
    /// What it found imported, if it ran as a fork.
    warm: Mutex<Option<Vec<String>>>,
    /// Where it says how far it is, while it runs.
    progress: Mutex<Option<Arc<ProgressFile>>>,
}

/// The file in which a running attempt says how far it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ProgressFile {
    /// The directory that its container writes to.
    pub(crate) root: PathBuf,
    /// Below it.
    pub(crate) path: String,
}

/// For as long as it lives an attempt may say how far it is.
pub(crate) struct Telling<'h>(&'h Held);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        *lock(&self.0.progress) = None;
    }
}

impl Held {
    /// What its container runs; empty if none was started.
    pub(crate) fn image_id(&self) -> String {
        self.image_id.get().cloned().unwrap_or_default()
    }

    pub(crate) fn note_image(&self, image_id: &str) {
        self.image_id.get_or_init(|| image_id.to_owned());
    }

    pub(crate) fn id(&self) -> AttemptId {
        self.assignment.attempt
    }

    /// How its outputs are stored: as is told now if it was not decided before, also by an earlier run of the agent.
    pub(crate) async fn encoding(&self, told: impl Future<Output = Encoding>) -> Encoding {
        let decide = async {
            match self.dir.encoding() {
                Some(encoding) => encoding,
                None => told.await,
            }
        };
        *self.encoding.get_or_init(|| decide).await
    }

    /// How its outputs are stored, once that is decided.
    pub(crate) fn decided_encoding(&self) -> Encoding {
        self.encoding.get().copied().unwrap_or_default()
    }

    /// Notes that its assignment is on disk.
    pub(crate) fn note_on_disk(&self) {
        self.is_on_disk.store(true, Ordering::Release);
    }

    /// True once its assignment is on disk.
    pub(crate) fn is_on_disk(&self) -> bool {
        self.is_on_disk.load(Ordering::Acquire)
    }

    /// Adds to what its container has used.
    pub(crate) fn used(&self, sample: &Sample) {
        lock(&self.usage).add(sample);
    }

    /// Says something to its owner besides how it ends; each thing once.
    pub(crate) fn remark(&self, remark: String) {
        let mut remarks = lock(&self.remarks);
        if !remarks.contains(&remark) {
            remarks.push(remark);
        }
    }

    pub(crate) fn remarks(&self) -> String {
        let mut remarks = lock(&self.remarks).join("; ");
        remarks.truncate(remarks.floor_char_boundary(LONGEST_REMARK));
        remarks
    }

    /// Notes how long its container ran.
    pub(crate) fn ran(&self, time: Duration) {
        lock(&self.usage).wall_millis = u64::try_from(time.as_millis()).ok();
    }

    pub(crate) fn usage(&self) -> Usage {
        *lock(&self.usage)
    }

    pub(crate) fn note_disk(&self, bytes: u64) {
        self.disk.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn disk(&self) -> u64 {
        self.disk.load(Ordering::Relaxed)
    }

    /// Notes that it runs in a container of its sweep's.
    pub(crate) fn note_shared(&self) {
        self.shared.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.shared.load(Ordering::Relaxed)
    }

    /// Notes that it runs as a fork of an interpreter, and which packages that has imported; none: it does not.
    pub(crate) fn note_warm(&self, preloaded: Option<Vec<String>>) {
        *lock(&self.warm) = preloaded;
    }

    /// The packages that were imported already, if it ran as a fork.
    pub(crate) fn warm(&self) -> Option<Vec<String>> {
        lock(&self.warm).clone()
    }

    /// Asks the attempt to stop. The first reason stands, but being taken away outweighs all others.
    pub(crate) fn halt(&self, why: Halt) {
        self.halt.send_if_modified(|halt| {
            let news = halt.is_none() || (why == Halt::TakenAway && *halt != Some(Halt::TakenAway));
            if news {
                *halt = Some(why);
            }
            news
        });
    }

    /// Waits until the attempt is asked to stop.
    pub(crate) async fn halted(&self) -> Halt {
        let mut halts = self.halt.subscribe();
        loop {
            if let Some(halt) = halts.borrow_and_update().clone() {
                return halt;
            }
            if halts.changed().await.is_err() {
                unreachable!("the sender is held by self");
            }
        }
    }

    /// Waits until the attempt is taken away.
    pub(crate) async fn taken_away(&self) {
        let mut halts = self.halt.subscribe();
        while *halts.borrow_and_update() != Some(Halt::TakenAway) {
            if halts.changed().await.is_err() {
                unreachable!("the sender is held by self");
            }
        }
    }

    /// From now on it says in this file how far it is.
    pub(crate) fn tells(&self, root: PathBuf, path: String) -> Telling<'_> {
        *lock(&self.progress) = Some(Arc::new(ProgressFile { root, path }));
        Telling(self)
    }

    /// Where it says how far it is, while it runs.
    pub(crate) fn progress_file(&self) -> Option<Arc<ProgressFile>> {
        lock(&self.progress).clone()
    }

    /// True if this file of its results directory is where it says how far it is.
    pub(crate) fn is_progress_file(&self, path: &str) -> bool {
        lock(&self.progress).as_ref().is_some_and(|file| file.path == path)
    }

    /// Says what the attempt waits for, for people; nothing when it goes on.
    pub(crate) fn note(&self, note: impl Into<String>) {
        *lock(&self.note) = Some(note.into());
    }

    /// Leaves it to the coordinator to say what the attempt waits for.
    pub(crate) fn hush(&self) {
        *lock(&self.note) = None;
    }
}

/// All attempts that the agent holds.
#[derive(Debug, Default)]
pub(crate) struct Holdings {
    attempts: Mutex<HashMap<AttemptId, Arc<Held>>>,
}

impl Holdings {
    /// Adds an attempt; none if it is held already.
    pub(crate) fn add(&self, assignment: Assignment, dir: AttemptDir, taken_back: bool) -> Option<Arc<Held>> {
        let mut attempts = lock(&self.attempts);
        if attempts.contains_key(&assignment.attempt) {
            return None;
        }
        let ended = dir.ended().ok().flatten();
        let usage = ended.map(|ended| ended.usage).unwrap_or_default();
        let held = Arc::new(Held {
            assignment,
            dir,
            taken_back,
            is_on_disk: AtomicBool::new(taken_back),
            halt: watch::Sender::new(None),
            note: Mutex::default(),
            image_id: OnceLock::new(),
            prefix: OnceLock::new(),
            encoding: OnceCell::new(),
            usage: Mutex::new(usage),
            remarks: Mutex::default(),
            disk: AtomicU64::new(0),
            shared: AtomicBool::new(false),
            warm: Mutex::default(),
            progress: Mutex::default(),
        });
        attempts.insert(held.id(), held.clone());
        AGENT_ATTEMPTS.change([], 1.0);
        Some(held)
    }

    pub(crate) fn remove(&self, attempt: AttemptId) {
        if lock(&self.attempts).remove(&attempt).is_some() {
            AGENT_ATTEMPTS.change([], -1.0);
        }
    }

    pub(crate) fn find(&self, attempt: AttemptId) -> Option<Arc<Held>> {
        lock(&self.attempts).get(&attempt).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Held>> {
        lock(&self.attempts).values().cloned().collect()
    }

    /// True if an attempt runs in the container of this batch.
    pub(crate) fn has_batch(&self, container: AttemptId) -> bool {
        let batch = Some(BatchId::from_uuid(container.uuid()));
        lock(&self.attempts).values().any(|held| held.assignment.batch == batch)
    }

    pub(crate) fn count(&self) -> usize {
        lock(&self.attempts).len()
    }

    /// True if of all that asked for no room in their results directories this one has taken most.
    pub(crate) fn writes_most(&self, attempt: AttemptId) -> bool {
        let disk = |held: &Arc<Held>| held.disk();
        let all = self.all();
        let own = all.iter().find(|held| held.id() == attempt).map_or(0, disk);
        own > 0 && all.iter().all(|held| disk(held) <= own)
    }

    /// What attempts wait for, where they wait.
    pub(crate) fn notes(&self) -> Vec<(AttemptId, String)> {
        let notes = self.all().into_iter().filter_map(|held| Some((held.id(), lock(&held.note).clone()?)));
        notes.collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
