//! What is known of a sweep that is watched: what a coordinator answered last, and when.

use bt_documents::{self as documents, SweepReport};
use bt_proto::v1;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;
use tokio_stream::StreamExt;

use super::heard::pause_after;
use super::rate::Rate;
use crate::client::Client;
use crate::error::Error;
use crate::output::{figure, words};

/// Running jobs that are asked for: the first ones, which are those that have run the longest but for retries.
const RUNNING: u32 = 20;

/// How a sweep stands.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) shown: SweepReport,
    /// Jobs that run now, the longest running first; some of them if there are many.
    pub(crate) running: Vec<v1::Job>,
    pub(crate) best: Option<Best>,
    pub(crate) rate: Rate,
    /// When a coordinator answered last, if it does not answer now.
    pub(crate) away: Option<Timestamp>,
}

/// The best job so far.
#[derive(Clone, Debug)]
pub(crate) struct Best {
    pub(crate) metric: String,
    pub(crate) value: String,
    pub(crate) job: u32,
    /// `fast=5, slow=20`
    pub(crate) parameters: String,
}

impl Best {
    /// `sharpe 1.23457 by job 7: fast=5, slow=20`
    pub(crate) fn words(&self) -> String {
        let Self { metric, value, job, parameters } = self;
        format!("{metric} {} by job {job}: {parameters}", figure(value))
    }
}

impl Standing {
    pub(crate) fn first(shown: SweepReport) -> Self {
        Self { shown, running: Vec::new(), best: None, rate: Rate::default(), away: None }
    }

    /// Nothing runs any more, or will before somebody decides: a canary that failed holds the rest back.
    pub(crate) fn is_over(&self) -> bool {
        let v1::Counts { queued, running, .. } = self.shown.counts;
        let is_held = self.shown.sweep.pause_reason.is_some() && running == 0;
        is_held || queued + running == 0 && !self.shown.sweep.open
    }
}

/// Asks for what a picture of a sweep shows beside its counts.
#[derive(Debug, Default)]
pub(crate) struct Details {
    best: Option<Best>,
    /// The number of jobs that had succeeded when the best was looked for, and when it may be again.
    looked: Option<(u32, Instant)>,
}

impl Details {
    pub(crate) async fn running(client: &Client, shown: &SweepReport) -> Result<Vec<v1::Job>, Error> {
        if shown.counts.running == 0 {
            return Ok(Vec::new());
        }
        let request = v1::ListJobsRequest {
            sweep: shown.sweep.id.clone(),
            states: vec![v1::JobState::Running.into()],
            limit: Some(RUNNING),
            ..v1::ListJobsRequest::default()
        };
        let mut running = list(client, request).await?;
        let started = |job: &v1::Job| job.started.map(|time| (time.seconds, time.nanos));
        running.sort_by_key(|job| started(job).unwrap_or((i64::MAX, 0)));
        Ok(running)
    }

    /// The best job by the metric that the sweep is about, if it has one; a short time old at most.
    pub(crate) async fn best(&mut self, client: &Client, shown: &SweepReport) -> Result<Option<Best>, Error> {
        let succeeded = shown.counts.succeeded;
        let is_over = shown.counts.queued + shown.counts.running == 0;
        let is_known =
            |(jobs, until): (u32, Instant)| jobs == succeeded || (Instant::now() < until && !is_over);
        if succeeded == 0 || self.looked.is_some_and(is_known) {
            return Ok(self.best.clone());
        }
        let began = Instant::now();
        match find_best(client, shown).await {
            Ok(best) => self.best = best,
            Err(error) if error.may_pass() => return Err(error),
            // A picture without it is better than none.
            Err(_) => {}
        }
        self.looked = Some((succeeded, Instant::now() + pause_after(began.elapsed())));
        Ok(self.best.clone())
    }
}

async fn find_best(client: &Client, shown: &SweepReport) -> Result<Option<Best>, Error> {
    let request = v1::ListJobsRequest { sweep: shown.sweep.id.clone(), limit: Some(1), ..Default::default() };
    let some = v1::ListJobsRequest { states: vec![v1::JobState::Succeeded.into()], ..request.clone() };
    let Some(job) = list(client, some).await?.pop() else { return Ok(None) };
    let names: Vec<String> = documents::metrics(job.metrics())?.keys().cloned().collect();
    let manifest = documents::manifest(&shown.manifest)?;
    let goals = manifest.get("goals").and_then(Value::as_object).into_iter().flat_map(|goals| goals.keys());
    let Some(metric) = documents::main_metric(goals, &names).map(str::to_owned) else { return Ok(None) };
    let ranked = v1::ListJobsRequest { by: Some(metric.clone()), ..request };
    let Some(job) = list(client, ranked).await?.pop() else { return Ok(None) };
    let parameters = documents::parameters(&job.parameters)?;
    let parameters: Vec<_> =
        parameters.iter().map(|(name, value)| format!("{name}={}", words::text(value))).collect();
    Ok(Some(Best {
        value: documents::metrics(job.metrics())?.get(&metric).map(words::text).unwrap_or_default(),
        metric,
        job: job.number,
        parameters: parameters.join(", "),
    }))
}

pub(crate) async fn list(client: &Client, request: v1::ListJobsRequest) -> Result<Vec<v1::Job>, Error> {
    let mut jobs = client.jobs(request).await?;
    let mut all = Vec::new();
    while let Some(job) = jobs.next().await {
        all.push(job.map_err(Error::broken_off)?);
    }
    Ok(all)
}
