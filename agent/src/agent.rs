//! What all parts of a running agent share.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bt_engine::Engine;
use bt_engine::capacity::Capacity;
use bt_model::id::AttemptId;
use bt_model::manifest::parse_size;
use bt_model::resources::ByteSize;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::assignment::Manifests;
use crate::blame::Starts;
use crate::caches::Caches;
use crate::config::Options;
use crate::container::Identity;
use crate::fingerprints::Fingerprints;
use crate::holdings::Holdings;
use crate::images::Images;
use crate::inside;
use crate::link::Link;
use crate::offer::Offer;
use crate::outbox::Outbox;
use crate::pulled::Pulled;
use crate::reach::{Reach, StoreChoice};
use crate::shipping;
use crate::slots::Slots;
use crate::software;
use crate::upload::Pace;
use crate::workdir::StateDir;

/// What jobs never take of the disk, if nothing else is said: a part of it, and no more than so much.
const DISK_RESERVE_PART: u64 = 20;
const DISK_RESERVE_MOST: u64 = 5 << 30;

/// How long an engine that starts nothing gets no work.
const FIRST_PAUSE: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// A running agent.
pub(crate) struct Agent {
    pub(crate) options: Options,
    pub(crate) identity: Identity,
    pub(crate) offer: Offer,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) engine_version: String,
    pub(crate) state: StateDir,
    pub(crate) manifests: Manifests,
    pub(crate) capacity: Capacity,
    pub(crate) holdings: Holdings,
    pub(crate) outbox: Outbox,
    pub(crate) link: Link,
    /// How outputs get into the store.
    pub(crate) reach: Reach,
    /// Turns of outputs that are sent at once, and how fast all of them together.
    pub(crate) uploads: Semaphore,
    pub(crate) pace: Pace,
    pub(crate) tasks: TaskTracker,
    /// No new work is wanted.
    pub(crate) draining: CancellationToken,
    /// The machine is being taken back by its owner.
    pub(crate) preempted: AtomicBool,
    /// How long the machine will still be there, once that is known.
    pub(crate) time_left: OnceLock<Duration>,
    pub(crate) images: Images,
    pub(crate) pulled: Pulled,
    pub(crate) fingerprints: Arc<Fingerprints>,
    pub(crate) software: software::Seen,
    /// The engine has said that its disk is full.
    pub(crate) engine_is_full: AtomicBool,
    pub(crate) guests: Guests,
    shells: AtomicUsize,
    pub(crate) slots: Slots,
    pub(crate) starts: Starts,
    /// What has been seen of images.
    pub(crate) inside: inside::Seen,
    pub(crate) caches: Caches,
    /// Turns of files that are sent while their jobs run.
    pub(crate) shipping: Semaphore,
    /// What it says of itself, for people.
    pub(crate) about: BTreeMap<String, String>,
    disk_reserve: u64,
    unhealthy: Mutex<Health>,
    /// Coordinators should hear of its health now.
    pub(crate) health_news: Notify,
}

/// Why the machine can't run containers now; empty where it can.
#[derive(Debug, Default)]
struct Health {
    engine: String,
    disk: String,
    /// Its own directory can't be written to.
    state: String,
    wedged: Option<Wedged>,
}

/// The engine answers, and starts nothing.
#[derive(Debug)]
struct Wedged {
    why: String,
    /// When it may be tried again, and how long that was to wait.
    until: Instant,
    pause: Duration,
}

impl Agent {
    pub(crate) fn new(
        options: Options,
        identity: Identity,
        offer: Offer,
        engine: (Arc<dyn Engine>, String),
        state: StateDir,
        store: StoreChoice,
        draining: CancellationToken,
    ) -> anyhow::Result<Self> {
        let disk_reserve = match &options.disk_reserve {
            None => (state.disk_bytes()? / DISK_RESERVE_PART).min(DISK_RESERVE_MOST),
            Some(text) => parse_size(text).context("read --disk-reserve")?,
        };
        Ok(Self {
            about: about(&offer),
            disk_reserve,
            time_left: OnceLock::new(),
            images: Images::default(),
            pulled: Pulled::open(state.pulled()),
            fingerprints: Arc::new(Fingerprints::new(&offer.volumes, &state.fingerprints())),
            software: software::Seen::default(),
            engine_is_full: AtomicBool::new(false),
            guests: Guests::default(),
            shells: AtomicUsize::new(0),
            slots: Slots::default(),
            starts: Starts::default(),
            inside: inside::Seen::default(),
            caches: Caches::default(),
            shipping: Semaphore::new(shipping::AT_ONCE),
            capacity: Capacity::new(offer.capacity),
            manifests: Manifests::default(),
            identity,
            offer,
            engine: engine.0,
            engine_version: engine.1,
            state,
            holdings: Holdings::default(),
            outbox: Outbox::default(),
            link: Link::new(),
            reach: Reach::new(store),
            uploads: Semaphore::new(options.uploads_at_once as usize),
            pace: Pace::new(options.upload_rate),
            options,
            tasks: TaskTracker::new(),
            draining,
            preempted: AtomicBool::new(false),
            unhealthy: Mutex::default(),
            health_news: Notify::new(),
        })
    }

    /// Why this machine can't run containers now; empty when it can.
    pub(crate) fn unhealthy(&self) -> String {
        let health = lock(&self.unhealthy);
        let wedged = health.wedged.as_ref().filter(|wedged| wedged.until > Instant::now());
        let wedged = wedged.map_or("", |wedged| wedged.why.as_str());
        let all = [health.engine.as_str(), wedged, health.disk.as_str(), health.state.as_str()];
        all.into_iter().filter(|why| !why.is_empty()).collect::<Vec<_>>().join("; ")
    }

    /// Notes how the engine is; true if that is news.
    pub(crate) fn note_engine(&self, why: String) -> bool {
        let mut health = lock(&self.unhealthy);
        let is_news = health.engine != why;
        health.engine = why;
        is_news
    }

    /// Notes whether the engine started a container. One that does not answer, though it answers other calls, gets no
    /// work for a while, and each time for twice as long.
    pub(crate) fn note_start(&self, started: &Result<(), bt_engine::Error>) {
        let mut health = lock(&self.unhealthy);
        match started {
            Ok(()) => health.wedged = None,
            // Others that were under way together.
            Err(bt_engine::Error::Timeout { .. })
                if health.wedged.as_ref().is_some_and(|wedged| wedged.until > Instant::now()) => {}
            Err(error @ bt_engine::Error::Timeout { .. }) => {
                let before = health.wedged.as_ref().map_or(FIRST_PAUSE / 2, |wedged| wedged.pause);
                let pause = (before * 2).min(LONGEST_PAUSE);
                let until = Instant::now() + pause;
                health.wedged = Some(Wedged { why: error.to_string(), until, pause });
            }
            Err(bt_engine::Error::DiskFull { .. }) => self.engine_is_full.store(true, Ordering::Relaxed),
            Err(_) => {}
        }
    }

    /// Sees whether a job could be taken: that needs a directory to write to and descriptors to do it by. True if it is
    /// news.
    pub(crate) fn look_at_state(&self) -> bool {
        let why = match self.state.try_to_write() {
            Ok(()) => String::new(),
            Err(error) => format!("it can't write to its state directory: {error:#}"),
        };
        let mut health = lock(&self.unhealthy);
        if health.state == why {
            return false;
        }
        match why.as_str() {
            "" => info!("the state directory can be written to again"),
            why => warn!("no work is taken: {why}"),
        }
        health.state = why;
        self.health_news.notify_one();
        true
    }

    /// Looks at the disk that results directories are made on.
    pub(crate) fn look_at_disk(&self) {
        let Ok(free) = self.state.free_bytes() else { return };
        let near = self.disk_reserve + self.disk_reserve / 4;
        lock(&self.unhealthy).disk = match free < near {
            false => String::new(),
            true => format!(
                "its disk is nearly full: {} are free, and {} are kept in reserve (--disk-reserve)",
                ByteSize(free),
                ByteSize(self.disk_reserve)
            ),
        };
    }

    /// Counts a user's shell as work until this is dropped.
    pub(crate) fn open_shell(&self) -> OpenShell<'_> {
        self.shells.fetch_add(1, Ordering::Relaxed);
        OpenShell(&self.shells)
    }

    /// True while an attempt is held or a user has a shell.
    pub(crate) fn is_busy(&self) -> bool {
        self.holdings.count() > 0 || self.shells.load(Ordering::Relaxed) > 0
    }

    /// True when room is wanted: the disk, or the engine's, is nearly full.
    pub(crate) fn wants_room(&self) -> bool {
        self.engine_is_full.swap(false, Ordering::Relaxed) || !lock(&self.unhealthy).disk.is_empty()
    }

    /// Bytes of the disk that nothing is to touch.
    pub(crate) fn disk_reserve(&self) -> u64 {
        self.disk_reserve
    }

    /// True when the disk is so full that what is kept in reserve is touched.
    pub(crate) fn disk_is_short(&self) -> bool {
        self.state.free_bytes().is_ok_and(|free| free < self.disk_reserve)
    }
}

/// Containers that are no attempt's: shells of users, and those that jobs share.
#[derive(Debug, Default)]
pub(crate) struct Guests(Mutex<HashSet<AttemptId>>);

/// A shell that is open.
pub(crate) struct OpenShell<'a>(&'a AtomicUsize);

impl Drop for OpenShell<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Guests {
    pub(crate) fn add(&self, id: AttemptId) {
        lock(&self.0).insert(id);
    }

    pub(crate) fn remove(&self, id: AttemptId) {
        lock(&self.0).remove(&id);
    }

    pub(crate) fn all(&self) -> Vec<AttemptId> {
        lock(&self.0).iter().copied().collect()
    }

    pub(crate) fn contains(&self, id: AttemptId) -> bool {
        lock(&self.0).contains(&id)
    }
}

/// What only people want to know.
fn about(offer: &Offer) -> BTreeMap<String, String> {
    let sizing = &offer.sizing;
    let facts = [
        ("default_threads", sizing.threads.to_string()),
        ("default_memory", ByteSize(sizing.memory_bytes).to_string()),
        ("default_shm", ByteSize(sizing.shm_bytes).to_string()),
        ("cgroup", cgroup_version().to_owned()),
        ("network", if offer.network { "bridge" } else { "none" }.to_owned()),
    ];
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Which version of control groups the machine has: the engine's figures come from them.
pub(crate) fn cgroup_version() -> &'static str {
    if std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { "v2" } else { "v1" }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
