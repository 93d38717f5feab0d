//! What `btctl stats` prints: one judgement of one backtest, or of a choice among many.

use bt_statistics::{
    Deflated, EffectiveTrials, Haircut, Metric, ObservedSharpe, Overfitting, SpreadOf, SuperiorAbility,
};
use schemars::JsonSchema;
use serde::Serialize;

/// A Sharpe ratio per observation, with what its error depends on.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MeasuredSharpe {
    /// Per observation.
    pub sharpe: f64,
    pub observations: u64,
    pub skew: f64,
    /// 3 for a normal distribution.
    pub kurtosis: f64,
    pub standard_error: f64,
}

impl From<&ObservedSharpe> for MeasuredSharpe {
    fn from(observed: &ObservedSharpe) -> Self {
        Self {
            sharpe: observed.ratio(),
            observations: observed.observations(),
            skew: observed.skew(),
            kurtosis: observed.kurtosis(),
            standard_error: observed.standard_error(),
        }
    }
}

/// The probabilistic Sharpe ratio.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProbabilisticSharpe {
    /// The probability that the true Sharpe ratio is above the benchmark, 0 to 1.
    pub psr: f64,
    /// Per observation.
    pub benchmark: f64,
    #[serde(flatten)]
    pub measured: MeasuredSharpe,
    /// What looks wrong about the input.
    pub hints: Vec<String>,
}

/// The minimum track record length.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TrackRecord {
    /// Observations, not rounded.
    pub observations: f64,
    /// Per observation, as the benchmark.
    pub sharpe: f64,
    pub benchmark: f64,
    pub confidence: f64,
    pub skew: f64,
    /// 3 for a normal distribution.
    pub kurtosis: f64,
    /// What looks wrong about the input.
    pub hints: Vec<String>,
}

/// The expected maximum of independent standard normals.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ExpectedMaximum {
    pub emax: f64,
    /// The variance of the maximum.
    pub variance: f64,
    pub trials: f64,
}

/// The minimum backtest length.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BacktestLength {
    pub years: f64,
    pub trials: f64,
    /// A year.
    pub sharpe: f64,
    /// What looks wrong about the input.
    pub hints: Vec<String>,
}

/// The deflated Sharpe ratio.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DeflatedSharpe {
    /// The probability that the true Sharpe ratio is above `sr0`, 0 to 1.
    pub dsr: f64,
    /// The ratio per observation that the best of so many trials without skill is expected to show.
    pub sr0: f64,
    /// The largest number of trials at which `dsr` reaches the confidence; 0: not even one does; null: more than 2^53 do.
    pub break_even_trials: Option<u64>,
    /// The probability that the true ratio is above 0, if there was one trial.
    pub psr: f64,
    /// `dsr` and `sr0` with the variance of trials without skill, 1/(observations - 1), instead of the given one.
    pub dsr_null: f64,
    pub sr0_null: f64,
    pub trials: f64,
    /// Of the trials' ratios per observation.
    pub variance: f64,
    pub confidence: f64,
    #[serde(flatten)]
    pub measured: MeasuredSharpe,
    /// What looks wrong about the input.
    pub hints: Vec<String>,
}

impl DeflatedSharpe {
    /// `observed` is the chosen trial; `null` is with the variance of trials without skill.
    pub fn new(found: Deflated, null: Deflated, observed: &ObservedSharpe, given: GivenTrials) -> Self {
        Self {
            dsr: found.dsr,
            sr0: found.sr0,
            break_even_trials: given.break_even,
            psr: given.psr,
            dsr_null: null.dsr,
            sr0_null: null.sr0,
            trials: given.trials,
            variance: given.variance,
            confidence: given.confidence,
            measured: MeasuredSharpe::from(observed),
            hints: observed.hints(),
        }
    }
}

/// What a ratio was deflated by, and what does not depend on it.
#[derive(Debug)]
pub struct GivenTrials {
    pub trials: f64,
    pub variance: f64,
    pub confidence: f64,
    pub break_even: Option<u64>,
    pub psr: f64,
}

/// What is left of a Sharpe ratio after many tests.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SharpeHaircut {
    /// The ratio that is left, per observation.
    pub sharpe: f64,
    /// The share that is lost, 0 to 1.
    pub haircut: f64,
    /// Of the given ratio, two-sided.
    pub p: f64,
    pub adjusted_p: f64,
    pub method: String,
    pub given_sharpe: f64,
    pub observations: u64,
    pub trials: f64,
    /// What looks wrong about the input.
    pub hints: Vec<String>,
}

impl SharpeHaircut {
    pub fn new(found: Haircut, method: String, given: (f64, u64, f64), hints: Vec<String>) -> Self {
        let (given_sharpe, observations, trials) = given;
        let Haircut { sharpe, haircut, p, adjusted_p } = found;
        Self { sharpe, haircut, p, adjusted_p, method, given_sharpe, observations, trials, hints }
    }
}

/// p-values, adjusted for their number.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AdjustedPValues {
    /// In the order in which they were given.
    pub p: Vec<f64>,
    pub method: String,
}

/// The probability of backtest overfitting.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BacktestOverfitting {
    /// The share of splits in which the best trial in sample is at or below the median out of sample, 0 to 1.
    pub pbo: f64,
    /// Of each split, the logit of the best trial's relative rank out of sample; in the order of the blocks that are in
    /// sample.
    pub logits: Vec<f64>,
    /// The share of splits in which the best trial's metric is below zero out of sample.
    pub probability_of_loss: f64,
    /// Of the best trials' metric, out of sample on in sample; null if it is the same in all splits.
    pub slope: Option<f64>,
    pub intercept: Option<f64>,
    /// The best trials' metric over the splits.
    pub in_sample: SplitSpread,
    pub out_of_sample: SplitSpread,
    /// sharpe or mean.
    pub metric: &'static str,
    pub trials: u64,
    /// Of each trial.
    pub observations: u64,
    pub blocks: u64,
    /// Observations in a block.
    pub block_length: u64,
    /// Observations at the start that are in no block.
    pub dropped: u64,
    /// What looks wrong about the input.
    pub hints: Vec<String>,
}

/// How a number is distributed over the splits. Null stands for an infinite one: a Sharpe ratio of returns that do not vary.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SplitSpread {
    pub lowest: Option<f64>,
    /// The 5 % quantile.
    pub low: Option<f64>,
    pub median: Option<f64>,
    /// The 95 % quantile.
    pub high: Option<f64>,
    pub highest: Option<f64>,
}

impl From<SpreadOf> for SplitSpread {
    fn from(spread: SpreadOf) -> Self {
        let finite = |value: f64| Some(value).filter(|value| value.is_finite());
        Self {
            lowest: finite(spread.lowest),
            low: finite(spread.low),
            median: finite(spread.median),
            high: finite(spread.high),
            highest: finite(spread.highest),
        }
    }
}

impl BacktestOverfitting {
    pub fn new(found: &Overfitting, hints: Vec<String>) -> Self {
        Self {
            pbo: found.pbo,
            logits: found.splits.iter().map(|split| split.logit).collect(),
            probability_of_loss: found.probability_of_loss,
            slope: found.slope,
            intercept: found.intercept,
            in_sample: found.in_sample.into(),
            out_of_sample: found.out_of_sample.into(),
            metric: match found.metric {
                Metric::Sharpe => "sharpe",
                Metric::Mean => "mean",
            },
            trials: found.trials,
            observations: found.blocks * found.block_length + found.dropped,
            blocks: found.blocks,
            block_length: found.block_length,
            dropped: found.dropped,
            hints,
        }
    }
}

/// How many independent trials a number of correlated ones is worth, by several estimates.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EffectiveNumber {
    /// Trials whose returns vary.
    pub trials: u64,
    /// Trials that the clusters were sought among, chosen evenly over the ranks of the Sharpe ratio.
    pub sampled: u64,
    /// Clusters of trials whose returns move together; of a sample, a lower bound.
    pub clusters: u64,
    /// Trials in each cluster, the largest first.
    pub cluster_sizes: Vec<u64>,
    /// Mean by deviation of the silhouettes.
    pub quality: Option<f64>,
    /// Of all pairs.
    pub mean_correlation: Option<f64>,
    /// rho + (1 - rho) N, of the mean correlation rho.
    pub linear: Option<f64>,
    /// N/(1 + (N - 1) rho).
    pub kish: Option<f64>,
    /// N^2 by the sum of squared correlations.
    pub participation: f64,
    /// exp of the entropy of the correlations' eigenvalues, of at most 500 trials.
    pub effective_rank: f64,
}

impl From<EffectiveTrials> for EffectiveNumber {
    fn from(found: EffectiveTrials) -> Self {
        Self {
            trials: found.trials,
            sampled: found.sampled,
            clusters: found.clusters,
            cluster_sizes: found.sizes,
            quality: found.quality,
            mean_correlation: found.mean_correlation,
            linear: found.by_correlation.map(|by| by.linear),
            kish: found.by_correlation.map(|by| by.kish),
            participation: found.participation,
            effective_rank: found.rank,
        }
    }
}

/// Hansen's test for superior predictive ability.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PredictiveAbility {
    /// The probability of a best trial as good as this, if none is better than the benchmark.
    pub p: f64,
    /// Its bounds: with every trial that is worse than the benchmark left out, and with all as good as it.
    pub p_lower: f64,
    pub p_upper: f64,
    /// The best trial's mean above the benchmark by its standard error, 0 at least.
    pub statistic: f64,
    /// The column of that trial.
    pub best: String,
    pub benchmark: String,
    pub trials: u64,
    pub observations: u64,
    /// Of the stationary bootstrap, in observations.
    pub mean_block: f64,
    pub draws: u64,
    pub seed: u64,
}

impl PredictiveAbility {
    pub fn new(found: &SuperiorAbility, best: String, benchmark: String) -> Self {
        Self {
            p: found.consistent,
            p_lower: found.lower,
            p_upper: found.upper,
            statistic: found.statistic,
            best,
            benchmark,
            trials: found.trials,
            observations: found.observations,
            mean_block: found.bootstrap.mean_block,
            draws: found.bootstrap.draws,
            seed: found.bootstrap.seed,
        }
    }
}
