//! The manifest of a sweep: what runs, over which parameters, with which resources.
//!
//! Text is parsed into a [`Draft`], flags are merged into it, and [`Draft::finish`] makes the [`Manifest`], which has
//! been checked: code that holds one does not check it again. Between client and coordinator it travels as the JSON of
//! [`Manifest::to_json`].

mod admit;
mod algorithm;
mod axis_flag;
mod canonical;
pub(crate) mod check;
mod choice;
mod document;
mod draft;
pub(crate) mod effects;
mod error;
mod goals;
mod look_alike;
mod matrix;
mod mounts;
mod policy;
mod range;
mod read;
mod recipe;
mod reported;
mod rows;
mod sandbox;
mod size;
mod volume;
mod zone;

use std::collections::BTreeMap;
use std::time::Duration;

pub use axis_flag::parse_axis_flag;
pub use check::{MAX_ARGUMENTS, MAX_ENV, MAX_LABELS, MAX_RETRIES, MAX_VOLUMES, MAX_WORD, MAX_WORDS};
pub use choice::{Containers, Goal, JobUser, Network, OnDisconnect, Pull};
pub use draft::Draft;
pub use error::{Error, Place, Places, suggestion};
pub use goals::parse_goal_flag;
pub use matrix::{Axis, MAX_AXES, MAX_ENTRIES, MAX_VALUES, Matrix};
pub use mounts::{INPUT_DIR, SHARED_CACHE, ZONES_DIR};
pub use policy::{
    Keep, MAX_LIMIT, MAX_PARALLEL, Policy, Retries, check_limit, parse_limit_flag, parse_reason,
};
pub use range::Range;
pub use read::ALL_GPUS;
pub use rows::csv_rows;
pub use sandbox::{DEFAULT_LOG_LIMIT, DEFAULT_PIDS, Platform, Sandbox, Tmpfs, parse_ulimit_flag};
pub use size::{LEAST_MEMORY, parse_cpus, parse_size, parse_timeout};
pub use volume::VolumeMount;

use crate::expansion::{Expansion, Points, Search};
use crate::parameters::Parameters;
use crate::resources::Resources;
use crate::template::{Rendered, Renderer};

/// What a manifest is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    #[default]
    Yaml,
    Toml,
    Json,
}

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
    /// Which way metrics are better; without a goal, higher is.
    pub goals: BTreeMap<String, Goal>,
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

/// A random choice of jobs. The same seed chooses the same jobs for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    pub count: u32,
    pub seed: u64,
}

/// What a job asks for. What it does not ask for has a default where it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Thousandths of a cpu.
    pub cpu_millis: Option<u64>,
    pub memory_bytes: Option<u64>,
    pub gpus: Option<u32>,
    pub shm_bytes: Option<u64>,
    pub disk_bytes: Option<u64>,
}

impl Manifest {
    /// Parses a manifest. `origin` is the file's name, for errors.
    pub fn parse(text: &[u8], format: Format, origin: &str) -> Result<Draft, Error> {
        let draft = read::read(&document::Node::parse(text, format, origin)?)?;
        // Only the wire has rows that travel apart; in a file, the list is missing.
        if draft.params.as_ref().is_some_and(Vec::is_empty) {
            let message = "`params` is a text; write a list of maps, one for each job";
            return Err(Error::new(message).or_at(draft.places.of("params")));
        }
        Ok(draft)
    }

    /// Reads what [`Self::to_json`] wrote.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        canonical::read(text)
    }

    /// Checks what is asked of a manifest when it is submitted, and not of one that is read back.
    pub fn admit(&self) -> Result<(), Error> {
        admit::check(self).map_err(|(path, error)| error.or_at(self.places.of(&path)))
    }

    /// All of the manifest as JSON, but for the rows of [`JobSource::Rows`], which travel apart: in their place stands
    /// `"params": "rows"`.
    pub fn to_json(&self) -> String {
        canonical::write(self)
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

    /// True if jobs that follow each other on an agent run in one container; jobs with gpus have one of their own.
    pub fn shares_containers(&self) -> bool {
        self.sandbox.containers() == Containers::Reuse && self.needs.gpus.unwrap_or(0) == 0
    }

    /// How many threads a job's libraries should start; none where the manifest names no cpus, and the agent's rule
    /// decides.
    pub fn thread_count(&self) -> Option<u64> {
        self.needs.cpu_millis.map(|millis| millis.div_ceil(1000))
    }

    /// The labels that an agent must have: those that the manifest names, and what its platform and network ask for.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.agents.clone();
        if let Some(platform) = &self.sandbox.platform {
            labels.insert("os".to_owned(), platform.os.clone());
            labels.insert("arch".to_owned(), platform.arch.clone());
        }
        if self.network == Network::Bridge {
            labels.insert("network".to_owned(), self.network.name().to_owned());
        }
        labels
    }

    /// All jobs' parameters, after every check: each job that comes out of it renders.
    pub fn expand(&self) -> Result<Expansion<'_>, Error> {
        Expansion::of(self)
    }

    /// The same in steps, for a server.
    pub fn begin_expansion(&self) -> Result<Search<'_>, Error> {
        Search::of(self)
    }

    /// What to tell the user of texts that look like numbers or booleans in other languages, one line for each parameter.
    pub fn look_alikes(&self) -> Vec<String> {
        look_alike::of(&self.jobs)
    }

    /// The parameters of a matrix's jobs by their points, without a search for the jobs among them.
    pub fn points(&self) -> Result<Points<'_>, Error> {
        Points::of(&self.jobs)
    }

    /// All that changes a result but image and parameters, as JSON: jobs of manifests with the same recipe, the same image
    /// and the same parameters are identical, if their volumes hold the same.
    pub fn recipe(&self) -> String {
        recipe::of(self)
    }

    /// Compiles the templates.
    pub fn renderer(&self) -> Result<Renderer<'_>, Error> {
        Renderer::new(self)
    }

    /// One job's command and environment. For many jobs, keep one [`Self::renderer`].
    pub fn render(&self, parameters: &Parameters) -> Result<Rendered, Error> {
        self.renderer()?.render(parameters)
    }
}

pub const DEFAULT_CPU_MILLIS: u64 = 1000;
pub const DEFAULT_RESULTS: &str = "/results";
pub const DEFAULT_METRICS: &str = "metrics.json";
/// More jobs than this are refused.
pub const MAX_JOBS: u32 = 10_000_000;

/// The text as UTF-8, or where it is none.
fn utf8<'t>(text: &'t [u8], origin: &str) -> Result<&'t str, Error> {
    std::str::from_utf8(text).map_err(|error| {
        let (before, after) = text.split_at(error.valid_up_to());
        let line = before.split(|byte| *byte == b'\n');
        let last = line.clone().next_back().map_or(0, |last| String::from_utf8_lossy(last).chars().count());
        Error {
            origin: Some(origin.to_owned()),
            line: u32::try_from(line.count()).ok(),
            column: u32::try_from(last + 1).ok(),
            message: match is_utf16(text) {
                true => "the file is UTF-16; save it as UTF-8".to_owned(),
                false => format!(
                    "not UTF-8: the byte {:#04x} at offset {}; save the file as UTF-8",
                    after.first().copied().unwrap_or_default(),
                    before.len()
                ),
            },
        }
    })
}

/// True for the byte order marks of UTF-16, which PowerShell and Excel write.
fn is_utf16(text: &[u8]) -> bool {
    text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff")
}

impl Format {
    /// By the file name's extension; YAML when it says nothing.
    pub fn of_path(path: &str) -> Self {
        match path.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()) {
            Some(extension) if extension == "toml" => Self::Toml,
            Some(extension) if extension == "json" => Self::Json,
            _ => Self::Yaml,
        }
    }
}
