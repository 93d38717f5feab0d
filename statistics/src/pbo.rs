//! The probability of backtest overfitting, by combinatorially symmetric cross-validation.

use std::thread;

use crate::blocks::Blocks;
use crate::error::Error;
use crate::split::{Halves, Metric, Split};

/// What the splits of all blocks into two halves say about choosing the best trial.
#[derive(Clone, Debug)]
pub struct Overfitting {
    /// The share of splits in which the best trial in sample is at or below the median out of sample: 0 to 1. Choosing
    /// among trials without any skill has 0.5 on average, with a standard deviation of about 0.15 from sweep to sweep.
    pub pbo: f64,
    /// One for each split, in the order of the blocks that are in sample: 0 1, 0 2, 0 3, 1 2, 1 3, 2 3 of 4 blocks.
    pub splits: Vec<Split>,
    /// The share of splits in which the metric of the chosen trial is below zero out of sample.
    pub probability_of_loss: f64,
    /// Of the line through the chosen trials' metric, out of sample on in sample, over the splits. None if it is the same
    /// in sample in all splits. Below zero, the better looks the worse.
    pub slope: Option<f64>,
    pub intercept: Option<f64>,
    /// The chosen trials' metric, in and out of sample.
    pub in_sample: SpreadOf,
    pub out_of_sample: SpreadOf,
    pub metric: Metric,
    pub trials: u64,
    pub blocks: u64,
    /// Returns in a block, and those at the start of the series that are in none.
    pub block_length: u64,
    pub dropped: u64,
}

/// How a number is distributed over the splits: the lowest, the 5 % quantile, the median, the 95 % quantile and the
/// highest, between neighbours in proportion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpreadOf {
    pub lowest: f64,
    pub low: f64,
    pub median: f64,
    pub high: f64,
    pub highest: f64,
}

/// The probability of backtest overfitting of the trials whose blocks were summed up.
///
/// Each choice of half of the blocks is in sample once, the other half is out of sample. The best trial in sample (the
/// first of several) has the rank r out of sample, among N in rising order, the mean rank if it is tied; w = r/(N + 1),
/// its logit is ln(w/(1 - w)), and the PBO is the share of logits at or below 0. Values that differ by rounding alone are
/// tied. A trial that does not vary in a half has a Sharpe ratio of 0 there if its returns are 0, else an infinite one.
///
/// It takes time for each trial and split, S choose S/2 of them, on as many threads as the machine has processors.
///
/// Bailey, Borwein, Lopez de Prado, Zhu (2017), The Probability of Backtest Overfitting, J. of Computational Finance 20(4),
/// SSRN 2326253.
///
/// # Errors
///
/// [`Error::TooFew`] with fewer than two trials.
pub fn overfitting(blocks: &Blocks, metric: Metric) -> Result<Overfitting, Error> {
    let trials = blocks.trials() as u64;
    if trials < 2 {
        return Err(Error::TooFew { what: "trials", given: trials, least: 2 });
    }
    let mut splits = all_splits(blocks, metric);
    // Block 0 is the highest bit, so the first split is the highest number.
    splits.sort_by_key(|split| std::cmp::Reverse(split.in_sample_blocks.reverse_bits()));
    let count = splits.len() as f64;
    let share =
        |counts: fn(&Split) -> bool| splits.iter().filter(|split| counts(split)).count() as f64 / count;
    let line = line(&splits);
    Ok(Overfitting {
        pbo: share(|split| split.logit <= 0.0),
        probability_of_loss: share(|split| split.out_of_sample < 0.0),
        slope: line.map(|(slope, _)| slope),
        intercept: line.map(|(_, intercept)| intercept),
        in_sample: spread(splits.iter().map(|split| split.in_sample)),
        out_of_sample: spread(splits.iter().map(|split| split.out_of_sample)),
        metric,
        trials,
        blocks: blocks.blocks as u64,
        block_length: blocks.length as u64,
        dropped: blocks.dropped as u64,
        splits,
    })
}

fn all_splits(blocks: &Blocks, metric: Metric) -> Vec<Split> {
    let halves = Halves::new(blocks, metric);
    let starts = halves.starts();
    let threads = thread::available_parallelism().map_or(1, usize::from).min(starts.len()).max(1);
    let work = |first: usize| {
        let mut found = Vec::new();
        let mut room = halves.room();
        for start in starts.iter().skip(first).step_by(threads) {
            halves.splits(*start, &mut room, &mut found);
        }
        found
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|first| scope.spawn(move || work(first))).collect();
        let mut found = work(0);
        for other in others {
            // It does not panic, and if it did, the splits would be too few.
            found.extend(other.join().unwrap_or_default());
        }
        found
    })
}

/// Slope and intercept of out of sample on in sample, over the splits where both are finite.
fn line(splits: &[Split]) -> Option<(f64, f64)> {
    let points = || {
        let points = splits.iter().map(|split| (split.in_sample, split.out_of_sample));
        points.filter(|(x, y)| x.is_finite() && y.is_finite())
    };
    let count = points().count() as f64;
    let mean_x = points().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points().map(|(_, y)| y).sum::<f64>() / count;
    let (mut products, mut squares, mut scale) = (0.0, 0.0, 0.0f64);
    for (x, y) in points() {
        products += (x - mean_x) * (y - mean_y);
        squares += (x - mean_x) * (x - mean_x);
        scale += x * x;
    }
    // Rounding alone is no spread.
    (squares > 1e-24 * scale).then(|| {
        let slope = products / squares;
        (slope, mean_y - slope * mean_x)
    })
}

fn spread(values: impl Iterator<Item = f64>) -> SpreadOf {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = |part: f64| {
        let place = part * (values.len() - 1) as f64;
        let (below, above) = (values[place.floor() as usize], values[place.ceil() as usize]);
        if below == above { below } else { below + (above - below) * place.fract() }
    };
    SpreadOf { lowest: at(0.0), low: at(0.05), median: at(0.5), high: at(0.95), highest: at(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pbo(series: &[&[f64]], blocks: usize, metric: Metric) -> Overfitting {
        let mut sums = Blocks::new(series[0].len(), blocks).unwrap();
        for returns in series {
            let mean = returns.iter().sum::<f64>() / returns.len() as f64;
            sums.push(returns, mean);
        }
        overfitting(&sums, metric).unwrap()
    }

    #[test]
    fn trials_that_are_all_the_same_are_all_tied() {
        let returns: &[f64] = &[0.01, -0.02, 0.03, 0.01, 0.02, -0.01, 0.0, 0.01];
        for metric in [Metric::Sharpe, Metric::Mean] {
            let all = pbo(&[returns; 5], 4, metric);
            assert!(all.splits.iter().all(|split| split.logit == 0.0 && split.trial == 0), "{all:?}");
            assert_eq!((all.pbo, all.splits.len()), (1.0, 6));
        }
    }

    #[test]
    fn a_trial_that_does_nothing_is_worth_zero() {
        let still = [0.0; 8];
        let loses = [-0.01, -0.02, -0.03, -0.01, -0.02, -0.01, -0.03, -0.01];
        let all = pbo(&[&loses, &still], 4, Metric::Sharpe);
        assert!(all.splits.iter().all(|split| split.trial == 1 && split.out_of_sample == 0.0), "{all:?}");
        assert_eq!((all.pbo, all.probability_of_loss, all.slope), (0.0, 0.0, None));
    }

    #[test]
    fn a_trial_that_is_still_in_half_the_blocks_is_worth_zero_there() {
        let half = [0.0, 0.0, 0.0, 0.0, 0.01, 0.02, 0.02, 0.01];
        let noise = [0.01, -0.02, 0.03, -0.03, 0.02, -0.02, 0.01, -0.01];
        let all = pbo(&[&half, &noise], 4, Metric::Sharpe);
        // Blocks 2 and 3 in sample: the other half is still.
        let last = all.splits.last().unwrap();
        assert_eq!((last.in_sample_blocks, last.trial, last.out_of_sample), (0b1100, 0, 0.0));
        assert!(all.splits.iter().all(|split| split.out_of_sample.is_finite()));
    }

    #[test]
    fn interest_without_risk_is_beaten_by_nothing() {
        let interest = [0.001; 8];
        let noise = [0.01, -0.02, 0.03, -0.03, 0.02, -0.02, 0.01, -0.01];
        let all = pbo(&[&noise, &interest], 4, Metric::Sharpe);
        assert_eq!((all.pbo, all.slope), (0.0, None));
        assert!(all.splits.iter().all(|split| split.trial == 1));
    }

    #[test]
    fn each_split_has_its_mirror_image() {
        let series: Vec<Vec<f64>> = (0..7)
            .map(|trial| (0..48).map(|t| f64::from((t * 7919 + trial * 104_729) % 101) - 50.0).collect())
            .collect();
        let series: Vec<&[f64]> = series.iter().map(Vec::as_slice).collect();
        for (blocks, count) in [(2, 2), (4, 6), (10, 252), (12, 924), (16, 12_870)] {
            let all = pbo(&series, blocks, Metric::Sharpe);
            assert_eq!(all.splits.len(), count);
            let first = (1 << (blocks / 2)) - 1;
            assert_eq!(all.splits[0].in_sample_blocks, first, "the first half is in sample first");
            let last = all.splits.len() - 1;
            let whole = (1u32 << blocks) - 1;
            for place in 0..count {
                let both = all.splits[place].in_sample_blocks | all.splits[last - place].in_sample_blocks;
                assert_eq!(both, whole);
            }
        }
    }

    #[test]
    fn one_trial_can_not_be_overfit() {
        let mut sums = Blocks::new(8, 4).unwrap();
        sums.push(&[0.1; 8], 0.1);
        let error = overfitting(&sums, Metric::Mean).unwrap_err().to_string();
        assert_eq!(error, "there are 1 trials; at least 2 are needed");
    }
}
