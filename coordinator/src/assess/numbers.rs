//! From collected returns to figures. Pure and slow: it runs apart from the threads that answer.

use bt_documents::{AgainstBenchmark, EffectiveTrials, HaircutSharpe, Haircuts, Overfitting, Spread};
use bt_statistics::{
    Adjustment, Bootstrap, Collected, Error, Metric, ObservedSharpe, SpreadOf, break_even, deflate,
    effective_trials, haircut, minimum_backtest_length, overfitting, superior_ability, variance_of_null,
    variance_of_trials,
};

/// How sure one wants to be.
const CONFIDENCE: f64 = 0.95;
/// How often returns are drawn again: as often as takes some seconds.
const MOST_DRAWN: u64 = 5_000_000_000;
const MOST_DRAWS: u64 = 2_000;
const LEAST_DRAWS: u64 = 200;
/// So that the same sweep has the same figures.
const SEED: u64 = 1;

/// A job's ratio, as one trial and as one of many.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PerJob {
    pub(crate) job: u32,
    /// Per period.
    pub(crate) sharpe: f64,
    pub(crate) psr: f64,
    pub(crate) dsr: f64,
}

/// What the best trial shows as the best of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Deflation {
    pub(super) dsr: f64,
    pub(super) of_trials: Option<f64>,
    pub(super) of_null: f64,
    /// The ratio that luck alone is expected to show, and the variance that it was computed with.
    pub(super) luck: f64,
    pub(super) variance: f64,
}

/// With both variances: that of the trials' ratios, if there are several, and that of luck alone. The lower result counts.
pub(super) fn deflation(best: &ObservedSharpe, number: f64, ratios: &[f64]) -> Result<Deflation, Error> {
    let null = variance_of_null(best.observations())?;
    let of_null = deflate(best, number, null)?;
    let mut deflation = Deflation {
        dsr: of_null.dsr,
        of_trials: None,
        of_null: of_null.dsr,
        luck: of_null.sr0,
        variance: null,
    };
    if let Ok(variance) = variance_of_trials(ratios) {
        let of_trials = deflate(best, number, variance)?;
        deflation.of_trials = Some(of_trials.dsr);
        if of_trials.dsr < of_null.dsr {
            (deflation.dsr, deflation.luck, deflation.variance) = (of_trials.dsr, of_trials.sr0, variance);
        }
    }
    Ok(deflation)
}

/// Of how many trials the best may be the best, so that it is still believed; none: any number.
pub(super) fn most_trials(best: &ObservedSharpe, variance: f64) -> Result<Option<u64>, Error> {
    break_even(best, variance, CONFIDENCE)
}

/// None: the ratio is not above 0, so no track record is long enough.
pub(super) fn track_record(best: &ObservedSharpe) -> Option<f64> {
    best.minimum_track_record(0.0, CONFIDENCE).ok()
}

/// Years without which so good a ratio comes by chance; none without a ratio above 0, or a calendar.
pub(super) fn backtest_years(number: f64, annual: f64) -> Option<f64> {
    minimum_backtest_length(number, annual).ok()
}

/// None: the ratio is not above 0, so there is nothing to cut.
pub(super) fn haircuts(best: &ObservedSharpe, number: f64) -> Option<Haircuts> {
    let cut = |method| {
        let cut = haircut(best.ratio(), best.observations(), number, method).ok()?;
        Some(HaircutSharpe { sharpe: cut.sharpe, haircut: cut.haircut })
    };
    Some(Haircuts {
        bonferroni: cut(Adjustment::Bonferroni)?,
        holm: cut(Adjustment::Holm)?,
        bhy: cut(Adjustment::Bhy)?,
    })
}

/// How many independent trials the collected ones are worth; none if no series varies.
pub(super) fn effective(collected: &Collected) -> Option<EffectiveTrials> {
    let found = effective_trials(collected).ok()?;
    Some(EffectiveTrials {
        clusters: found.clusters,
        clustered: found.sampled,
        mean_correlation: found.mean_correlation,
        by_correlation: found.by_correlation.map(|both| both.linear),
    })
}

/// The probability that choosing the best was overfitting.
pub(super) fn overfit(collected: &Collected) -> Result<Overfitting, Error> {
    let found = overfitting(collected.blocks()?, Metric::Sharpe)?;
    let logits = found.splits.iter().map(|split| split.logit).collect();
    Ok(Overfitting {
        pbo: found.pbo,
        probability_of_loss: found.probability_of_loss,
        slope: found.slope,
        blocks: found.blocks,
        splits: found.splits.len() as u64,
        trials: found.trials,
        logits: spread_of(logits),
        in_sample: spread(&found.in_sample),
        out_of_sample: spread(&found.out_of_sample),
    })
}

/// Whether the best trial beats a benchmark by more than luck, from what each returned more than it.
pub(super) fn against(job: u32, differences: &[Vec<f64>]) -> Result<AgainstBenchmark, Error> {
    let periods = differences.first().map_or(0, Vec::len);
    let cost = (differences.len() * periods).max(1) as u64;
    let draws = (MOST_DRAWN / cost).clamp(LEAST_DRAWS, MOST_DRAWS);
    // As long as dependence usually lasts, by the rate at which the best length grows.
    let mean_block = (periods as f64).cbrt().max(1.0);
    let found = superior_ability(differences, Bootstrap { draws, mean_block, seed: SEED })?;
    Ok(AgainstBenchmark {
        job,
        p: found.consistent,
        p_lower: found.lower,
        p_upper: found.upper,
        mean_block,
        draws,
    })
}

/// Of each trial, how likely its ratio is above 0, and above what luck is expected to show.
pub(super) fn per_job(collected: &Collected, luck: f64) -> Vec<PerJob> {
    let trials = collected.trials.iter().filter_map(|trial| {
        let observed = trial.moments.observed().ok()?;
        Some(PerJob {
            job: u32::try_from(trial.trial).ok()?,
            sharpe: observed.ratio(),
            psr: observed.psr(0.0).ok()?,
            dsr: observed.psr(luck).ok()?,
        })
    });
    trials.collect()
}

fn spread(of: &SpreadOf) -> Option<Spread> {
    let SpreadOf { lowest, low, median, high, highest } = *of;
    let is_finite = [lowest, low, median, high, highest].iter().all(|value| value.is_finite());
    is_finite.then_some(Spread { lowest, low, median, high, highest })
}

fn spread_of(mut values: Vec<f64>) -> Spread {
    values.sort_unstable_by(f64::total_cmp);
    let at = |part: f64| {
        let place = part * (values.len().saturating_sub(1)) as f64;
        let (below, share) = (place.floor() as usize, place.fract());
        let value = |place: usize| values.get(place).copied().unwrap_or_default();
        match share > 0.0 {
            true => value(below) * (1.0 - share) + value(below + 1) * share,
            false => value(below),
        }
    };
    Spread { lowest: at(0.0), low: at(0.05), median: at(0.5), high: at(0.95), highest: at(1.0) }
}
