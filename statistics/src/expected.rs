//! The best of many trials without skill: how good it looks, and how long a backtest must be to tell.

use std::f64::consts::E;

use crate::error::{Error, finite, trials};
use crate::normal;

const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;

/// The expected maximum of so many independent standard normals, by the usual approximation,
/// (1 - g) Z^-1(1 - 1/N) + g Z^-1(1 - 1/(N e)) with Euler's g; 0 for one. It need not be whole, and may be as large as
/// numbers go.
///
/// Bailey, Borwein, Lopez de Prado, Zhu (2014), Pseudo-Mathematics and Financial Charlatanism, Notices of the AMS 61(5).
///
/// # Errors
///
/// [`Error::OutOfRange`] if the number is below 1 or not finite.
pub fn expected_maximum(number: f64) -> Result<f64, Error> {
    let number = trials(number)?;
    if number == 1.0 {
        return Ok(0.0);
    }
    // From the lower tail, since 1 - 1/N loses the digits of N. Between 1 and 2 the approximation may be below zero.
    let maximum = |number: f64| normal::upper_quantile(1.0 / number);
    Ok(((1.0 - EULER_GAMMA) * maximum(number) + EULER_GAMMA * tail(number)).max(0.0))
}

/// Z^-1(1 - 1/(N e)), also where N e is no longer a finite number.
fn tail(number: f64) -> f64 {
    normal::upper_quantile(1.0 / number / E)
}

/// The minimum backtest length in **years**: a backtest that is shorter is expected to show an **annual** Sharpe ratio of
/// `annual_sharpe` as the best of so many trials, though none has any skill. The square of [`expected_maximum`] by `annual_sharpe`; 0 for one trial.
///
/// Bailey, Borwein, Lopez de Prado, Zhu (2014), as [`expected_maximum`].
///
/// # Errors
///
/// [`Error::OutOfRange`] if the ratio is not above zero or there is no trial.
pub fn minimum_backtest_length(number: f64, annual_sharpe: f64) -> Result<f64, Error> {
    if annual_sharpe <= 0.0 || annual_sharpe.is_nan() {
        return Err(Error::OutOfRange { what: "sharpe", value: annual_sharpe, right: "above 0, a year" });
    }
    let ratio = expected_maximum(number)? / finite("sharpe", annual_sharpe)?;
    finite("the minimum backtest length", ratio * ratio)
}

/// The variance of the maximum of so many independent standard normals, by integration: 1 for one, and falling. It need
/// not be whole. Relative error about 1e-9.
///
/// # Errors
///
/// As [`expected_maximum`].
pub fn variance_of_maximum(number: f64) -> Result<f64, Error> {
    let number = trials(number)?;
    // The density of the maximum is N z(x) Z(x)^(N-1); ln Z by the upper tail, so that a large N keeps it.
    const STEPS: u32 = 20_000;
    let (from, to) = (-12.0, 40.0);
    let width = (to - from) / f64::from(STEPS);
    let (mut mass, mut first, mut second) = (0.0, 0.0, 0.0);
    let centre = expected_maximum(number)?;
    for step in 0..=STEPS {
        let x = from + f64::from(step) * width;
        let below = match x < 0.0 {
            true => normal::cdf(x).ln(),
            false => (-normal::survival(x)).ln_1p(),
        };
        let density = (number.ln() - 0.5 * x * x + (number - 1.0) * below).exp();
        let distance = x - centre;
        mass += density;
        first += density * distance;
        second += density * distance * distance;
    }
    let mean = first / mass;
    Ok(second / mass - mean * mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expected_maximum_holds_for_one_and_for_very_many() {
        assert_eq!(expected_maximum(1.0), Ok(0.0));
        assert!((expected_maximum(2.0).unwrap() - 0.519_755_344_280_593_9).abs() < 1e-12);
        // mpmath.
        assert!((expected_maximum(1e9).unwrap() - 6.090_388_996_413_457).abs() < 1e-13);
        assert!((expected_maximum(1e300).unwrap() - 37.062_659_907_809_915).abs() < 1e-12);
        assert!(expected_maximum(f64::MAX).unwrap().is_finite());
        let mut last = 0.0;
        for exponent in 0..300 {
            let next = expected_maximum(10f64.powi(exponent)).unwrap();
            assert!(next > last || exponent == 0, "{exponent}");
            last = next;
        }
        // An estimate need not be whole.
        assert!(expected_maximum(1.2).unwrap() < expected_maximum(2.0).unwrap());
        for wrong in [0.0, 0.5, -1.0, f64::NAN, f64::INFINITY] {
            assert!(expected_maximum(wrong).unwrap_err().to_string().ends_with("it must be 1 or more"));
        }
    }

    #[test]
    fn a_backtest_length_needs_a_ratio_above_zero() {
        assert_eq!(minimum_backtest_length(1.0, 1.0), Ok(0.0));
        for wrong in [0.0, -1.0, f64::NAN] {
            assert!(minimum_backtest_length(10.0, wrong).unwrap_err().to_string().contains("above 0"));
        }
        assert!(minimum_backtest_length(10.0, f64::INFINITY).is_err());
        assert!(minimum_backtest_length(10.0, 1e-200).is_err());
    }

    #[test]
    fn the_variance_of_the_maximum_falls() {
        let variance = |number| variance_of_maximum(number).unwrap();
        assert!((variance(1.0) - 1.0).abs() < 1e-9);
        // 1 - 1/pi.
        assert!((variance(2.0) - (1.0 - std::f64::consts::FRAC_1_PI)).abs() < 1e-9);
        assert!(variance(1e9) < variance(1e6));
    }
}
