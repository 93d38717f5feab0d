//! When containers were frozen. Kept in a file, so that a job's timeout is right after a restart of the agent.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::site::workdir::write_whole;

/// Stretches that are kept.
const MOST: usize = 1_000;

/// From when to when; until now where there is no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stretch {
    from: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<Timestamp>,
}

#[derive(Debug)]
pub(crate) struct Stretches {
    file: PathBuf,
    all: Mutex<Vec<Stretch>>,
}

impl Stretches {
    pub(crate) fn read(file: PathBuf) -> Self {
        let all = match std::fs::read(&file) {
            Ok(json) => serde_json::from_slice(&json).unwrap_or_else(|error| {
                warn!("{} is ignored: {error}", file.display());
                Vec::new()
            }),
            Err(_) => Vec::new(),
        };
        Self { file, all: Mutex::new(all) }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Stretch>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when containers are frozen, if they are.
    pub(crate) fn open_since(&self) -> Option<Timestamp> {
        self.lock().last().filter(|last| last.to.is_none()).map(|last| last.from)
    }

    /// Does nothing if one is open.
    pub(crate) fn begin(&self, now: Timestamp) {
        if self.open_since().is_some() {
            return;
        }
        let mut all = self.lock();
        all.push(Stretch { from: now, to: None });
        let surplus = all.len().saturating_sub(MOST);
        all.drain(..surplus);
        self.write(&all);
    }

    pub(crate) fn end(&self, now: Timestamp) {
        let mut all = self.lock();
        if let Some(last) = all.last_mut().filter(|last| last.to.is_none()) {
            last.to = Some(now);
            self.write(&all);
        }
    }

    fn write(&self, all: &[Stretch]) {
        let json = serde_json::to_vec(all).unwrap_or_default();
        if let Err(error) = write_whole(&self.file, &json) {
            warn!("when containers were frozen is forgotten with this run of the agent: {error:#}");
        }
    }

    /// How much of this time is within them.
    pub(crate) fn within(&self, from: Timestamp, to: Timestamp) -> Duration {
        let within = |stretch: &Stretch| {
            let (from, to) = (stretch.from.max(from), stretch.to.unwrap_or(to).min(to));
            Duration::try_from(to.duration_since(from)).unwrap_or_default()
        };
        self.lock().iter().map(within).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn only_what_lies_within_counts_and_a_restart_forgets_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("frozen.json");
        let stretches = Stretches::read(file.clone());
        stretches.begin(at(10));
        stretches.begin(at(15));
        stretches.end(at(20));
        stretches.begin(at(30));
        let again = Stretches::read(file.clone());
        assert_eq!(again.open_since(), Some(at(30)));
        let within = |from, to| again.within(at(from), at(to)).as_secs();
        assert_eq!((within(0, 40), within(12, 18), within(20, 30), within(25, 33)), (20, 6, 0, 3));
        again.end(at(35));
        assert_eq!(again.within(at(0), at(100)).as_secs(), 15);
        std::fs::write(&file, "no list").unwrap();
        assert_eq!(Stretches::read(file).open_since(), None);
    }
}
