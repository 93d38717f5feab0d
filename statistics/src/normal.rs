//! The standard normal distribution, with all digits in both tails.
//!
//! Close to 1 a probability has lost its digits: 1 - 1e-17 is 1. So what is small is asked for and answered as what is
//! small: [`survival`] instead of `1 - cdf(x)`, and [`upper_quantile`] instead of `quantile(1 - p)`.

use std::f64::consts::SQRT_2;

/// The probability of a value of at most `x`; any `x`, relative error about 1e-15 for x > -8, 1e-13 for x > -37.
pub fn cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x / SQRT_2)
}

/// The probability of a value above `x`.
pub fn survival(x: f64) -> f64 {
    0.5 * libm::erfc(x / SQRT_2)
}

/// The value that is not exceeded with the probability `p`, which must be between 0 and 1; infinite at both ends.
pub fn quantile(p: f64) -> f64 {
    // 1 - p is exact where it is used.
    if p <= 0.5 { lower(p) } else { -lower(1.0 - p) }
}

/// The value that is exceeded with the probability `p`.
pub fn upper_quantile(p: f64) -> f64 {
    -quantile(p)
}

/// The density at `x`.
pub fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (std::f64::consts::TAU).sqrt()
}

fn lower(p: f64) -> f64 {
    -SQRT_2 * statrs::function::erf::erfc_inv(2.0 * p)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64, tolerance: f64) {
        assert!((a - b).abs() <= tolerance * b.abs(), "{a} is not {b}");
    }

    #[test]
    fn both_tails_keep_their_digits() {
        // mpmath, 30 digits.
        for (x, p) in [
            (-1.0, 0.158_655_253_931_457_05),
            (-5.0, 2.866_515_718_791_939e-7),
            (-8.0, 6.220_960_574_271_784e-16),
            (-37.0, 5.725_571_222_524_577e-300),
        ] {
            close(cdf(x), p, 1e-12);
            close(survival(-x), p, 1e-12);
            close(quantile(p), x, 1e-13);
            close(upper_quantile(p), -x, 1e-13);
        }
        close(quantile(0.95), 1.644_853_626_951_472_7, 1e-15);
        assert_eq!(quantile(0.5), 0.0);
        assert_eq!((cdf(f64::NEG_INFINITY), cdf(f64::INFINITY)), (0.0, 1.0));
    }

    #[test]
    fn what_is_taken_forth_comes_back() {
        for exponent in 1..300 {
            let p = 10f64.powi(-exponent);
            close(cdf(quantile(p)), p, 1e-12);
        }
    }
}
