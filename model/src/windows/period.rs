//! A length of time in the calendar's units, such as `1y6m`: whole years, months, weeks and days.

use std::fmt;
use std::str::FromStr;

use jiff::Span;
use jiff::civil::Date;

/// No unit of a period is counted higher.
const MOST: i64 = 100_000;

/// Months, which have no fixed length, and days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// As it was written.
    text: String,
    months: i64,
    days: i64,
}

impl Period {
    pub fn is_zero(&self) -> bool {
        self.months == 0 && self.days == 0
    }

    /// The date that is the sum of these periods, each so many times, after another date. It is one addition: months
    /// first, down to the month's last day where it is shorter, then days. None past the calendar's end.
    pub(super) fn after<'p>(start: Date, periods: impl IntoIterator<Item = (&'p Self, i64)>) -> Option<Date> {
        let (mut months, mut days) = (0_i64, 0_i64);
        for (period, times) in periods {
            months = months.checked_add(period.months.checked_mul(times)?)?;
            days = days.checked_add(period.days.checked_mul(times)?)?;
        }
        start.checked_add(Span::new().try_months(months).ok()?.try_days(days).ok()?).ok()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = |why: String| {
            let text: String = text.chars().take(40).collect();
            Err(format!(
                "has {text:?}{why}; write whole years, months, weeks and days, such as 3y, 6m, 1y6m, 2w or 5d"
            ))
        };
        let (mut months, mut days, mut units) = (0, 0, Vec::new());
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, after) = rest.split_at(digits);
            let letters = after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
            let (unit, after) = after.split_at(letters);
            let (_, (in_months, in_days)) = match UNITS.iter().find(|(name, _)| *name == unit) {
                _ if digits == 0 => return refused(String::new()),
                Some(found) => *found,
                None if unit.is_empty() => return refused(", a number without a unit".to_owned()),
                None => return refused(format!(", whose unit {unit:?} is none of y, m, w, d")),
            };
            if units.contains(&unit) {
                return refused(format!(", which names {unit} twice"));
            }
            let Some(number) = number.parse::<i64>().ok().filter(|number| *number <= MOST) else {
                return refused(format!(", which is too long ({MOST} is the most of a unit)"));
            };
            units.push(unit);
            months += number * in_months;
            days += number * in_days;
            rest = after;
        }
        match units.is_empty() {
            true => refused(String::new()),
            false => Ok(Self { text: text.to_owned(), months, days }),
        }
    }
}

/// Each unit in months and in days.
const UNITS: [(&str, (i64, i64)); 4] = [("y", (12, 0)), ("m", (1, 0)), ("w", (0, 7)), ("d", (0, 1))];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_add_up() {
        for (text, months, days) in
            [("3y", 36, 0), ("1y6m", 18, 0), ("2w", 0, 14), ("1m2w3d", 1, 17), ("3d1m", 1, 3), ("0d", 0, 0)]
        {
            let period: Period = text.parse().unwrap();
            assert_eq!((period.months, period.days, period.to_string().as_str()), (months, days, text));
        }
    }

    #[test]
    fn other_words_are_refused() {
        for (text, part) in [
            ("", "write whole years"),
            ("3", "without a unit"),
            ("3mo", "\"mo\" is none of y, m, w, d"),
            ("6M", "\"M\" is none"),
            ("5h", "\"h\" is none"),
            ("1.5y", "without a unit"),
            ("-1y", "write whole years"),
            ("y", "write whole years"),
            ("1y 6m", "write whole years"),
            ("1y1y", "names y twice"),
            ("99999999999999999999y", "too long"),
            ("200000d", "too long"),
        ] {
            let error = text.parse::<Period>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn one_addition_does_not_drift() {
        let date = |text: &str| text.parse::<Date>().unwrap();
        let period = |text: &str| text.parse::<Period>().unwrap();
        for (start, text, times, expected) in [
            ("2004-01-31", "1m", 1, "2004-02-29"),
            ("2004-01-31", "1m", 2, "2004-03-31"),
            ("2004-02-29", "1y", 1, "2005-02-28"),
            ("2004-02-29", "1y", 4, "2008-02-29"),
            ("2004-03-31", "1m", -1, "2004-02-29"),
            ("2004-01-31", "1m1d", 1, "2004-03-01"),
            ("2004-03-31", "1m1d", -1, "2004-02-28"),
        ] {
            assert_eq!(Period::after(date(start), [(&period(text), times)]), Some(date(expected)), "{text}");
        }
        assert_eq!(Period::after(date("9999-01-01"), [(&period("1y"), 1)]), None);
    }
}
