//! Batches whose items fail one by one: each failed item is put off by itself, for longer each time, and the others go on.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

/// How long an item that failed is put off; it doubles each time.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// Items that are remembered. Those beyond are tried in each pass.
const MOST: usize = 10_000;

/// Items that failed. Only a cache: a coordinator that starts tries them all.
#[derive(Debug)]
pub(crate) struct PutOff<K> {
    what: &'static str,
    items: HashMap<K, Wait>,
}

#[derive(Clone, Copy, Debug)]
struct Wait {
    due: Instant,
    pause: Duration,
}

impl<K: Clone + Eq + Hash + Display> PutOff<K> {
    /// `what` is done with each item, for the log: "writing the result.json of".
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what, items: HashMap::new() }
    }

    /// True if it is an item's turn.
    pub(crate) fn is_due(&self, item: &K) -> bool {
        self.is_due_at(item, Instant::now())
    }

    fn is_due_at(&self, item: &K, now: Instant) -> bool {
        self.items.get(item).is_none_or(|wait| wait.due <= now)
    }

    /// Notes how it went with an item: says once when it begins to fail, and once when it works again.
    pub(crate) fn note<T, E: Display>(&mut self, item: &K, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => {
                if self.items.remove(item).is_some() {
                    info!("{} {item} works again", self.what);
                }
                Some(value)
            }
            Err(error) => {
                let before = self.items.get(item).copied();
                let pause = before.map_or(FIRST, |wait| (wait.pause * 2).min(LONGEST));
                if before.is_none() {
                    warn!(error = %error, "{} {item} fails; the others go on, and it is tried again", self.what);
                }
                if before.is_some() || self.items.len() < MOST {
                    self.items.insert(item.clone(), Wait { due: Instant::now() + pause, pause });
                }
                None
            }
        }
    }

    /// Forgets items that there are no more.
    pub(crate) fn keep(&mut self, is_there: impl Fn(&K) -> bool) {
        self.items.retain(|item, _| is_there(item));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_waits_for_itself_and_longer_each_time() {
        let mut items = PutOff::new("doing");
        assert!(items.is_due(&1));
        for pause in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            let pause = Duration::from_secs(pause);
            let before = Instant::now();
            assert!(items.note(&1, Err::<(), _>("no")).is_none());
            assert!(!items.is_due_at(&1, before + pause - Duration::from_millis(1)));
            assert!(items.is_due_at(&1, Instant::now() + pause) && items.is_due(&2));
        }
        assert_eq!(items.note(&1, Ok::<_, &str>(7)), Some(7));
        assert!(items.is_due(&1));
        items.note(&1, Err::<(), _>("no"));
        items.keep(|item| *item != 1);
        assert!(items.is_due(&1));
    }
}
