//! The agent's settings.

mod availability;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bt_engine::Engine;
use bt_model::image_policy::ImagePattern;
use bt_model::manifest::{HostPort, parse_size};
use bt_proto::bearer::TokenSource;
use bt_trust::ClientTrust;

use crate::preempt::Notice;
use crate::store_choice::StoreChoice;

pub(crate) use availability::{AvailabilityOptions, WhenUnavailable};

/// All that an agent must be told.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Name that people know the agent by; the host's name if not given.
    #[arg(long, env = "BTCTL_AGENT_NAME", value_name = "NAME")]
    pub name: Option<String>,
    /// Cpus offered to jobs, fractions allowed; all cpus of the machine if not given.
    #[arg(long, env = "BTCTL_AGENT_CPUS", value_name = "N")]
    pub cpus: Option<f64>,
    /// Memory offered to jobs, e.g. 8GiB; the machine's memory less a reserve if not given.
    #[arg(long, env = "BTCTL_AGENT_MEMORY", value_name = "SIZE")]
    pub memory: Option<String>,
    /// Disk space offered for jobs' results, e.g. 100GiB; the free space of the state directory less a tenth if not
    /// given.
    #[arg(long, env = "BTCTL_AGENT_DISK", value_name = "SIZE")]
    pub disk: Option<String>,
    /// Gpus offered to jobs, one job at a time on each; all that NVIDIA's driver lists if not given.
    #[arg(long, env = "BTCTL_AGENT_GPUS", value_name = "N")]
    pub gpus: Option<u32>,
    /// Most jobs at once, whatever they need; depends on the machine's size if not given.
    #[arg(long, env = "BTCTL_AGENT_MAX_JOBS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_jobs: Option<u32>,
    /// Memory of a job that does not ask for any, e.g. 512MiB; depends on the machine's size if not given.
    #[arg(long, env = "BTCTL_AGENT_JOB_MEMORY", value_name = "SIZE")]
    pub job_memory: Option<String>,
    /// Label that sweeps can ask for, e.g. pool=spot; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub labels: Vec<String>,
    /// Directory or file offered to jobs under a name, e.g. prices=/srv/prices:ro, or a volume of the container engine,
    /// e.g. prices=nfs-prices:ro; may be repeated. For a directory or file with :ro, each result records a fingerprint
    /// of its content: the agent reads every file once after it starts, while jobs run. With :ro,fingerprint jobs wait
    /// until that is done; with :ro,nofingerprint no fingerprint is made.
    #[arg(long = "volume", value_name = "NAME=SOURCE[:ro[,fingerprint|,nofingerprint]]")]
    pub volumes: Vec<String>,
    /// Directory from which jobs may mount any path by its absolute name, e.g. /srv/data:ro; may be repeated.
    #[arg(long = "allow-host-path", value_name = "DIR[:ro]")]
    pub host_paths: Vec<String>,
    /// Secret of this machine that jobs get by naming it, and the file that holds its value, e.g.
    /// BROKER_KEY=/etc/broker.key; may be repeated. The file is read at each start of a job. Where the coordinator has a
    /// secret of the same name, that one counts.
    #[arg(long = "secret", value_name = "NAME=FILE")]
    pub secrets: Vec<String>,
    /// Directory in memory (a tmpfs) in which jobs get their secrets; /run or /dev/shm if not given.
    #[arg(long, env = "BTCTL_AGENT_SECRETS_DIR", value_name = "DIR")]
    pub secrets_dir: Option<PathBuf>,
    /// Give jobs a network if they ask for one (`network: bridge`).
    #[arg(long, env = "BTCTL_AGENT_ALLOW_NETWORK")]
    pub allow_network: bool,
    /// Address that jobs reach if they name it (`network: {allow: [HOST:PORT]}`), such as a broker's gateway at
    /// 127.0.0.1:4001, and nothing else; may be repeated, in the variable separated by commas. Takes root.
    #[arg(
        long = "allow-address",
        env = "BTCTL_AGENT_ALLOW_ADDRESS",
        value_delimiter = ',',
        value_name = "HOST:PORT"
    )]
    pub allow_addresses: Vec<HostPort>,
    /// Images that this machine runs, whatever a coordinator says, by registry and repository, e.g.
    /// registry.firm.example/quant/*, or by id, sha256:*; may be repeated, in the variable separated by commas. All if not
    /// given.
    #[arg(
        long = "allow-image",
        env = "BTCTL_AGENT_ALLOW_IMAGE",
        value_delimiter = ',',
        value_name = "PATTERN"
    )]
    pub allow_images: Vec<ImagePattern>,
    /// Run jobs that ask for it as plain processes of the agent's user, outside of any container (`driver: process`). Such
    /// a job sees all files and networks that this user sees.
    #[arg(long, env = "BTCTL_AGENT_ALLOW_PROCESS")]
    pub allow_process: bool,
    /// Use no container engine, and run process jobs only (with --allow-process).
    #[arg(long, env = "BTCTL_AGENT_NO_ENGINE", requires = "allow_process")]
    pub no_engine: bool,
    /// OCI runtime that the container engine runs jobs with, e.g. runsc; the engine's default if not given.
    #[arg(long, env = "BTCTL_AGENT_OCI_RUNTIME", value_name = "NAME")]
    pub oci_runtime: Option<String>,
    /// How long running jobs have to finish after a first SIGTERM; then they are handed back.
    #[arg(long, env = "BTCTL_DRAIN_TIMEOUT", default_value = "30s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub drain_timeout: Duration,
    /// How long a container has to stop after SIGTERM before it is killed, if its manifest does not say.
    #[arg(long, env = "BTCTL_STOP_GRACE", default_value = "10s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub stop_grace: Duration,
    /// Source of the notice that this machine will be taken back, as spot machines are: aws, gcp, azure, file:/PATH
    /// (the file appears), or url:http://... (it answers with success). The agent then drains in the time left, and
    /// jobs that it can't finish count as preempted.
    #[arg(long, env = "BTCTL_PREEMPT_NOTICE", value_name = "SOURCE")]
    pub preempt_notice: Option<Notice>,
    /// Stop after this time without work, e.g. 10m.
    #[arg(long, env = "BTCTL_EXIT_WHEN_IDLE", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub exit_when_idle: Option<Duration>,
    /// Drain and stop after this time, e.g. 12h.
    #[arg(long, env = "BTCTL_LIFETIME", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub lifetime: Option<Duration>,
    #[command(flatten)]
    pub availability: AvailabilityOptions,
    /// Image to pull before any job asks for it; may be repeated.
    #[arg(long, value_name = "IMAGE")]
    pub prefetch: Vec<String>,
    /// Disk space to keep free, e.g. 20GiB. When little more is free, the agent takes no new jobs; when no more is
    /// free, it stops a job that writes without a `disk` of its own. If not given, 5GiB or a twentieth of the disk,
    /// whichever is less.
    #[arg(long, env = "BTCTL_AGENT_DISK_RESERVE", value_name = "SIZE")]
    pub disk_reserve: Option<String>,
    /// How long the container engine may take to make, start, stop or remove one container before it counts as hung.
    #[arg(long, env = "BTCTL_AGENT_ENGINE_DEADLINE", default_value = "2m", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub engine_deadline: Duration,
    /// How many containers are made and started at once.
    #[arg(long, env = "BTCTL_AGENT_STARTS_AT_ONCE", default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub starts_at_once: u32,
    /// How many outputs are sent at once, of all jobs together.
    #[arg(long, env = "BTCTL_AGENT_UPLOADS_AT_ONCE", default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub uploads_at_once: u32,
    /// Most bytes a second that all outputs together are sent at, e.g. 50MiB; no limit if not given.
    #[arg(long, env = "BTCTL_AGENT_UPLOAD_RATE", value_parser = parse_rate, value_name = "SIZE")]
    pub upload_rate: Option<u64>,
    /// What runs containers. `simulated` runs none: it is for scale and fault tests.
    #[arg(long, hide = true, default_value = "docker", value_name = "ENGINE")]
    pub engine: EngineKind,
}

/// A size that is not nothing.
fn parse_rate(text: &str) -> Result<u64, String> {
    match parse_size(text) {
        Ok(0) => Err("nothing would ever arrive; leave it out for as fast as it goes".to_owned()),
        Ok(rate) => Ok(rate),
        Err(error) => Err(error.to_string()),
    }
}

impl Options {
    /// As they are when nothing is given but what the environment says.
    pub fn unset() -> Self {
        let command = <Self as clap::Args>::augment_args(clap::Command::new("agent"));
        let matches = command.get_matches_from(["agent"]);
        match <Self as clap::FromArgMatches>::from_arg_matches(&matches) {
            Ok(options) => options,
            Err(error) => error.exit(),
        }
    }

    /// Finds what runs jobs here. Those that are processes have their directories in `processes`.
    pub(crate) async fn find_engine_and(&self, processes: PathBuf) -> anyhow::Result<Arc<dyn Engine>> {
        let engine = match self.no_engine {
            true => None,
            false => Some(self.find_engine().await?),
        };
        match (self.allow_process, engine) {
            (false, Some(engine)) => Ok(engine),
            (_, engine) => Ok(bt_engine::with_processes(engine, processes)?),
        }
    }

    /// Finds what runs containers here.
    pub(crate) async fn find_engine(&self) -> Result<Arc<dyn Engine>, bt_engine::Error> {
        match self.engine {
            EngineKind::Docker => bt_engine::connect(self.starts_at_once, self.engine_deadline).await,
            EngineKind::Simulated => Ok(bt_engine::simulated()),
        }
    }
}

/// What runs containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum EngineKind {
    Docker,
    Simulated,
}

/// Where the agent works, decided by who starts it.
#[derive(Clone, Debug)]
pub struct Place {
    /// Coordinators' addresses, e.g. `http://127.0.0.1:7600`; tried in turn.
    pub coordinators: Vec<String>,
    /// Whom to believe on the way to them.
    pub trust: ClientTrust,
    /// What says to coordinators who the agent is; where it joins, only until it has a certificate of its own.
    pub token: TokenSource,
    /// True: the agent gets a certificate of its own, and shows that.
    pub joins: bool,
    /// Directory of the agent's id, logs, and the outputs not yet published.
    pub state_dir: PathBuf,
    /// How outputs get into the store.
    pub store: StoreChoice,
}
