//! Market calendars: data that says on which days and at which times a market is open.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::wall;
use crate::manifest::{Error, Format, plain_value};

/// Sessions of one day, days of each list, days from the first to the last.
const MOST_SESSIONS: usize = 10;
const MOST_LISTED: usize = 20_000;
const MOST_DAYS: i32 = 366 * 100;
/// How far from an opening or a close a time may be.
const FARTHEST: SignedDuration = SignedDuration::from_hours(24);
pub(super) const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// When a market is open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    pub name: String,
    pub zone: String,
    /// The first and the last day that it knows.
    pub from: Date,
    pub to: Date,
    /// mon to sun.
    #[serde(default = "monday_to_friday")]
    pub days: Vec<String>,
    pub sessions: Vec<CalendarSession>,
    /// Days on which it closes early, and when.
    #[serde(default)]
    pub half_days: BTreeMap<Date, Time>,
    /// Days on which it is closed, and why.
    #[serde(default)]
    pub holidays: BTreeMap<Date, String>,
}

/// Times on the wall, of one day.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalendarSession {
    pub open: Time,
    pub close: Time,
}

/// So long before or after a day's opening or close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTime {
    is_open: bool,
    shift: SignedDuration,
}

fn monday_to_friday() -> Vec<String> {
    DAYS[..5].iter().map(|(name, _)| (*name).to_owned()).collect()
}

impl Calendar {
    /// Reads a file and checks it.
    pub fn parse(text: &[u8], format: Format, origin: &str) -> Result<Self, Error> {
        let value = plain_value(text, format, origin)?;
        let calendar: Self = serde_json::from_value(value)
            .map_err(|error| Error::new(format!("{origin} is no calendar: {error}")))?;
        calendar.check().map_err(Error::new)?;
        Ok(calendar)
    }

    /// Refuses what contradicts itself.
    pub fn check(&self) -> Result<(), String> {
        let Self { name, zone, from, to, days, sessions, half_days, holidays } = self;
        if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
            return Err("the calendar's `name` has 1 to 100 letters".to_owned());
        }
        let wrong = |why: String| Err(format!("the calendar {name}: {why}"));
        if let Err(why) = wall::zone(zone) {
            return wrong(why);
        }
        let length = from.until(*to).map(|span| span.get_days()).unwrap_or(i32::MAX);
        if !(0..=MOST_DAYS).contains(&length) {
            return wrong(format!(
                "it goes from {from} to {to}; it ends after it begins, and within 100 years"
            ));
        }
        if let Some(day) = days.iter().find(|day| !DAYS.iter().any(|(name, _)| name == day)) {
            return wrong(format!("`days` has {day:?}; write mon, tue, wed, thu, fri, sat, sun"));
        }
        if days.is_empty() || sessions.is_empty() || sessions.len() > MOST_SESSIONS {
            return wrong(format!("it needs one of `days` at least, and 1 to {MOST_SESSIONS} `sessions`"));
        }
        if let Some(session) = sessions.iter().find(|session| session.open >= session.close) {
            let CalendarSession { open, close } = session;
            return wrong(format!(
                "a session opens at {open} and closes at {close}; it closes later, on the same day"
            ));
        }
        if let Some(pair) = sessions.windows(2).find(|pair| pair[0].close > pair[1].open) {
            let ([first, second], why) =
                ([pair[0], pair[1]], "list sessions by their times; each opens after the one before it");
            return wrong(format!(
                "the session from {} to {} is followed by that from {} to {}: {why} has closed",
                first.open, first.close, second.open, second.close
            ));
        }
        if half_days.len().max(holidays.len()) > MOST_LISTED {
            return wrong(format!("it lists more than {MOST_LISTED} days"));
        }
        if let Some(day) = half_days.keys().chain(holidays.keys()).find(|day| *day < from || *day > to) {
            return wrong(format!("{day} is not between {from} and {to}"));
        }
        if let Some(day) = half_days.keys().find(|day| holidays.contains_key(day)) {
            return wrong(format!("{day} is a holiday and a half day; it is one of them"));
        }
        if let Some(day) = half_days.keys().find(|day| !self.has_weekday(**day)) {
            return wrong(format!("the half day {day} is none of its `days`"));
        }
        let (open, close) = self.whole_day();
        if let Some((day, time)) = half_days.iter().find(|(_, time)| **time <= open || **time >= close) {
            return wrong(format!(
                "it closes at {time} on the half day {day}, which is not between {open} and {close}"
            ));
        }
        Ok(())
    }

    fn whole_day(&self) -> (Time, Time) {
        let open = self.sessions.first().map_or(Time::MIN, |session| session.open);
        (open, self.sessions.last().map_or(Time::MAX, |session| session.close))
    }

    fn has_weekday(&self, date: Date) -> bool {
        DAYS.iter()
            .any(|(name, weekday)| *weekday == date.weekday() && self.days.iter().any(|day| day == name))
    }

    /// When it opens first and closes last on a day; none where it is closed, or the day is not known.
    pub fn hours(&self, date: Date) -> Option<(Time, Time)> {
        let is_known = self.from <= date && date <= self.to;
        if !is_known || !self.has_weekday(date) || self.holidays.contains_key(&date) {
            return None;
        }
        let (open, close) = self.whole_day();
        let Some(early) = self.half_days.get(&date) else { return Some((open, close)) };
        // Where the afternoon's session is left out, the morning's close is the day's.
        let mut sessions = self.sessions.iter().filter(|session| session.open < *early);
        Some((open, sessions.next_back().map_or(*early, |last| last.close.min(*early))))
    }

    pub(super) fn after(&self, zone: &TimeZone, at: SessionTime, time: Timestamp) -> Option<Timestamp> {
        // A time may lie a day from its session, and dates a day from each other.
        let mut date = zone.to_datetime(time).date().yesterday().ok()?.yesterday().ok()?.max(self.from);
        while date <= self.to {
            if let Some((open, close)) = self.hours(date) {
                let event = wall::instant(zone, date.to_datetime(if at.is_open { open } else { close }))?;
                let found = event.checked_add(at.shift).ok()?;
                if found > time {
                    return Some(found);
                }
            }
            date = wall::tomorrow(date)?;
        }
        None
    }
}

impl FromStr for SessionTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let short: String = text.chars().take(40).collect();
        let wrong = || {
            format!(
                "{short:?} is no time of a session; write open, close, open+30m, close-5m or close+1h30m, within 24 hours of it"
            )
        };
        let (is_open, rest) = match (text.strip_prefix("open"), text.strip_prefix("close")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(wrong()),
        };
        if rest.is_empty() {
            return Ok(Self { is_open, shift: SignedDuration::ZERO });
        }
        let (sign, length) = rest.split_at_checked(1).ok_or_else(wrong)?;
        let length =
            humantime::parse_duration(length).ok().and_then(|length| SignedDuration::try_from(length).ok());
        let length =
            length.filter(|length| *length <= FARTHEST && length.subsec_nanos() == 0).ok_or_else(wrong)?;
        match sign {
            "+" => Ok(Self { is_open, shift: length }),
            "-" => Ok(Self { is_open, shift: -length }),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for SessionTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_open { "open" } else { "close" })?;
        if self.shift.is_zero() {
            return Ok(());
        }
        f.write_str(if self.shift.is_negative() { "-" } else { "+" })?;
        let length = humantime::format_duration(self.shift.unsigned_abs()).to_string();
        f.write_str(&length.replace(' ', ""))
    }
}
