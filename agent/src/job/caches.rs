//! Caches that jobs of one sweep share on this machine unless their manifest names a `cache`: what numba and others have
//! compiled is compiled once, and not in every job. One image and one user, so that nothing in them can be another's.
//!
//! A cache goes an hour after the sweep's last job here. It is bounded: a job that runs while it holds more is stopped.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bt_engine::collect;
use bt_model::id::SweepId;
use tokio::time::Instant;
use tracing::warn;

use crate::site::workdir::StateDir;

/// The most that a sweep's shared cache may hold.
pub(crate) const MOST: u64 = 1 << 30;
/// How long a sweep's cache stays after its last job.
const KEPT: Duration = Duration::from_secs(3600);

/// Variables that name a directory of a cache, with the directory's name in it.
pub(crate) const VARIABLES: [(&str, &str); 5] = [
    ("NUMBA_CACHE_DIR", "numba"),
    ("MPLCONFIGDIR", "matplotlib"),
    ("TRITON_CACHE_DIR", "triton"),
    ("TORCHINDUCTOR_CACHE_DIR", "torchinductor"),
    ("CUDA_CACHE_PATH", "cuda"),
];

/// The caches of the sweeps that have had jobs here.
#[derive(Debug, Default)]
pub(crate) struct Caches(Mutex<HashMap<SweepId, Cache>>);

#[derive(Debug)]
struct Cache {
    last_used: Instant,
    /// This run of the agent has made its directory, which need not be made again.
    is_made: bool,
}

impl Caches {
    fn lock(&self) -> MutexGuard<'_, HashMap<SweepId, Cache>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if the sweep's directory is there; then it counts as used now.
    pub(crate) fn has(&self, sweep: SweepId) -> bool {
        match self.lock().get_mut(&sweep) {
            Some(cache) => {
                cache.last_used = Instant::now();
                cache.is_made
            }
            None => false,
        }
    }

    /// Notes that the sweep's directory was made.
    pub(crate) fn made(&self, sweep: SweepId) {
        self.lock().insert(sweep, Cache { last_used: Instant::now(), is_made: true });
    }

    /// True if the sweep's cache was used so long ago that it may go. One that an earlier run of the agent has left counts
    /// from now on.
    fn is_old(&self, sweep: SweepId) -> bool {
        let mut caches = self.lock();
        let cache =
            caches.entry(sweep).or_insert_with(|| Cache { last_used: Instant::now(), is_made: false });
        cache.last_used.elapsed() > KEPT && caches.remove(&sweep).is_some()
    }

    /// Removes the caches of sweeps that have had no job here for long.
    pub(crate) async fn sweep_out(&self, state: &StateDir, held: &[SweepId]) {
        let root = state.shared_caches();
        let Ok(entries) = std::fs::read_dir(&root) else { return };
        for entry in entries.flatten() {
            let sweep: Option<SweepId> = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some(sweep) = sweep.filter(|sweep| !held.contains(sweep))
                && self.is_old(sweep)
            {
                remove(&entry.path()).await;
            }
        }
    }
}

async fn remove(path: &Path) {
    let path = path.to_owned();
    if let Err(error) = tokio::task::spawn_blocking(move || collect::remove_tree(&path)).await {
        warn!(%error, "the cache of a sweep is left behind");
    }
}
