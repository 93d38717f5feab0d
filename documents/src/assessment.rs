//! How much of a sweep's best result is luck.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AssessedHoldout, Object};

/// How much of the best result of a sweep is luck. Sharpe ratios are per period, unless their name says a year; kurtosis is 3
/// for a normal distribution; probabilities go from 0 to 1. What can't be estimated is null, and `missing` says why.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Assessment {
    pub sweep: String,
    pub name: String,
    /// The idea that it tests; null: an earlier btctl queued it, and its own trials alone are counted.
    pub family: Option<String>,
    /// The metric by which the best was chosen; null: by the Sharpe ratio of the returns.
    pub by: Option<String>,
    pub trials: AssessedTrials,
    /// The returns that trials are compared by; null: there are none.
    pub returns: Option<AssessedReturns>,
    /// Null: no job has reported the metric.
    pub best: Option<BestTrial>,
    /// The probability that the choice was overfitted; null: see `missing`.
    pub pbo: Option<Overfitting>,
    /// Whether the best beats a benchmark; null: none was named.
    pub benchmark: Option<AgainstBenchmark>,
    /// The point that is best together with its neighbours; null: see `missing`.
    pub robust: Option<RobustTrial>,
    /// What the family's jobs see no data of; null: they see all.
    pub holdout: Option<AssessedHoldout>,
    /// How much each parameter matters to the metric, the most important first.
    pub importance: Vec<WeightOfParameter>,
    /// What can't be estimated, and why.
    pub missing: Vec<String>,
    /// What should be known of the figures.
    pub hints: Vec<String>,
    /// All of it in sentences.
    pub words: Vec<String>,
}

/// How many trials the best is the best of.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct AssessedTrials {
    /// Different trials of the family: all jobs that have succeeded, failed or were pruned, in this and other sweeps, each point once.
    pub counted: u64,
    /// Of these, those of this sweep, and those that only other sweeps had.
    pub in_sweep: u64,
    pub elsewhere: u64,
    /// Jobs of this sweep that failed; they count.
    pub failed: u64,
    /// Jobs of this sweep that were pruned; they count, and none of them is the best.
    pub pruned: u64,
    /// Jobs of this sweep that are the same as others of it.
    pub repeated: u64,
    /// How many independent trials those with returns are worth: the number of their clusters.
    pub effective: Option<f64>,
    pub clusters: Option<EffectiveTrials>,
    /// Of how many independent trials the best may be the best, so that its `dsr` is still 0.95; null: it can't be
    /// estimated, or any number.
    pub break_even: Option<u64>,
}

/// What the correlations of the trials' returns say about how many they are.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct EffectiveTrials {
    /// Clusters by average linkage, cut where the silhouettes are clearest.
    pub clusters: u64,
    /// Trials that were clustered: all, or some that were chosen evenly over their ranks.
    pub clustered: u64,
    pub mean_correlation: Option<f64>,
    /// rho + (1 - rho) N, by the mean correlation rho.
    pub by_correlation: Option<f64>,
}

/// The returns of the trials, joined by their times.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct AssessedReturns {
    /// Periods that all of these trials have.
    pub periods: u64,
    /// The first and the last; null where periods have no dates.
    pub first: Option<String>,
    pub last: Option<String>,
    /// Periods in a year by their dates; null where they have none.
    pub periods_per_year: Option<f64>,
    /// Trials with these returns.
    pub trials: u64,
    /// Jobs of the sweep that succeeded without returns, and those whose times fit too badly to be compared.
    pub without: u64,
    pub left_out: u64,
    /// Periods of all trials together without a return, which count as 0.
    pub gaps: u64,
}

/// The best trial, and what is to be thought of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct BestTrial {
    pub job: u32,
    pub parameters: Object,
    /// The metric by which it is the best.
    pub value: Option<f64>,
    /// Per period; null: it has no returns, or they do not vary.
    pub sharpe: Option<f64>,
    pub sharpe_annual: Option<f64>,
    pub observations: Option<u64>,
    pub skew: Option<f64>,
    pub kurtosis: Option<f64>,
    /// The probability that its true ratio is above 0, if it were the only trial.
    pub psr: Option<f64>,
    /// The probability that its true ratio is above what the best of `counted` trials without skill would show: the lower one
    /// of `dsr_trials` and `dsr_null`.
    pub dsr: Option<f64>,
    /// With the variance of the trials' ratios.
    pub dsr_trials: Option<f64>,
    /// With the variance that ratios of strategies without skill have, 1/(observations - 1).
    pub dsr_null: Option<f64>,
    /// `dsr`, if only the effective trials counted.
    pub dsr_effective: Option<f64>,
    /// The ratio that the best of `counted` trials without skill is expected to show, for `dsr`.
    pub luck: Option<f64>,
    /// Observations until its PSR reaches 0.95; null: it is not above 0.
    pub minimum_track_record: Option<f64>,
    /// Years that `counted` trials need, so that a ratio such as this one does not come by chance.
    pub minimum_backtest_years: Option<f64>,
    /// Its ratio per period as the best of `counted` trials, by Harvey and Liu.
    pub haircut: Option<Haircuts>,
}

/// What is left of a Sharpe ratio.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Haircuts {
    pub bonferroni: HaircutSharpe,
    pub holm: HaircutSharpe,
    pub bhy: HaircutSharpe,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct HaircutSharpe {
    /// Per period.
    pub sharpe: f64,
    /// The share that is lost.
    pub haircut: f64,
}

/// Whether the best in one half of the time is also good in the other one: combinatorially symmetric cross-validation.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Overfitting {
    /// The share of splits in which the best in sample is at or below the median out of sample. Without any skill it is 0.5
    /// on average, and 0.35 to 0.65 in most sweeps.
    pub pbo: f64,
    /// The share of splits in which the best in sample loses out of sample.
    pub probability_of_loss: f64,
    /// Of the line through the chosen trials' Sharpe ratios, out of sample on in sample.
    pub slope: Option<f64>,
    pub blocks: u64,
    pub splits: u64,
    pub trials: u64,
    /// The logits of the best's rank out of sample.
    pub logits: Spread,
    /// The chosen trials' Sharpe ratios per period; null: one of them is infinite.
    pub in_sample: Option<Spread>,
    pub out_of_sample: Option<Spread>,
}

/// How a number is distributed: the lowest, the 5 % quantile, the median, the 95 % quantile and the highest.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    pub lowest: f64,
    pub low: f64,
    pub median: f64,
    pub high: f64,
    pub highest: f64,
}

/// Whether the best of all trials beats a benchmark by more than luck: Hansen's test for superior predictive ability.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct AgainstBenchmark {
    /// The job that is the benchmark.
    pub job: u32,
    /// How likely so good a best is, if no trial is better than the benchmark.
    pub p: f64,
    /// The same with the highest and the lowest bound.
    pub p_lower: f64,
    pub p_upper: f64,
    /// The mean length of the blocks in which periods are drawn again, and how often they are.
    pub mean_block: f64,
    pub draws: u64,
}

/// The point that is best together with its neighbours in the grid: by the median of its own metric and theirs.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct RobustTrial {
    pub job: u32,
    pub parameters: Object,
    /// Its own metric.
    pub value: f64,
    /// The median of it and its neighbours, and how many these are.
    pub median: f64,
    pub neighbours: u64,
    /// The same of the best point, for comparison.
    pub median_of_best: Option<f64>,
    pub neighbours_of_best: Option<u64>,
}

/// How much a parameter matters to the metric.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct WeightOfParameter {
    pub parameter: String,
    /// The share of the variance of the metric's ranks that it explains.
    pub share: f64,
    /// Of the ranks, -1 to 1, where its values are numbers.
    pub correlation: Option<f64>,
}

impl Assessment {
    /// The figures that are known, each with what it is, as people read them.
    pub fn figures(&self) -> Vec<(&'static str, String)> {
        let best = self.best.clone().unwrap_or_default();
        let BestTrial { sharpe, sharpe_annual, psr, dsr, dsr_trials, dsr_null, dsr_effective, .. } = best;
        let trials = &self.trials;
        let pbo = self.pbo.as_ref();
        let haircut = best.haircut.as_ref();
        let lines = [
            ("Sharpe ratio a period", sharpe),
            ("Sharpe ratio a year", sharpe_annual),
            ("skewness", best.skew),
            ("kurtosis (normal: 3)", best.kurtosis),
            ("PSR: ratio above 0, as the only trial", psr),
            ("DSR: as the best of all trials", dsr),
            ("DSR by the variance of the trials", dsr_trials),
            ("DSR by the variance of luck alone", dsr_null),
            ("DSR as the best of the clusters", dsr_effective),
            ("luck: ratio a period of the best without skill", best.luck),
            ("trials counted", Some(trials.counted as f64)),
            ("trials effective (clusters)", trials.effective),
            ("break-even number of trials", trials.break_even.map(|number| number as f64)),
            ("minimum track record, periods", best.minimum_track_record),
            ("minimum backtest length, years", best.minimum_backtest_years),
            ("lost as the best of all trials (Bonferroni)", haircut.map(|cut| cut.bonferroni.haircut)),
            ("lost as the best of all trials (Holm)", haircut.map(|cut| cut.holm.haircut)),
            ("lost as the best of all trials (BHY)", haircut.map(|cut| cut.bhy.haircut)),
            ("PBO", pbo.map(|pbo| pbo.pbo)),
            ("probability of loss", pbo.map(|pbo| pbo.probability_of_loss)),
            ("slope, out of sample on in sample", pbo.and_then(|pbo| pbo.slope)),
            ("p against the benchmark (SPA)", self.benchmark.as_ref().map(|found| found.p)),
        ];
        lines.into_iter().filter_map(|(label, value)| Some((label, digits(value?)))).collect()
    }
}

/// Five digits, whole numbers as they are.
fn digits(value: f64) -> String {
    match value.fract() == 0.0 && value.abs() < 1e15 {
        true => format!("{value}"),
        false if value.abs() >= 1e-4 => {
            let places = (4 - value.abs().log10().floor() as i32).clamp(0, 8) as usize;
            format!("{value:.places$}")
        }
        false => format!("{value:.4e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_five_digits() {
        for (value, text) in [
            (312.0, "312"),
            (0.052_344_9, "0.052345"),
            (1.5, "1.5000"),
            (12_345.678, "12346"),
            (1e-7, "1.0000e-7"),
        ] {
            assert_eq!(digits(value), text);
        }
    }
}
