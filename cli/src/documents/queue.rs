//! Jobs and their attempts.

use bt_model::state::AttemptState;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::Object;

/// A job.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Job {
    /// Its number in its sweep.
    pub(crate) job: u32,
    /// queued, running, succeeded, failed or cancelled.
    pub(crate) state: &'static str,
    pub(crate) params: Object,
    /// Numbers that the job reported.
    pub(crate) metrics: Object,
    /// How many attempts it has had, without those that were handed back before their containers had started.
    pub(crate) attempts: u32,
    /// Name of the agent of the latest attempt.
    pub(crate) agent: Option<String>,
    /// Why it failed, such as `exit(1)`.
    pub(crate) reason: Option<String>,
    /// When the latest attempt's container started.
    pub(crate) started: Option<Timestamp>,
    pub(crate) finished: Option<Timestamp>,
    pub(crate) usage: Usage,
    /// The identical job whose result it has.
    pub(crate) reused_from: Option<Twin>,
    /// The identical job that it waits for.
    pub(crate) attached_to: Option<Twin>,
    /// What the latest attempt's container ran.
    pub(crate) image_id: Option<String>,
    /// How the last attempt ended that failed or was lost; null where there is none, or the job has finished.
    pub(crate) last_failure: Option<LastFailure>,
}

/// How a job's last attempt ended that did not succeed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LastFailure {
    /// Its number, counted from 1.
    pub(crate) attempt: u32,
    /// failed or lost.
    pub(crate) state: &'static str,
    /// The agent's name.
    pub(crate) agent: String,
    /// Such as `exit(1)`; null where it was lost.
    pub(crate) reason: Option<String>,
    pub(crate) ended: Option<Timestamp>,
    /// The job is not tried again before this time; null where it runs.
    pub(crate) next_try: Option<Timestamp>,
}

/// What the latest attempt used; null where it was not measured.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Usage {
    pub(crate) peak_memory_bytes: Option<u64>,
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) written_bytes: Option<u64>,
    pub(crate) wall_seconds: Option<f64>,
}

/// An identical job.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Twin {
    /// Id of its sweep.
    pub(crate) id: String,
    /// Name of its sweep.
    pub(crate) name: String,
    pub(crate) job: u32,
    /// The attempt that made the result; null where there is none yet.
    pub(crate) attempt: Option<u32>,
}

/// A job and all of its attempts.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ShownJob {
    #[serde(flatten)]
    pub(crate) job: Job,
    /// Its attempts, the first one first.
    pub(crate) history: Vec<Attempt>,
}

/// One try at running a job.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Attempt {
    /// Counted from 1.
    pub(crate) attempt: u32,
    /// leased, preparing, running, publishing, succeeded, failed, cancelled, lost, or returned: its agent never got it, or
    /// handed it back.
    #[serde(serialize_with = "by_name")]
    #[schemars(with = "&'static str")]
    pub(crate) state: AttemptState,
    /// The agent's name.
    pub(crate) agent: String,
    /// Why it did not succeed.
    pub(crate) reason: Option<String>,
    /// What it waits for.
    pub(crate) note: Option<String>,
    /// When the agent got it.
    pub(crate) leased: Option<Timestamp>,
    /// When its container started.
    pub(crate) started: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
}

fn by_name<S: Serializer>(state: &AttemptState, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.name())
}

/// A job that an agent works on now.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RunningJob {
    /// Name of its sweep.
    pub(crate) sweep: String,
    pub(crate) sweep_id: String,
    pub(crate) job: u32,
    /// Counted from 1.
    pub(crate) attempt: u32,
    /// leased, preparing, running or publishing.
    pub(crate) state: &'static str,
    /// The agent's name.
    pub(crate) agent: String,
    pub(crate) owner: String,
    /// What it waits for.
    pub(crate) note: Option<String>,
    /// When the agent got it.
    pub(crate) leased: Option<Timestamp>,
    /// When its container started; null before that.
    pub(crate) started: Option<Timestamp>,
}

/// A job in a table of all jobs of its sweep.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ExportedJob<'s> {
    #[serde(flatten)]
    pub(crate) job: Job,
    /// Name of its sweep.
    pub(crate) sweep: &'s str,
    pub(crate) sweep_id: &'s str,
    /// As the manifest names it.
    pub(crate) image: &'s str,
    pub(crate) image_pin: Option<&'s str>,
}

/// Why a job does not run.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Explained {
    pub(crate) job: u32,
    /// queued, running, succeeded, failed or cancelled.
    pub(crate) state: &'static str,
    /// Reasons that are not an agent's.
    pub(crate) reasons: Vec<String>,
    /// What each agent says.
    pub(crate) agents: Vec<AgentReason>,
    /// Commands that help.
    pub(crate) next: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AgentReason {
    /// The agent's name.
    pub(crate) agent: String,
    pub(crate) why: String,
}

/// What a job left that was run on this machine.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LocalRun {
    pub(crate) job: u32,
    /// succeeded or failed.
    pub(crate) state: &'static str,
    pub(crate) reason: Option<String>,
    pub(crate) outputs: Vec<LocalOutput>,
    /// The content of metrics.json; null without it.
    pub(crate) metrics: Value,
    pub(crate) peak_memory_bytes: Option<u64>,
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) image_id: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LocalOutput {
    pub(crate) path: String,
    /// Bytes.
    pub(crate) size: u64,
}
