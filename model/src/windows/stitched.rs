//! What the tests of all windows make together: one curve out of sample, and its statistics.
//!
//! Returns are simple returns per period. Everything is summed in the order of the dates, so that any other program that
//! does the same finds the same, to the last digit.

use jiff::civil::Date;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Window;
use crate::metrics::{MAX_TEXT, without_non_finite};

/// A dated return.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Return {
    pub date: Date,
    pub value: f64,
}

/// The returns of all tests, one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stitched {
    pub returns: Vec<Return>,
    /// What one unit has become by the end of each date.
    pub equity: Vec<f64>,
}

/// What a curve is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurveStatistics {
    pub total_return: f64,
    pub mean: f64,
    /// With n - 1; none of fewer than two returns.
    pub deviation: Option<f64>,
    /// Mean over deviation, per period; none where nothing varies.
    pub sharpe: Option<f64>,
    /// The largest loss from a peak, as a part of it: 0 or less.
    pub max_drawdown: f64,
}

#[derive(Deserialize)]
struct Document<'t> {
    #[serde(borrow)]
    series: Option<Series<'t>>,
}

#[derive(Deserialize)]
struct Series<'t> {
    #[serde(borrow)]
    returns: Option<&'t RawValue>,
    #[serde(borrow)]
    equity: Option<&'t RawValue>,
}

/// The returns that a job's metrics file has within a window's test: `series.returns`, or `series.equity` differenced, each a
/// list of `[date, number]` in the order of the dates. The error is what is missing or wrong.
pub fn returns_in_test(text: &[u8], window: &Window) -> Result<Vec<Return>, String> {
    if text.len() > MAX_TEXT {
        return Err(format!("its metrics file is larger than {MAX_TEXT} bytes"));
    }
    let text = crate::text::decode(text).map_err(|error| error.to_string())?;
    let json = without_non_finite(&text);
    let document: Document<'_> =
        serde_json::from_str(&json).map_err(|error| format!("its metrics file can't be read: {error}"))?;
    let series = document.series.ok_or("its metrics file has no `series`")?;
    let all = match (series.returns, series.equity) {
        (Some(returns), _) => dated(returns, "returns")?,
        (None, Some(equity)) => differences(&dated(equity, "equity")?)?,
        (None, None) => {
            return Err("its metrics file has neither `series.returns` nor `series.equity`".to_owned());
        }
    };
    let is_tested = |found: &Return| window.test_start <= found.date && found.date < window.test_end;
    let tested: Vec<_> = all.into_iter().filter(is_tested).collect();
    match tested.is_empty() {
        true => Err(format!("its series has nothing from {} to {}", window.test_start, window.test_last())),
        false => Ok(tested),
    }
}

fn dated(series: &RawValue, name: &str) -> Result<Vec<Return>, String> {
    let pairs: Vec<(String, Option<f64>)> = serde_json::from_str(series.get())
        .map_err(|error| format!("its `series.{name}` is no list of [date, number]: {error}"))?;
    let mut found: Vec<Return> = Vec::with_capacity(pairs.len());
    for (time, value) in pairs {
        // Of a time, the day.
        let day = time.get(..10).and_then(|day| day.parse::<Date>().ok());
        let date = day.ok_or_else(|| format!("its `series.{name}` has {time:?}, which is not a date"))?;
        let value = value.filter(|value| value.is_finite());
        let value = value.ok_or_else(|| format!("its `series.{name}` has no finite number on {date}"))?;
        if found.last().is_some_and(|last| last.date >= date) {
            return Err(format!("its `series.{name}` is not in the order of its days at {date}"));
        }
        found.push(Return { date, value });
    }
    Ok(found)
}

fn differences(equity: &[Return]) -> Result<Vec<Return>, String> {
    let pairs = equity.iter().zip(equity.iter().skip(1));
    pairs
        .map(|(before, now)| match before.value > 0.0 {
            true => Ok(Return { date: now.date, value: now.value / before.value - 1.0 }),
            false => Err(format!("its `series.equity` is {} on {}", before.value, before.date)),
        })
        .collect()
}

impl Stitched {
    /// Adds the returns of the next window. Days that an earlier one has tested count once.
    pub fn add(&mut self, returns: &[Return]) {
        let last = self.returns.last().map(|last| last.date);
        for found in returns.iter().filter(|found| last.is_none_or(|last| last < found.date)) {
            let before = self.equity.last().copied().unwrap_or(1.0);
            self.equity.push(before * (1.0 + found.value));
            self.returns.push(*found);
        }
    }

    /// None of an empty curve.
    pub fn statistics(&self) -> Option<CurveStatistics> {
        let total_return = self.equity.last()? - 1.0;
        let count = self.returns.len() as f64;
        let mean = self.returns.iter().fold(0.0, |sum, found| sum + found.value) / count;
        let squares =
            self.returns.iter().fold(0.0, |sum, found| sum + (found.value - mean) * (found.value - mean));
        let deviation = (self.returns.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
        let sharpe = deviation.filter(|deviation| *deviation > 0.0).map(|deviation| mean / deviation);
        let (mut peak, mut max_drawdown) = (1.0_f64, 0.0_f64);
        for equity in &self.equity {
            peak = peak.max(*equity);
            max_drawdown = max_drawdown.min(equity / peak - 1.0);
        }
        Some(CurveStatistics { total_return, mean, deviation, sharpe, max_drawdown })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        let date = |text: &str| text.parse().unwrap();
        Window {
            number: 0,
            train_start: date("2004-01-01"),
            train_end: date("2005-01-01"),
            test_start: date("2005-01-01"),
            test_end: date("2005-02-01"),
            partial: false,
        }
    }

    fn read(series: &str) -> Result<Vec<(String, f64)>, String> {
        let text = format!("{{\"sharpe\": NaN, \"series\": {series}}}");
        let found = returns_in_test(text.as_bytes(), &window())?;
        Ok(found.iter().map(|found| (found.date.to_string(), found.value)).collect())
    }

    #[test]
    fn only_what_is_tested_counts() {
        let series = r#"{"returns": [["2004-12-31", 0.5], ["2005-01-01", 0.1], ["2005-01-31T16:00:00", -0.2], ["2005-02-01", 0.7]]}"#;
        assert_eq!(read(series).unwrap(), [("2005-01-01".to_owned(), 0.1), ("2005-01-31".to_owned(), -0.2)]);
        let equity = r#"{"equity": [["2004-12-31", 100], ["2005-01-03", 110], ["2005-01-04", 99.0]]}"#;
        let expected =
            [("2005-01-03".to_owned(), 110.0 / 100.0 - 1.0), ("2005-01-04".to_owned(), 99.0 / 110.0 - 1.0)];
        assert_eq!(read(equity).unwrap(), expected);
    }

    #[test]
    fn what_is_no_curve_is_told() {
        for (series, part) in [
            ("{}", "neither"),
            (r#"{"returns": [["2006-01-01", 1]]}"#, "nothing from 2005-01-01 to 2005-01-31"),
            (r#"{"returns": [["2005-01-02", NaN]]}"#, "no finite number on 2005-01-02"),
            (r#"{"returns": [["2005-01-02", 1], ["2005-01-02", 1]]}"#, "not in the order"),
            (r#"{"returns": [1, 2]}"#, "no list of [date, number]"),
            (r#"{"returns": [["today", 1]]}"#, "not a date"),
            (r#"{"equity": [["2005-01-02", 0], ["2005-01-03", 1]]}"#, "is 0 on 2005-01-02"),
        ] {
            let error = read(series).unwrap_err();
            assert!(error.contains(part), "{series}: {error}");
        }
    }

    #[test]
    fn a_curve_has_its_statistics() {
        let day = |day: i8, value: f64| Return { date: Date::constant(2005, 1, day), value };
        let mut curve = Stitched::default();
        assert_eq!(curve.statistics(), None);
        curve.add(&[day(1, 0.1), day(2, -0.5)]);
        curve.add(&[day(2, 9.0), day(3, 0.2)]);
        assert_eq!(curve.returns.len(), 3);
        assert_eq!(curve.equity, [1.1, 1.1 * 0.5, 1.1 * 0.5 * 1.2]);
        let found = curve.statistics().unwrap();
        assert_eq!(found.total_return, 1.1 * 0.5 * 1.2 - 1.0);
        assert_eq!(found.max_drawdown, (1.1 * 0.5) / 1.1 - 1.0);
        let mean = (0.1 - 0.5 + 0.2) / 3.0;
        assert!((found.mean - mean).abs() < 1e-15);
        assert!((found.sharpe.unwrap() - mean / 0.378_593_889_720_018_4).abs() < 1e-12);
    }
}
