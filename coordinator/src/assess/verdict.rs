//! One sweep judged: which figures there are, and what is missing of the others.

use bt_documents::{AssessedTrials, Assessment, BestTrial, RobustTrial, WeightOfParameter, main_metric};
use bt_model::landscape::Landscape;
use bt_model::manifest::Goal;
use bt_model::nearest::nearest;
use bt_statistics::{ObservedSharpe, Robustness, annual_hint};
use serde_json::{Map, Value};

use super::series::{self, Series};
use super::{Assessor, Error, Judged, Question, held_out, numbers, rank, words};
use crate::answers::Standing;
use crate::manifests::Known;
use crate::queue::{Found, JobRow};
use crate::trials::Count;

/// Periods of a year, if returns have no dates, are not guessed.
const REPORTED: [&str; 5] = ["sharpe", "observations", "periods_per_year", "skew", "kurtosis"];
/// Jobs whose metric is read at once.
const PAGE: u32 = 20_000;

/// The Sharpe ratio of the best trial, and those of all.
struct Ratios {
    best: ObservedSharpe,
    all: Vec<f64>,
    per_year: Option<f64>,
}

impl Assessor {
    pub(super) async fn judge(
        &self,
        found: &Found,
        family: &str,
        question: &Question,
        standing: Standing,
    ) -> Result<Judged, Error> {
        let known = self.manifests.get(found.id).await.map_err(crate::landscapes::Error::from)?;
        let metric = self.metric(found, &known, question.by.as_deref()).await?;
        let minimize = metric.as_ref().is_some_and(|metric| {
            known.manifest.goals.get(metric).is_some_and(|goal| *goal == Goal::Minimize)
        });
        let count = self.trials.of_family(family, Some(found.id)).await.map_err(Error::Landscape)?;
        let series = series::read(&self.queue, found.id, question.blocks, question.benchmark).await?;
        let best = match (&metric, &series) {
            (Some(metric), _) => self.queue.ranked(found.id, metric, minimize, 1).await?.pop(),
            (None, Some(series)) => self.job_of_best_returns(found, series).await?,
            (None, None) => None,
        };
        let mut assessment = Assessment {
            sweep: found.id.to_string(),
            name: found.name.clone(),
            family: Some(family.to_owned()).filter(|family| !family.is_empty()),
            by: metric.clone(),
            trials: counted(found, &count),
            returns: series.as_ref().map(|series| series.told.clone()),
            ..Assessment::default()
        };
        assessment.holdout = held_out::of(&self.queue, found.id, family, &count).await?;
        if let Some(job) = &best {
            assessment.best = Some(of_job(&known, job, metric.as_deref())?);
        }
        if let Some(metric) = &metric {
            let landscape = self.landscapes.get(found.id, metric, standing).await?;
            self.robust(found, &known, &landscape, minimize, &mut assessment).await?;
            weigh(&landscape, &mut assessment);
        }
        let ratios = match (&series, &best) {
            (Some(series), Some(job)) => of_returns(series, job, &mut assessment),
            (None, Some(job)) => self.of_metrics(found, job, &mut assessment).await?,
            (_, None) => {
                assessment.missing.push("best: no job has reported a metric or returns yet".to_owned());
                None
            }
        };
        let benchmark = question.benchmark;
        let judging = move || judged(assessment, series, ratios, benchmark);
        let judged = tokio::task::spawn_blocking(judging).await;
        judged.map_err(|error| Error::Refused(format!("judging failed: {error}")))?
    }

    /// The metric that was asked for, or the one that the sweep is about.
    async fn metric(
        &self,
        found: &Found,
        known: &Known,
        asked: Option<&str>,
    ) -> Result<Option<String>, Error> {
        let names = self.queue.metric_names(found.id).await?;
        let Some(asked) = asked else {
            return Ok(main_metric(known.manifest.goals.keys(), &names).map(str::to_owned));
        };
        if names.iter().any(|name| name == asked) {
            return Ok(Some(asked.to_owned()));
        }
        let hint = match nearest(asked, names.iter().map(String::as_str)) {
            Some(name) => format!("did you mean `{name}`?"),
            None if names.is_empty() => "no job has reported any metric yet".to_owned(),
            None => format!("the metrics are {}", names.join(", ")),
        };
        let name = &found.name;
        Err(Error::Refused(format!("no job of sweep {name} has reported a metric {asked:?}; {hint}")))
    }

    async fn job_of_best_returns(&self, found: &Found, series: &Series) -> Result<Option<JobRow>, Error> {
        let Some(best) = series.collected.best() else { return Ok(None) };
        let Ok(number) = u32::try_from(best.trial) else { return Ok(None) };
        Ok(self.queue.jobs_by_number(found.id, &[number]).await?.pop())
    }

    /// The best point together with its neighbours.
    async fn robust(
        &self,
        found: &Found,
        known: &Known,
        landscape: &Landscape,
        minimize: bool,
        assessment: &mut Assessment,
    ) -> Result<(), Error> {
        let ranked = tokio::task::block_in_place(|| rank(landscape, minimize));
        let (raw, robust) = match ranked {
            Ok(Robustness { raw, robust: Some(robust), .. }) => (raw, robust),
            Ok(Robustness { why, .. }) => {
                assessment.missing.push(format!("robust: {}", why.unwrap_or_default()));
                return Ok(());
            }
            Err(why) => {
                assessment.missing.push(format!("robust: {why}"));
                return Ok(());
            }
        };
        let number = u32::try_from(robust.job).unwrap_or(u32::MAX);
        let Some(job) = self.queue.jobs_by_number(found.id, &[number]).await?.pop() else { return Ok(()) };
        let best = Some(raw).filter(|raw| raw.neighbours > 0);
        assessment.robust = Some(RobustTrial {
            job: job.number,
            parameters: parameters(known, &job)?,
            value: robust.value,
            median: robust.median,
            neighbours: robust.neighbours,
            median_of_best: best.as_ref().map(|best| best.median),
            neighbours_of_best: best.as_ref().map(|best| best.neighbours),
        });
        Ok(())
    }

    /// From metrics that jobs report of their returns, where the returns themselves are not reported.
    async fn of_metrics(
        &self,
        found: &Found,
        job: &JobRow,
        assessment: &mut Assessment,
    ) -> Result<Option<Ratios>, Error> {
        let no_returns = "no job has reported returns (`series.returns` or `series.equity` in its metrics, or a table that `returns` \
             in the manifest names)";
        for figure in ["pbo", "trials.effective"] {
            assessment.missing.push(format!("{figure}: {no_returns}"));
        }
        let metrics = metrics_of(job);
        let number = |name: &str| metrics.get(name).and_then(Value::as_f64);
        let lacking: Vec<&str> = REPORTED.into_iter().filter(|name| number(name).is_none()).collect();
        if !lacking.is_empty() {
            assessment.missing.push(format!(
                "psr, dsr: {no_returns}, and job {} has not reported {}; with these metrics they can be estimated",
                job.number,
                lacking.join(", ")
            ));
            return Ok(None);
        }
        let [sharpe, observations, per_year, skew, kurtosis] =
            REPORTED.map(|name| number(name).unwrap_or_default());
        let year = per_year.sqrt();
        let best = ObservedSharpe::new(sharpe / year, observations.max(0.0) as u64, skew, kurtosis);
        match best {
            Ok(best) => {
                let all = self.ratios(found, year).await?;
                Ok(Some(Ratios { best, all, per_year: Some(per_year) }))
            }
            Err(error) => {
                let why = format!("psr, dsr: what job {} reports does not fit together: {error}", job.number);
                assessment.missing.push(why);
                Ok(None)
            }
        }
    }

    async fn ratios(&self, found: &Found, year: f64) -> Result<Vec<f64>, Error> {
        let mut ratios = Vec::new();
        let mut after = None;
        loop {
            let page = self.queue.values_of_metric(found.id, REPORTED[0], after, PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            after = page.last().map(|job| job.number);
            ratios.extend(page.into_iter().filter_map(|job| job.value).map(|sharpe| sharpe / year));
            if is_last {
                return Ok(ratios);
            }
        }
    }
}

/// The figures that take time.
fn judged(
    mut assessment: Assessment,
    series: Option<Series>,
    ratios: Option<Ratios>,
    benchmark: Option<u32>,
) -> Result<Judged, Error> {
    let refused = |error: bt_statistics::Error| Error::Refused(error.to_string());
    if let Some(series) = &series {
        assessment.trials.clusters = numbers::effective(&series.collected);
        assessment.trials.effective = assessment.trials.clusters.as_ref().map(|found| found.clusters as f64);
        match (series.blocks, numbers::overfit(&series.collected)) {
            (None, _) => assessment.missing.push(format!(
                "pbo: {} periods are too few; 60 are needed, or `--blocks`",
                series.told.periods
            )),
            (Some(_), Ok(found)) => assessment.pbo = Some(found),
            (Some(_), Err(error)) => assessment.missing.push(format!("pbo: {error}")),
        }
    }
    if let Some((job, against)) = benchmark.zip(series.as_ref().and_then(|series| series.against.as_ref())) {
        let found = against.as_ref().map_err(String::clone);
        let found = found
            .and_then(|differences| numbers::against(job, differences).map_err(|error| error.to_string()));
        match found {
            Ok(found) => assessment.benchmark = Some(found),
            Err(why) => assessment.missing.push(format!("benchmark: {why}")),
        }
    }
    let mut jobs = Vec::new();
    if let (Some(ratios), Some(best)) = (ratios, assessment.best.as_mut()) {
        let Ratios { best: observed, all, per_year } = ratios;
        let number = assessment.trials.counted.max(1) as f64;
        let found = numbers::deflation(&observed, number, &all).map_err(refused)?;
        let annual = per_year.map(|periods| observed.ratio() * periods.sqrt());
        *best = BestTrial {
            sharpe: Some(observed.ratio()),
            sharpe_annual: annual,
            observations: Some(observed.observations()),
            skew: Some(observed.skew()),
            kurtosis: Some(observed.kurtosis()),
            psr: Some(observed.psr(0.0).map_err(refused)?),
            dsr: Some(found.dsr),
            dsr_trials: found.of_trials,
            dsr_null: Some(found.of_null),
            dsr_effective: None,
            luck: Some(found.luck),
            minimum_track_record: numbers::track_record(&observed),
            minimum_backtest_years: annual.and_then(|annual| numbers::backtest_years(number, annual)),
            haircut: numbers::haircuts(&observed, number),
            ..std::mem::take(best)
        };
        if let Some(effective) = assessment.trials.effective {
            let found = numbers::deflation(&observed, effective.max(1.0), &all).map_err(refused)?;
            best.dsr_effective = Some(found.dsr);
        }
        assessment.trials.break_even = numbers::most_trials(&observed, found.variance).map_err(refused)?;
        assessment.hints.extend(annual_hint(
            &format!("the Sharpe ratio of job {}", best.job),
            observed.ratio(),
            Some(observed.observations()),
        ));
        if let Some(series) = &series {
            jobs = numbers::per_job(&series.collected, found.luck);
        }
    }
    assessment.words = words::of(&assessment);
    Ok(Judged { assessment, jobs })
}

/// The ratios of the returns; none, with the reason among what is missing, if the best job has no such returns.
fn of_returns(series: &Series, job: &JobRow, assessment: &mut Assessment) -> Option<Ratios> {
    let told = &series.told;
    let jobs = |count: u64| if count == 1 { "1 job".to_owned() } else { format!("{count} jobs") };
    if told.without > 0 {
        let hint = "succeeded without returns and can't be compared with the others";
        assessment.hints.push(format!("{} {hint}", jobs(told.without)));
    }
    if told.left_out > 0 {
        let hint = "left out: their returns have other times than most, or can't be summed up";
        assessment.hints.push(format!("{} {hint}", jobs(told.left_out)));
    }
    if told.gaps > 0 {
        let hint = "periods of the trials have no return (null or NaN); they count as 0";
        assessment.hints.push(format!("{} {hint}", told.gaps));
    }
    let trial = series.collected.trials.iter().find(|trial| trial.trial == u64::from(job.number));
    let observed = match trial {
        Some(trial) => trial.moments.observed().map_err(|error| error.to_string()),
        None => Err("it has no returns that can be compared with those of the others".to_owned()),
    };
    match observed {
        Ok(best) => Some(Ratios { best, all: series.collected.ratios(), per_year: told.periods_per_year }),
        Err(why) => {
            assessment.missing.push(format!("psr, dsr: job {}, the best: {why}", job.number));
            None
        }
    }
}

fn counted(found: &Found, count: &Count) -> AssessedTrials {
    let of_sweep = count.of_sweep(found.id);
    let in_sweep = of_sweep.map_or(0, |counted| counted.trials);
    AssessedTrials {
        counted: count.trials,
        in_sweep,
        elsewhere: count.trials.saturating_sub(in_sweep),
        failed: of_sweep.map_or(0, |counted| counted.failed),
        pruned: of_sweep.map_or(0, |counted| counted.pruned),
        repeated: of_sweep.map_or(0, |counted| counted.tried - counted.trials),
        ..AssessedTrials::default()
    }
}

fn of_job(known: &Known, job: &JobRow, metric: Option<&str>) -> Result<BestTrial, Error> {
    let value = metric.and_then(|metric| metrics_of(job).get(metric).and_then(Value::as_f64));
    Ok(BestTrial { job: job.number, parameters: parameters(known, job)?, value, ..BestTrial::default() })
}

fn metrics_of(job: &JobRow) -> Map<String, Value> {
    let metrics = job.metrics.as_deref().and_then(|text| serde_json::from_str(text).ok());
    metrics.unwrap_or_default()
}

fn parameters(known: &Known, job: &JobRow) -> Result<Map<String, Value>, Error> {
    let reader = known.reader().map_err(crate::landscapes::Error::from)?;
    let text = reader.json(job.parameters.clone());
    serde_json::from_str(&text).map_err(|error| Error::Refused(format!("job {}: {error}", job.number)))
}

fn weigh(landscape: &Landscape, assessment: &mut Assessment) {
    let importance = landscape.importance();
    assessment.importance = importance
        .iter()
        .map(|one| WeightOfParameter {
            parameter: landscape.axes()[one.axis].name.clone(),
            share: one.share,
            correlation: one.correlation,
        })
        .collect();
}
