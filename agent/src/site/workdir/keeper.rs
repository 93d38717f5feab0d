//! What all attempts of a state directory share: the journal of their notes, and the removal of their directories.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bt_engine::collect;
use bt_model::id::AttemptId;
use tokio::task::spawn_blocking;

use crate::journal::StateJournal;

#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) journal: StateJournal,
    /// Which start of the machine this is; empty if it is not known.
    pub(super) boot: String,
    leftovers: Mutex<Leftovers>,
}

/// Directories of attempts that are over.
#[derive(Debug, Default)]
struct Leftovers {
    dirs: Vec<(AttemptId, PathBuf)>,
    is_clearing: bool,
}

impl Keeper {
    pub(super) fn new(journal: StateJournal, boot: String) -> Self {
        Self { journal, boot, leftovers: Mutex::default() }
    }

    /// Removes the directory of an attempt that is over, and then forgets its notes. A job may have left a million files:
    /// nobody waits for it, and one after the other is removed. What is left when the agent ends is removed when it starts.
    pub(super) fn clear_away(self: &Arc<Self>, attempt: AttemptId, dir: PathBuf) {
        let mut leftovers = self.leftovers.lock().unwrap_or_else(PoisonError::into_inner);
        leftovers.dirs.push((attempt, dir));
        if !leftovers.is_clearing {
            leftovers.is_clearing = true;
            let keeper = self.clone();
            spawn_blocking(move || keeper.clear());
        }
    }

    fn clear(&self) {
        loop {
            let dirs = {
                let mut leftovers = self.leftovers.lock().unwrap_or_else(PoisonError::into_inner);
                if leftovers.dirs.is_empty() {
                    leftovers.is_clearing = false;
                    return;
                }
                std::mem::take(&mut leftovers.dirs)
            };
            for (attempt, dir) in dirs {
                collect::remove_tree(&dir);
                self.journal.forget(attempt);
            }
            self.journal.flush();
        }
    }
}
