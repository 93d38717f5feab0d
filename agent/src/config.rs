//! The agent's settings.

use std::path::PathBuf;
use std::time::Duration;

/// All that an agent must be told.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Name that people know the agent by; the host's name if not given.
    #[arg(long, env = "BTCTL_AGENT_NAME", value_name = "NAME")]
    pub name: Option<String>,
    /// Cpus offered to jobs, fractions allowed; all of the machine's if not given.
    #[arg(long, env = "BTCTL_AGENT_CPUS", value_name = "N")]
    pub cpus: Option<f64>,
    /// Memory offered to jobs, e.g. 8GiB; the machine's less a reserve if not given.
    #[arg(long, env = "BTCTL_AGENT_MEMORY", value_name = "SIZE")]
    pub memory: Option<String>,
    /// Disk space offered to jobs' results, e.g. 100GiB; what is free in the state directory less a tenth if not given.
    #[arg(long, env = "BTCTL_AGENT_DISK", value_name = "SIZE")]
    pub disk: Option<String>,
    /// Gpus offered to jobs.
    #[arg(long, env = "BTCTL_AGENT_GPUS", default_value_t = 0, value_name = "N")]
    pub gpus: u32,
    /// Label that sweeps can ask for, e.g. pool=spot; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub labels: Vec<String>,
    /// Directory offered to jobs under a name, e.g. prices=/srv/prices:ro; may be repeated.
    #[arg(long = "volume", value_name = "NAME=DIR[:ro]")]
    pub volumes: Vec<String>,
    /// How long running jobs may finish after a first SIGTERM; then they are handed back.
    #[arg(long, env = "BTCTL_DRAIN_TIMEOUT", default_value = "30s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub drain_timeout: Duration,
    /// How long a container may take to end by itself after SIGTERM before it is killed.
    #[arg(long, env = "BTCTL_STOP_GRACE", default_value = "10s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub stop_grace: Duration,
    /// File whose appearance says that this machine is being taken back, as spot machines are: the agent drains, and what
    /// it can't finish counts as preempted.
    #[arg(long, env = "BTCTL_PREEMPT_NOTICE", value_name = "file:PATH", value_parser = notice)]
    pub preempt_notice: Option<PathBuf>,
    /// What runs containers. `simulated` runs none: it is for scale and fault tests.
    #[arg(long, hide = true, default_value = "docker", value_name = "ENGINE")]
    pub engine: EngineKind,
}

fn notice(text: &str) -> Result<PathBuf, String> {
    match text.strip_prefix("file:") {
        Some(path) if path.starts_with('/') => Ok(path.into()),
        _ => Err("write file: and an absolute path, e.g. file:/run/preempted".to_owned()),
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
    /// Directory of the agent's id, logs, and the outputs not yet published.
    pub state_dir: PathBuf,
}
