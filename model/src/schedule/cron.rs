//! Cron expressions of five fields. The parser is our own: it names the field that is wrong, and it gives each time on the wall
//! one instant ([`super::wall`]), also where hours are `*`.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::wall;

const LONGEST: usize = 200;
/// The 29th of February is eight years away at most.
const MOST_DAYS: usize = 366 * 9;
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const FIELDS: [Field; 5] = [
    Field { name: "minute", from: 0, to: 59, words: &[] },
    Field { name: "hour", from: 0, to: 23, words: &[] },
    Field { name: "day of the month", from: 1, to: 31, words: &[] },
    Field { name: "month", from: 1, to: 12, words: &MONTHS },
    Field { name: "day of the week", from: 0, to: 7, words: &WEEKDAYS },
];

struct Field {
    name: &'static str,
    from: u8,
    to: u8,
    /// Names of the values, the first for the first value.
    words: &'static [&'static str],
}

/// A cron expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    text: String,
    /// A bit for each value.
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    /// From Sunday, 0.
    weekdays: u64,
    /// Day of the month and day of the week are both given: one of them suffices.
    either_day: bool,
}

impl Cron {
    pub fn parse(text: &str) -> Result<Self, String> {
        let shown: String = text.chars().take(60).collect();
        let wrong = |why: String| format!("the cron expression {shown:?}: {why}");
        if text.len() > LONGEST {
            return Err(wrong(format!("it is longer than {LONGEST} letters")));
        }
        let plain = match text.trim() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            other => other,
        };
        let parts: Vec<_> = plain.split_whitespace().collect();
        let Ok([minute, hour, day, month, weekday]) = <[&str; 5]>::try_from(parts.as_slice()) else {
            return Err(wrong(format!(
                "it has {} fields, not five: minute, hour, day of the month, month, day of the week, such as 30 22 * * 1-5",
                parts.len()
            )));
        };
        let read = |field: usize, part: &str| FIELDS[field].read(part).map_err(wrong);
        let mut weekdays = read(4, weekday)?;
        // 7 is Sunday too.
        weekdays |= weekdays >> 7 & 1;
        Ok(Self {
            text: text.trim().to_owned(),
            minutes: read(0, minute)?,
            hours: read(1, hour)?,
            days: read(2, day)?,
            months: read(3, month)?,
            weekdays,
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn after(&self, zone: &TimeZone, time: Timestamp) -> Option<Timestamp> {
        let now = zone.to_datetime(time);
        let (mut date, mut from) = (now.date(), (now.hour(), now.minute() + 1));
        for _ in 0..MOST_DAYS {
            if self.has_day(date) {
                for hour in from.0..24 {
                    let first = if hour == from.0 { from.1 } else { 0 };
                    for minute in (first..60).filter(|minute| self.has_minute(hour, *minute)) {
                        let found = wall::instant(zone, date.at(hour, minute, 0, 0))?;
                        // While a doubled hour passes again, its times mean instants that have passed.
                        if found > time {
                            return Some(found);
                        }
                    }
                }
            }
            (date, from) = (wall::tomorrow(date)?, (0, 0));
        }
        None
    }

    pub(super) fn has_minute(&self, hour: i8, minute: i8) -> bool {
        has(self.hours, hour) && has(self.minutes, minute)
    }

    pub(super) fn has_day(&self, date: Date) -> bool {
        let by_month = has(self.days, date.day());
        let by_week = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        let fits = if self.either_day { by_month || by_week } else { by_month && by_week };
        fits && has(self.months, date.month())
    }

    pub(super) fn why_never(&self) -> String {
        let months: Vec<_> = MONTHS
            .iter()
            .zip(1..)
            .filter(|(_, number)| has(self.months, *number))
            .map(|(name, _)| *name)
            .collect();
        let day = self.days.trailing_zeros();
        format!("no month of {} has a day {day}", months.join(", "))
    }
}

fn has(bits: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|value| bits >> value & 1 == 1)
}

impl Field {
    fn read(&self, text: &str) -> Result<u64, String> {
        let mut bits = 0;
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                Some((range, step)) => (range, Some(step)),
                None => (part, None),
            };
            let (from, to) = match range.split_once('-') {
                _ if range == "*" => {
                    (self.from, self.to.min(if self.words.len() == 7 { 6 } else { self.to }))
                }
                Some((from, to)) => (self.value(from, part)?, self.value(to, part)?),
                None if step.is_some() => {
                    let to = self.to;
                    return Err(self.wrong(
                        part,
                        &format!("a step follows `*` or a range, such as */5 or {range}-{to}/5"),
                    ));
                }
                None => (self.value(range, part)?, self.value(range, part)?),
            };
            if from > to {
                return Err(self.wrong(part, "its range ends before it begins"));
            }
            let step = match step {
                None => 1,
                Some(step) => {
                    step.parse::<u8>().ok().filter(|step| (1..=self.to).contains(step)).ok_or_else(|| {
                        self.wrong(part, &format!("its step is not a number from 1 to {}", self.to))
                    })?
                }
            };
            (from..=to).step_by(step.into()).for_each(|value| bits |= 1_u64 << value);
        }
        Ok(bits)
    }

    fn value(&self, text: &str, part: &str) -> Result<u8, String> {
        let lower = text.to_ascii_lowercase();
        if let Some(place) = self.words.iter().position(|word| *word == lower) {
            return u8::try_from(place).map(|place| place + self.from).map_err(|error| error.to_string());
        }
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse::<u8>().ok().filter(|n| digits && (self.from..=self.to).contains(n));
        number.ok_or_else(|| {
            let words = match (self.words.first(), self.words.last()) {
                (Some(first), Some(last)) => format!(", or {first} to {last}"),
                _ => String::new(),
            };
            self.wrong(
                part,
                &format!("write {} to {}{words}, `*`, or a list or range of them", self.from, self.to),
            )
        })
    }

    fn wrong(&self, part: &str, why: &str) -> String {
        format!("its {} has {part:?}: {why}", self.name)
    }
}
