//! Whether the machine can run containers now, and why not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bt_engine::Error;
use bt_measures::{AGENT_DISK_FREE, AGENT_DISK_RESERVE};
use bt_model::id::AttemptId;
use bt_model::resources::ByteSize;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{info, warn};

use super::workdir::StateDir;

/// How long an engine that starts nothing gets no work.
const FIRST_PAUSE: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(crate) struct Health {
    /// Bytes of the disk that nothing is to touch.
    pub(crate) disk_reserve: u64,
    troubles: Mutex<Troubles>,
    /// The engine has said that its disk is full.
    engine_is_full: AtomicBool,
    news: Notify,
    doubts: Notify,
}

/// Each is empty where there is none.
#[derive(Debug, Default)]
struct Troubles {
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

impl Wedged {
    fn holds(&self) -> bool {
        self.until > Instant::now()
    }
}

impl Health {
    pub(crate) fn new(disk_reserve: u64) -> Self {
        Self {
            disk_reserve,
            troubles: Mutex::default(),
            engine_is_full: AtomicBool::new(false),
            news: Notify::new(),
            doubts: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Troubles> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why this machine can't run containers now; empty when it can.
    pub(crate) fn troubles(&self) -> String {
        let troubles = self.lock();
        let wedged = troubles.wedged.as_ref().filter(|wedged| wedged.holds());
        let wedged = wedged.map_or("", |wedged| wedged.why.as_str());
        let all = [troubles.engine.as_str(), wedged, troubles.disk.as_str(), troubles.state.as_str()];
        all.into_iter().filter(|why| !why.is_empty()).collect::<Vec<_>>().join("; ")
    }

    /// Says that the engine does not let go of a container; a later pass removes it. That pass comes soon: while the engine is away
    /// no more jobs are to come.
    pub(crate) fn leave_container(&self, container: AttemptId, error: &Error) {
        warn!(%container, %error, "the container is left to a later pass");
        self.doubts.notify_one();
    }

    /// Waits until the engine is to be looked at.
    pub(crate) async fn doubted(&self) {
        self.doubts.notified().await;
    }

    /// Waits until coordinators should hear of it at once.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// Notes how the engine is, nothing if it is well; true if that is news.
    pub(crate) fn note_engine(&self, why: String) -> bool {
        let mut troubles = self.lock();
        let is_news = troubles.engine != why;
        troubles.engine = why;
        is_news
    }

    /// Notes that the engine has no room.
    pub(crate) fn engine_is_full(&self) {
        self.engine_is_full.store(true, Ordering::Relaxed);
    }

    /// Notes whether the engine started a container. One that does not answer, though it answers other calls, gets no
    /// work for a while, and each time for twice as long.
    pub(crate) fn note_start(&self, started: &Result<(), Error>) {
        let mut troubles = self.lock();
        match started {
            Ok(()) => troubles.wedged = None,
            // Others that were under way together.
            Err(Error::Timeout { .. }) if troubles.wedged.as_ref().is_some_and(Wedged::holds) => {}
            Err(error @ Error::Timeout { .. }) => {
                let before = troubles.wedged.as_ref().map_or(FIRST_PAUSE / 2, |wedged| wedged.pause);
                let pause = (before * 2).min(LONGEST_PAUSE);
                let until = Instant::now() + pause;
                troubles.wedged = Some(Wedged { why: error.to_string(), until, pause });
            }
            Err(Error::DiskFull { .. }) => self.engine_is_full(),
            Err(_) => {}
        }
    }

    /// Sees whether a job could be taken: that needs a directory to write to and descriptors to do it by.
    pub(crate) fn look_at_state(&self, state: &StateDir) {
        let why = match state.try_to_write() {
            Ok(()) => String::new(),
            Err(error) => format!("it can't write to its state directory: {error:#}"),
        };
        let mut troubles = self.lock();
        if troubles.state == why {
            return;
        }
        match why.as_str() {
            "" => info!("the state directory can be written to again"),
            why => warn!("no work is taken: {why}"),
        }
        troubles.state = why;
        self.news.notify_one();
    }

    /// Looks at the disk that results directories are made on.
    pub(crate) fn look_at_disk(&self, state: &StateDir) {
        let Ok(free) = state.free_bytes() else { return };
        let near = self.disk_reserve + self.disk_reserve / 4;
        AGENT_DISK_FREE.set([], free as f64);
        AGENT_DISK_RESERVE.set([], self.disk_reserve as f64);
        self.lock().disk = match free < near {
            false => String::new(),
            true => format!(
                "its disk is nearly full: {} are free, and {} are kept in reserve (--disk-reserve)",
                ByteSize(free),
                ByteSize(self.disk_reserve)
            ),
        };
    }

    /// True when room is wanted: the disk, or the engine's, is nearly full. What the engine said counts once.
    pub(crate) fn wants_room(&self) -> bool {
        self.engine_is_full.swap(false, Ordering::Relaxed) || !self.lock().disk.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeout() -> Result<(), Error> {
        Err(Error::Timeout { call: "start", after: Duration::from_secs(1) })
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_starts_nothing_rests_for_twice_as_long_each_time() {
        let health = Health::new(0);
        health.note_start(&timeout());
        assert!(health.troubles().contains("did not answer"), "{}", health.troubles());
        // One that was under way together.
        health.note_start(&timeout());
        tokio::time::advance(FIRST_PAUSE).await;
        assert_eq!(health.troubles(), "");
        health.note_start(&timeout());
        tokio::time::advance(FIRST_PAUSE).await;
        assert_ne!(health.troubles(), "");
        tokio::time::advance(FIRST_PAUSE).await;
        assert_eq!(health.troubles(), "");
        health.note_start(&Ok(()));
        health.note_start(&timeout());
        tokio::time::advance(FIRST_PAUSE).await;
        assert_eq!(health.troubles(), "", "a start in between begins anew");
    }

    #[test]
    fn troubles_are_named_together_and_a_full_engine_asks_for_room_once() {
        let health = Health::new(u64::MAX / 2);
        assert!(health.note_engine("the engine is gone".to_owned()));
        assert!(!health.note_engine("the engine is gone".to_owned()));
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        health.look_at_disk(&state);
        let told = health.troubles();
        assert!(told.starts_with("the engine is gone; its disk is nearly full"), "{told}");
        let health = Health::new(0);
        assert!(!health.wants_room());
        health.note_start(&Err(Error::DiskFull { message: "no space left".to_owned() }));
        assert!(health.wants_room());
        assert!(!health.wants_room());
    }
}
