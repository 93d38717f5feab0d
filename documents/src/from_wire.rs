//! Documents of what the coordinator answers.

use bt_model::hex::hex;
use bt_model::parameters::read_map;
use bt_model::reason::Reason;
use bt_model::state::{AttemptState, JobState};
use bt_model::{resources, secret};
use bt_proto::convert::{self, Malformed};
use bt_proto::v1;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    AgentReason, Attempt, BestSoFar, Counts, Explained, Failures, Job, LastFailure, Limit, Object, Output,
    Pace, Progress, Resources, Retrying, Reuse, ReuseSource, ReuseState, RunningJob, ShownSweep, Sweep,
    SweepState, Told, Twin, Usage, Waiting, Warm,
};

/// An answer that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error(transparent)]
    Message(#[from] Malformed),
    #[error("{what} can't be read: {error}")]
    Json { what: &'static str, error: serde_json::Error },
}

impl From<&v1::Sweep> for SweepState {
    /// From the states of its jobs.
    fn from(sweep: &v1::Sweep) -> Self {
        let v1::Counts { queued, running, failed, cancelled, .. } = sweep.counts.unwrap_or_default();
        let ended = Counts::from(sweep.counts.unwrap_or_default()).finished();
        match (queued, running) {
            (1.., _) if sweep.paused => Self::Paused,
            (0, 0) if sweep.open => Self::Open,
            (0, 0) if failed > 0 => Self::Failed,
            (0, 0) if cancelled > 0 => Self::Cancelled,
            (0, 0) => Self::Succeeded,
            (_, 0) if ended == 0 => Self::Queued,
            _ => Self::Running,
        }
    }
}

impl From<v1::Counts> for Counts {
    fn from(counts: v1::Counts) -> Self {
        let v1::Counts { queued, running, succeeded, failed, cancelled, pruned } = counts;
        Self { queued, running, succeeded, failed, cancelled, pruned }
    }
}

impl TryFrom<&v1::Sweep> for Sweep {
    type Error = Unreadable;

    fn try_from(sweep: &v1::Sweep) -> Result<Self, Unreadable> {
        Ok(Self {
            id: sweep.id.clone(),
            name: sweep.name.clone(),
            state: SweepState::from(sweep),
            open: sweep.open,
            image: sweep.image.clone(),
            image_pin: sweep.image_pin.clone(),
            image_alias: sweep.image_alias.clone(),
            waits_for: sweep.waits_for.clone(),
            cancel_reason: sweep.cancel_reason.clone(),
            owner: sweep.owner.clone(),
            priority: sweep.priority,
            counts: sweep.counts.unwrap_or_default().into(),
            created: instant(sweep.created.as_ref())?,
            finished: instant(sweep.finished.as_ref())?,
            tags: sweep.tags.clone(),
            note: some(&sweep.note),
            best: sweep.best.clone().map(|best| BestSoFar {
                metric: best.metric,
                value: best.value,
                job: best.job,
            }),
            jobs_per_minute: sweep.jobs_per_minute,
            seconds_left: seconds_left(sweep),
            held_out: sweep.into(),
        })
    }
}

/// How long the jobs that are left take, if as many end in a minute as now.
fn seconds_left(sweep: &v1::Sweep) -> Option<f64> {
    let counts = sweep.counts.unwrap_or_default();
    let rate = sweep.jobs_per_minute.filter(|rate| *rate > 0.0 && !sweep.paused)?;
    Some(60.0 * f64::from(counts.queued + counts.running) / rate)
}

/// A sweep and what is to be said of it, as the coordinator answers.
#[derive(Clone, Debug)]
pub struct SweepReport {
    pub sweep: v1::Sweep,
    pub counts: v1::Counts,
    /// JSON.
    pub manifest: String,
    pub waiting: Vec<v1::Waiting>,
    pub failures: Vec<v1::Failures>,
    pub progressing: Vec<v1::Progressing>,
    /// Its directory under the store's root.
    pub store: String,
    pub pace: Option<v1::Pace>,
    /// What it has of identical jobs, if that was asked for.
    pub reuse: Option<v1::Reuse>,
    pub retrying: Vec<v1::Retrying>,
    pub told: Vec<v1::Told>,
}

impl TryFrom<v1::ShowSweepReply> for SweepReport {
    type Error = Malformed;

    fn try_from(reply: v1::ShowSweepReply) -> Result<Self, Malformed> {
        let sweep = reply.sweep.ok_or(Malformed::Missing("sweep"))?;
        Ok(Self {
            counts: sweep.counts.unwrap_or_default(),
            sweep,
            manifest: reply.manifest,
            waiting: reply.waiting,
            failures: reply.failures,
            progressing: reply.progressing,
            store: reply.store,
            pace: reply.pace,
            reuse: reply.reuse,
            retrying: reply.retrying,
            told: reply.told,
        })
    }
}

impl TryFrom<&SweepReport> for ShownSweep {
    type Error = Unreadable;

    fn try_from(shown: &SweepReport) -> Result<Self, Unreadable> {
        let sweep = &shown.sweep;
        let unreadable = |error| Unreadable::Json { what: "the sweep's manifest", error };
        let mut manifest = serde_json::from_str(&shown.manifest).map_err(unreadable)?;
        secret::redact_manifest(&mut manifest);
        let failures = shown.failures.iter().map(|failure| {
            let reason = reason(failure.reason.clone())?;
            Ok(Failures { reason, jobs: failure.jobs, first_job: failure.first_job })
        });
        let waiting = shown
            .waiting
            .iter()
            .map(|waiting| Waiting { agent: waiting.agent.clone(), why: waiting.why.clone() });
        Ok(Self {
            sweep: Sweep::try_from(sweep)?,
            store: shown.store.clone(),
            kept_until: instant(sweep.kept_until.as_ref())?,
            expired: sweep.expired,
            pace: shown.pace.map(Pace::from),
            waiting: waiting.collect(),
            warm: sweep.sharing.clone().map(Warm::from),
            reuse: shown.reuse.as_ref().map(Reuse::from),
            retrying: shown.retrying.iter().map(Retrying::try_from).collect::<Result<_, _>>()?,
            failures: failures.collect::<Result<_, Unreadable>>()?,
            notifications: shown.told.iter().map(Told::try_from).collect::<Result<_, _>>()?,
            manifest,
        })
    }
}

impl From<v1::Pace> for Pace {
    fn from(pace: v1::Pace) -> Self {
        Self { jobs: pace.jobs, seconds: pace.seconds, peak_memory_bytes: pace.peak_memory_bytes }
    }
}

impl From<v1::Sharing> for Warm {
    fn from(sharing: v1::Sharing) -> Self {
        Self {
            containers: some(&sharing.containers_text),
            why: some(&sharing.why),
            left_out: sharing.left_out.into_iter().collect(),
        }
    }
}

impl From<&v1::Reuse> for Reuse {
    fn from(reuse: &v1::Reuse) -> Self {
        let sources = reuse.sources.iter().map(|source| ReuseSource {
            id: source.sweep.clone(),
            name: source.name.clone(),
            taken: source.taken,
            attached: source.attached,
        });
        Self {
            state: match reuse.state() {
                v1::ReuseState::Pending => ReuseState::Pending,
                v1::ReuseState::Declined => ReuseState::Declined,
                v1::ReuseState::Settled | v1::ReuseState::Unspecified => ReuseState::Settled,
            },
            note: some(&reuse.note),
            taken: reuse.taken,
            attached: reuse.attached,
            differing: reuse.differing,
            sources: sources.collect(),
        }
    }
}

impl TryFrom<&v1::Retrying> for Retrying {
    type Error = Unreadable;

    fn try_from(group: &v1::Retrying) -> Result<Self, Unreadable> {
        Ok(Self {
            state: AttemptState::try_from(group.state())?.name(),
            reason: reason(group.reason.clone())?,
            jobs: group.jobs,
            first_job: group.first_job,
            next_try: instant(group.next_try.as_ref())?,
        })
    }
}

impl TryFrom<&v1::Job> for Job {
    type Error = Unreadable;

    fn try_from(job: &v1::Job) -> Result<Self, Unreadable> {
        let usage = job.usage.unwrap_or_default();
        Ok(Self {
            job: job.number,
            state: JobState::try_from(job.state())?.name(),
            params: parameters(&job.parameters)?,
            metrics: metrics(job.metrics())?,
            attempts: job.attempts,
            agent: some(&job.agent),
            reason: reason(job.reason.clone())?,
            started: instant(job.started.as_ref())?,
            finished: instant(job.finished.as_ref())?,
            usage: Usage {
                peak_memory_bytes: usage.peak_memory_bytes,
                cpu_seconds: usage.cpu_micros.map(|micros| micros as f64 / 1e6),
                written_bytes: usage.written_bytes,
                wall_seconds: usage.wall_millis.map(|millis| millis as f64 / 1e3),
            },
            reused_from: job.reused_from.as_ref().map(Twin::from),
            attached_to: job.attached_to.as_ref().map(Twin::from),
            waits_for: job.waits_for,
            image_id: some(&job.image_id),
            memory_bytes: job.memory_bytes,
            last_failure: job.last_failure.as_ref().map(LastFailure::try_from).transpose()?,
            progress: job.progress.as_ref().map(Progress::try_from).transpose()?,
        })
    }
}

impl From<&v1::Twin> for Twin {
    fn from(twin: &v1::Twin) -> Self {
        Self { id: twin.sweep.clone(), name: twin.sweep_name.clone(), job: twin.job, attempt: twin.attempt }
    }
}

impl TryFrom<&v1::LastFailure> for LastFailure {
    type Error = Unreadable;

    fn try_from(failure: &v1::LastFailure) -> Result<Self, Unreadable> {
        Ok(Self {
            attempt: failure.attempt,
            state: AttemptState::try_from(failure.state())?.name(),
            agent: failure.agent.clone(),
            reason: reason(failure.reason.clone())?,
            ended: instant(failure.ended.as_ref())?,
            next_try: instant(failure.next_try.as_ref())?,
        })
    }
}

impl TryFrom<&v1::Attempt> for Attempt {
    type Error = Unreadable;

    fn try_from(attempt: &v1::Attempt) -> Result<Self, Unreadable> {
        Ok(Self {
            attempt: attempt.number,
            state: AttemptState::try_from(attempt.state())?,
            agent: attempt.agent.clone(),
            memory_bytes: attempt.memory_bytes,
            reason: reason(attempt.reason.clone())?,
            note: some(&attempt.note),
            leased: instant(attempt.leased.as_ref())?,
            started: instant(attempt.started.as_ref())?,
            stopped: instant(attempt.stopped.as_ref())?,
            ended: instant(attempt.ended.as_ref())?,
        })
    }
}

impl TryFrom<&v1::RunningJob> for RunningJob {
    type Error = Unreadable;

    fn try_from(job: &v1::RunningJob) -> Result<Self, Unreadable> {
        Ok(Self {
            sweep: job.sweep_name.clone(),
            sweep_id: job.sweep.clone(),
            job: job.job,
            attempt: job.attempt,
            state: AttemptState::try_from(job.state())?.name(),
            agent: job.agent.clone(),
            owner: job.owner.clone(),
            note: some(&job.note),
            leased: instant(job.leased.as_ref())?,
            started: instant(job.started.as_ref())?,
            progress: job.progress.as_ref().map(Progress::try_from).transpose()?,
        })
    }
}

impl TryFrom<v1::ExplainReply> for Explained {
    type Error = Unreadable;

    fn try_from(explained: v1::ExplainReply) -> Result<Self, Unreadable> {
        let state = JobState::try_from(explained.state())?.name();
        let v1::ExplainReply { reasons, agents, job, next, told, .. } = explained;
        let notifications = told.iter().map(Told::try_from).collect::<Result<_, _>>()?;
        let agents = agents
            .into_iter()
            .map(|said| AgentReason { agent: said.agent.unwrap_or_default(), why: said.why });
        Ok(Self { job, state, reasons, agents: agents.collect(), next, notifications })
    }
}

impl From<v1::Resources> for Resources {
    fn from(resources: v1::Resources) -> Self {
        let resources = resources::Resources::from(resources);
        Self {
            cpus: resources.cpu_millis as f64 / 1000.0,
            memory_bytes: resources.memory_bytes,
            gpus: resources.gpus,
            disk_bytes: resources.disk_bytes,
            jobs: resources.jobs,
        }
    }
}

impl From<v1::Limit> for Limit {
    fn from(limit: v1::Limit) -> Self {
        Self { name: limit.name, capacity: limit.set.then_some(limit.capacity), used: limit.used }
    }
}

/// A file of a published result.
impl From<v1::JobOutput> for Output {
    fn from(output: v1::JobOutput) -> Self {
        let file = output.file.unwrap_or_default();
        Self {
            job: output.job,
            path: file.path,
            size: Some(file.size),
            stored_size: None,
            sha256: Some(hex(&file.sha256)),
            attempt: output.attempt,
            state: None,
        }
    }
}

/// `exit(1)`; nothing where there is no reason.
pub fn reason(reason: Option<v1::Reason>) -> Result<Option<String>, Unreadable> {
    let reason = reason.map(Reason::try_from).transpose()?;
    Ok(reason.map(|reason| reason.to_string()))
}

/// A point in time from the wire.
pub fn instant(time: Option<&prost_types::Timestamp>) -> Result<Option<Timestamp>, Unreadable> {
    Ok(time.map(convert::time).transpose()?)
}

/// A job's metrics, from JSON; none from an empty text.
pub fn metrics(text: &str) -> Result<Object, Unreadable> {
    object("a job's metrics", text)
}

/// A sweep's manifest, from JSON.
pub fn manifest(text: &str) -> Result<Object, Unreadable> {
    object("a sweep's manifest", text)
}

fn object(what: &'static str, text: &str) -> Result<Object, Unreadable> {
    match text {
        "" => Ok(Map::new()),
        text => serde_json::from_str(text).map_err(|error| Unreadable::Json { what, error }),
    }
}

/// A job's parameters, whose numbers keep their spelling.
pub fn parameters(text: &str) -> Result<Object, Unreadable> {
    match text {
        "" => Ok(Map::new()),
        text => read_map(text).map_err(|error| Unreadable::Json { what: "a job's parameters", error }),
    }
}

/// A value as a text without quotes.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The text, where there is one.
pub fn some(text: &str) -> Option<String> {
    Some(text).filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweeps_state_is_told_from_its_jobs() {
        let state = |[queued, running, succeeded, failed, cancelled, pruned]: [u32; 6]| {
            let counts = Some(v1::Counts { queued, running, succeeded, failed, cancelled, pruned });
            SweepState::from(&v1::Sweep { counts, ..v1::Sweep::default() }).name()
        };
        assert_eq!(state([3, 0, 0, 0, 0, 0]), "queued");
        assert_eq!((state([3, 0, 1, 0, 0, 0]), state([3, 0, 0, 0, 0, 1])), ("running", "running"));
        assert_eq!(state([0, 1, 0, 0, 0, 0]), "running");
        assert_eq!((state([0, 0, 3, 0, 0, 2]), state([0, 0, 0, 0, 0, 2])), ("succeeded", "succeeded"));
        assert_eq!(state([0, 0, 3, 1, 1, 1]), "failed");
        assert_eq!(state([0, 0, 3, 0, 1, 1]), "cancelled");
        let counts = Some(v1::Counts { queued: 1, running: 1, ..v1::Counts::default() });
        let paused = v1::Sweep { counts, paused: true, ..v1::Sweep::default() };
        assert_eq!(SweepState::from(&paused).name(), "paused");
        let empty = v1::Sweep { open: true, ..v1::Sweep::default() };
        assert_eq!(SweepState::from(&empty).name(), "open");
    }
}
