//! p-values of many tests, and what is left of a Sharpe ratio after them.

use crate::error::{Error, confidence, finite, trials};
use crate::normal;

/// How p-values are adjusted for the number of tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adjustment {
    /// N p: no false discovery among all tests, whatever they depend on.
    Bonferroni,
    /// Holm's step-down: as Bonferroni, and never larger.
    Holm,
    /// Benjamini, Hochberg and Yekutieli as Harvey and Liu (2015) write it: the share of false discoveries. The largest
    /// p-value stays as it is.
    Bhy,
    /// The same as it is usual elsewhere (R's `p.adjust(method = "BY")`, statsmodels' `fdr_by`): the largest p-value is
    /// multiplied too.
    By,
    /// 1 - (1 - p)^N: independent tests. What exhibit 1 of Harvey and Liu (2015) shows.
    Sidak,
}

/// The adjusted p-values, in the order in which they were given. Each is from 0 to 1.
///
/// Harvey, Liu (2015), Backtesting, J. Portfolio Management 42(1).
///
/// # Errors
///
/// [`Error::OutOfRange`] if a p-value is not from 0 to 1, [`Error::TooFew`] if there is none.
pub fn adjust(method: Adjustment, p_values: &[f64]) -> Result<Vec<f64>, Error> {
    if p_values.is_empty() {
        return Err(Error::TooFew { what: "p-values", given: 0, least: 1 });
    }
    for p in p_values {
        probability(*p)?;
    }
    let tests = p_values.len();
    let n = tests as f64;
    let mut order: Vec<usize> = (0..tests).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut adjusted = vec![0.0; tests];
    match method {
        Adjustment::Bonferroni => {
            adjusted.iter_mut().zip(p_values).for_each(|(adjusted, p)| *adjusted = (n * p).min(1.0));
        }
        Adjustment::Sidak => {
            adjusted.iter_mut().zip(p_values).for_each(|(adjusted, p)| *adjusted = independent(*p, n));
        }
        Adjustment::Holm => {
            let mut highest: f64 = 0.0;
            for (rank, place) in order.into_iter().enumerate() {
                highest = highest.max(((tests - rank) as f64 * p_values[place]).min(1.0));
                adjusted[place] = highest;
            }
        }
        Adjustment::Bhy | Adjustment::By => {
            let factor = n * harmonic(n);
            let mut lowest: f64 = 1.0;
            for (rank, place) in order.into_iter().enumerate().rev() {
                let is_kept = rank + 1 == tests && method == Adjustment::Bhy;
                let own = if is_kept { 1.0 } else { factor / (rank + 1) as f64 };
                lowest = lowest.min(own * p_values[place]);
                adjusted[place] = lowest;
            }
        }
    }
    Ok(adjusted)
}

/// What is left of a Sharpe ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Haircut {
    /// The ratio per observation that a single test would need for the adjusted p-value.
    pub sharpe: f64,
    /// The share of the ratio that is lost, 0 to 1.
    pub haircut: f64,
    /// Of the ratio, two-sided.
    pub p: f64,
    pub adjusted_p: f64,
}

/// The haircut of the best of so many trials, of which only the best one's p-value is known. The others are taken for
/// the worst that they can be, p = 1; then Holm's is Bonferroni's, and BHY's is N c(N) p with c(N) = 1 + 1/2 + .. + 1/N.
/// Someone who knows all p-values takes [`adjust`] and [`haircut_of`].
///
/// Harvey, Liu (2015), as [`adjust`].
///
/// # Errors
///
/// [`Error::OutOfRange`] if the ratio is not above zero or there is no trial, [`Error::TooFew`] with fewer than two
/// observations.
pub fn haircut(sharpe: f64, observations: u64, number: f64, method: Adjustment) -> Result<Haircut, Error> {
    if sharpe <= 0.0 {
        let right = "above 0: what loses has nothing to cut";
        return Err(Error::OutOfRange { what: "sharpe", value: sharpe, right });
    }
    if observations < 2 {
        return Err(Error::TooFew { what: "observations", given: observations, least: 2 });
    }
    let number = trials(number)?;
    let root = (observations as f64).sqrt();
    let score = finite("sharpe", sharpe)? * root;
    let p = 2.0 * normal::survival(score);
    let adjusted_p = match method {
        Adjustment::Bonferroni | Adjustment::Holm => (number * p).min(1.0),
        Adjustment::Bhy | Adjustment::By => (number * harmonic(number) * p).min(1.0),
        Adjustment::Sidak => independent(p, number),
    };
    // A p-value that is no number any more can't be turned back; the score itself is then as good as uncut.
    let left = if p > 0.0 { normal::upper_quantile(adjusted_p / 2.0).clamp(0.0, score) } else { score };
    Ok(Haircut { sharpe: left / root, haircut: 1.0 - left / score, p, adjusted_p })
}

/// The share of a Sharpe ratio that is lost if its two-sided p-value becomes the adjusted one; 1 for an adjusted one of 1.
///
/// # Errors
///
/// [`Error::OutOfRange`] if `p` is not between 0 and 1, or the adjusted one not from `p` to 1.
pub fn haircut_of(p: f64, adjusted_p: f64) -> Result<f64, Error> {
    if !(p > 0.0 && p < 1.0) {
        return Err(Error::OutOfRange { what: "the p-value", value: p, right: "between 0 and 1" });
    }
    if !(p..=1.0).contains(&adjusted_p) {
        let right = "from the p-value itself to 1";
        return Err(Error::OutOfRange { what: "the adjusted p-value", value: adjusted_p, right });
    }
    Ok(1.0 - normal::upper_quantile(adjusted_p / 2.0).max(0.0) / normal::upper_quantile(p / 2.0))
}

/// The Sharpe ratio per observation that the best of so many trials must reach to be significant at the level `alpha`,
/// two-sided, by Bonferroni. Times the deviation of a return it is the mean return that is needed.
///
/// Harvey, Liu (2015), exhibit 4.
///
/// # Errors
///
/// [`Error::OutOfRange`] if `alpha` is not between 0 and 1 or there is no trial, [`Error::TooFew`] with fewer than two
/// observations.
pub fn hurdle(alpha: f64, number: f64, observations: u64) -> Result<f64, Error> {
    let alpha = confidence(alpha).map_err(|_| Error::OutOfRange {
        what: "alpha",
        value: alpha,
        right: "between 0 and 1, such as 0.05",
    })?;
    if observations < 2 {
        return Err(Error::TooFew { what: "observations", given: observations, least: 2 });
    }
    Ok(normal::upper_quantile(alpha / trials(number)? / 2.0) / (observations as f64).sqrt())
}

fn probability(p: f64) -> Result<f64, Error> {
    match (0.0..=1.0).contains(&p) {
        true => Ok(p),
        false => Err(Error::OutOfRange { what: "a p-value", value: p, right: "from 0 to 1" }),
    }
}

/// 1 - (1 - p)^N with the digits of a small p.
fn independent(p: f64, number: f64) -> f64 {
    -(number * (-p).ln_1p()).exp_m1()
}

/// 1 + 1/2 + .. + 1/N, between whole numbers and beyond the first ones by its asymptotic series.
fn harmonic(number: f64) -> f64 {
    const SUMMED: f64 = 1000.0;
    if number.fract() == 0.0 && number <= SUMMED {
        return (1..=number as u64).rev().map(|n| 1.0 / n as f64).sum();
    }
    // The series is good from about 10 on; below, the recurrence leads there.
    let (mut n, mut less) = (number, 0.0);
    while n < 20.0 {
        n += 1.0;
        less += 1.0 / n;
    }
    let square = n * n;
    n.ln() + 0.577_215_664_901_532_9 + 0.5 / n - 1.0 / (12.0 * square) + 1.0 / (120.0 * square * square)
        - 1.0 / (252.0 * square * square * square)
        - less
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_keep_their_order() {
        let p = [0.06, 0.005, 0.0135, 0.009];
        let holm = adjust(Adjustment::Holm, &p).unwrap();
        for (holm, right) in holm.into_iter().zip([0.06, 0.02, 0.027, 0.027]) {
            assert!((holm - right).abs() < 1e-15, "{holm} is not {right}");
        }
        assert_eq!(adjust(Adjustment::Bhy, &[0.3]), Ok(vec![0.3]));
        assert_eq!(adjust(Adjustment::By, &[0.9, 0.9]), Ok(vec![1.0, 1.0]));
        assert_eq!(adjust(Adjustment::Bhy, &[0.9, 0.9]), Ok(vec![0.9, 0.9]));
        for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            let error = adjust(Adjustment::Holm, &[0.1, wrong]).unwrap_err().to_string();
            assert!(error.ends_with("it must be from 0 to 1"), "{error}");
        }
        assert!(adjust(Adjustment::Holm, &[]).is_err());
    }

    #[test]
    fn a_haircut_is_none_for_one_trial_and_all_for_too_many() {
        for method in [Adjustment::Bonferroni, Adjustment::Holm, Adjustment::Bhy, Adjustment::Sidak] {
            let one = haircut(0.1, 1000, 1.0, method).unwrap();
            assert!(one.haircut.abs() < 1e-12 && (one.sharpe - 0.1).abs() < 1e-12, "{one:?}");
            let many = haircut(0.1, 1000, 1e9, method).unwrap();
            assert_eq!((many.sharpe, many.haircut, many.adjusted_p), (0.0, 1.0, 1.0));
        }
        // Beyond the smallest number a p-value is 0, and the ratio is uncut.
        let sure = haircut(2.0, 1_000_000, 100.0, Adjustment::Holm).unwrap();
        assert_eq!((sure.p, sure.haircut, sure.sharpe), (0.0, 0.0, 2.0));
        assert!(haircut(0.0, 1000, 10.0, Adjustment::Holm).is_err());
        assert!(haircut(f64::NAN, 1000, 10.0, Adjustment::Holm).is_err());
        assert!(haircut(0.1, 1, 10.0, Adjustment::Holm).is_err());
        assert!(haircut(0.1, 10, 0.0, Adjustment::Holm).is_err());
    }

    #[test]
    fn the_harmonic_series_is_one_whether_summed_or_not() {
        let summed = |n: u64| (1..=n).rev().map(|n| 1.0 / n as f64).sum::<f64>();
        assert!((harmonic(6.0) - 2.45).abs() < 1e-15);
        for n in [1u64, 2, 10, 500] {
            assert!((harmonic(n as f64 + 1e-12) - summed(n)).abs() < 1e-11, "{n}");
        }
        assert!((harmonic(100_000.0) - summed(100_000)).abs() < 1e-12);
    }
}
