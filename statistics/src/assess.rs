//! A whole sweep: what can be said of its best trial, and what is missing to say more.

use crate::collector::Collected;
use crate::deflated::{break_even, deflate, variance_of_null, variance_of_trials};
use crate::effective::{EffectiveTrials, effective_trials};
use crate::error::Error;
use crate::grid::{Outcome, Point};
use crate::pbo::{Overfitting, overfitting};
use crate::robust::{Goal, Robustness, robustness};
use crate::sharpe::{ObservedSharpe, annual_hint};
use crate::split::Metric;
use crate::words;

/// Trials whose numbers of observations differ by more than this share have no variance in common.
const SAME_LENGTH: f64 = 1.1;

/// What is asked of a sweep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Question {
    /// Whether trials with a higher or a lower value are better.
    pub goal: Goal,
    /// What counts as sure, between 0 and 1.
    pub confidence: f64,
    /// The Sharpe ratio per observation that the PSR is against.
    pub benchmark: f64,
    /// Trials of earlier sweeps that count too, such as those of the same family.
    pub earlier: u64,
}

impl Default for Question {
    fn default() -> Self {
        Self { goal: Goal::Maximize, confidence: 0.95, benchmark: 0.0, earlier: 0 }
    }
}

/// A job of the sweep. Its value is what trials are ranked by.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    pub point: Point,
    pub reported: Reported,
}

/// What a job has reported of its returns. A series has all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reported {
    /// As the job has reported it, so annual if `periods_per_year` is above 1.
    pub sharpe: Option<f64>,
    pub observations: Option<u64>,
    /// Observations in a year by which the ratio was made annual; 1 if it is per observation.
    pub periods_per_year: Option<f64>,
    pub skew: Option<f64>,
    /// 3 for a normal distribution.
    pub kurtosis: Option<f64>,
}

/// What can be said of a sweep.
#[derive(Clone, Debug)]
pub struct Assessment {
    pub trials: TrialCounts,
    pub best: Option<BestTrial>,
    pub pbo: Option<Overfitting>,
    pub robust: Option<Robustness>,
    /// What can't be estimated, and why.
    pub missing: Vec<Missing>,
    /// What looks wrong about the input.
    pub hints: Vec<String>,
    /// The verdict in sentences.
    pub words: Vec<String>,
}

/// How many trials there were.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialCounts {
    /// All that were tried: those below that ended, and earlier ones.
    pub counted: u64,
    pub reported: u64,
    pub failed: u64,
    pub unfinished: u64,
    pub earlier: u64,
    pub with_series: u64,
    pub effective: Option<EffectiveTrials>,
}

/// The best trial by the value that was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BestTrial {
    pub job: u64,
    /// What it was chosen by; none: by its Sharpe ratio, since no job has reported a value.
    pub value: Option<f64>,
    /// Per observation.
    pub sharpe: ObservedSharpe,
    /// True if it was computed of the trial's series, false if the job has reported it.
    pub from_series: bool,
    pub psr: f64,
    /// The smaller one of the two below.
    pub dsr: f64,
    /// With the variance of the trials' ratios; none if there are fewer than two, or they differ in length.
    pub dsr_observed: Option<f64>,
    /// With the variance of trials without skill.
    pub dsr_null: f64,
    /// The variance of the trials' ratios.
    pub variance: Option<f64>,
    /// The ratio that the best of so many trials without skill is expected to show, by the larger variance.
    pub sr0: f64,
    /// Trials up to which `dsr` reaches the confidence; none: more than 2^53.
    pub break_even: Option<u64>,
}

/// Something that can't be estimated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub what: &'static str,
    pub why: String,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

/// Says what can be said. The series are those of the sweep's jobs, by their numbers; some, or all, may be missing.
///
/// # Errors
///
/// [`Error::OutOfRange`] and [`Error::NotFinite`] for the question's confidence and benchmark. What can't be computed of the
/// trials is no error: [`Assessment::missing`] has it.
pub fn assess(
    question: &Question,
    trials: &[Trial],
    series: Option<&Collected>,
) -> Result<Assessment, Error> {
    crate::error::confidence(question.confidence)?;
    crate::error::finite("benchmark", question.benchmark)?;
    let mut assessment = Assessment {
        trials: count(question, trials, series),
        best: None,
        pbo: None,
        robust: None,
        missing: Vec::new(),
        hints: Vec::new(),
        words: Vec::new(),
    };
    assessment.of_series(series);
    match best(question, trials, series) {
        Ok(chosen) => assessment.of_best(question, trials, series, &chosen),
        Err(why) => assessment.lacks("best", why),
    }
    let points: Vec<Point> = trials.iter().map(|trial| trial.point.clone()).collect();
    match robustness(&points, question.goal) {
        Ok(found) => {
            if let Some(why) = found.why {
                assessment.lacks("robust", why);
            }
            assessment.robust = Some(found);
        }
        Err(_) => assessment.lacks("robust", "no job has reported a value"),
    }
    assessment.words = words::verdict(question, &assessment);
    Ok(assessment)
}

fn count(question: &Question, trials: &[Trial], series: Option<&Collected>) -> TrialCounts {
    let number =
        |is: fn(&Outcome) -> bool| trials.iter().filter(|trial| is(&trial.point.outcome)).count() as u64;
    let reported = number(|outcome| matches!(outcome, Outcome::Value(value) if value.is_finite()));
    let unfinished = number(|outcome| matches!(outcome, Outcome::Unfinished));
    let failed = trials.len() as u64 - reported - unfinished;
    TrialCounts {
        counted: reported + failed + question.earlier,
        reported,
        failed,
        unfinished,
        earlier: question.earlier,
        with_series: series.map_or(0, |series| series.trials.len() as u64),
        effective: None,
    }
}

/// A trial that was chosen, and its ratio.
struct Chosen {
    job: u64,
    value: Option<f64>,
    sharpe: ObservedSharpe,
    from_series: bool,
}

/// The best trial by its value, else by its series.
fn best(question: &Question, trials: &[Trial], series: Option<&Collected>) -> Result<Chosen, String> {
    let sign = if question.goal == Goal::Maximize { 1.0 } else { -1.0 };
    let value = |trial: &Trial| match trial.point.outcome {
        Outcome::Value(value) if value.is_finite() => Some(sign * value),
        _ => None,
    };
    let known = trials.iter().filter(|trial| value(trial).is_some());
    let Some(best) = known.reduce(|best, next| if value(next) > value(best) { next } else { best }) else {
        let best = series.and_then(Collected::best).ok_or("no job has reported a value")?;
        let sharpe = best.moments.observed().map_err(|error| error.to_string())?;
        return Ok(Chosen { job: best.trial, value: None, sharpe, from_series: true });
    };
    let job = best.point.job;
    let own = series.and_then(|series| series.trials.iter().find(|trial| trial.trial == job));
    let (sharpe, from_series) = match own {
        Some(own) => (own.moments.observed().map_err(|error| format!("job {job}: {error}")), true),
        None => (best.reported.observed().map_err(|why| format!("job {job}: {why}")), false),
    };
    let value = value(best).map(|value| sign * value);
    Ok(Chosen { job, value, sharpe: sharpe?, from_series })
}

impl Reported {
    /// The ratio per observation.
    fn per_observation(&self) -> Result<f64, String> {
        let sharpe = self.sharpe.ok_or("no series.returns, and no metric sharpe")?;
        match self.periods_per_year {
            Some(periods) if periods >= 1.0 && periods.is_finite() => Ok(sharpe / periods.sqrt()),
            Some(periods) => Err(format!("periods_per_year is {periods}; it must be 1 or more")),
            None => Err("no series.returns, and no metric periods_per_year (1 if sharpe is per observation), without \
                         which an annual ratio can't be told from a daily one"
                .to_owned()),
        }
    }

    fn observed(&self) -> Result<ObservedSharpe, String> {
        let ratio = self.per_observation()?;
        let lacks = |name| format!("no series.returns, and no metric {name}");
        let observations = self.observations.ok_or_else(|| lacks("observations"))?;
        let skew = self.skew.ok_or_else(|| lacks("skew"))?;
        let kurtosis = self.kurtosis.ok_or_else(|| lacks("kurtosis"))?;
        ObservedSharpe::new(ratio, observations, skew, kurtosis).map_err(|error| error.to_string())
    }
}

/// All ratios per observation, with the numbers of observations if these are known.
fn ratios(trials: &[Trial], series: Option<&Collected>, from_series: bool) -> Vec<(f64, Option<u64>)> {
    match series.filter(|_| from_series) {
        Some(series) => series.ratios().into_iter().map(|ratio| (ratio, Some(series.observations))).collect(),
        None => {
            let ratio =
                |trial: &Trial| Some((trial.reported.per_observation().ok()?, trial.reported.observations));
            trials.iter().filter_map(ratio).collect()
        }
    }
}

impl Assessment {
    fn lacks(&mut self, what: &'static str, why: impl Into<String>) {
        self.missing.push(Missing { what, why: why.into() });
    }

    fn of_series(&mut self, series: Option<&Collected>) {
        const NONE: &str = "no series.returns; let jobs write them, and each trial's series can be compared";
        let Some(series) = series.filter(|series| !series.trials.is_empty()) else {
            self.lacks("effective", NONE);
            self.lacks("pbo", NONE);
            return;
        };
        let all = self.trials.reported.max(self.trials.with_series);
        if self.trials.with_series < all {
            self.hints.push(format!(
                "{} of {all} trials have a series; pbo and effective are about these",
                self.trials.with_series
            ));
        }
        match effective_trials(series) {
            Ok(found) => self.trials.effective = Some(found),
            Err(error) => self.lacks("effective", error.to_string()),
        }
        match series.blocks().and_then(|blocks| overfitting(blocks, Metric::Sharpe)) {
            Ok(found) => self.pbo = Some(found),
            Err(error) => self.lacks("pbo", error.to_string()),
        }
    }

    fn of_best(
        &mut self,
        question: &Question,
        trials: &[Trial],
        series: Option<&Collected>,
        chosen: &Chosen,
    ) {
        let sharpe = &chosen.sharpe;
        self.hints.extend(sharpe.hints());
        let ratios = ratios(trials, series, chosen.from_series);
        let variance = self.variance(&ratios);
        let counted = self.trials.counted.max(1) as f64;
        let found = || -> Result<BestTrial, Error> {
            let null = variance_of_null(sharpe.observations())?;
            let larger = variance.map_or(null, |variance| variance.max(null));
            let (by_null, by_larger) = (deflate(sharpe, counted, null)?, deflate(sharpe, counted, larger)?);
            let by_observed = variance.map(|variance| deflate(sharpe, counted, variance)).transpose()?;
            Ok(BestTrial {
                job: chosen.job,
                value: chosen.value,
                sharpe: *sharpe,
                from_series: chosen.from_series,
                psr: sharpe.psr(question.benchmark)?,
                dsr: by_larger.dsr,
                dsr_observed: by_observed.map(|found| found.dsr),
                dsr_null: by_null.dsr,
                variance,
                sr0: by_larger.sr0,
                break_even: break_even(sharpe, larger, question.confidence)?,
            })
        };
        match found() {
            Ok(best) => self.best = Some(best),
            Err(error) => self.lacks("best", error.to_string()),
        }
    }

    /// The variance of the trials' ratios, if they have one in common.
    fn variance(&mut self, ratios: &[(f64, Option<u64>)]) -> Option<f64> {
        let lengths = || ratios.iter().filter_map(|(_, length)| *length);
        let (least, most) = (lengths().min().unwrap_or(1), lengths().max().unwrap_or(1));
        if most as f64 > SAME_LENGTH * least as f64 {
            let why = format!(
                "the trials have {least} to {most} observations, so their ratios have no variance in common; dsr takes \
                 that of trials without skill alone"
            );
            self.lacks("dsr_observed", why);
            return None;
        }
        let values: Vec<f64> = ratios.iter().map(|(ratio, _)| *ratio).collect();
        match variance_of_trials(&values) {
            Ok(variance) => {
                let hint =
                    annual_hint("the deviation of the trials' ratios,", variance.sqrt(), lengths().max());
                self.hints.extend(hint);
                Some(variance)
            }
            Err(error) => {
                self.lacks("dsr_observed", error.to_string());
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
