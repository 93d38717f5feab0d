//! One Sharpe ratio: its standard error, its probability, and the track record that it needs.

use crate::error::{Error, confidence, finite};
use crate::normal;

/// A daily Sharpe ratio above this would be more than 9.5 a year.
const DAILY_AT_MOST: f64 = 0.6;
/// From so many observations on they are taken for days.
const DAYS_FROM: u64 = 250;

/// A Sharpe ratio per observation, with what its error depends on. Its variance is known to be above zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ObservedSharpe {
    ratio: f64,
    observations: u64,
    skew: f64,
    kurtosis: f64,
}

impl ObservedSharpe {
    /// A ratio per observation, of at least two `observations` with a skewness, and a kurtosis that is 3 for a normal
    /// distribution.
    ///
    /// # Errors
    ///
    /// [`Error::NotFinite`], [`Error::TooFew`], [`Error::OutOfRange`] for a kurtosis below 1, which no series has, and
    /// [`Error::Variance`] if 1 - skew sharpe + (kurtosis - 1)/4 sharpe^2 is not above zero.
    pub fn new(ratio: f64, observations: u64, skew: f64, kurtosis: f64) -> Result<Self, Error> {
        finite("sharpe", ratio)?;
        finite("skew", skew)?;
        finite("kurtosis", kurtosis)?;
        if observations < 2 {
            return Err(Error::TooFew { what: "observations", given: observations, least: 2 });
        }
        if kurtosis < 1.0 {
            let right = "at least 1, and is 3 for a normal distribution: add 3 to an excess kurtosis";
            return Err(Error::OutOfRange { what: "kurtosis", value: kurtosis, right });
        }
        let observed = Self { ratio, observations, skew, kurtosis };
        let variance = observed.variance();
        if !(variance > 0.0 && variance.is_finite()) {
            return Err(Error::Variance { sharpe: ratio, skew, kurtosis, variance });
        }
        Ok(observed)
    }

    /// A ratio of returns that are distributed normally.
    ///
    /// # Errors
    ///
    /// As [`ObservedSharpe::new`].
    pub fn normal(ratio: f64, observations: u64) -> Result<Self, Error> {
        Self::new(ratio, observations, 0.0, 3.0)
    }

    pub fn ratio(&self) -> f64 {
        self.ratio
    }

    pub fn observations(&self) -> u64 {
        self.observations
    }

    pub fn skew(&self) -> f64 {
        self.skew
    }

    pub fn kurtosis(&self) -> f64 {
        self.kurtosis
    }

    /// The variance of the ratio times observations - 1: 1 - skew sharpe + (kurtosis - 1)/4 sharpe^2 (Mertens 2002).
    fn variance(&self) -> f64 {
        1.0 - self.skew * self.ratio + (self.kurtosis - 1.0) / 4.0 * self.ratio * self.ratio
    }

    /// The standard error of the ratio, sqrt((1 - skew sharpe + (kurtosis - 1)/4 sharpe^2)/(observations - 1)).
    pub fn standard_error(&self) -> f64 {
        (self.variance() / self.degrees()).sqrt()
    }

    fn degrees(&self) -> f64 {
        (self.observations - 1) as f64
    }

    /// The probabilistic Sharpe ratio: the probability that the true ratio is above the benchmark, which is per
    /// observation too. One half if both are the same.
    ///
    /// Bailey, Lopez de Prado (2012), The Sharpe Ratio Efficient Frontier, J. of Risk 15(2), SSRN 1821643.
    ///
    /// # Errors
    ///
    /// [`Error::NotFinite`] for the benchmark.
    pub fn psr(&self, benchmark: f64) -> Result<f64, Error> {
        Ok(normal::cdf(self.score(finite("benchmark", benchmark)?)))
    }

    /// By how many standard errors the ratio is above the benchmark.
    pub(crate) fn score(&self, benchmark: f64) -> f64 {
        (self.ratio - benchmark) * self.degrees().sqrt() / self.variance().sqrt()
    }

    /// The minimum track record length: how many observations it takes until the PSR against the benchmark reaches the
    /// confidence, if ratio, skewness and kurtosis stay as they are. Not rounded; 1 for a confidence of 0.5 or less.
    /// The number of observations that the ratio was measured over does not matter.
    ///
    /// Bailey, Lopez de Prado (2012), as [`ObservedSharpe::psr`].
    ///
    /// # Errors
    ///
    /// [`Error::NotAbove`] if the ratio is not above the benchmark, [`Error::OutOfRange`] if the confidence is not
    /// between 0 and 1.
    pub fn minimum_track_record(&self, benchmark: f64, confidence_wanted: f64) -> Result<f64, Error> {
        let benchmark = finite("benchmark", benchmark)?;
        let score = normal::quantile(confidence(confidence_wanted)?).max(0.0);
        if self.ratio <= benchmark {
            return Err(Error::NotAbove { sharpe: self.ratio, benchmark });
        }
        let errors = score / (self.ratio - benchmark);
        finite("the minimum track record", 1.0 + self.variance() * errors * errors)
    }

    /// What looks wrong about the numbers, though they can be computed with.
    pub fn hints(&self) -> Vec<String> {
        let mut hints = Vec::new();
        hints.extend(annual_hint("sharpe", self.ratio, Some(self.observations)));
        let least = 1.0 + self.skew * self.skew;
        if self.kurtosis < least * (1.0 - 1e-9) {
            hints.push(format!(
                "no series has a kurtosis of {} and a skewness of {}: it is at least 1 + skewness^2 = {least}; the \
                 kurtosis here is not excess, so it is 3 for a normal distribution",
                self.kurtosis, self.skew
            ));
        }
        hints
    }
}

/// Says so if a ratio looks like an annual one where one per observation belongs: above 0.6 with a year of days or more,
/// or where it is not known of how many. The observations are those of the series.
pub fn annual_hint(what: &str, ratio: f64, observations: Option<u64>) -> Option<String> {
    let are_days = observations.is_none_or(|observations| observations >= DAYS_FROM);
    (ratio.abs() > DAILY_AT_MOST && are_days).then(|| {
        format!(
            "{what} {ratio} looks like an annual Sharpe ratio; one per observation is expected, and for daily returns \
             that is the annual one by sqrt(252): {:.6}",
            ratio / 252f64.sqrt()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_at_its_benchmark_is_one_half() {
        let observed = ObservedSharpe::new(0.1, 100, -1.0, 5.0).unwrap();
        assert_eq!(observed.psr(0.1), Ok(0.5));
        assert_eq!(
            observed.minimum_track_record(0.1, 0.95),
            Err(Error::NotAbove { sharpe: 0.1, benchmark: 0.1 })
        );
        assert_eq!(observed.minimum_track_record(0.0, 0.5), Ok(1.0));
        assert_eq!(observed.minimum_track_record(0.0, 0.2), Ok(1.0));
    }

    #[test]
    fn a_benchmark_that_can_not_be_told_apart_needs_no_infinite_record() {
        let observed = ObservedSharpe::normal(0.1, 100).unwrap();
        assert!(observed.minimum_track_record(0.1f64.next_down(), 0.95).unwrap().is_finite());
        let observed = ObservedSharpe::normal(1e-200, 100).unwrap();
        let error = observed.minimum_track_record(0.0, 0.95).unwrap_err().to_string();
        assert_eq!(error, "the minimum track record is inf; it must be a finite number");
    }

    #[test]
    fn what_can_not_be_is_named() {
        let wrong = |ratio, observations, skew, kurtosis| {
            ObservedSharpe::new(ratio, observations, skew, kurtosis).unwrap_err().to_string()
        };
        assert_eq!(wrong(f64::NAN, 9, 0.0, 3.0), "sharpe is NaN; it must be a finite number");
        assert_eq!(wrong(0.1, 9, f64::INFINITY, 3.0), "skew is inf; it must be a finite number");
        assert_eq!(wrong(0.1, 1, 0.0, 3.0), "there are 1 observations; at least 2 are needed");
        assert!(wrong(0.1, 9, 0.0, 0.0).contains("add 3 to an excess kurtosis"));
        assert!(wrong(1.0, 9, 3.0, 3.0).contains("the variance of the ratio would be -1.5;"));
        assert!(wrong(1.0, 9, 2.0, 5.0).contains("would be 0;"), "{}", wrong(1.0, 9, 2.0, 5.0));
        let observed = ObservedSharpe::normal(0.1, 9).unwrap();
        for (confidence, said) in [(0.0, "0"), (1.0, "1"), (-0.1, "-0.1"), (f64::NAN, "NaN")] {
            let error = observed.minimum_track_record(0.0, confidence).unwrap_err().to_string();
            assert_eq!(error, format!("confidence is {said}; it must be between 0 and 1, such as 0.95"));
        }
    }

    #[test]
    fn an_annual_ratio_among_days_is_pointed_out() {
        let hints = |ratio, observations, skew, kurtosis| {
            ObservedSharpe::new(ratio, observations, skew, kurtosis).unwrap().hints()
        };
        assert!(hints(1.5, 1250, 0.0, 3.0)[0].contains("looks like an annual Sharpe ratio"));
        assert!(hints(0.8183, 134, -1.4455, 7.0497).is_empty());
        assert!(hints(0.1, 1250, -3.0, 10.0).is_empty());
        assert!(hints(0.1, 1250, -3.0, 9.0)[0].contains("no series has a kurtosis of 9"));
    }
}
