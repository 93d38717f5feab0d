//! Hours of the week in which something may be done, by the clock on the wall: `mon-fri 19:00-07:00, sat-sun`.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{DateTime, Time, Weekday};

use super::calendar::DAYS;

/// Parts of a list of hours.
const MOST_PARTS: usize = 50;
const EXAMPLE: &str = "write days and hours such as mon-fri 19:00-07:00, sat-sun";

/// When in the week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hours {
    text: String,
    parts: Vec<Part>,
}

/// On each of these days, from one time to another; to the same time of the next day where that is not later.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    /// From Monday on.
    days: [bool; 7],
    /// Absent: the whole day.
    times: Option<(Time, Option<Time>)>,
}

impl Hours {
    /// True if this time on the wall lies within.
    pub fn holds(&self, time: DateTime) -> bool {
        let today = index(time.weekday());
        let yesterday = (today + 6) % 7;
        self.parts.iter().any(|part| match part.times {
            None => part.days[today],
            // Until midnight.
            Some((from, None)) => part.days[today] && time.time() >= from,
            Some((from, Some(to))) if from < to => part.days[today] && (from..to).contains(&time.time()),
            Some((from, Some(to))) => {
                (part.days[today] && time.time() >= from) || (part.days[yesterday] && time.time() < to)
            }
        })
    }
}

fn index(day: Weekday) -> usize {
    usize::try_from(day.to_monday_zero_offset()).unwrap_or_default()
}

impl FromStr for Hours {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<_> = text.split(',').map(str::trim).collect();
        if parts.len() > MOST_PARTS {
            return Err(format!("it has more than {MOST_PARTS} parts"));
        }
        let parts = parts.into_iter().map(part).collect::<Result<_, _>>()?;
        Ok(Self { text: text.trim().to_owned(), parts })
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn part(text: &str) -> Result<Part, String> {
    let words: Vec<_> = text.split_whitespace().collect();
    match words[..] {
        [one] if one.contains(':') => Ok(Part { days: [true; 7], times: Some(times(one)?) }),
        [one] => Ok(Part { days: days(one)?, times: None }),
        [first, second] => Ok(Part { days: days(first)?, times: Some(times(second)?) }),
        _ => Err(format!("{:?} is no part of a week; {EXAMPLE}", short(text))),
    }
}

fn days(text: &str) -> Result<[bool; 7], String> {
    let day = |name: &str| {
        let found = DAYS.iter().position(|(day, _)| *day == name.to_ascii_lowercase());
        found.ok_or_else(|| {
            format!("{:?} is no day; days are mon, tue, wed, thu, fri, sat, sun; {EXAMPLE}", short(name))
        })
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (day(first)?, day(last)?),
        None => (day(text)?, day(text)?),
    };
    let mut days = [false; 7];
    // `sat-mon` goes over the week's end.
    for step in 0..=(last + 7 - first) % 7 {
        days[(first + step) % 7] = true;
    }
    Ok(days)
}

fn times(text: &str) -> Result<(Time, Option<Time>), String> {
    let wrong = || format!("{:?} are no hours; write them such as 19:00-07:00 or 09:30-24:00", short(text));
    let time = |text: &str| {
        let (hour, minute) = text.split_once(':')?;
        let digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let fits = digits(hour) && digits(minute);
        Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok().filter(|_| fits)
    };
    let (from, to) = text.split_once('-').ok_or_else(wrong)?;
    let from = time(from).ok_or_else(wrong)?;
    if to == "24:00" {
        return Ok((from, None));
    }
    let to = time(to).ok_or_else(wrong)?;
    match from == to {
        true => {
            Err(format!("{text} begins and ends at the same time; for the whole day leave the hours out"))
        }
        false => Ok((from, Some(to))),
    }
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23 is a Monday.
    fn holds(hours: &str, day: i8, hour: i8, minute: i8) -> bool {
        let hours: Hours = hours.parse().unwrap();
        hours.holds(DateTime::new(2026, 11, day, hour, minute, 59, 0).unwrap())
    }

    #[test]
    fn nights_and_weekends_are_within() {
        let idle = "mon-fri 19:00-07:00, sat-sun";
        for (day, hour, minute, expected) in [
            (23, 6, 59, false), // Sunday is a day of its own: its night ends at midnight.
            (23, 18, 59, false),
            (23, 19, 0, true),
            (24, 0, 0, true),
            (24, 6, 59, true),
            (24, 7, 0, false),
            (28, 6, 0, true),
            (28, 12, 0, true),
            (29, 23, 59, true),
        ] {
            assert_eq!(holds(idle, day, hour, minute), expected, "{day} {hour}:{minute}");
        }
        assert!(holds("22:00-24:00", 25, 23, 59) && !holds("22:00-24:00", 25, 0, 0));
        assert!(holds("fri-mon", 23, 3, 0) && !holds("fri-mon", 24, 3, 0));
        assert!(holds("SUN 23:30-00:30", 23, 0, 29) && !holds("sun 23:30-00:30", 24, 0, 29));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("", "no part of a week"),
            ("workdays", "no day"),
            ("mon 9-17", "no hours"),
            ("mon 25:00-26:00", "no hours"),
            ("mon +9:00-10:00", "no hours"),
            ("mon 09:00-09:00", "same time"),
            ("mon 09:00-10:00 utc", "no part of a week"),
            ("mon-fri 09:00-10:00,", "no part of a week"),
        ] {
            let error = text.parse::<Hours>().unwrap_err();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }
}
