//! Results: what jobs published, and what is in the store beside that.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// A stored file of a job.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Output {
    pub(crate) job: u32,
    pub(crate) path: String,
    /// Bytes; null if it is not known, because the file is compressed and not published.
    pub(crate) size: Option<u64>,
    /// Of a file whose size is not known: the bytes that it takes in the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stored_size: Option<u64>,
    /// Hexadecimal digits; null if it is not published.
    pub(crate) sha256: Option<String>,
    pub(crate) attempt: u32,
    /// The attempt's state, of a file that is not published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<&'static str>,
}

/// A file that is not as it was published.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Damage {
    pub(crate) job: u32,
    pub(crate) path: String,
    /// True for result.json, which btctl writes, and false for an output of the job.
    pub(crate) document: bool,
    pub(crate) fault: String,
}

/// Files that no result needs.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Garbage {
    /// Name of the sweep.
    pub(crate) sweep: String,
    pub(crate) sweep_id: String,
    pub(crate) job: u32,
    pub(crate) attempt: Option<u32>,
    pub(crate) why: String,
    pub(crate) files: u64,
    /// Bytes of all these files.
    pub(crate) size: u64,
}

/// Metrics that were added to jobs.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ImportedMetrics {
    /// Jobs that got metrics, or would get them.
    pub(crate) changed: u32,
    /// Jobs that had all of them before.
    pub(crate) unchanged: u32,
    /// Names of the metrics that are new.
    pub(crate) added: Vec<String>,
    /// Names of the metrics that replaced others.
    pub(crate) overwritten: Vec<String>,
    pub(crate) dry_run: bool,
}

/// A file or metric that was compared with its rerun.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RerunFinding {
    /// Name of the agent of the rerun.
    pub(crate) agent: String,
    /// Id of the rerun's sweep.
    pub(crate) sweep: String,
    /// file, metric, or job if the rerun has no result.
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    /// same, different, missing, new or failed.
    pub(crate) verdict: &'static str,
    /// A file's SHA-256, or a metric's number.
    pub(crate) recorded: Value,
    pub(crate) now: Value,
}
