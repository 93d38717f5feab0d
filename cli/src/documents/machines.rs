//! Agents, images, limits and settings.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::RunningJob;

/// An agent.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Agent {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) state: String,
    /// What it offers.
    pub(crate) capacity: Resources,
    /// What no job has now.
    pub(crate) free: Resources,
    /// How many jobs run on it.
    pub(crate) running: u32,
    pub(crate) labels: HashMap<String, String>,
    pub(crate) volumes: Vec<String>,
    pub(crate) version: String,
    pub(crate) engine: String,
    pub(crate) last_seen: Option<Timestamp>,
    /// Memory of a job that asks for none.
    pub(crate) default_memory_bytes: u64,
    /// What it says about its machine.
    pub(crate) about: HashMap<String, String>,
    /// By volume; empty where it is not known yet.
    pub(crate) volume_fingerprints: HashMap<String, String>,
    /// Where another agent with this one's id was refused; null if there was none.
    pub(crate) contested_by: Option<String>,
}

/// What an agent has for jobs.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Resources {
    pub(crate) cpus: f64,
    pub(crate) memory_bytes: u64,
    pub(crate) gpus: u32,
    pub(crate) disk_bytes: u64,
    /// How many jobs at once.
    pub(crate) jobs: u32,
}

/// An agent and the jobs that it works on.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ShownAgent {
    #[serde(flatten)]
    pub(crate) agent: Agent,
    pub(crate) running_jobs: Vec<RunningJob>,
}

/// A capacity that jobs of all sweeps share.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Limit {
    pub(crate) name: String,
    /// Null if it is not set: then jobs that count against it wait.
    pub(crate) capacity: Option<u32>,
    pub(crate) used: u32,
}

/// An image that was pushed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) id: String,
    /// Bytes.
    pub(crate) size: u64,
    pub(crate) pushed_by: String,
    pub(crate) pushed: Option<Timestamp>,
}

/// An image of this machine.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct InspectedImage {
    pub(crate) id: String,
    pub(crate) size_bytes: u64,
    /// What the container engine says of it: layers, platform, entrypoint, cmd, user, working_dir, digests.
    #[serde(flatten)]
    pub(crate) facts: BTreeMap<&'static str, String>,
    /// What a careful owner would change.
    pub(crate) warnings: Vec<String>,
    /// Versions of Python and its packages; null until an agent has looked.
    pub(crate) software: Value,
}

/// A setting of the client.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Setting {
    pub(crate) setting: String,
    pub(crate) value: String,
    /// A flag, the environment, a file or the default.
    pub(crate) source: String,
}

/// This machine as an agent would see it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Machine {
    pub(crate) host: String,
    pub(crate) platform: String,
    pub(crate) cpus: u32,
    pub(crate) memory_bytes: u64,
    /// What jobs may have of it.
    pub(crate) offered_memory_bytes: u64,
    pub(crate) gpus: u32,
    /// The version of control groups: v1 or v2.
    pub(crate) cgroup: String,
    /// Null if no container engine answers.
    pub(crate) engine: Option<String>,
    /// What a job gets that asks for nothing.
    pub(crate) sizing: Sizing,
    /// Where Postgres's programs are; null if they are not installed.
    pub(crate) postgres: Option<String>,
    pub(crate) coordinator: String,
    /// How many agents the coordinator knows; null if none answers.
    pub(crate) coordinator_agents: Option<usize>,
    /// What stands in the way of an agent here.
    pub(crate) troubles: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Sizing {
    pub(crate) threads: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) shm_bytes: u64,
    pub(crate) max_jobs: u32,
}
