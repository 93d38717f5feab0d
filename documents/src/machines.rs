//! Agents, images, limits and settings.

use std::collections::{BTreeMap, HashMap};

use bt_proto::v1;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::Finding;
use super::from_wire::instant;
use super::{RunningJob, Unreadable};

/// A coordinator's certificate, and the authority that signed it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MadeCertificate {
    /// The directory that holds both, and their keys.
    pub tls_dir: String,
    /// Names the authority to clients and agents: `sha256:` and 64 hexadecimal digits.
    pub pin: String,
    /// The file of the certificate.
    pub certificate: String,
    /// Names and addresses that it is for.
    pub names: Vec<String>,
    /// False where the authority was there before.
    pub is_new_authority: bool,
}

/// A directory with what a cluster needs to start.
#[derive(Debug, Serialize, JsonSchema)]
pub struct InitialisedCluster {
    pub dir: String,
    /// By which clients reach the coordinator.
    pub coordinator: String,
    /// Names the cluster's authority to clients and agents: `sha256:` and 64 hexadecimal digits.
    pub pin: String,
    /// The file with the administrator's token.
    pub token_file: String,
    /// False where the settings were there before; they were kept.
    pub is_new: bool,
}

/// How many agents the queue wants.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Demand {
    /// The kind that was asked for, or those of the agents that are connected.
    pub kinds: Vec<KindDemand>,
    /// In what time the queue is to be done.
    pub within_seconds: u64,
    /// For how long more agents than are wanted now count.
    pub hold_seconds: u64,
    /// Since the oldest sweep was submitted whose jobs wait for room.
    pub waiting_seconds: f64,
    /// True if there are more sweeps than were looked at.
    pub cut: bool,
}

/// How many agents of a kind the queue wants.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KindDemand {
    pub cpus: f64,
    pub memory_bytes: u64,
    pub gpus: u32,
    pub labels: BTreeMap<String, String>,
    /// That are connected, without those that drain; where a kind was asked for, those with its labels.
    pub agents: u32,
    /// Of these, without a job.
    pub idle: u32,
    /// The most that was wanted within `hold_seconds`, as far as this coordinator was asked.
    pub wanted: u32,
    pub wanted_now: u32,
    /// Jobs that could run there.
    pub queued: u64,
    pub running: u64,
    /// What queued jobs take one after the other, of sweeps that tell.
    pub work_seconds: f64,
    /// Sweeps none of whose jobs has succeeded yet: one agent's worth of their jobs is wanted.
    pub unknown: Vec<String>,
    /// Sweeps whose jobs don't fit on such an agent.
    pub too_large: Vec<String>,
}

impl From<v1::GetDemandReply> for Demand {
    fn from(reply: v1::GetDemandReply) -> Self {
        let v1::GetDemandReply { kinds, within_seconds, hold_seconds, waiting_seconds, cut } = reply;
        Self {
            kinds: kinds.into_iter().map(KindDemand::from).collect(),
            within_seconds,
            hold_seconds,
            waiting_seconds,
            cut,
        }
    }
}

impl From<v1::KindDemand> for KindDemand {
    fn from(kind: v1::KindDemand) -> Self {
        let size = kind.size.unwrap_or_default();
        Self {
            cpus: size.cpu_millis as f64 / 1_000.0,
            memory_bytes: size.memory_bytes,
            gpus: size.gpus,
            labels: kind.labels.into_iter().collect(),
            agents: kind.agents,
            idle: kind.idle,
            wanted: kind.wanted,
            wanted_now: kind.wanted_now,
            queued: kind.queued,
            running: kind.running,
            work_seconds: kind.work_seconds,
            unknown: kind.unknown,
            too_large: kind.too_large,
        }
    }
}

/// An agent.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Agent {
    pub id: String,
    pub name: String,
    pub state: String,
    /// What it offers.
    pub capacity: Resources,
    /// What no job has now.
    pub free: Resources,
    /// How many jobs run on it.
    pub running: u32,
    pub labels: HashMap<String, String>,
    pub volumes: Vec<String>,
    pub version: String,
    pub engine: String,
    pub last_seen: Option<Timestamp>,
    /// Memory of a job that asks for none.
    pub default_memory_bytes: u64,
    /// What it says about its machine.
    pub about: HashMap<String, String>,
    /// By volume; empty where it is not known yet.
    pub volume_fingerprints: HashMap<String, String>,
    /// Where another agent with this one's id was refused; null if there was none.
    pub contested_by: Option<String>,
    /// When its own certificate ends, which it renews before; null where it has none.
    pub certificate_expires: Option<Timestamp>,
    /// When its jobs must have ended, because its `--lifetime` is over then; null where it has none.
    pub ends: Option<Timestamp>,
    /// True where its certificates were revoked.
    pub revoked: bool,
    /// True where other machines reach the coordinator, and it asks nobody who they are.
    pub insecure: bool,
}

impl TryFrom<&v1::Agent> for Agent {
    type Error = Unreadable;

    fn try_from(agent: &v1::Agent) -> Result<Self, Unreadable> {
        Ok(Self {
            id: agent.id.clone(),
            name: agent.name.clone(),
            state: agent.state_text.clone(),
            capacity: agent.capacity.unwrap_or_default().into(),
            free: agent.free.unwrap_or_default().into(),
            running: agent.running,
            labels: agent.labels.clone(),
            volumes: agent.volumes.clone(),
            version: agent.version.clone(),
            engine: agent.engine.clone(),
            last_seen: instant(agent.last_seen.as_ref())?,
            default_memory_bytes: agent.job_memory_bytes,
            about: agent.about.clone(),
            volume_fingerprints: agent.volume_fingerprints.clone(),
            contested_by: agent.contested_by.clone(),
            certificate_expires: instant(agent.certificate_expires.as_ref())?,
            ends: instant(agent.ends.as_ref())?,
            revoked: agent.revoked,
            insecure: agent.insecure,
        })
    }
}

/// What an agent has for jobs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Resources {
    pub cpus: f64,
    pub memory_bytes: u64,
    pub gpus: u32,
    pub disk_bytes: u64,
    /// How many jobs at once.
    pub jobs: u32,
}

/// An agent and the jobs that it works on.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ShownAgent {
    #[serde(flatten)]
    pub agent: Agent,
    pub running_jobs: Vec<RunningJob>,
}

/// What the agents offered and what of it was used, over the last day.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Fleet {
    /// One a minute, the oldest first; none of minutes in which no coordinator ran.
    pub samples: Vec<FleetSample>,
}

/// How the agents stood at one time.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FleetSample {
    pub at: Timestamp,
    /// Agents that took jobs.
    pub ready: u32,
    /// Agents that were connected, those that drained or were unhealthy among them.
    pub connected: u32,
    /// Jobs that ran on them.
    pub running: u32,
    /// What the connected agents offered.
    pub offered: FleetLoad,
    /// What of it their jobs had taken.
    pub used: FleetLoad,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct FleetLoad {
    pub cpus: f64,
    pub memory_bytes: u64,
    pub gpus: u32,
}

/// A capacity that jobs of all sweeps share.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Limit {
    pub name: String,
    /// Null if it is not set: then jobs that count against it wait.
    pub capacity: Option<u32>,
    pub used: u32,
}

/// What an owner may have and do, and how much of it it uses. What is null does not bind.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Quota {
    /// Null: what holds for owners who have no quota of their own.
    pub owner: Option<String>,
    /// It has a quota of its own.
    pub set: bool,
    /// Queued jobs.
    pub queued: Option<u64>,
    /// Running jobs.
    pub running: Option<u64>,
    /// Cpus of running jobs.
    pub cpus: Option<f64>,
    pub submits_per_minute: Option<u64>,
    /// Of results in the store.
    pub bytes: Option<u64>,
    pub used: QuotaUse,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct QuotaUse {
    pub queued: u64,
    pub running: u64,
    pub cpus: f64,
    /// Sweeps that were submitted in the last minute.
    pub submits: u64,
    /// Null where there is no quota of it.
    pub bytes: Option<u64>,
    /// Containers that were running lately, on average, which fair shares count too (`--fair-share-half-life`). Null where they do
    /// not, or there were none.
    pub running_lately: Option<f64>,
}

impl From<v1::OwnerQuota> for Quota {
    fn from(quota: v1::OwnerQuota) -> Self {
        let v1::Quota { queued, running, cpu_millis, submits_per_minute, bytes } =
            quota.quota.unwrap_or_default();
        let cpus = |millis: u64| millis as f64 / 1000.0;
        let used = quota.used.unwrap_or_default();
        Self {
            owner: quota.owner,
            set: quota.set,
            queued,
            running,
            cpus: cpu_millis.map(cpus),
            submits_per_minute,
            bytes,
            used: QuotaUse {
                queued: used.queued,
                running: used.running,
                cpus: cpus(used.cpu_millis),
                submits: used.submits,
                bytes: used.bytes,
                running_lately: used.lately,
            },
        }
    }
}

/// An image that was pushed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Image {
    pub name: String,
    pub id: String,
    /// Bytes.
    pub size: u64,
    pub pushed_by: String,
    pub pushed: Option<Timestamp>,
}

/// An image of this machine.
#[derive(Debug, Serialize, JsonSchema)]
pub struct InspectedImage {
    pub id: String,
    pub size_bytes: u64,
    /// What the container engine says of it: layers, platform, entrypoint, cmd, user, working_dir, digests.
    #[serde(flatten)]
    pub facts: BTreeMap<&'static str, String>,
    /// What a careful owner would change.
    pub warnings: Vec<String>,
    /// Versions of Python and its packages; null until an agent has looked.
    pub software: Value,
}

/// A setting of the client.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Setting {
    pub setting: String,
    pub value: String,
    /// A flag, the environment, a file or the default.
    pub source: String,
}

/// This machine as an agent would see it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Machine {
    pub host: String,
    pub platform: String,
    pub cpus: u32,
    pub memory_bytes: u64,
    /// What jobs may have of it.
    pub offered_memory_bytes: u64,
    pub gpus: u32,
    /// The version of control groups: v1 or v2.
    pub cgroup: String,
    /// Null if no container engine answers.
    pub engine: Option<String>,
    /// What a job gets that asks for nothing.
    pub sizing: Sizing,
    /// Where Postgres's programs are; null if they are not installed.
    pub postgres: Option<String>,
    pub coordinator: String,
    /// How many agents the coordinator knows; null if none answers.
    pub coordinator_agents: Option<usize>,
    /// What stands in the way of an agent here.
    pub troubles: Vec<String>,
    /// What was looked at of the cluster: the coordinator, Postgres, the store, clocks, agents, containers that are left here.
    pub findings: Vec<Finding>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Sizing {
    pub threads: u64,
    pub memory_bytes: u64,
    pub shm_bytes: u64,
    pub max_jobs: u32,
}
