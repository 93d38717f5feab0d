//! Moments of a series of returns.

use crate::error::Error;
use crate::sharpe::ObservedSharpe;

/// Mean, deviation and shape of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    /// Returns in the series, at least 2.
    pub observations: u64,
    pub mean: f64,
    /// Standard deviation, divided by n - 1. Zero if all returns are the same.
    pub deviation: f64,
    /// Third standardised moment, divided by n ("biased"). Zero if all returns are the same.
    pub skew: f64,
    /// Fourth standardised moment, divided by n ("biased"); not excess, so 3 for a normal distribution and 1 at least.
    /// It is 3 if all returns are the same.
    pub kurtosis: f64,
}

impl Moments {
    /// The moments of a trial's returns, in two passes over them. The trial's number is for messages alone.
    ///
    /// # Errors
    ///
    /// [`Error::TooFew`] if there are fewer than two, [`Error::Return`] if one is not a finite number,
    /// [`Error::TooLarge`] if their fourth powers are not finite.
    pub fn of<T: Copy + Into<f64>>(trial: u64, returns: &[T]) -> Result<Self, Error> {
        let observations = returns.len() as u64;
        if observations < 2 {
            return Err(Error::TooFew { what: "observations", given: observations, least: 2 });
        }
        let n = observations as f64;
        let (mut sum, mut lowest, mut highest) = (0.0, f64::INFINITY, f64::NEG_INFINITY);
        for (place, value) in returns.iter().enumerate() {
            let value: f64 = (*value).into();
            if !value.is_finite() {
                return Err(Error::Return { trial, place, value });
            }
            sum += value;
            lowest = value.min(lowest);
            highest = value.max(highest);
        }
        if lowest == highest {
            return Ok(Self { observations, mean: lowest, deviation: 0.0, skew: 0.0, kurtosis: 3.0 });
        }
        let rough = sum / n;
        // What rounding left of the sum moves the mean.
        let rest: f64 = returns.iter().map(|value| (*value).into() - rough).sum();
        let mean = rough + rest / n;
        let (mut second, mut third, mut fourth) = (0.0, 0.0, 0.0);
        for value in returns {
            let distance = (*value).into() - mean;
            let square = distance * distance;
            second += square;
            third += square * distance;
            fourth += square * square;
        }
        if !(mean.is_finite() && fourth.is_finite()) {
            return Err(Error::TooLarge { trial });
        }
        let variance = second / n;
        let (skew, kurtosis) = match variance * variance > 0.0 {
            true => (third / n / (variance * variance.sqrt()), fourth / n / (variance * variance)),
            false => (0.0, 3.0),
        };
        Ok(Self { observations, mean, deviation: (second / (n - 1.0)).sqrt(), skew, kurtosis })
    }

    /// Mean by deviation; none for a series that does not vary.
    pub fn sharpe(&self) -> Option<f64> {
        let ratio = self.mean / self.deviation;
        (self.deviation > 0.0 && ratio.is_finite()).then_some(ratio)
    }

    /// The Sharpe ratio with what is needed to judge it.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if the series does not vary.
    pub fn observed(&self) -> Result<ObservedSharpe, Error> {
        let Some(sharpe) = self.sharpe() else {
            let right = "above zero: a series that does not vary has no Sharpe ratio";
            return Err(Error::OutOfRange { what: "deviation", value: self.deviation, right });
        };
        ObservedSharpe::new(sharpe, self.observations, self.skew, self.kurtosis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_first_convention() {
        let moments = Moments::of(0, &[0.01, 0.03, -0.02, 0.04]).unwrap();
        assert_eq!((moments.observations, moments.mean), (4, 0.015));
        // numpy: std(ddof=1), scipy.stats.skew, kurtosis(fisher=False).
        assert!((moments.deviation - 0.026_457_513_110_645_908).abs() < 1e-16, "{moments:?}");
        assert!((moments.skew + 0.498_783_749_110_839_84).abs() < 1e-13, "{moments:?}");
        assert!((moments.kurtosis - 1.761_904_761_904_762).abs() < 1e-13, "{moments:?}");
    }

    #[test]
    fn what_does_not_vary_has_no_sharpe_ratio() {
        let moments = Moments::of(0, &[0.1f64; 10]).unwrap();
        assert_eq!((moments.mean, moments.deviation, moments.sharpe()), (0.1, 0.0, None));
        assert!(moments.observed().unwrap_err().to_string().contains("does not vary"));
    }

    #[test]
    fn what_is_no_return_is_named() {
        assert_eq!(
            Moments::of(7, &[0.1, f64::NAN]).unwrap_err().to_string(),
            "trial 7: return 1 is NaN; each must be a finite number"
        );
        assert_eq!(
            Moments::of(0, &[0.1f32]).unwrap_err().to_string(),
            "there are 1 observations; at least 2 are needed"
        );
        assert_eq!(Moments::of(3, &[1e200, -1e200]), Err(Error::TooLarge { trial: 3 }));
        assert_eq!(Moments::of(3, &[f64::MAX, f64::MAX, 0.0]), Err(Error::TooLarge { trial: 3 }));
    }
}
