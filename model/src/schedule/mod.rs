//! When a schedule submits its sweep: by a cron expression in a time zone, or by the sessions of a market calendar. Pure: it
//! says which instants a rule means, and what is to be done with those that were missed.

mod calendar;
mod cron;
mod hours;
mod missed;
mod wall;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

pub use calendar::{Calendar, CalendarSession, SessionTime};
pub use cron::Cron;
pub use hours::Hours;
pub use missed::{CatchUp, CatchUpWindow, LOOK_BACK, MOST_CAUGHT_UP, Overlap, RunOutcome, Sorted, sort};
pub use wall::zone;

/// Letters of a name: its sweeps' tag is `schedule:NAME`.
const LONGEST_NAME: usize = 54;
/// Days before its calendar's end at which it is said that a schedule ends.
pub const ENDS_SOON: i64 = 60;
/// What a time zone is if none is named.
const UTC: &str = "UTC";

/// A rule as it is written and kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleText {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// Of the cron expression, and of what jobs are told; a calendar has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<Calendar>,
    /// When in a calendar's day: `open+30m`, `close-5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// A rule that was checked.
#[derive(Clone, Debug)]
pub struct Rule {
    pub zone_name: String,
    zone: TimeZone,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Cron(Cron),
    Calendar(Calendar, SessionTime),
    /// It runs when it is asked to.
    OnCall,
}

impl Rule {
    /// Checks a rule. The error says what is wrong and what would be right.
    pub fn new(text: &RuleText) -> Result<Self, String> {
        match text {
            RuleText { cron: Some(_), calendar: Some(_), .. } => {
                Err("both a cron expression and a calendar are given; a schedule has one of them".to_owned())
            }
            RuleText { cron: Some(cron), zone, at: None, .. } => {
                Self::of(zone.as_deref(), Kind::Cron(Cron::parse(cron)?))
            }
            RuleText { calendar: None, at: Some(_), .. } => {
                Err("`at` names a time of a calendar's sessions, and no calendar is given".to_owned())
            }
            RuleText { calendar: Some(calendar), zone, at, .. } => {
                calendar.check()?;
                if zone.as_ref().is_some_and(|zone| *zone != calendar.zone) {
                    return Err(format!(
                        "the calendar {} is in the zone {}; leave the zone out",
                        calendar.name, calendar.zone
                    ));
                }
                let Some(at) = at else {
                    return Err(
                        "a calendar needs the time of its sessions, such as open+30m or close+15m".to_owned()
                    );
                };
                Self::of(Some(&calendar.zone), Kind::Calendar(calendar.clone(), at.parse()?))
            }
            RuleText { zone, .. } => Self::of(zone.as_deref(), Kind::OnCall),
        }
    }

    fn of(zone: Option<&str>, kind: Kind) -> Result<Self, String> {
        let name = zone.unwrap_or(UTC);
        Ok(Self { zone_name: name.to_owned(), zone: wall::zone(name)?, kind })
    }

    /// The first time after another one; none if none comes.
    pub fn after(&self, time: Timestamp) -> Option<Timestamp> {
        match &self.kind {
            Kind::Cron(cron) => cron.after(&self.zone, time),
            Kind::Calendar(calendar, at) => calendar.after(&self.zone, *at, time),
            Kind::OnCall => None,
        }
    }

    /// The next times, so many at most.
    pub fn next(&self, after: Timestamp, most: usize) -> Vec<Timestamp> {
        std::iter::successors(self.after(after), |last| self.after(*last)).take(most).collect()
    }

    /// Why it will never submit anything, if so.
    pub fn never(&self, now: Timestamp) -> Option<String> {
        match &self.kind {
            _ if self.after(now).is_some() => None,
            Kind::Cron(cron) => {
                Some(format!("the cron expression {:?} never fires: {}", cron.text(), cron.why_never()))
            }
            Kind::Calendar(calendar, at) => Some(format!(
                "the calendar {} ends on {}, and {at} of no session before that is still to come; give one that goes on",
                calendar.name, calendar.to
            )),
            Kind::OnCall => None,
        }
    }

    /// The last day that is known, where there is one.
    pub fn ends(&self) -> Option<Date> {
        match &self.kind {
            Kind::Calendar(calendar, _) => Some(calendar.to),
            Kind::Cron(_) | Kind::OnCall => None,
        }
    }

    /// The last day that is known, where it is near.
    pub fn ends_soon(&self, now: Timestamp) -> Option<Date> {
        let today = now.to_zoned(self.zone.clone()).date();
        let soon = today.checked_add(Span::new().days(ENDS_SOON)).ok()?;
        self.ends().filter(|ends| *ends <= soon)
    }

    /// What a job is told of a time: in full, and as a date, in the rule's zone.
    pub fn told(&self, time: Timestamp) -> (String, String) {
        let zoned = time.to_zoned(self.zone.clone());
        (zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(), zoned.date().to_string())
    }
}

/// What stands for the time in a manifest's texts.
const TIME_WORD: &str = "schedule_time";
const DATE_WORD: &str = "schedule_date";

impl Rule {
    /// A text in which `${schedule_time}` and `${schedule_date}` are what a job is told of a time. Another word that begins like
    /// these is an error.
    pub fn filled(&self, text: &str, time: Timestamp) -> Result<String, String> {
        let (told, date) = self.told(time);
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${schedule_") {
            let word = &rest[start + 2..];
            let end = word.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(word.len());
            let value = match (&word[..end], word[end..].starts_with('}')) {
                (TIME_WORD, true) => &told,
                (DATE_WORD, true) => &date,
                (unknown, true) => {
                    let short: String = unknown.chars().take(40).collect();
                    return Err(format!(
                        "the manifest has ${{{short}}}, which a schedule does not know; ${{{TIME_WORD}}} and ${{{DATE_WORD}}} are its \
                         words"
                    ));
                }
                // It is some shell's own.
                (_, false) => {
                    filled.push_str(&rest[..start + 2]);
                    rest = word;
                    continue;
                }
            };
            filled.push_str(&rest[..start]);
            filled.push_str(value);
            rest = &word[end + 1..];
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

/// Checks the name of a schedule.
pub fn check_name(name: &str) -> Result<(), String> {
    let fits = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= LONGEST_NAME
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    match fits {
        true => Ok(()),
        false => {
            let short: String = name.chars().take(LONGEST_NAME + 1).collect();
            Err(format!(
                "{short:?} can't be the name of a schedule; it has 1 to {LONGEST_NAME} letters (a-z), digits and . _ -, and begins \
                 with a letter or a digit, such as nightly"
            ))
        }
    }
}

#[cfg(test)]
mod tests;
