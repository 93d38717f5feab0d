//! What the tests of all windows make together: one curve out of sample, and its statistics.
//!
//! Returns are simple returns per period. Everything is summed in the order of the dates, so that any other program that
//! does the same finds the same, to the last digit.

use jiff::civil::Date;

use super::Window;
use crate::returns::{Returns, are_dates, day_of};

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

/// The returns that a job has within a window's test, day by day: those of one day are compounded, and a period without a
/// return counts as 0. The error is what is missing.
pub fn returns_in_test(returns: &Returns, window: &Window) -> Result<Vec<Return>, String> {
    if !are_dates(returns.times()) {
        return Err("its returns have no dates".to_owned());
    }
    let mut tested: Vec<Return> = Vec::new();
    for (time, value) in returns.times().iter().zip(returns.values()) {
        let Some(date) = day_of(*time).filter(|day| window.test_start <= *day && *day < window.test_end)
        else {
            continue;
        };
        let value = if value.is_nan() { 0.0 } else { *value };
        match tested.last_mut().filter(|last| last.date == date) {
            Some(last) => last.value = (1.0 + last.value) * (1.0 + value) - 1.0,
            None => tested.push(Return { date, value }),
        }
    }
    match tested.is_empty() {
        true => Err(format!("it has no returns from {} to {}", window.test_start, window.test_last())),
        false => Ok(tested),
    }
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
    use crate::returns::{SeriesKind, time_of_text};

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

    fn read(periods: &[(&str, f64)]) -> Result<Vec<(String, f64)>, String> {
        let periods = periods.iter().map(|(time, value)| (time_of_text(time).unwrap(), *value)).collect();
        let returns = Returns::of(SeriesKind::Returns, periods).unwrap();
        let found = returns_in_test(&returns, &window())?;
        Ok(found.iter().map(|found| (found.date.to_string(), found.value)).collect())
    }

    #[test]
    fn only_what_is_tested_counts() {
        let returns =
            [("2004-12-31", 0.5), ("2005-01-01", 0.1), ("2005-01-31T16:00:00", -0.2), ("2005-02-01", 0.7)];
        assert_eq!(
            read(&returns).unwrap(),
            [("2005-01-01".to_owned(), 0.1), ("2005-01-31".to_owned(), -0.2)]
        );
        let hours = [("2005-01-03T10:00", 0.5), ("2005-01-03T11:00", f64::NAN), ("2005-01-03T12:00", -0.5)];
        assert_eq!(read(&hours).unwrap(), [("2005-01-03".to_owned(), 1.5 * 0.5 - 1.0)]);
    }

    #[test]
    fn what_is_no_curve_is_told() {
        let later = read(&[("2006-01-01", 1.0)]).unwrap_err();
        assert_eq!(later, "it has no returns from 2005-01-01 to 2005-01-31");
        let counted = Returns::of(SeriesKind::Returns, vec![(0, 0.1), (1, 0.2)]).unwrap();
        assert_eq!(returns_in_test(&counted, &window()).unwrap_err(), "its returns have no dates");
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
