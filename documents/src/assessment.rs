//! What `btctl assess` prints: a sweep's best trial, judged as the best of many.

use bt_statistics::{Assessment, BestTrial, EffectiveTrials, Missing, Robustness, Winner};
use schemars::JsonSchema;
use serde::Serialize;

use crate::statistics::{BacktestOverfitting, EffectiveNumber};

/// A sweep's best trial, judged as the best of many. What is null can't be estimated; `missing` says why.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SweepAssessment {
    pub trials: AssessedTrials,
    pub best: Option<AssessedBest>,
    /// Of all splits of the series' periods into halves.
    pub pbo: Option<BacktestOverfitting>,
    pub robust: Option<RobustPoint>,
    /// What can't be estimated, and why.
    pub missing: Vec<String>,
    /// What looks wrong about the input.
    pub hints: Vec<String>,
    /// The verdict in sentences.
    pub words: Vec<String>,
}

/// How many trials there were.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AssessedTrials {
    /// All that were tried: those that have ended, failed ones too, and earlier sweeps'.
    pub counted: u64,
    /// Clusters of trials whose returns move together; `estimates` has others, which may differ by orders of magnitude.
    pub effective: Option<u64>,
    /// The largest number of independent trials at which the best one's `dsr` reaches 0.95, or what was asked for; null with
    /// a `best`: more than 2^53.
    pub break_even: Option<u64>,
    pub reported: u64,
    pub failed: u64,
    pub unfinished: u64,
    pub earlier: u64,
    pub with_series: u64,
    pub estimates: Option<EffectiveNumber>,
}

/// The best trial.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AssessedBest {
    pub job: u64,
    /// Of the metric that it was chosen by; null: it was chosen by the Sharpe ratio of its series.
    pub value: Option<f64>,
    /// Per observation.
    pub sharpe: f64,
    pub observations: u64,
    pub skew: f64,
    /// 3 for a normal distribution.
    pub kurtosis: f64,
    /// The probability that its true ratio is above the benchmark, if it were the only trial.
    pub psr: f64,
    /// The deflated Sharpe ratio, the smaller one of the two below.
    pub dsr: f64,
    /// With the variance of the trials' ratios.
    pub dsr_observed: Option<f64>,
    /// With 1/(observations - 1), the variance of trials without skill.
    pub dsr_null: f64,
    /// The ratio per observation that the best of so many trials without skill is expected to show.
    pub sr0: f64,
    /// Of the trials' ratios per observation.
    pub variance: Option<f64>,
    /// True: computed of the series; false: as the job has reported it.
    pub from_series: bool,
}

/// The point whose neighbourhood is best, beside the best point.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RobustPoint {
    pub job: u64,
    pub value: f64,
    /// Of its value and its neighbours'.
    pub median: f64,
    /// Neighbours that have reported a value.
    pub neighbours: u64,
    /// The best point, by its value alone.
    pub best_job: u64,
    pub best_value: f64,
    pub best_median: f64,
    /// True if both are the same point.
    pub agrees: bool,
}

impl From<&Assessment> for SweepAssessment {
    fn from(found: &Assessment) -> Self {
        let counts = &found.trials;
        Self {
            trials: AssessedTrials {
                counted: counts.counted,
                effective: counts.effective.as_ref().map(|effective: &EffectiveTrials| effective.clusters),
                break_even: found.best.as_ref().and_then(|best| best.break_even),
                reported: counts.reported,
                failed: counts.failed,
                unfinished: counts.unfinished,
                earlier: counts.earlier,
                with_series: counts.with_series,
                estimates: counts.effective.clone().map(EffectiveNumber::from),
            },
            best: found.best.as_ref().map(AssessedBest::from),
            pbo: found.pbo.as_ref().map(|pbo| BacktestOverfitting::new(pbo, Vec::new())),
            robust: found.robust.as_ref().and_then(RobustPoint::of),
            missing: found.missing.iter().map(Missing::to_string).collect(),
            hints: found.hints.clone(),
            words: found.words.clone(),
        }
    }
}

impl From<&BestTrial> for AssessedBest {
    fn from(best: &BestTrial) -> Self {
        Self {
            job: best.job,
            value: best.value,
            sharpe: best.sharpe.ratio(),
            observations: best.sharpe.observations(),
            skew: best.sharpe.skew(),
            kurtosis: best.sharpe.kurtosis(),
            psr: best.psr,
            dsr: best.dsr,
            dsr_observed: best.dsr_observed,
            dsr_null: best.dsr_null,
            sr0: best.sr0,
            variance: best.variance,
            from_series: best.from_series,
        }
    }
}

impl RobustPoint {
    fn of(found: &Robustness) -> Option<Self> {
        let Winner { job, value, median, neighbours, .. } = found.robust.as_ref()?;
        Some(Self {
            job: *job,
            value: *value,
            median: *median,
            neighbours: *neighbours,
            best_job: found.raw.job,
            best_value: found.raw.value,
            best_median: found.raw.median,
            agrees: found.agree(),
        })
    }
}
