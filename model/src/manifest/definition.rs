//! A manifest that has been checked.

use std::collections::BTreeMap;
use std::time::Duration;

use super::choice::{Containers, Driver, Goal, JobUser, OnDisconnect, SampleMethod};
use super::error::Places;
use super::judged::{Judged, default_family};
use super::matrix::Matrix;
use super::network::Network;
use super::policy::Policy;
use super::sandbox::Sandbox;
use super::volume::VolumeMount;
use crate::parameters::Parameters;
use crate::placement::{address_label, process_label};
use crate::resources::Resources;
use crate::windows::Windows;

pub const DEFAULT_CPU_MILLIS: u64 = 1000;
pub const DEFAULT_RESULTS: &str = "/results";
pub const DEFAULT_METRICS: &str = "metrics.json";
pub const DEFAULT_PROGRESS: &str = "progress";
/// More jobs than this are refused.
pub const MAX_JOBS: u32 = 10_000_000;

/// A sweep as it was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    pub name: String,
    pub image: String,
    /// Templates. Empty: the image's own command.
    pub command: Vec<String>,
    /// Templates, but for the names.
    pub env: BTreeMap<String, String>,
    pub jobs: JobSource,
    /// The key `where`: an expression that a job's parameters must fulfil.
    pub filter: Option<String>,
    pub sample: Option<Sample>,
    /// Every job is run in each of these windows.
    pub windows: Option<Windows>,
    /// Within each window, the best job of the training is tested alone.
    pub select: Option<Select>,
    pub volumes: Vec<VolumeMount>,
    /// The key `resources`.
    pub needs: Needs,
    pub timeout: Option<Duration>,
    pub policy: Policy,
    pub sandbox: Sandbox,
    pub priority: i32,
    /// Labels that an agent must have.
    pub agents: BTreeMap<String, String>,
    pub network: Network,
    pub on_disconnect: OnDisconnect,
    pub user: JobUser,
    /// Where the container leaves its outputs: an absolute path in it.
    pub results: String,
    /// The file among the outputs that holds the metrics: a relative path.
    pub metrics: String,
    /// The metrics without which a job has failed.
    pub require: Vec<String>,
    /// The file among the outputs in which a running job says how far it is: a relative path.
    pub progress: String,
    /// Which way metrics are better; without a goal, higher is.
    pub goals: BTreeMap<String, Goal>,
    pub judged: Judged,
    /// An IANA name such as `Asia/Kolkata`; absent: UTC.
    pub timezone: Option<String>,
    pub places: Places,
}

/// Where the jobs' parameters come from.
#[derive(Clone, Debug, PartialEq)]
pub enum JobSource {
    Matrix(Matrix),
    /// One job for each.
    Rows(Vec<Parameters>),
    /// One job without parameters.
    One,
}

/// What is best among the training jobs of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Select {
    pub metric: String,
    pub goal: Goal,
}

/// A random choice of jobs. The same seed chooses the same jobs for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    pub count: u32,
    pub seed: u64,
    pub method: SampleMethod,
}

/// What a job asks for. What it does not ask for has a default where it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Thousandths of a cpu.
    pub cpu_millis: Option<u64>,
    /// The cpus are its own.
    pub pin: Option<bool>,
    pub memory_bytes: Option<u64>,
    pub gpus: Option<u32>,
    pub shm_bytes: Option<u64>,
    pub disk_bytes: Option<u64>,
}

impl Needs {
    /// True if a job's cpus are its own.
    pub fn pin(&self) -> bool {
        self.pin.unwrap_or(false)
    }
}

impl Manifest {
    /// What the sweeps are that are judged together with this one: the ledger counts their trials.
    pub fn family(&self) -> String {
        let named = self.judged.family.clone();
        named.unwrap_or_else(|| default_family(&self.image, &self.command))
    }

    /// The same manifest with the rows that travelled apart.
    #[must_use]
    pub fn with_rows(mut self, rows: Vec<Parameters>) -> Self {
        self.jobs = JobSource::Rows(rows);
        self
    }

    /// True when the manifest's jobs are rows.
    pub fn has_rows(&self) -> bool {
        matches!(self.jobs, JobSource::Rows(_))
    }

    /// The volumes that its jobs need, each with whether read-only is enough for all its mounts.
    pub fn volumes_needed(&self) -> BTreeMap<String, bool> {
        let mut needed = BTreeMap::new();
        for mount in &self.volumes {
            let read_only = needed.entry(mount.volume.clone()).or_insert(true);
            *read_only &= mount.read_only;
        }
        needed
    }

    /// What a job takes from its agent; no memory where the manifest names none, and the agent's rule decides.
    pub fn resources(&self) -> Resources {
        Resources {
            cpu_millis: self.needs.cpu_millis.unwrap_or(DEFAULT_CPU_MILLIS),
            memory_bytes: self.needs.memory_bytes.unwrap_or(0),
            gpus: self.needs.gpus.unwrap_or(0),
            disk_bytes: self.needs.disk_bytes.unwrap_or(0),
            jobs: 1,
        }
    }

    /// How many containers its jobs get; jobs with gpus have one of their own.
    pub fn containers(&self) -> Containers {
        match self.needs.gpus.unwrap_or(0) {
            _ if self.is_process() => Containers::Each,
            0 => self.sandbox.containers(),
            _ => Containers::Each,
        }
    }

    /// True if its jobs run outside of any container.
    pub fn is_process(&self) -> bool {
        self.sandbox.driver == Some(Driver::Process)
    }

    /// How many points one container gets at most, if its jobs are called so.
    pub fn batch(&self) -> Option<u32> {
        self.sandbox.batch
    }

    /// How many threads a job's libraries should start; none where the manifest names no cpus, and the agent's rule
    /// decides.
    pub fn thread_count(&self) -> Option<u64> {
        self.needs.cpu_millis.map(|millis| millis.div_ceil(1000))
    }

    /// The labels that an agent must have: those that the manifest names, and what its platform, driver and network ask for.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.agents.clone();
        if let Some(platform) = &self.sandbox.platform {
            labels.insert("os".to_owned(), platform.os.clone());
            labels.insert("arch".to_owned(), platform.arch.clone());
        }
        if self.network == Network::Bridge {
            labels.insert("network".to_owned(), "bridge".to_owned());
        }
        labels.extend(self.is_process().then(process_label));
        labels.extend(self.network.addresses().iter().map(|address| address_label(&address.to_string())));
        labels
    }
}
