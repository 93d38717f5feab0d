//! What the HTTP API answers with besides the documents that commands print.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Agent, Attempt, Family, Job, Limit, Output, Quota, RunningJob, Sweep};

/// Sweeps, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Sweeps {
    pub sweeps: Vec<Sweep>,
    /// Finished sweeps that were left out because `all` is not set.
    pub hidden: u32,
}

/// A page of a sweep's jobs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Jobs {
    pub jobs: Vec<Job>,
    /// What to give as `after` to get the next page; null: there is none.
    pub next: Option<u32>,
}

/// A job's attempts, the first one first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Attempts {
    pub attempts: Vec<Attempt>,
}

/// The files that a job has published.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Outputs {
    pub outputs: Vec<Output>,
}

/// Jobs that agents work on now, the oldest first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RunningJobs {
    pub jobs: Vec<RunningJob>,
    /// True if there are more than one answer holds.
    pub cut: bool,
}

/// All agents.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Agents {
    pub agents: Vec<Agent>,
}

/// All limits.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Limits {
    pub limits: Vec<Limit>,
}

/// What owners may have and do.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Quotas {
    pub quotas: Vec<Quota>,
}

/// What was cancelled.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Cancelled {
    /// Jobs that this call cancelled.
    pub cancelled: u32,
    /// Of these, those whose containers are being stopped.
    pub stopping: u32,
    /// Jobs that had finished before, and stay as they are.
    pub finished: u32,
}

/// What was pruned.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Pruned {
    /// Jobs that this call pruned; their containers are being stopped.
    pub pruned: u32,
    /// Jobs that do not run now, and so have nothing to be judged by; they stay as they are.
    pub queued: u32,
    /// Jobs that had finished before, and stay as they are.
    pub finished: u32,
}

/// Jobs that are to be tried again.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Retried {
    pub queued: u32,
}

/// Whether a call changed anything.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Changed {
    pub changed: bool,
}

/// Why a call was refused.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Refused {
    pub error: Refusal,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Refusal {
    /// Such as `not_found` or `invalid_argument`; the names are those of gRPC.
    pub code: &'static str,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// The metrics that a sweep's jobs have reported.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Metrics {
    pub metrics: Vec<Metric>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Metric {
    pub metric: String,
    /// maximize or minimize, as the manifest's `goals` say; null where they don't name it.
    pub goal: Option<String>,
}

/// What a coordinator logs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogFilter {
    /// As `--log` takes it.
    pub filter: String,
}

/// Families, the one that was tried last first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Families {
    pub families: Vec<Family>,
}
