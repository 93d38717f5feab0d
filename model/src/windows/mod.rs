//! Walk-forward windows: which dates a strategy is fitted on, and which later ones it is then tried on.
//!
//! Dates only, without a time zone. Starts belong to a range, ends do not.

mod period;
mod stitched;

use std::collections::HashSet;

use jiff::civil::Date;
use serde_json::{Map, Value};

use crate::parameters::Parameters;

pub use self::period::Period;
pub use self::stitched::{CurveStatistics, Return, Stitched, returns_in_test};

/// A sweep has no more windows.
pub const MAX_WINDOWS: usize = 10_000;
/// The parameters that a window gives to its jobs.
pub const NAMES: [&str; 8] = [
    "window",
    "train_start",
    "train_end",
    "train_last",
    "test_start",
    "test_end",
    "test_last",
    "window_partial",
];
/// The parameter that tells training from test, where the best of the training is tested alone.
pub const PHASE: &str = "phase";
/// Holes that a remark names.
const SHOWN_HOLES: usize = 3;

/// The key `windows`: where windows begin, how long they are and how far apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    pub train: Period,
    pub test: Period,
    pub step: Period,
    pub from: Date,
    /// Nothing is tested from this day on.
    pub to: Date,
    /// All training begins at `from`.
    pub anchored: bool,
    /// Left out between training and test, at the end of the training.
    pub purge: Option<Period>,
    pub tail: Tail,
    /// Windows may test the same days.
    pub overlap: bool,
}

/// What becomes of a window whose test would go past `to`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tail {
    #[default]
    Drop,
    /// Its test ends at `to`.
    Keep,
}

/// What a job of a window is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Train,
    Test,
}

impl Phase {
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }
}

/// One window's dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub number: u32,
    pub train_start: Date,
    /// The day after the last one.
    pub train_end: Date,
    pub test_start: Date,
    /// The day after the last one.
    pub test_end: Date,
    /// Its test was cut at the end of the dates.
    pub partial: bool,
}

/// What is wrong with windows, and under which of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub key: &'static str,
    pub message: String,
}

impl Windows {
    /// All windows, at least one.
    pub fn list(&self) -> Result<Vec<Window>, Fault> {
        let fails = |key, message| Err(Fault { key, message });
        if let (Some(next), Some(end)) = (self.boundary(1, &[&self.train]), self.first_test_end())
            && next < end
        {
            self.check_overlap(next, end)?;
        }
        let mut windows = Vec::new();
        for number in 0.. {
            let Some((window, full_end)) = self.window(number) else { break };
            if windows.len() >= MAX_WINDOWS {
                let message =
                    format!("`step` ({}) makes more than {MAX_WINDOWS} windows, the limit", self.step);
                return fails("step", message);
            }
            if window.train_end <= window.train_start {
                let purge = self.purge.as_ref().map_or_else(String::new, Period::to_string);
                let message = format!(
                    "`purge` ({purge}) leaves nothing of the training (`train` is {}) of window {number}; take a shorter one",
                    self.train
                );
                return fails("purge", message);
            }
            if let Some(next) = self.boundary(i64::from(number) + 1, &[&self.train])
                && next < full_end
            {
                self.check_overlap(next, full_end)?;
            }
            windows.push(window);
        }
        if windows.is_empty() {
            return fails("to", self.too_short());
        }
        Ok(windows)
    }

    /// What to tell the user of days between windows that no window tests.
    pub fn remark(&self) -> Option<String> {
        let windows = self.list().ok()?;
        let pairs = windows.iter().zip(windows.iter().skip(1));
        let holes: Vec<_> = pairs
            .filter(|(window, next)| window.test_end < next.test_start)
            .map(|(window, next)| format!("{} to {}", window.test_end, day_before(next.test_start)))
            .collect();
        let shown = holes.iter().take(SHOWN_HOLES).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = match holes.len().saturating_sub(SHOWN_HOLES) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        (!holes.is_empty()).then(|| {
            format!(
                "warning: `step` ({}) of `windows` is longer than `test` ({}): no window tests {shown}{more}",
                self.step, self.test
            )
        })
    }

    /// A window, and where its test would end if it were not cut.
    fn window(&self, number: u32) -> Option<(Window, Date)> {
        let steps = i64::from(number);
        let test_start = self.boundary(steps, &[&self.train])?;
        if test_start >= self.to {
            return None;
        }
        let full_end = self.boundary(steps, &[&self.train, &self.test]).unwrap_or(Date::MAX);
        let partial = full_end > self.to;
        if partial && self.tail == Tail::Drop {
            return None;
        }
        let train_start = if self.anchored { self.from } else { self.boundary(steps, &[])? };
        let train_end = match &self.purge {
            // Nothing is left of a training that a purge takes past the calendar's beginning.
            Some(purge) => Period::after(test_start, [(purge, -1)]).unwrap_or(Date::MIN),
            None => test_start,
        };
        let test_end = full_end.min(self.to);
        Some((Window { number, train_start, train_end, test_start, test_end, partial }, full_end))
    }

    /// The date so many steps and these periods after `from`.
    fn boundary(&self, steps: i64, periods: &[&Period]) -> Option<Date> {
        let periods = periods.iter().map(|period| (*period, 1));
        Period::after(self.from, std::iter::once((&self.step, steps)).chain(periods))
    }

    fn first_test_end(&self) -> Option<Date> {
        self.boundary(0, &[&self.train, &self.test])
    }

    /// Refuses that the next window's test begins before this one's ends, unless it is asked for.
    fn check_overlap(&self, next: Date, end: Date) -> Result<(), Fault> {
        if self.overlap {
            return Ok(());
        }
        let message = format!(
            "`step` ({}) is shorter than `test` ({}), so the days from {next} to {} would count twice out of sample; write \
             step: {}, or overlap: true if that is meant",
            self.step,
            self.test,
            day_before(end),
            self.test
        );
        Err(Fault { key: "step", message })
    }

    fn too_short(&self) -> String {
        let first_test = self.boundary(0, &[&self.train]);
        let shortest = match self.tail {
            Tail::Drop => self.first_test_end(),
            Tail::Keep => first_test.and_then(|date| date.tomorrow().ok()),
        };
        let remedy = match shortest {
            Some(shortest) => format!("the shortest `to` is {shortest}"),
            None => "they go past the calendar's end".to_owned(),
        };
        format!(
            "no window fits between {} and {}: `train` is {} and `test` is {}; {remedy}",
            self.from, self.to, self.train, self.test
        )
    }
}

impl Window {
    pub fn train_last(&self) -> Date {
        day_before(self.train_end)
    }

    pub fn test_last(&self) -> Date {
        day_before(self.test_end)
    }

    /// Puts its parameters, in the order of [`NAMES`].
    pub(crate) fn put(&self, parameters: &mut Map<String, Value>) {
        let date = |date: Date| Value::from(date.to_string());
        let values = [
            self.number.into(),
            date(self.train_start),
            date(self.train_end),
            date(self.train_last()),
            date(self.test_start),
            date(self.test_end),
            date(self.test_last()),
            u32::from(self.partial).into(),
        ];
        parameters.extend(NAMES.map(str::to_owned).into_iter().zip(values));
    }
}

/// The rows that jobs of windows were made of, each once: their parameters without those that windows gave. Jobs that
/// test what others were chosen for are made of none.
pub fn rows_of(jobs: Vec<Parameters>) -> Vec<Parameters> {
    let mut seen = HashSet::new();
    let is_test = |job: &Parameters| job.get(PHASE).is_some_and(|phase| phase == Phase::Test.name());
    let jobs = jobs.into_iter().filter(|job| !is_test(job));
    let rows = jobs.map(|job| {
        let mut row = job.into_map();
        row.retain(|name, _| !NAMES.contains(&name.as_str()) && name != PHASE);
        Parameters::from_checked(row)
    });
    rows.filter(|row| seen.insert(row.identity())).collect()
}

/// The calendar's first day has none before it, and stays.
fn day_before(date: Date) -> Date {
    date.yesterday().unwrap_or(date)
}

#[cfg(test)]
mod tests;
