//! Results: what jobs published, and what is in the store beside that.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// A stored file of a job.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    pub job: u32,
    pub path: String,
    /// Bytes; null if it is not known, because the file is compressed and not published.
    pub size: Option<u64>,
    /// Of a file whose size is not known: the bytes that it takes in the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored_size: Option<u64>,
    /// Hexadecimal digits; null if it is not published.
    pub sha256: Option<String>,
    pub attempt: u32,
    /// The attempt's state, of a file that is not published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'static str>,
}

/// A file that is not as it was published.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Damage {
    pub job: u32,
    pub path: String,
    /// True for result.json, which btctl writes, and false for an output of the job.
    pub document: bool,
    pub fault: String,
}

/// Files that no result needs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Garbage {
    /// Name of the sweep.
    pub sweep: String,
    pub sweep_id: String,
    pub job: u32,
    pub attempt: Option<u32>,
    pub why: String,
    pub files: u64,
    /// Bytes of all these files.
    pub size: u64,
}

/// Metrics that were added to jobs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ImportedMetrics {
    /// Jobs that got metrics, or would get them.
    pub changed: u32,
    /// Jobs that had all of them before.
    pub unchanged: u32,
    /// Names of the metrics that are new.
    pub added: Vec<String>,
    /// Names of the metrics that replaced others.
    pub overwritten: Vec<String>,
    pub dry_run: bool,
}

/// A file or metric that was compared with its rerun.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RerunFinding {
    /// Name of the agent of the rerun.
    pub agent: String,
    /// Id of the rerun's sweep.
    pub sweep: String,
    /// file, metric, or job if the rerun has no result.
    pub kind: &'static str,
    pub name: String,
    /// same, different, missing, new or failed.
    pub verdict: &'static str,
    /// A file's SHA-256, or a metric's number.
    pub recorded: Value,
    pub now: Value,
}
