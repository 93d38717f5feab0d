//! Series of returns, taken one trial at a time and kept as sums.

use crate::blocks::Blocks;
use crate::correlation::Correlations;
use crate::error::Error;
use crate::moments::Moments;
use crate::sample::{Sample, Sampler};

/// What is made of the series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Blocks for the probability of backtest overfitting; none: it is not wanted.
    pub blocks: Option<usize>,
    /// Trials whose whole series are kept for their correlations with each other, at most; 0: none. Twice as many are kept
    /// while series are taken, as f32: 40 MB for 2,000 trials of 2,520 returns.
    pub sample: usize,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { blocks: Some(16), sample: 2_000 }
    }
}

/// Takes return series that are joined by date, one trial at a time, and keeps what is computed from them: some hundred
/// bytes a trial, and a bounded number of series.
///
/// ```
/// use bt_statistics::{Collector, Metric, Wanted, overfitting};
///
/// let mut collector = Collector::new(4, Wanted { blocks: Some(2), sample: 100 })?;
/// collector.push(17, &[0.01, -0.02, 0.03, 0.01])?;
/// collector.push(18, &[0.02, -0.01, 0.01, 0.02f32])?;
/// let collected = collector.finish();
/// assert_eq!(collected.best().map(|trial| trial.trial), Some(18));
/// let overfitting = overfitting(collected.blocks()?, Metric::Sharpe)?;
/// assert_eq!(overfitting.splits.len(), 2);
/// # Ok::<(), bt_statistics::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Collector {
    observations: usize,
    trials: Vec<TrialMoments>,
    blocks: Option<Blocks>,
    correlations: Correlations,
    sampler: Sampler,
}

/// The moments of a trial, by the number that its caller knows it by, such as its job's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrialMoments {
    pub trial: u64,
    pub moments: Moments,
}

impl Collector {
    /// For series of so many returns each.
    ///
    /// # Errors
    ///
    /// [`Error::TooFew`] if there are fewer than two; [`Error::Blocks`] and [`Error::ShortBlocks`] as [`Blocks::new`].
    pub fn new(observations: usize, wanted: Wanted) -> Result<Self, Error> {
        if observations < 2 {
            return Err(Error::TooFew { what: "observations", given: observations as u64, least: 2 });
        }
        Ok(Self {
            observations,
            trials: Vec::new(),
            blocks: wanted.blocks.map(|blocks| Blocks::new(observations, blocks)).transpose()?,
            correlations: Correlations::new(observations),
            sampler: Sampler::new(wanted.sample),
        })
    }

    /// Takes a trial's series. The order of the series is that of the trials in [`crate::Split::trial`].
    ///
    /// # Errors
    ///
    /// [`Error::Length`], [`Error::Return`] and [`Error::TooLarge`] name the trial. Nothing of it is kept then, and the
    /// next one can be taken.
    pub fn push<T: Copy + Into<f64>>(&mut self, trial: u64, returns: &[T]) -> Result<Moments, Error> {
        if returns.len() != self.observations {
            return Err(Error::Length { trial, given: returns.len(), right: self.observations });
        }
        let moments = Moments::of(trial, returns)?;
        if let Some(blocks) = &mut self.blocks {
            blocks.push(returns, moments.mean);
        }
        // A series that does not vary has no correlation with any.
        if let Some(sharpe) = moments.sharpe() {
            self.correlations.push(returns, &moments);
            self.sampler.push(self.trials.len(), sharpe, returns, &moments);
        }
        self.trials.push(TrialMoments { trial, moments });
        Ok(moments)
    }

    pub fn finish(self) -> Collected {
        Collected {
            observations: self.observations as u64,
            mean_correlation: self.correlations.mean(),
            sample: self.sampler.finish(),
            trials: self.trials,
            blocks: self.blocks,
        }
    }
}

/// What was kept of the series.
#[derive(Clone, Debug)]
pub struct Collected {
    /// Returns of each series.
    pub observations: u64,
    /// In the order in which they were taken.
    pub trials: Vec<TrialMoments>,
    /// The mean correlation of two different trials, over all pairs; none if fewer than two vary.
    pub mean_correlation: Option<f64>,
    /// Whole series of some trials, for their correlations with each other.
    pub sample: Sample,
    blocks: Option<Blocks>,
}

impl Collected {
    /// The trial with the highest Sharpe ratio, the first of several; none if no series varies.
    pub fn best(&self) -> Option<&TrialMoments> {
        let ratio = |trial: &TrialMoments| trial.moments.sharpe();
        let known = self.trials.iter().filter(|trial| ratio(trial).is_some());
        known.reduce(|best, next| if ratio(next) > ratio(best) { next } else { best })
    }

    /// The Sharpe ratios of all series that vary.
    pub fn ratios(&self) -> Vec<f64> {
        self.trials.iter().filter_map(|trial| trial.moments.sharpe()).collect()
    }

    /// The sums by block, for [`crate::overfitting`].
    ///
    /// # Errors
    ///
    /// [`Error::NotCollected`] if no blocks were asked for.
    pub fn blocks(&self) -> Result<&Blocks, Error> {
        self.blocks.as_ref().ok_or(Error::NotCollected { what: "blocks" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_series_is_named_and_the_next_one_taken() {
        let mut collector = Collector::new(4, Wanted { blocks: Some(2), sample: 10 }).unwrap();
        collector.push(1, &[0.01, 0.02, -0.01, 0.0]).unwrap();
        assert_eq!(
            collector.push(2, &[0.01, 0.02]).unwrap_err().to_string(),
            "trial 2 has 2 returns and the first one had 4; join the trials by date"
        );
        assert!(collector.push(3, &[0.01, f64::INFINITY, 0.0, 0.0]).is_err());
        assert!(collector.push(4, &[1e300, 0.0, 0.0, 0.0]).is_err());
        collector.push(5, &[0.0f32; 4]).unwrap();
        collector.push(6, &[0.02, 0.02, -0.01, 0.0]).unwrap();
        let collected = collector.finish();
        assert_eq!(collected.trials.iter().map(|trial| trial.trial).collect::<Vec<_>>(), [1, 5, 6]);
        assert_eq!(collected.best().unwrap().trial, 6);
        assert_eq!((collected.ratios().len(), collected.blocks().unwrap().trials()), (2, 3));
    }

    #[test]
    fn what_was_not_asked_for_is_not_there() {
        let collected = Collector::new(4, Wanted { blocks: None, sample: 0 }).unwrap().finish();
        assert_eq!(collected.blocks().unwrap_err().to_string(), "blocks was not asked of the collector");
        assert_eq!((collected.best(), collected.mean_correlation), (None, None));
        assert!(Collector::new(1, Wanted::default()).is_err());
    }
}
