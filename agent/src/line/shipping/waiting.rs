//! The files that wait to be shipped, and when it is the turn of each: soon after it was closed, and ever later the more
//! often it was shipped before. There are never more of them than are good for the agent.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

/// How long a file is left alone after it was closed: many are closed again at once.
const QUIET: Duration = Duration::from_millis(500);
/// One that is closed again and again is not left alone for longer than this.
const LONGEST_QUIET: Duration = Duration::from_secs(5);
/// Between two shipments of one file, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// Shipments of a file whose pause is as long as a call that was cut off may still be at work in the store.
pub(super) const AFTER_A_CUT: u32 = 8;
/// Files that wait at once.
const MOST: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct FilesToSend {
    files: HashMap<String, Turn>,
    order: BTreeSet<(Instant, String)>,
    /// Files were left out, because too many wait.
    pub(super) left_out: bool,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    due: Instant,
    /// When it was closed first since it was shipped; none if it was only found.
    closed: Option<Instant>,
}

/// How often and when a file was shipped last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Past {
    pub(super) times: u32,
    pub(super) last: Instant,
}

impl Past {
    /// When it may be shipped again.
    fn over(self) -> Instant {
        self.last + rising(self.times.saturating_sub(1))
    }
}

/// A pause that doubles with each step.
pub(super) fn rising(steps: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(steps)).min(LONGEST_PAUSE)
}

impl FilesToSend {
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The file was closed, or renamed into its place.
    pub(super) fn closed(&mut self, path: &str, past: Option<Past>, now: Instant) {
        let first = self.files.get(path).and_then(|turn| turn.closed).unwrap_or(now);
        let quiet = (now + QUIET).min(first + LONGEST_QUIET);
        let due = past.map_or(quiet, |past| past.over().max(quiet));
        self.put(path, Turn { due, closed: Some(first) });
    }

    /// The file is there, and nobody has seen it being closed.
    pub(super) fn found(&mut self, path: &str, past: Option<Past>, due: Instant) {
        if self.files.get(path).is_none_or(|turn| turn.closed.is_none()) {
            self.put(path, Turn { due: past.map_or(due, |past| past.over().max(due)), closed: None });
        }
    }

    /// When the next file's turn comes.
    pub(super) fn due(&self) -> Option<Instant> {
        self.order.first().map(|(due, _)| *due)
    }

    /// Takes the next file whose turn has come, and says whether it was seen being closed.
    pub(super) fn take(&mut self, now: Instant) -> Option<(String, bool)> {
        if self.due()? > now {
            return None;
        }
        let (_, path) = self.order.pop_first()?;
        let turn = self.files.remove(&path)?;
        Some((path, turn.closed.is_some()))
    }

    pub(super) fn forget(&mut self, path: &str) {
        if let Some(turn) = self.files.remove(path) {
            self.order.remove(&(turn.due, path.to_owned()));
        }
    }

    fn put(&mut self, path: &str, turn: Turn) {
        self.forget(path);
        if self.files.len() >= MOST {
            self.left_out = true;
            return;
        }
        self.files.insert(path.to_owned(), turn);
        self.order.insert((turn.due, path.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_left_alone_for_a_moment_after_each_close_but_not_for_ever() {
        let mut waiting = FilesToSend::default();
        let start = Instant::now();
        let mut now = start;
        while waiting.take(now).is_none() {
            waiting.closed("x", None, now);
            now += QUIET / 2;
        }
        assert!((LONGEST_QUIET..LONGEST_QUIET + QUIET).contains(&(now - start)), "{:?}", now - start);
        assert!(waiting.is_empty() && waiting.due().is_none());
    }

    #[test]
    fn one_that_is_shipped_often_waits_ever_longer() {
        let mut waiting = FilesToSend::default();
        let now = Instant::now();
        let mut pauses = Vec::new();
        for times in [1, 2, 3, AFTER_A_CUT, 30] {
            waiting.closed("x", Some(Past { times, last: now }), now);
            pauses.push((waiting.due().unwrap() - now).as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 128, 600]);
    }

    #[test]
    fn the_next_one_is_the_one_whose_turn_comes_first_and_closed_outweighs_found() {
        let mut waiting = FilesToSend::default();
        let now = Instant::now();
        waiting.found("b", None, now + 2 * QUIET);
        waiting.closed("a", None, now);
        waiting.closed("b", None, now + QUIET);
        waiting.found("a", None, now + 9 * QUIET);
        assert_eq!(waiting.take(now), None);
        let later = now + 3 * QUIET;
        assert_eq!(waiting.take(later), Some(("a".to_owned(), true)));
        assert_eq!(waiting.take(later), Some(("b".to_owned(), true)));
        assert_eq!(waiting.take(later), None);
    }

    #[test]
    fn there_are_never_too_many() {
        let mut waiting = FilesToSend::default();
        let now = Instant::now();
        for number in 0..MOST + 10 {
            waiting.closed(&number.to_string(), None, now);
        }
        assert!(waiting.left_out);
        assert_eq!((waiting.files.len(), waiting.order.len()), (MOST, MOST));
    }
}
