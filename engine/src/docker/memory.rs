//! Which containers lost a process for memory. A job that lost a worker would pass for one that succeeded, so each witness
//! is heard that there is: the kernel's notification, which is certain where it can be had, the group's own count while
//! the container runs, the kernel's log, and the Engine.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bt_model::id::AttemptId;

use crate::docker::kernel_log::KernelLog;
use crate::docker::oom::OomWatch;

#[derive(Debug)]
pub(super) struct Memory {
    kernel: KernelLog,
    watches: Mutex<HashMap<AttemptId, Arc<OomWatch>>>,
    /// Containers whose group has counted a kill while they ran.
    counted: Mutex<HashSet<AttemptId>>,
    /// Groups can be watched here, as far as is known.
    can_watch: AtomicBool,
}

impl Memory {
    pub(super) fn new(can_watch: bool) -> Self {
        Self {
            kernel: KernelLog::open(),
            watches: Mutex::default(),
            counted: Mutex::default(),
            can_watch: AtomicBool::new(can_watch),
        }
    }

    /// Watches a container that is about to start.
    pub(super) fn watch(&self, attempt: AttemptId, container: &str) {
        if !self.can_watch.load(Ordering::Relaxed) || container.is_empty() {
            return;
        }
        match OomWatch::begin(container) {
            Ok(watch) => {
                lock(&self.watches).insert(attempt, Arc::new(watch));
            }
            Err(error) => self.give_up(&error.to_string()),
        }
    }

    fn give_up(&self, why: &str) {
        if self.can_watch.swap(false, Ordering::Relaxed) {
            tracing::debug!("which containers run out of memory is asked of the engine: {why}");
        }
    }

    /// Notes what the group of a container that runs has counted.
    pub(super) fn note(&self, attempt: AttemptId, kills: u64) {
        if kills > 0 {
            lock(&self.counted).insert(attempt);
        }
    }

    /// Whether one of these witnesses knows of a kill in the container.
    pub(super) fn killed_in(&self, attempt: AttemptId, container: &str) -> bool {
        lock(&self.counted).contains(&attempt) || self.kernel.killed_in(container)
    }

    /// As [`killed_in`](Self::killed_in), by the notification, once the container has ended.
    pub(super) async fn was_told_of_kill(&self, attempt: AttemptId) -> bool {
        let watch = lock(&self.watches).get(&attempt).cloned();
        let Some(watch) = watch else { return false };
        match watch.killed().await {
            Some(killed) => killed,
            None => {
                self.give_up("the engine makes its control groups elsewhere");
                false
            }
        }
    }

    pub(super) fn forget(&self, attempt: AttemptId) {
        lock(&self.watches).remove(&attempt);
        lock(&self.counted).remove(&attempt);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
