//! Sweeps, before and after they are queued.

use std::collections::BTreeMap;

use bt_model::resources::ByteSize;
use bt_model::span;
use bt_store::DevMountEntry;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{HeldOut, Object, Told};

/// A sweep that was queued.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Submitted {
    pub id: String,
    pub name: String,
    /// How many jobs it has.
    pub jobs: u32,
    /// True if an earlier submit with the same idempotency key queued it.
    pub existed: bool,
    #[serde(flatten)]
    pub held_out: HeldOut,
    /// With --reuse: what it takes from identical jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reuse: Option<Reuse>,
}

/// Jobs that were added to an open sweep.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AddedJobs {
    /// The number of the first; the others follow.
    pub first_job: u32,
    pub jobs: u32,
    /// True if an earlier call with the same idempotency key added them.
    pub existed: bool,
}

/// A job that a submit would queue.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlannedJob<'j> {
    pub job: u32,
    pub params: Object,
    /// The window for whose training it waits: it has no command before. Absent for other jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<u32>,
    pub command: &'j [String],
    /// The variables of the manifest, as this job gets them.
    pub env: Object,
}

/// Resources that an earlier sweep's jobs would have needed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SuggestedResources {
    pub cpus: f64,
    pub memory_bytes: u64,
    pub measured: Measured,
}

/// What an earlier sweep's jobs used at most.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Measured {
    /// How many jobs were measured.
    pub jobs: u32,
    pub peak_memory_bytes: u64,
    pub cpus: f64,
    pub longest_seconds: f64,
}

/// How many jobs of a sweep are in each state.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Counts {
    pub queued: u32,
    pub running: u32,
    pub succeeded: u32,
    pub failed: u32,
    pub cancelled: u32,
    /// Stopped early, as `stop_when` or a search asks.
    pub pruned: u32,
}

impl Counts {
    /// Jobs that have come to their end, whichever it was.
    pub fn finished(&self) -> u32 {
        self.succeeded + self.failed + self.cancelled + self.pruned
    }

    pub fn total(&self) -> u32 {
        self.queued + self.running + self.finished()
    }

    /// `30 succeeded, 2 failed`: the states that there are jobs in.
    pub fn words(&self) -> String {
        let Self { queued, running, succeeded, failed, cancelled, pruned } = *self;
        let states = [
            (succeeded, "succeeded"),
            (failed, "failed"),
            (cancelled, "cancelled"),
            (pruned, "pruned"),
            (running, "running"),
            (queued, "queued"),
        ];
        let words =
            states.into_iter().filter(|(jobs, _)| *jobs > 0).map(|(jobs, state)| format!("{jobs} {state}"));
        words.collect::<Vec<_>>().join(", ")
    }
}

/// The state of a sweep, by the states of its jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SweepState {
    Queued,
    Paused,
    Running,
    /// It takes more jobs, and has none left to run.
    Open,
    Succeeded,
    Failed,
    Cancelled,
}

impl SweepState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Paused => "paused",
            Self::Running => "running",
            Self::Open => "open",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A sweep.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Sweep {
    pub id: String,
    pub name: String,
    pub state: SweepState,
    /// True while it takes more jobs (`btctl add`).
    pub open: bool,
    /// As the manifest names it; where that is an alias, the image that it stood for.
    pub image: String,
    /// What all jobs run; null before the first one starts.
    pub image_pin: Option<String>,
    /// The alias of the image that the manifest names; null: it names the image itself.
    pub image_alias: Option<String>,
    /// Local directories that were laid over the image; its results are not reproducible then.
    pub dev_mount: Vec<DevMountEntry>,
    /// Why nobody can run it again from its image alone: a dev mount; null: there is none.
    pub not_reproducible: Option<String>,
    /// Names of the sweeps that must end before it starts; empty once they have.
    pub waits_for: Vec<String>,
    /// Why the coordinator cancelled it; null: it did not.
    pub cancel_reason: Option<String>,
    pub owner: String,
    pub priority: i32,
    pub counts: Counts,
    pub created: Option<Timestamp>,
    /// When its last job finished; null before that.
    pub finished: Option<Timestamp>,
    pub tags: Vec<String>,
    /// What its owner wrote about it.
    pub note: Option<String>,
    /// The best job so far, by the first of its goals that a job has reported, or a usual metric; null: none has.
    pub best: Option<BestSoFar>,
    /// Jobs that end in a minute, by the last five minutes; null: that is not known, or none is left.
    pub jobs_per_minute: Option<f64>,
    /// How long the jobs that are left take at this rate; null: that is not known.
    pub seconds_left: Option<f64>,
    #[serde(flatten)]
    pub held_out: HeldOut,
}

/// The best job of a sweep so far.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BestSoFar {
    pub metric: String,
    pub value: f64,
    pub job: u32,
}

/// A sweep with its manifest, and what is to be said of its jobs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ShownSweep {
    #[serde(flatten)]
    pub sweep: Sweep,
    /// Its directory under the store's root.
    pub store: String,
    /// When its results are removed; null: they are kept.
    pub kept_until: Option<Timestamp>,
    /// True if its results were removed, as the manifest's `keep` says.
    pub expired: bool,
    pub pace: Option<Pace>,
    /// Why jobs wait.
    pub waiting: Vec<Waiting>,
    /// What agents have found of `containers: warm`; null: its jobs run as the manifest asks.
    pub warm: Option<Warm>,
    pub reuse: Option<Reuse>,
    /// Queued jobs whose last attempt failed or was lost, by the reasons.
    pub retrying: Vec<Retrying>,
    /// Jobs that failed, by their reasons.
    pub failures: Vec<Failures>,
    /// Who was told of it, or is to be; the latest event first.
    pub notifications: Vec<Told>,
    /// As it was submitted, with secrets as `***`.
    pub manifest: Value,
}

/// How jobs run that can't run warm as the manifest asks.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Warm {
    /// `each` or `reuse`; null: they do run warm.
    pub containers: Option<String>,
    /// Why they don't run warm.
    pub why: Option<String>,
    /// Modules that each job imports itself, each with why.
    pub left_out: BTreeMap<String, String>,
}

/// How long the sweep's jobs take.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Pace {
    /// How many jobs were measured.
    pub jobs: u32,
    /// Of an average job.
    pub seconds: f64,
    pub peak_memory_bytes: Option<u64>,
}

impl Pace {
    /// What a job takes, in words: `10s and 64 MiB of memory`.
    pub fn of_a_job(&self) -> String {
        let memory = self.peak_memory_bytes.map(|bytes| format!(" and {} of memory", ByteSize(bytes)));
        span::of_seconds(self.seconds) + &memory.unwrap_or_default()
    }

    /// How long the rest takes if as many jobs run on as do now, in words; nothing if none runs.
    pub fn left(&self, counts: &Counts) -> Option<String> {
        let rest = f64::from(counts.queued + counts.running) * self.seconds;
        (counts.running > 0).then(|| span::of_seconds(rest / f64::from(counts.running)))
    }
}

/// Metrics that a sweep is about where its goals name none, the first of them that there is.
const USUAL: [&str; 4] = ["sharpe", "sharpe_ratio", "sortino", "cagr"];

/// Which of these metrics a sweep is about: the first one that its manifest has a goal for, or a usual one, or the first.
pub fn main_metric(goals: impl IntoIterator<Item = impl AsRef<str>>, metrics: &[String]) -> Option<&str> {
    let find = |name: &str| metrics.iter().find(|metric| *metric == name);
    let goal = goals.into_iter().find_map(|name| find(name.as_ref()));
    goal.or_else(|| USUAL.into_iter().find_map(find)).or(metrics.first()).map(String::as_str)
}

/// Why jobs wait.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Waiting {
    /// The agent whose reason it is; null: the reason is not an agent's.
    pub agent: Option<String>,
    pub why: String,
}

/// Queued jobs whose last attempt ended for one reason.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Retrying {
    /// failed or lost.
    pub state: &'static str,
    /// Such as `exit(1)`; null where the attempts were lost.
    pub reason: Option<String>,
    pub jobs: u32,
    /// The smallest number of these jobs.
    pub first_job: u32,
    /// None of them is tried again before this time.
    pub next_try: Option<Timestamp>,
}

/// Jobs that failed for one reason.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Failures {
    pub reason: Option<String>,
    pub jobs: u32,
    /// The smallest number of these jobs.
    pub first_job: u32,
}

/// What a sweep takes from identical jobs of other sweeps.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Reuse {
    pub state: ReuseState,
    pub note: Option<String>,
    /// Jobs that have another job's result.
    pub taken: u32,
    /// Jobs that wait for an identical one.
    pub attached: u32,
    /// Jobs that were run before with different metrics.
    pub differing: u32,
    pub sources: Vec<ReuseSource>,
}

#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReuseState {
    Pending,
    Declined,
    Settled,
}

/// A sweep that results are taken from.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReuseSource {
    pub id: String,
    pub name: String,
    pub taken: u32,
    pub attached: u32,
}

/// Two sweeps side by side.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Comparison {
    pub a: ComparedSweep,
    pub b: ComparedSweep,
    pub points: ComparedPoints,
    /// What else differs between the two, and may explain their metrics.
    pub differences: Vec<Difference>,
    /// With --by: the metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// With --by: its values at each point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<ComparedPoint>>,
    /// Without --by: each metric that both have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Vec<ComparedMetric>>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct ComparedSweep {
    pub id: String,
    pub name: String,
    pub image: String,
    pub image_pin: Option<String>,
    /// Names of the agents that ran its jobs.
    pub agents: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct ComparedPoints {
    pub both: u64,
    pub only_a: u64,
    pub only_b: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Difference {
    pub what: String,
    pub a: String,
    pub b: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct ComparedPoint {
    pub job_a: u32,
    pub job_b: u32,
    pub params: Object,
    pub a: f64,
    pub b: f64,
    /// b - a.
    pub difference: f64,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct ComparedMetric {
    pub metric: String,
    /// maximize or minimize: which values are better.
    pub goal: &'static str,
    /// Points at which both sweeps reported it.
    pub points: usize,
    pub best: Pair,
    pub median: Pair,
    pub mean: Pair,
    /// Points at which B is better, worse or the same.
    pub better: usize,
    pub worse: usize,
    pub same: usize,
    /// Points of both sweeps at which only one reported it.
    pub only_a: usize,
    pub only_b: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Pair {
    pub a: f64,
    pub b: f64,
}
