//! Containers that are no attempt's: shells of users, those that jobs share, and those that only look at an image.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bt_model::id::AttemptId;

#[derive(Debug, Default)]
pub(crate) struct Guests {
    ids: Mutex<HashSet<AttemptId>>,
    shells: AtomicUsize,
}

/// A shell that is open.
pub(crate) struct OpenShell<'a>(&'a AtomicUsize);

impl Drop for OpenShell<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Guests {
    fn lock(&self) -> MutexGuard<'_, HashSet<AttemptId>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, id: AttemptId) {
        self.lock().insert(id);
    }

    pub(crate) fn remove(&self, id: AttemptId) {
        self.lock().remove(&id);
    }

    pub(crate) fn all(&self) -> Vec<AttemptId> {
        self.lock().iter().copied().collect()
    }

    pub(crate) fn contains(&self, id: AttemptId) -> bool {
        self.lock().contains(&id)
    }

    /// Counts a user's shell as work until this is dropped.
    pub(crate) fn open_shell(&self) -> OpenShell<'_> {
        self.shells.fetch_add(1, Ordering::Relaxed);
        OpenShell(&self.shells)
    }

    /// True while a user has a shell.
    pub(crate) fn has_shells(&self) -> bool {
        self.shells.load(Ordering::Relaxed) > 0
    }
}
