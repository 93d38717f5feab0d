//! How many independent trials a sweep's trials are worth, by several estimates: none is right by itself.

use crate::clusters::Triangle;
use crate::collector::Collected;
use crate::deflated::{ByCorrelation, by_correlation};
use crate::eigenvalues::eigenvalues;
use crate::error::Error;

/// Trials whose eigenvalues are computed, at most.
const MOST_RANKED: usize = 500;

/// The estimates. They differ by orders of magnitude, so a verdict that turns on one of them is none; the break-even
/// number ([`crate::break_even`]) needs none.
#[derive(Clone, Debug, PartialEq)]
pub struct EffectiveTrials {
    /// Trials whose series vary.
    pub trials: u64,
    /// Trials that the clusters were sought among, chosen evenly over the ranks of the Sharpe ratio; the same as `trials`
    /// if these are few enough.
    pub sampled: u64,
    /// Clusters of trials whose returns move together ([`Triangle::clusters`]). Of a sample it is a lower bound.
    pub clusters: u64,
    /// Trials in each cluster of the sample, the largest first.
    pub sizes: Vec<u64>,
    /// How clearly the clusters are apart.
    pub quality: Option<f64>,
    /// Over all pairs of different trials, also those outside of the sample; none for fewer than two.
    pub mean_correlation: Option<f64>,
    /// From the mean correlation.
    pub by_correlation: Option<ByCorrelation>,
    /// N^2 by the sum of all squared correlations, 1 to N; the mean square is the sample's.
    pub participation: f64,
    /// exp of the entropy of the correlations' eigenvalues (Roy, Vetterli 2007, The Effective Rank), of at most 500 trials,
    /// chosen evenly from the sample.
    pub rank: f64,
}

/// Estimates from what was collected of the series.
///
/// # Errors
///
/// [`Error::NotCollected`] if no sample was asked for, [`Error::AllConstant`] if no series varies.
pub fn effective_trials(collected: &Collected) -> Result<EffectiveTrials, Error> {
    let sample = &collected.sample;
    if sample.among() == 0 {
        return Err(Error::AllConstant);
    }
    if sample.places().is_empty() {
        return Err(Error::NotCollected { what: "a sample" });
    }
    let triangle = Triangle::of(sample);
    let clusters = triangle.clusters();
    let mut sizes = vec![0; clusters.number as usize];
    clusters.of.iter().for_each(|cluster| sizes[*cluster as usize] += 1);
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let trials = sample.among() as u64;
    let n = trials as f64;
    let by_correlation = collected.mean_correlation.map(|mean| by_correlation(n, mean)).transpose()?;
    Ok(EffectiveTrials {
        trials,
        sampled: sample.places().len() as u64,
        clusters: clusters.number,
        sizes,
        quality: clusters.quality,
        mean_correlation: collected.mean_correlation,
        by_correlation,
        participation: n / (1.0 + (n - 1.0) * triangle.mean_square()),
        rank: effective_rank(triangle.rows(MOST_RANKED)),
    })
}

/// exp of the entropy of the eigenvalues of a correlation matrix, given by its rows: 1 if all are the same, N if none has to
/// do with another.
pub fn effective_rank(correlations: Vec<Vec<f64>>) -> f64 {
    let values = eigenvalues(correlations);
    // Rounding makes zeros negative.
    let sum: f64 = values.iter().map(|value| value.max(0.0)).sum();
    let shares = values.iter().map(|value| value / sum).filter(|share| *share > 0.0);
    (-shares.map(|share| share * share.ln()).sum::<f64>()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Collector, Random, Wanted};

    fn collected(trials: u64, share: f64, sample: usize) -> Collected {
        let mut random = Random::new(9);
        let mut collector = Collector::new(100, Wanted { blocks: None, sample }).unwrap();
        let factor: Vec<f64> = (0..100).map(|_| random.normal()).collect();
        for trial in 0..trials {
            let own = (1.0 - share * share).sqrt();
            let returns: Vec<f64> = factor.iter().map(|x| share * x + own * random.normal()).collect();
            collector.push(trial, &returns).unwrap();
        }
        collector.finish()
    }

    #[test]
    fn all_estimates_are_within_one_and_all() {
        for (share, least, most) in [(0.0, 25.0, 60.0), (0.999, 1.0, 1.2)] {
            let found = effective_trials(&collected(60, share, 100)).unwrap();
            assert_eq!((found.trials, found.sampled, found.sizes.iter().sum::<u64>()), (60, 60, 60));
            for estimate in [found.participation, found.rank, found.by_correlation.unwrap().kish] {
                assert!((least..=most).contains(&estimate), "{share}: {found:?}");
            }
        }
    }

    #[test]
    fn a_sample_speaks_for_all() {
        let all = effective_trials(&collected(900, 0.7, 900)).unwrap();
        let some = effective_trials(&collected(900, 0.7, 200)).unwrap();
        assert_eq!((some.trials, some.sampled), (900, 200));
        assert_eq!(some.mean_correlation, all.mean_correlation);
        assert!((some.participation / all.participation - 1.0).abs() < 0.05, "{some:?} {all:?}");
    }

    #[test]
    fn what_is_not_there_is_said() {
        assert_eq!(
            effective_trials(&collected(5, 0.0, 0)).unwrap_err(),
            Error::NotCollected { what: "a sample" }
        );
        assert_eq!(effective_trials(&collected(0, 0.0, 10)).unwrap_err(), Error::AllConstant);
        let one = effective_trials(&collected(1, 0.0, 10)).unwrap();
        assert_eq!((one.clusters, one.participation, one.mean_correlation), (1, 1.0, None));
    }
}
