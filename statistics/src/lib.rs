//! Judges backtests: how likely a Sharpe ratio is to come by chance, alone and as the best of many.
//!
//! Everything here is computed from numbers that the caller hands in. Nothing does I/O, nothing depends on a clock, and
//! what draws random numbers takes a seed, so the same input gives the same digits.
//!
//! Conventions, which docs/STATISTICS.md explains:
//!
//! - Sharpe ratios are **per observation**: a day's for daily returns, never a year's. The one exception is
//!   [`minimum_backtest_length`], whose formula is in years.
//! - A deviation divides by n - 1. Skewness and kurtosis divide by n, and kurtosis is **not** excess: 3 for a normal
//!   distribution.
//! - Probabilities are from 0 to 1. `observations` counts returns, `trials` counts strategies that were tried.
//! - An [`Error`] names the value that is wrong and says what would be right. No function panics, and none returns NaN.
//!
//! A caller with return series gives them one trial at a time to a [`Collector`], which keeps sums instead of series.

mod adjust;
mod assess;
mod blocks;
mod clusters;
mod collector;
mod correlation;
mod deflated;
mod effective;
mod eigenvalues;
mod error;
mod expected;
mod grid;
mod moments;
pub mod normal;
mod pbo;
mod products;
mod random;
mod robust;
mod sample;
mod sharpe;
mod spa;
mod split;
mod words;

pub use adjust::{Adjustment, Haircut, adjust, haircut, haircut_of, hurdle};
pub use assess::{Assessment, BestTrial, Missing, Question, Reported, Trial, TrialCounts, assess};
pub use blocks::{Blocks, MOST_BLOCKS};
pub use clusters::{Clusters, Triangle};
pub use collector::{Collected, Collector, TrialMoments, Wanted};
pub use deflated::{
    ByCorrelation, Deflated, break_even, by_correlation, deflate, variance_of_null, variance_of_trials,
};
pub use effective::{EffectiveTrials, effective_rank, effective_trials};
pub use error::Error;
pub use expected::{expected_maximum, minimum_backtest_length, variance_of_maximum};
pub use grid::{Coordinate, Outcome, Point};
pub use moments::Moments;
pub use pbo::{Overfitting, SpreadOf, overfitting};
pub use random::Random;
pub use robust::{Goal, Neighbourhood, Robustness, Winner, robustness};
pub use sample::Sample;
pub use sharpe::{ObservedSharpe, annual_hint};
pub use spa::{Bootstrap, SuperiorAbility, superior_ability};
pub use split::{Metric, Split};
