//! How a sweep's jobs are run as a whole: how often again, how many at once, which first, and how long what they left is
//! kept.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::after::{self, After};
use super::check;
use super::error::{Error, suggestion};
use super::notify::{self, Receiver};
use super::size;
use crate::reason::ReasonKind;
use crate::retry::{Growth, LOSS_LIMIT, PREEMPTION_LIMIT};

/// Most jobs of a sweep that may be asked to go first, or to run at once.
pub const MAX_PARALLEL: u32 = 1_000_000;
/// Most limits that a sweep's jobs count against, and most that one job takes of one.
pub(super) const MAX_LIMITS: usize = 16;
pub const MAX_LIMIT: u32 = 1_000_000;

/// How much more memory an attempt gets at least and at most, and where the manifest does not say.
const LEAST_FACTOR: f64 = 1.1;
const MOST_FACTOR: f64 = 16.0;
pub(super) const USUAL_FACTOR: f64 = 2.0;

/// How often what is tried again; each has an account of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Retries {
    /// Of the job's own failures.
    pub failures: Option<u32>,
    /// Of attempts that ran out of memory.
    pub oom: Option<u32>,
    /// What those get that are tried again.
    pub growth: Option<Growth>,
    /// Of attempts whose agent was lost.
    pub lost: Option<u32>,
    /// Of attempts whose machine was taken back by its owner.
    pub preempted: Option<u32>,
}

/// The shortest and the longest time that results are kept for, where not for ever.
const SHORTEST_KEEP: Duration = Duration::from_secs(1);
const LONGEST_KEEP: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// How long a sweep's results are kept after its last job has finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    Forever,
    For(Duration),
}

impl Keep {
    /// None: for ever.
    pub fn time(self) -> Option<Duration> {
        match self {
            Self::Forever => None,
            Self::For(time) => Some(time),
        }
    }
}

impl FromStr for Keep {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text == "forever" {
            return Ok(Self::Forever);
        }
        let short: String = text.chars().take(40).collect();
        let fails = |why: String| {
            Error::new(format!(
                "{short:?} is not a time to keep results for: {why}; write 30d, 12h or forever"
            ))
        };
        let time = size::parse_time(text).map_err(fails)?;
        if !(SHORTEST_KEEP..=LONGEST_KEEP).contains(&time) {
            return Err(fails("it goes from a second to a hundred years".to_owned()));
        }
        Ok(Self::For(time))
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forever => f.write_str("forever"),
            Self::For(time) => humantime::format_duration(*time).fmt(f),
        }
    }
}

/// The keys `retries`, `retry_on`, `stop_when`, `max_parallel`, `limits`, `canary`, `keep`, `notify`, `after` and
/// `preempt`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    pub retries: Retries,
    /// Reasons that are worth another try; all of the job's own if absent.
    pub retry_on: Option<Vec<ReasonKind>>,
    /// When a running job is given up: an expression over what it reports.
    pub stop_when: Option<String>,
    /// How many jobs of the sweep may run at once.
    pub max_parallel: Option<u32>,
    /// What each running job takes of limits that hold for the whole cluster.
    pub limits: BTreeMap<String, u32>,
    /// So many jobs run first; the others only if all of these have succeeded.
    pub canary: Option<u32>,
    /// For ever if absent.
    pub keep: Option<Keep>,
    /// Who is told when the sweep has finished; absent: whom the user's settings name.
    pub notify: Option<Vec<Receiver>>,
    /// The sweeps that must end before any job starts.
    pub after: Vec<After>,
    /// Running jobs of a lower priority may be ended to make room for these.
    pub preempt: bool,
}

impl Policy {
    /// Who is told when the sweep has finished.
    pub fn receivers(&self) -> &[Receiver] {
        self.notify.as_deref().unwrap_or_default()
    }

    /// How long results are kept; none: for ever.
    pub fn kept_for(&self) -> Option<Duration> {
        self.keep.and_then(Keep::time)
    }

    pub fn failure_retries(&self) -> u32 {
        self.retries.failures.unwrap_or(0)
    }

    pub fn oom_retries(&self) -> u32 {
        self.retries.oom.unwrap_or(self.failure_retries())
    }

    pub fn loss_limit(&self) -> u32 {
        self.retries.lost.unwrap_or(LOSS_LIMIT)
    }

    pub fn preemption_limit(&self) -> u32 {
        self.retries.preempted.unwrap_or(PREEMPTION_LIMIT)
    }

    /// The reasons that are worth another try.
    pub fn retried(&self) -> Vec<ReasonKind> {
        self.retry_on.clone().unwrap_or_else(|| ReasonKind::OF_JOBS.to_vec())
    }

    /// The bounds, for what did not come from a file.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let Retries { failures, oom, growth, lost, preempted } = self.retries;
        for count in [failures, oom, lost, preempted].into_iter().flatten() {
            if count > check::MAX_RETRIES {
                return Err((
                    "retries",
                    format!("`retries` has {count}; {} is the limit", check::MAX_RETRIES),
                ));
            }
        }
        if let Some(growth) = growth {
            check_growth(&growth).map_err(|why| ("retries", why))?;
            if !self.retried().contains(&ReasonKind::Oom) {
                let why =
                    "`retries.oom` gives jobs more memory, and `retry_on` does not name oom; add it there";
                return Err(("retries", why.to_owned()));
            }
        }
        for (key, count) in [("max_parallel", self.max_parallel), ("canary", self.canary)] {
            if count.is_some_and(|count| !(1..=MAX_PARALLEL).contains(&count)) {
                return Err((key, format!("`{key}` goes from 1 to {MAX_PARALLEL}")));
            }
        }
        if self.limits.len() > MAX_LIMITS {
            let count = self.limits.len();
            return Err(("limits", format!("`limits` has {count}; {MAX_LIMITS} is the limit")));
        }
        for (name, amount) in &self.limits {
            check_limit(name, *amount).map_err(|error| ("limits", error.message))?;
        }
        after::check(&self.after).map_err(|told| ("after", told))?;
        notify::check(self.receivers()).map_err(|told| ("notify", told))
    }
}

/// Checks how memory grows.
pub(super) fn check_growth(growth: &Growth) -> Result<(), String> {
    if !(growth.factor >= LEAST_FACTOR && growth.factor <= MOST_FACTOR) {
        return Err(format!("`retries.oom.factor` goes from {LEAST_FACTOR} to {MOST_FACTOR}"));
    }
    growth
        .max_bytes
        .map_or(Ok(0), check::memory)
        .map(drop)
        .map_err(|error| format!("`retries.oom.max`: {}", error.message))
}

/// A reason for which a job itself can fail.
pub fn parse_reason(name: &str) -> Result<ReasonKind, Error> {
    let known = ReasonKind::OF_JOBS;
    known.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
        let hint = suggestion(name, known.map(ReasonKind::name), "reasons");
        Error::new(format!("{name:?} is not a reason for which a job fails{hint}"))
    })
}

/// `nas-io=1`; the amount may be left out.
pub fn parse_limit_flag(flag: &str) -> Result<(String, u32), Error> {
    let (name, amount) = flag.split_once('=').unwrap_or((flag, "1"));
    let amount = amount
        .parse()
        .map_err(|_| Error::new(format!("{amount:?} is not a whole number; write NAME=AMOUNT")))?;
    check_limit(name, amount)?;
    Ok((name.to_owned(), amount))
}

/// Checks a limit's name, and the amount that a job takes of it or that it has.
pub fn check_limit(name: &str, amount: u32) -> Result<(), Error> {
    if !super::volume::is_name(name) {
        return Err(Error::new(format!(
            "{name:?} is not a name for a limit: letters, digits and `_.-`, a letter or digit first, 63 at most"
        )));
    }
    if !(1..=MAX_LIMIT).contains(&amount) {
        return Err(Error::new(format!("{amount} of the limit {name}; it goes from 1 to {MAX_LIMIT}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_keep_is_read_as_it_is_written() {
        for text in ["forever", "30days", "12h", "1year 2months"] {
            let keep: Keep = text.parse().unwrap();
            assert_eq!(keep.to_string().parse(), Ok(keep), "{text}");
        }
        assert_eq!("30d".parse(), Ok(Keep::For(Duration::from_secs(30 * 24 * 3600))));
        for text in ["", "30", "soon", "0s", "-1d", "200years"] {
            assert!(text.parse::<Keep>().is_err(), "{text}");
        }
    }
}
