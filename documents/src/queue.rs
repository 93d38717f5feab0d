//! Jobs and their attempts.

use bt_model::state::AttemptState;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{Object, Progress, Told};

/// A job.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Job {
    /// Its number in its sweep.
    pub job: u32,
    /// queued, running, succeeded, failed, cancelled or pruned.
    pub state: &'static str,
    pub params: Object,
    /// Numbers that the job reported.
    pub metrics: Object,
    /// How many attempts it has had, without those that were handed back before their containers had started.
    pub attempts: u32,
    /// Name of the agent of the latest attempt.
    pub agent: Option<String>,
    /// Why it failed, such as `exit(1)`, or was pruned.
    pub reason: Option<String>,
    /// When the latest attempt's container started.
    pub started: Option<Timestamp>,
    pub finished: Option<Timestamp>,
    pub usage: Usage,
    /// The identical job whose result it has.
    pub reused_from: Option<Twin>,
    /// The identical job that it waits for.
    pub attached_to: Option<Twin>,
    /// The window whose training it waits for; it has no parameters of its own before that has ended.
    pub waits_for: Option<u32>,
    /// What the latest attempt's container ran.
    pub image_id: Option<String>,
    /// What the next attempt, or the latest one, may use of memory, where that is more than its sweep says because earlier ones ran
    /// out of it.
    pub memory_bytes: Option<u64>,
    /// How the last attempt ended that failed or was lost; null where there is none, or the job has finished.
    pub last_failure: Option<LastFailure>,
    /// How far the job is, while it runs and says so itself.
    pub progress: Option<Progress>,
}

/// How a job's last attempt ended that did not succeed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LastFailure {
    /// Its number, counted from 1.
    pub attempt: u32,
    /// failed or lost.
    pub state: &'static str,
    /// The agent's name.
    pub agent: String,
    /// Such as `exit(1)`; null where it was lost.
    pub reason: Option<String>,
    pub ended: Option<Timestamp>,
    /// The job is not tried again before this time; null where it runs.
    pub next_try: Option<Timestamp>,
}

/// What the latest attempt used; null where it was not measured.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Usage {
    pub peak_memory_bytes: Option<u64>,
    pub cpu_seconds: Option<f64>,
    pub written_bytes: Option<u64>,
    pub wall_seconds: Option<f64>,
}

/// An identical job.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Twin {
    /// Id of its sweep.
    pub id: String,
    /// Name of its sweep.
    pub name: String,
    pub job: u32,
    /// The attempt that made the result; null where there is none yet.
    pub attempt: Option<u32>,
}

/// A job and all of its attempts.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ShownJob {
    #[serde(flatten)]
    pub job: Job,
    /// Its attempts, the first one first.
    pub history: Vec<Attempt>,
}

/// One try at running a job.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Attempt {
    /// Counted from 1.
    pub attempt: u32,
    /// leased, preparing, running, publishing, succeeded, failed, cancelled, lost, or returned: its agent never got it, or
    /// handed it back.
    #[serde(serialize_with = "by_name")]
    #[schemars(with = "&'static str")]
    pub state: AttemptState,
    /// The agent's name.
    pub agent: String,
    /// How much memory its container might use.
    pub memory_bytes: Option<u64>,
    /// Why it did not succeed.
    pub reason: Option<String>,
    /// What it waits for.
    pub note: Option<String>,
    /// When the agent got it.
    pub leased: Option<Timestamp>,
    /// When its container started.
    pub started: Option<Timestamp>,
    /// When its container had stopped, and its outputs began to be sent; null where that is not known.
    pub stopped: Option<Timestamp>,
    pub ended: Option<Timestamp>,
}

fn by_name<S: Serializer>(state: &AttemptState, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.name())
}

/// A job that an agent works on now.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RunningJob {
    /// Name of its sweep.
    pub sweep: String,
    pub sweep_id: String,
    pub job: u32,
    /// Counted from 1.
    pub attempt: u32,
    /// leased, preparing, running or publishing.
    pub state: &'static str,
    /// The agent's name.
    pub agent: String,
    pub owner: String,
    /// What it waits for.
    pub note: Option<String>,
    /// When the agent got it.
    pub leased: Option<Timestamp>,
    /// When its container started; null before that.
    pub started: Option<Timestamp>,
    /// How far it is, where it says so itself.
    pub progress: Option<Progress>,
}

/// A job in a table of all jobs of its sweep.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ExportedJob<'s> {
    #[serde(flatten)]
    pub job: Job,
    /// Name of its sweep.
    pub sweep: &'s str,
    pub sweep_id: &'s str,
    /// As the manifest names it.
    pub image: &'s str,
    pub image_pin: Option<&'s str>,
}

/// Why a job does not run.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Explained {
    pub job: u32,
    /// queued, running, succeeded, failed, cancelled or pruned.
    pub state: &'static str,
    /// Reasons that are not an agent's.
    pub reasons: Vec<String>,
    /// What each agent says.
    pub agents: Vec<AgentReason>,
    /// Commands that help.
    pub next: Vec<String>,
    /// Who was told of its sweep, or is to be; the latest event first.
    pub notifications: Vec<Told>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct AgentReason {
    /// The agent's name.
    pub agent: String,
    pub why: String,
}

/// What a job left that was run on this machine.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LocalRun {
    pub job: u32,
    /// succeeded or failed.
    pub state: &'static str,
    pub reason: Option<String>,
    pub outputs: Vec<LocalOutput>,
    /// The content of metrics.json; null without it.
    pub metrics: Value,
    pub peak_memory_bytes: Option<u64>,
    pub cpu_seconds: Option<f64>,
    pub image_id: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct LocalOutput {
    pub path: String,
    /// Bytes.
    pub size: u64,
}
