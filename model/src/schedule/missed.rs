//! What becomes of times that are due, where several are: those that no coordinator was there for were missed.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use super::Rule;

/// Times that are made up at once at most.
pub const MOST_CAUGHT_UP: usize = 100;
/// Nothing older is made up, or told of.
pub const LOOK_BACK: SignedDuration = SignedDuration::from_hours(31 * 24);
/// A time that is looked at this much later is not missed.
const ON_TIME: SignedDuration = SignedDuration::from_secs(60);

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum $name { $($(#[$inner])* $variant),+ }

        impl $name {
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$variant),+];

            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The one of this name.
            pub fn of(name: &str) -> Result<Self, String> {
                let names = [$($text),+].join(", ");
                let found = Self::ALL.into_iter().find(|known| known.name() == name);
                found.ok_or_else(|| format!("{name:?} is not known; write one of {names}"))
            }
        }
    };
}

named! {
    /// What is done about times that were missed.
    CatchUp {
        #[default]
        None = "none",
        /// The last of them.
        Last = "last",
        All = "all",
    }
}

named! {
    /// What is done at a time at which an earlier sweep has not finished.
    Overlap {
        #[default]
        Skip = "skip",
        /// It is submitted when that has finished.
        Queue = "queue",
        Allow = "allow",
    }
}

named! {
    /// What became of a time.
    RunOutcome {
        /// Nothing yet.
        #[default]
        Waiting = "waiting",
        Submitted = "submitted",
        Skipped = "skipped",
        Failed = "failed",
    }
}

/// How late a time may be made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatchUpWindow(SignedDuration);

impl Default for CatchUpWindow {
    fn default() -> Self {
        Self(LOOK_BACK)
    }
}

impl CatchUpWindow {
    /// The error says what would be right.
    pub fn of_seconds(seconds: u64) -> Result<Self, String> {
        let longest = LOOK_BACK.as_secs() as u64;
        match (ON_TIME.as_secs() as u64..=longest).contains(&seconds) {
            true => Ok(Self(SignedDuration::from_secs(seconds as i64))),
            false => Err(format!(
                "{seconds} s is no time in which something is made up; a minute is the shortest, and 31 days are the longest"
            )),
        }
    }

    /// As it was kept.
    pub fn kept(seconds: u64) -> Self {
        Self::of_seconds(seconds).unwrap_or_default()
    }

    pub fn seconds(self) -> u64 {
        self.0.as_secs().unsigned_abs()
    }
}

/// What is to be done with times that are due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sorted {
    pub run: Vec<Timestamp>,
    /// The newest of those that are left out.
    pub skipped: Vec<Timestamp>,
    /// How many more are left out.
    pub more: u64,
    /// The next one.
    pub next: Option<Timestamp>,
}

/// Sorts the times from `first` to `now`.
pub fn sort(
    rule: &Rule,
    first: Timestamp,
    now: Timestamp,
    catch_up: CatchUp,
    window: CatchUpWindow,
) -> Sorted {
    let mut sorted = Sorted::default();
    let oldest = now.checked_sub(LOOK_BACK).unwrap_or(Timestamp::MIN);
    let mut due = VecDeque::new();
    let mut next = if first < oldest { rule.after(oldest) } else { Some(first) };
    while let Some(time) = next.filter(|time| *time <= now) {
        due.push_back(time);
        if due.len() > 2 * MOST_CAUGHT_UP {
            due.pop_front();
            sorted.more += 1;
        }
        next = rule.after(time);
    }
    sorted.next = next;
    let is_on_time = |time: &Timestamp| now.duration_since(*time) <= ON_TIME;
    let runs = match catch_up {
        CatchUp::None => usize::from(due.back().is_some_and(is_on_time)),
        CatchUp::Last => 1,
        CatchUp::All => MOST_CAUGHT_UP,
    };
    let is_in_window = |time: &&Timestamp| now.duration_since(**time) <= window.0;
    let runs = due.iter().rev().take(runs).take_while(is_in_window).count();
    sorted.run = due.split_off(due.len().saturating_sub(runs)).into();
    sorted.more += due.len().saturating_sub(MOST_CAUGHT_UP) as u64;
    sorted.skipped = due.split_off(due.len().saturating_sub(MOST_CAUGHT_UP)).into();
    sorted
}
