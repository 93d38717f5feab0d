//! The deflated Sharpe ratio: the chance that the best of many trials has skill.

use crate::error::{Error, confidence, finite, trials};
use crate::expected::expected_maximum;
use crate::sharpe::ObservedSharpe;

/// Break-even numbers are sought up to here, 2^53, the last whole number of all below which none is left out.
const MOST_TRIALS: u64 = 1 << 53;

/// A Sharpe ratio as the best of many trials.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Deflated {
    /// The probability that the true ratio is above `sr0`: the PSR against it.
    pub dsr: f64,
    /// The ratio, per observation, that the best of so many trials without skill is expected to show.
    pub sr0: f64,
}

/// The deflated Sharpe ratio of the best of so many independent trials. `variance` is that of the trials' ratios per
/// observation ([`variance_of_trials`], [`variance_of_null`]). With one trial nothing is deflated: it is the PSR
/// against 0.
///
/// Bailey, Lopez de Prado (2014), The Deflated Sharpe Ratio, J. Portfolio Management 40(5), SSRN 2460551.
///
/// # Errors
///
/// [`Error::OutOfRange`] if there is no trial or the variance is negative, [`Error::NotFinite`].
pub fn deflate(best: &ObservedSharpe, number: f64, variance: f64) -> Result<Deflated, Error> {
    let sr0 = finite("the expected maximum", deviation(variance)? * expected_maximum(number)?)?;
    Ok(Deflated { dsr: best.psr(sr0)?, sr0 })
}

/// The largest whole number of trials at which the deflated Sharpe ratio still reaches the confidence. It needs no
/// estimate of how many trials are independent. 0: not even one trial does. None: more than 2^53 trials do, as with a
/// variance of 0.
///
/// # Errors
///
/// As [`deflate`], and [`Error::OutOfRange`] if the confidence is not between 0 and 1.
pub fn break_even(
    best: &ObservedSharpe,
    variance: f64,
    confidence_wanted: f64,
) -> Result<Option<u64>, Error> {
    let wanted = confidence(confidence_wanted)?;
    let holds = |number: u64| Ok::<_, Error>(deflate(best, number as f64, variance)?.dsr >= wanted);
    if !holds(1)? {
        return Ok(Some(0));
    }
    if holds(MOST_TRIALS)? {
        return Ok(None);
    }
    let (mut enough, mut too_many) = (1, MOST_TRIALS);
    while too_many - enough > 1 {
        let middle = enough + (too_many - enough) / 2;
        if holds(middle)? {
            enough = middle;
        } else {
            too_many = middle;
        }
    }
    Ok(Some(enough))
}

/// The variance of the trials' Sharpe ratios, divided by n - 1. It also measures how much the parameters matter, not
/// luck alone, so it is an upper bound where some trials are really better than others.
///
/// # Errors
///
/// [`Error::TooFew`] with fewer than two ratios, [`Error::NotFinite`].
pub fn variance_of_trials(ratios: &[f64]) -> Result<f64, Error> {
    if ratios.len() < 2 {
        return Err(Error::TooFew { what: "trials", given: ratios.len() as u64, least: 2 });
    }
    for ratio in ratios {
        finite("sharpe", *ratio)?;
    }
    let n = ratios.len() as f64;
    let rough = ratios.iter().sum::<f64>() / n;
    let mean = rough + ratios.iter().map(|ratio| ratio - rough).sum::<f64>() / n;
    let squares: f64 = ratios.iter().map(|ratio| (ratio - mean) * (ratio - mean)).sum();
    finite("the variance of the trials", squares / (n - 1.0))
}

/// The variance of the Sharpe ratio per observation of a strategy without skill: 1/(observations - 1).
///
/// # Errors
///
/// [`Error::TooFew`] with fewer than two observations.
pub fn variance_of_null(observations: u64) -> Result<f64, Error> {
    match observations {
        0 | 1 => Err(Error::TooFew { what: "observations", given: observations, least: 2 }),
        _ => Ok(1.0 / (observations - 1) as f64),
    }
}

fn deviation(variance: f64) -> Result<f64, Error> {
    match variance.is_finite() && variance >= 0.0 {
        true => Ok(variance.sqrt()),
        false => Err(Error::OutOfRange { what: "variance", value: variance, right: "0 or more" }),
    }
}

/// How many independent trials a number of correlated ones is worth, by two formulas that both go by "average
/// correlation". They differ by orders of magnitude.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ByCorrelation {
    /// rho + (1 - rho) N: Bailey, Lopez de Prado (2014), appendix A.3.
    pub linear: f64,
    /// N/(1 + (N - 1) rho): Kish's effective sample size.
    pub kish: f64,
}

/// Both formulas. A mean correlation below zero counts as 0.
///
/// # Errors
///
/// [`Error::OutOfRange`] if there is no trial, or the mean correlation is not from -1 to 1.
pub fn by_correlation(number: f64, mean_correlation: f64) -> Result<ByCorrelation, Error> {
    let number = trials(number)?;
    if !(-1.0..=1.0).contains(&mean_correlation) {
        let right = "from -1 to 1";
        return Err(Error::OutOfRange { what: "the mean correlation", value: mean_correlation, right });
    }
    let rho = mean_correlation.max(0.0);
    Ok(ByCorrelation { linear: rho + (1.0 - rho) * number, kish: number / (1.0 + (number - 1.0) * rho) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best() -> ObservedSharpe {
        ObservedSharpe::new(2.5 / 250f64.sqrt(), 1250, -3.0, 10.0).unwrap()
    }

    #[test]
    fn one_trial_is_not_deflated_and_none_is_refused() {
        let one = deflate(&best(), 1.0, 0.002).unwrap();
        assert_eq!((one.sr0, one.dsr), (0.0, best().psr(0.0).unwrap()));
        assert!(deflate(&best(), 0.0, 0.002).is_err());
        assert!(deflate(&best(), 1e9, 0.002).unwrap().dsr < 0.01);
        for wrong in [-0.1, f64::NAN, f64::INFINITY] {
            let error = deflate(&best(), 10.0, wrong).unwrap_err().to_string();
            assert!(error.ends_with("it must be 0 or more"), "{error}");
        }
    }

    #[test]
    fn the_break_even_number_is_the_last_that_holds() {
        let number = break_even(&best(), 0.002, 0.95).unwrap().unwrap();
        let dsr = |number: u64| deflate(&best(), number as f64, 0.002).unwrap().dsr;
        assert!(dsr(number) >= 0.95 && dsr(number + 1) < 0.95, "{number}");
        assert_eq!(break_even(&best(), 0.0, 0.95), Ok(None));
        let weak = ObservedSharpe::normal(0.01, 100).unwrap();
        assert_eq!(break_even(&weak, 0.002, 0.95), Ok(Some(0)));
        assert!(break_even(&weak, 0.002, 1.0).is_err());
    }

    #[test]
    fn variances_need_two() {
        assert_eq!(variance_of_null(1251), Ok(1.0 / 1250.0));
        assert!(variance_of_null(1).is_err());
        assert!((variance_of_trials(&[0.1, 0.2, 0.3]).unwrap() - 0.01).abs() < 1e-17);
        assert_eq!(variance_of_trials(&[0.1; 5]), Ok(0.0));
        assert!(variance_of_trials(&[0.1]).is_err());
        assert!(variance_of_trials(&[0.1, f64::NAN]).is_err());
    }

    #[test]
    fn correlated_trials_count_for_fewer() {
        let by = by_correlation(640.0, 0.62).unwrap();
        assert!((by.linear - 243.82).abs() < 1e-9 && (by.kish - 1.6).abs() < 0.05, "{by:?}");
        assert_eq!(by_correlation(10.0, -0.05), Ok(ByCorrelation { linear: 10.0, kish: 10.0 }));
        assert!(by_correlation(10.0, f64::NAN).is_err());
    }
}
