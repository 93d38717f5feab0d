//! The images that this agent has got itself, and when a job last used each: when the disk fills up, those that nobody has
//! used for longest are removed. Images of others are never touched.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tracing::warn;

use crate::site::workdir::write_whole;

/// An image that was used this recently is kept: the next job may want it.
const KEPT: Duration = Duration::from_secs(3600);

/// Ids of images, and when each was last used, in seconds since 1970. On disk, so that a restarted agent knows them.
#[derive(Debug)]
pub(crate) struct Pulled {
    path: PathBuf,
    known: Mutex<BTreeMap<String, i64>>,
}

impl Pulled {
    /// What an earlier run of the agent wrote down. A file that can't be read means that nothing is removed.
    pub(crate) fn open(path: PathBuf) -> Self {
        let known = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Self { path, known: Mutex::new(known.unwrap_or_default()) }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, i64>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an image that this agent has just got.
    pub(crate) fn got(&self, id: &str) {
        self.change(|known| {
            known.insert(id.to_owned(), Timestamp::now().as_second());
        });
    }

    /// Notes that a job uses an image.
    pub(crate) fn used(&self, id: &str) {
        let now = Timestamp::now().as_second();
        // Written down once a minute: jobs of a second must not wait for a disk.
        if self.lock().get(id).is_some_and(|last| now - last > 60) {
            self.got(id);
        }
    }

    /// Notes that an image is not here any more.
    pub(crate) fn removed(&self, id: &str) {
        self.change(|known| {
            known.remove(id);
        });
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, i64>)) {
        let mut known = self.lock();
        change(&mut known);
        let written = serde_json::to_vec(&*known).map_err(anyhow::Error::from);
        if let Err(error) = written.and_then(|json| write_whole(&self.path, &json)) {
            warn!(
                error = format!("{error:#}"),
                "an image may be kept for ever: it is not noted that the agent got it"
            );
        }
    }

    /// The one that was not used for longest, and for long enough.
    pub(crate) fn oldest(&self) -> Option<String> {
        let before = Timestamp::now().as_second() - KEPT.as_secs() as i64;
        let known = self.lock();
        let oldest = known.iter().min_by_key(|(_, used)| **used).filter(|(_, used)| **used < before);
        oldest.map(|(id, _)| id.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_got_and_not_used_for_long_is_chosen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pulled.json");
        let pulled = Pulled::open(path.clone());
        pulled.got("sha256:new");
        assert_eq!(pulled.oldest(), None);
        pulled.change(|known| {
            known.extend([("sha256:old".to_owned(), 1_000), ("sha256:older".to_owned(), 999)])
        });
        pulled.used("sha256:of somebody else");
        let again = Pulled::open(path);
        assert_eq!(again.oldest().as_deref(), Some("sha256:older"));
        again.used("sha256:older");
        assert_eq!(again.oldest().as_deref(), Some("sha256:old"));
    }
}
