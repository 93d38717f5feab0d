//! `result.json`: what a published result consists of, for readers that have the store but not Postgres.

use std::collections::BTreeMap;

use bt_model::hex::hex;
use bt_model::id::{AgentId, AttemptId, SweepId};
use bt_model::manifest::DevMount;
use bt_model::software::Software;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The content of `result.json`. Only the files that it names are the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResultDocument {
    #[schemars(with = "String")]
    pub sweep: SweepId,
    pub sweep_name: String,
    pub job: u32,
    /// The number of the attempt that counts; its files are in the directory of that name beside this document. 0 if
    /// another job's attempt counts: then [`Self::reused_from`] names it.
    pub attempt: u32,
    #[schemars(with = "String")]
    pub attempt_id: AttemptId,
    #[schemars(with = "String")]
    pub agent: AgentId,
    /// The machine that it ran on.
    #[serde(default)]
    pub machine: MachineEntry,
    /// The identical job whose result this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reused_from: Option<ReusedEntry>,
    pub published: Timestamp,
    /// The image as the manifest names it, and as it ran.
    pub image: String,
    pub image_pin: Option<String>,
    /// As the container engine knows what ran.
    #[serde(default)]
    pub image_id: Option<String>,
    /// When the container was started, and when the attempt had ended.
    #[serde(default)]
    pub started: Option<Timestamp>,
    #[serde(default)]
    pub ended: Option<Timestamp>,
    pub parameters: Value,
    /// The parameter `seed`, where there is one.
    #[serde(default)]
    pub seed: Option<Value>,
    /// The seed of the random choice of jobs, where there was one.
    #[serde(default)]
    pub sample_seed: Option<u64>,
    /// As it ran; empty: the image's own.
    #[serde(default)]
    pub command: Vec<String>,
    /// Instead of the image's.
    #[serde(default)]
    pub entrypoint: Option<Vec<String>>,
    /// As the manifest and the parameters make it; the values of names that look like secrets are `***`.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default)]
    pub volumes: Vec<VolumeEntry>,
    /// Local directories that were laid over the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dev_mount: Vec<DevMountEntry>,
    /// Why nobody can run the job again from its image alone; absent: dev mounts are no reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_reproducible: Option<String>,
    #[serde(default)]
    pub given: GivenEntry,
    #[serde(default)]
    pub versions: VersionsEntry,
    /// What is in the image; absent until an agent has looked.
    #[serde(default)]
    pub software: Option<Software>,
    pub metrics: Option<Value>,
    #[serde(default)]
    pub usage: UsageEntry,
    pub files: Vec<FileEntry>,
    /// What the job printed, beside this document: `stdout.log` and `stderr.log`. Absent if it printed nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<FileEntry>,
}

/// The machine that a job ran on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MachineEntry {
    /// The agent's name.
    pub name: Option<String>,
    pub os: Option<String>,
    pub arch: Option<String>,
}

/// A volume as it was mounted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VolumeEntry {
    pub volume: String,
    pub target: String,
    pub read_only: bool,
    /// Of its content, 64 hexadecimal digits; null if it has none, or if it changed while the job ran.
    pub fingerprint: Option<String>,
    /// It changed while the job ran, so what the job read is unknown.
    pub changed: bool,
}

/// A local directory that was laid over the image (`--dev-mount`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DevMountEntry {
    /// Where the job found it.
    pub target: String,
    /// Of the archive of what it held, 64 hexadecimal digits.
    pub sha256: String,
    pub files: u32,
    /// Of all files together.
    pub bytes: u64,
}

impl From<&DevMount> for DevMountEntry {
    fn from(mount: &DevMount) -> Self {
        let DevMount { target, sha256, files, bytes } = mount.clone();
        Self { target, sha256, files, bytes }
    }
}

/// What the job was given that is not the same on every machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GivenEntry {
    pub threads: Option<u64>,
    pub cpus: Option<f64>,
    pub memory_bytes: Option<u64>,
    pub shm_bytes: Option<u64>,
    pub gpus: Option<u64>,
    pub timezone: Option<String>,
    /// uid:gid; absent: the image's own.
    pub user: Option<String>,
    /// `process`: it ran without a container or an image, as its machine was. Absent: it ran in a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Absent: it ran in a container of its own, or as the manifest's `containers: reuse` has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm: Option<WarmEntry>,
}

/// That the job ran in a fork of an interpreter (`containers: warm`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WarmEntry {
    /// The packages that the interpreter had imported already.
    pub preloaded: Vec<String>,
}

/// What it was run by.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VersionsEntry {
    /// btctl's on the agent, and on the coordinator that wrote this.
    pub agent: Option<String>,
    pub coordinator: Option<String>,
    pub engine: Option<String>,
}

/// What the container used, as its engine measured it; absent where it ran too short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UsageEntry {
    pub peak_memory_bytes: Option<u64>,
    pub cpu_seconds: Option<f64>,
    pub written_bytes: Option<u64>,
    /// How long it ran.
    #[serde(default)]
    pub wall_seconds: Option<f64>,
}

/// Whose result it is, and where its files are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReusedEntry {
    #[schemars(with = "String")]
    pub sweep: SweepId,
    pub sweep_name: String,
    pub job: u32,
    pub attempt: u32,
    /// The directory of the files, from the store's root.
    pub dir: String,
}

/// One file of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileEntry {
    /// Relative to the attempt's directory.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Its name in the store instead of `path`, its size there, and how to decode it, if it is not stored as it is.
    /// `size` and `sha256` describe the decoded file.
    #[serde(flatten)]
    pub stored: Option<StoredEntry>,
}

/// How a file is stored that is not stored as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoredEntry {
    pub stored_as: String,
    pub stored_size: u64,
    /// `zstd`.
    pub encoding: String,
}

impl ResultDocument {
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).expect("text, numbers and JSON values make JSON");
        json.push(b'\n');
        json
    }
}

impl FileEntry {
    pub fn new(path: &str, size: u64, sha256: &[u8; 32]) -> Self {
        Self { path: path.to_owned(), size, sha256: hex(sha256), stored: None }
    }

    pub fn stored(self, stored_as: &str, stored_size: u64, encoding: &str) -> Self {
        let (stored_as, encoding) = (stored_as.to_owned(), encoding.to_owned());
        Self { stored: Some(StoredEntry { stored_as, stored_size, encoding }), ..self }
    }
}
