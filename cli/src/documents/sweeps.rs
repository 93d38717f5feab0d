//! Sweeps, before and after they are queued.

use std::collections::BTreeMap;

use bt_proto::v1;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::Object;

/// A sweep that was queued.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Submitted {
    pub(crate) id: String,
    pub(crate) name: String,
    /// How many jobs it has.
    pub(crate) jobs: u32,
    /// True if an earlier submit with the same idempotency key queued it.
    pub(crate) existed: bool,
    /// With --reuse: what it takes from identical jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reuse: Option<Reuse>,
}

/// A job that a submit would queue.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PlannedJob<'j> {
    pub(crate) job: u32,
    pub(crate) params: Object,
    pub(crate) command: &'j [String],
    /// The variables of the manifest, as this job gets them.
    pub(crate) env: Object,
}

/// Resources that an earlier sweep's jobs would have needed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SuggestedResources {
    pub(crate) cpus: f64,
    pub(crate) memory_bytes: u64,
    pub(crate) measured: Measured,
}

/// What an earlier sweep's jobs used at most.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Measured {
    /// How many jobs were measured.
    pub(crate) jobs: u32,
    pub(crate) peak_memory_bytes: u64,
    pub(crate) cpus: f64,
    pub(crate) longest_seconds: f64,
}

/// How many jobs of a sweep are in each state.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(crate) struct Counts {
    pub(crate) queued: u32,
    pub(crate) running: u32,
    pub(crate) succeeded: u32,
    pub(crate) failed: u32,
    pub(crate) cancelled: u32,
}

/// The state of a sweep, by the states of its jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SweepState {
    Queued,
    Paused,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl SweepState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Paused => "paused",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A sweep.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Sweep {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) state: SweepState,
    /// As the manifest names it.
    pub(crate) image: String,
    /// What all jobs run; null before the first one starts.
    pub(crate) image_pin: Option<String>,
    pub(crate) owner: String,
    pub(crate) priority: i32,
    pub(crate) counts: Counts,
    pub(crate) created: Option<Timestamp>,
    /// When its last job finished; null before that.
    pub(crate) finished: Option<Timestamp>,
    pub(crate) tags: Vec<String>,
    /// What its owner wrote about it.
    pub(crate) note: Option<String>,
}

/// A sweep with its manifest, and what is to be said of its jobs.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ShownSweep {
    #[serde(flatten)]
    pub(crate) sweep: Sweep,
    /// Its directory under the store's root.
    pub(crate) store: String,
    /// When its results are removed; null: they are kept.
    pub(crate) kept_until: Option<Timestamp>,
    /// True if its results were removed, as the manifest's `keep` says.
    pub(crate) expired: bool,
    pub(crate) pace: Option<Pace>,
    /// Why jobs wait.
    pub(crate) waiting: Vec<Waiting>,
    /// What agents have found of `containers: warm`; null: its jobs run as the manifest asks.
    pub(crate) warm: Option<Warm>,
    pub(crate) reuse: Option<Reuse>,
    /// Queued jobs whose last attempt failed or was lost, by the reasons.
    pub(crate) retrying: Vec<Retrying>,
    /// Jobs that failed, by their reasons.
    pub(crate) failures: Vec<Failures>,
    /// As it was submitted, with secrets as `***`.
    pub(crate) manifest: Value,
}

/// How jobs run that can't run warm as the manifest asks.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Warm {
    /// `each` or `reuse`; null: they do run warm.
    pub(crate) containers: Option<String>,
    /// Why they don't run warm.
    pub(crate) why: Option<String>,
    /// Modules that each job imports itself, each with why.
    pub(crate) left_out: BTreeMap<String, String>,
}

impl From<v1::Sharing> for Warm {
    fn from(sharing: v1::Sharing) -> Self {
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            containers: some(sharing.containers_text),
            why: some(sharing.why),
            left_out: sharing.left_out.into_iter().collect(),
        }
    }
}

/// How long the sweep's jobs take.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Pace {
    /// How many jobs were measured.
    pub(crate) jobs: u32,
    /// Of an average job.
    pub(crate) seconds: f64,
    pub(crate) peak_memory_bytes: Option<u64>,
}

/// Why jobs wait.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Waiting {
    /// The agent whose reason it is; null: the reason is not an agent's.
    pub(crate) agent: Option<String>,
    pub(crate) why: String,
}

/// Queued jobs whose last attempt ended for one reason.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Retrying {
    /// failed or lost.
    pub(crate) state: &'static str,
    /// Such as `exit(1)`; null where the attempts were lost.
    pub(crate) reason: Option<String>,
    pub(crate) jobs: u32,
    /// The smallest number of these jobs.
    pub(crate) first_job: u32,
    /// None of them is tried again before this time.
    pub(crate) next_try: Option<Timestamp>,
}

/// Jobs that failed for one reason.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Failures {
    pub(crate) reason: Option<String>,
    pub(crate) jobs: u32,
    /// The smallest number of these jobs.
    pub(crate) first_job: u32,
}

/// What a sweep takes from identical jobs of other sweeps.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Reuse {
    pub(crate) state: ReuseState,
    pub(crate) note: Option<String>,
    /// Jobs that have another job's result.
    pub(crate) taken: u32,
    /// Jobs that wait for an identical one.
    pub(crate) attached: u32,
    /// Jobs that were run before with different metrics.
    pub(crate) differing: u32,
    pub(crate) sources: Vec<ReuseSource>,
}

#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ReuseState {
    Pending,
    Declined,
    Settled,
}

/// A sweep that results are taken from.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ReuseSource {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) taken: u32,
    pub(crate) attached: u32,
}

/// Two sweeps side by side.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Comparison {
    pub(crate) a: ComparedSweep,
    pub(crate) b: ComparedSweep,
    pub(crate) points: ComparedPoints,
    /// What else differs between the two, and may explain their metrics.
    pub(crate) differences: Vec<Difference>,
    /// With --by: the metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
    /// With --by: its values at each point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) values: Option<Vec<ComparedPoint>>,
    /// Without --by: each metric that both have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metrics: Option<Vec<ComparedMetric>>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ComparedSweep {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) image_pin: Option<String>,
    /// Names of the agents that ran its jobs.
    pub(crate) agents: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ComparedPoints {
    pub(crate) both: u64,
    pub(crate) only_a: u64,
    pub(crate) only_b: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Difference {
    pub(crate) what: String,
    pub(crate) a: String,
    pub(crate) b: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ComparedPoint {
    pub(crate) job_a: u32,
    pub(crate) job_b: u32,
    pub(crate) params: Object,
    pub(crate) a: f64,
    pub(crate) b: f64,
    /// b - a.
    pub(crate) difference: f64,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ComparedMetric {
    pub(crate) metric: String,
    /// maximize or minimize: which values are better.
    pub(crate) goal: &'static str,
    /// Points at which both sweeps reported it.
    pub(crate) points: usize,
    pub(crate) best: Pair,
    pub(crate) median: Pair,
    pub(crate) mean: Pair,
    /// Points at which B is better, worse or the same.
    pub(crate) better: usize,
    pub(crate) worse: usize,
    pub(crate) same: usize,
    /// Points of both sweeps at which only one reported it.
    pub(crate) only_a: usize,
    pub(crate) only_b: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Pair {
    pub(crate) a: f64,
    pub(crate) b: f64,
}
