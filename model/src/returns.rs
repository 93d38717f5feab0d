//! What a strategy returned period by period, as a job reports it: what sweeps are judged by.
//!
//! What always holds: times rise, none stands twice, and each has its value. A value is a simple return (0.01 is one
//! percent), or NaN where the job reported none. A time is in seconds since 1970 as the job's own clock or exchange shows
//! them, without a time zone; periods without a date count from 0.

use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::temporal::Pieces;

/// No series has more periods. A year has 98,280 trading minutes.
pub const MAX_PERIODS: usize = 100_000;
/// Times below are positions in a list: nobody tests strategies on the first months of 1970 alone.
const FIRST_DATE: i64 = 10_000_000;
/// A time that is a number counts milliseconds from here on, then microseconds, then nanoseconds: as seconds, these
/// would be years after 5138.
const MILLIS: f64 = 1e11;
const MICROS: f64 = 1e14;
const NANOS: f64 = 1e17;
/// Numbers between these are dates as `YYYYMMDD`, if they are any. Days as seconds since 1970 never look like one: they end in
/// 00.
const FIRST_DIGITS: i64 = 10_000_101;
const LAST_DIGITS: i64 = 99_991_231;

/// Why numbers are no series of returns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", crate::text::remark(.0))]
pub struct NotReturns(String);

/// Returns by their times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Returns {
    times: Vec<i64>,
    values: Vec<f64>,
}

/// What a series holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SeriesKind {
    /// Simple returns per period.
    #[default]
    Returns,
    /// The value of the account after each period.
    Equity,
}

impl NotReturns {
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl Returns {
    /// Sorts periods by their times. Of an account's values the differences are taken: the first period has no return.
    pub fn of(kind: SeriesKind, mut periods: Vec<(i64, f64)>) -> Result<Self, NotReturns> {
        if periods.len() > MAX_PERIODS {
            let message = format!(
                "it has {} periods; {MAX_PERIODS} is the limit: report returns by day or by hour",
                periods.len()
            );
            return Err(NotReturns(message));
        }
        periods.sort_by_key(|(time, _)| *time);
        if let Some(twice) = periods.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(NotReturns(format!("{} stands twice", shown(twice[0].0))));
        }
        if kind == SeriesKind::Equity {
            periods = differences(&periods);
        }
        let finite = |value: f64| if value.is_finite() { value } else { f64::NAN };
        Ok(Self {
            times: periods.iter().map(|(time, _)| *time).collect(),
            values: periods.iter().map(|(_, value)| finite(*value)).collect(),
        })
    }

    /// From times and values that were taken out of such a series.
    pub fn from_parts(times: Vec<i64>, values: Vec<f64>) -> Result<Self, NotReturns> {
        if times.len() != values.len() {
            return Err(NotReturns(format!("{} times for {} values", times.len(), values.len())));
        }
        if times.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(NotReturns("its times do not rise".to_owned()));
        }
        Self::of(SeriesKind::Returns, times.into_iter().zip(values).collect())
    }

    pub fn times(&self) -> &[i64] {
        &self.times
    }

    pub fn values(&self) -> &[f64] {
        &self.values
    }

    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }
}

/// From one value of an account to the next; none from a value that is not above zero.
fn differences(equity: &[(i64, f64)]) -> Vec<(i64, f64)> {
    let step = |pair: &[(i64, f64)]| {
        let (before, (time, after)) = (pair[0].1, pair[1]);
        (time, if before > 0.0 { after / before - 1.0 } else { f64::NAN })
    };
    equity.windows(2).map(step).collect()
}

/// A date, or a date and a time of day. An offset from UTC is left out: a day of a stock exchange stays that day.
pub fn time_of_text(text: &str) -> Option<i64> {
    let pieces = Pieces::parse(text.trim()).ok()?;
    let at = DateTime::from_parts(pieces.date(), pieces.time().unwrap_or(Time::midnight()));
    Some(seconds(at))
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970, by how large the number is.
pub fn time_of_number(number: f64) -> Option<i64> {
    // Seconds as i64 hold any finite number that was divided so.
    number.is_finite().then_some((number / scale(number)).floor() as i64)
}

/// By what a number is to be divided, so that it counts seconds.
fn scale(number: f64) -> f64 {
    match number.abs() {
        large if large >= NANOS => 1e9,
        large if large >= MICROS => 1e6,
        large if large >= MILLIS => 1e3,
        _ => 1.0,
    }
}

/// Time of a number in a column of dates: `20120103` is that day, and all else as [`time_of_number`] has it. None for a position
/// in a list, which is no date.
pub fn time_of_dated_number(number: f64) -> Option<i64> {
    match number.fract() == 0.0 && number.abs() < MICROS {
        true => time_of_dated_integer(number as i64),
        false => time_of_number(number).filter(is_date),
    }
}

/// As [`time_of_dated_number`], to the last nanosecond.
pub fn time_of_dated_integer(number: i64) -> Option<i64> {
    let is_digits = (FIRST_DIGITS..=LAST_DIGITS).contains(&number);
    let digits = is_digits.then(|| time_of_text(&number.to_string())).flatten();
    digits.or_else(|| Some(number.div_euclid(scale(number as f64) as i64)).filter(is_date))
}

/// True for a time that is no position in a list.
fn is_date(time: &i64) -> bool {
    time.unsigned_abs() >= FIRST_DATE.unsigned_abs()
}

/// True for times of a calendar, false for positions in a list.
pub fn are_dates(times: &[i64]) -> bool {
    times.last().is_some_and(|last| *last >= FIRST_DATE)
}

/// The day of a time.
pub fn day_of(time: i64) -> Option<Date> {
    let at = jiff::Timestamp::from_second(time).ok()?;
    Some(at.to_zoned(jiff::tz::TimeZone::UTC).date())
}

/// A time for people: a date, with the time of day unless that is midnight.
pub fn shown(time: i64) -> String {
    if (0..FIRST_DATE).contains(&time) {
        return format!("period {time}");
    }
    let zoneless =
        jiff::Timestamp::from_second(time).map(|at| at.to_zoned(jiff::tz::TimeZone::UTC).datetime());
    match zoneless {
        Ok(at) if at.time() == Time::midnight() => at.date().to_string(),
        Ok(at) => at.to_string(),
        Err(_) => format!("{time} s"),
    }
}

fn seconds(at: DateTime) -> i64 {
    // A civil date-time read in UTC is within the range of time stamps, but for hours at both ends of it.
    at.to_zoned(jiff::tz::TimeZone::UTC).map_or(0, |at| at.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_programs_write_them() {
        let day = 1_325_548_800; // 2012-01-03
        for text in [
            "2012-01-03",
            "20120103",
            "2012-01-03 00:00:00",
            "2012-01-03T00:00:00.000",
            "2012-01-03T00:00:00Z",
            "2012-01-03 00:00:00-05:00",
            "2012-01-03T00:00:00+09:00",
            " 2012-01-03 ",
        ] {
            assert_eq!(time_of_text(text), Some(day), "{text}");
        }
        assert_eq!(time_of_text("2012-01-03 15:30"), Some(day + 55_800));
        for text in ["", "3.1.2012", "01/03/2012", "2012-13-01", "Tuesday"] {
            assert_eq!(time_of_text(text), None, "{text}");
        }
        for scale in [1.0, 1e3, 1e6, 1e9] {
            assert_eq!(time_of_number(1_325_548_800.0 * scale), Some(day), "{scale}");
        }
        assert_eq!(time_of_number(7.0), Some(7));
        assert_eq!(time_of_dated_number(20_120_103.0), Some(day));
        assert_eq!(time_of_dated_number(1_325_548_800_000.0), Some(day));
        assert_eq!(time_of_dated_integer(1_325_548_799_999_999_999), Some(day - 1));
        assert_eq!(time_of_dated_number(1_325_548_800_000_000_000.0), Some(day));
        assert_eq!(time_of_dated_number(20_121_301.0), Some(20_121_301), "no such month");
        for number in [0.0, 7.0, 2012.0, 40_911.0, -3.0, f64::INFINITY] {
            assert_eq!(time_of_dated_number(number), None, "{number}");
        }
        assert_eq!(time_of_number(f64::NAN), None);
        assert_eq!(
            (shown(day), shown(day + 60), shown(7)),
            ("2012-01-03".into(), "2012-01-03T00:01:00".into(), "period 7".into())
        );
    }

    #[test]
    fn an_account_is_differenced() {
        let equity = vec![(3, 99.0), (1, 100.0), (2, 110.0), (4, 0.0), (5, 5.0)];
        let returns = Returns::of(SeriesKind::Equity, equity).unwrap();
        assert_eq!(returns.times(), [2, 3, 4, 5]);
        assert_eq!(returns.values()[..3], [110.0 / 100.0 - 1.0, 99.0 / 110.0 - 1.0, -1.0]);
        assert!(returns.values()[3].is_nan(), "nothing follows from an account that is empty");
        assert!(Returns::of(SeriesKind::Equity, vec![(1, 5.0)]).unwrap().is_empty());
    }

    #[test]
    fn what_can_not_be_joined_by_time_is_refused() {
        let twice = Returns::of(SeriesKind::Returns, vec![(1_325_548_800, 0.1), (1_325_548_800, 0.2)]);
        assert_eq!(twice.unwrap_err().to_string(), "2012-01-03 stands twice");
        let long =
            Returns::of(SeriesKind::Returns, (0..=MAX_PERIODS as i64).map(|time| (time, 0.0)).collect());
        assert!(long.unwrap_err().to_string().contains("100000 is the limit"));
        let gap = Returns::of(SeriesKind::Returns, vec![(1, f64::INFINITY)]).unwrap();
        assert!(gap.values()[0].is_nan());
        assert!(Returns::from_parts(vec![1, 1], vec![0.0, 0.0]).is_err());
        assert!(Returns::from_parts(vec![1], vec![]).is_err());
        assert!(are_dates(&[0, 1_325_548_800]) && !are_dates(&[0, 1, 2]) && !are_dates(&[]));
    }
}
