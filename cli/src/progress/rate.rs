//! How fast jobs finish, by the last minute.

use std::collections::VecDeque;
use std::time::Duration;

use bt_model::span::span;
use tokio::time::Instant;

/// How far back it looks, and how much must have been seen.
const WINDOW: Duration = Duration::from_secs(60);
const LEAST: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(crate) struct Rate {
    /// How many had finished when; the first one is as old as the window, or the oldest that there is.
    seen: VecDeque<(Instant, u32)>,
}

impl Rate {
    pub(crate) fn note(&mut self, now: Instant, finished: u32) {
        self.seen.push_back((now, finished));
        while self.seen.get(1).is_some_and(|(time, _)| now.duration_since(*time) >= WINDOW) {
            self.seen.pop_front();
        }
    }

    /// Jobs in a second; nothing before some have finished.
    fn per_second(&self) -> Option<f64> {
        let ((from, before), (to, after)) = (self.seen.front()?, self.seen.back()?);
        let passed = to.duration_since(*from);
        let finished = after.saturating_sub(*before);
        (passed >= LEAST && finished > 0).then(|| f64::from(finished) / passed.as_secs_f64())
    }

    /// `12.5 jobs/s` or `3.0 jobs/min`.
    pub(crate) fn words(&self) -> Option<String> {
        let rate = self.per_second()?;
        Some(match rate {
            100.0.. => format!("{rate:.0} jobs/s"),
            1.0.. => format!("{rate:.1} jobs/s"),
            _ => format!("{:.1} jobs/min", rate * 60.0),
        })
    }

    /// How long so many jobs take at this rate, in words.
    pub(crate) fn left(&self, jobs: u32) -> Option<String> {
        let seconds = f64::from(jobs) / self.per_second()?;
        Some(span(Duration::try_from_secs_f64(seconds.ceil()).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_minute_counts() {
        let began = Instant::now();
        let mut rate = Rate::default();
        let mut note = |second: u64, finished| {
            rate.note(began + Duration::from_secs(second), finished);
            (rate.words(), rate.left(100))
        };
        assert_eq!(note(0, 50), (None, None));
        assert_eq!(note(1, 60), (None, None), "too early to say");
        assert_eq!(note(4, 70), (Some("5.0 jobs/s".to_owned()), Some("20s".to_owned())));
        assert_eq!(note(60, 70).0.unwrap(), "20.0 jobs/min");
        assert_eq!(note(63, 70).0.unwrap(), "9.7 jobs/min", "what was seen before the window counts no more");
        assert_eq!(note(124, 70), (None, None), "nothing finishes");
    }
}
