//! What an engine is asked for: the spec of a container.

use std::time::Duration;

use bt_model::id::{AgentId, AttemptId, SweepId};
use bt_model::manifest::HostPort;

use crate::volumes::MountSource;

/// All that an engine must know to make one attempt's container.
///
/// [`plain`](Self::plain) makes one that only says whether the engine starts containers of an image.
#[derive(Clone, Debug)]
pub struct ContainerSpec {
    pub attempt: AttemptId,
    pub agent: AgentId,
    pub sweep: SweepId,
    pub job: u32,
    /// It is to be no container, but a process on this machine.
    pub is_process: bool,
    /// The sweep's pin: `name@sha256:...` or `sha256:...`.
    pub image: String,
    /// In place of the image's own.
    pub entrypoint: Option<Vec<String>>,
    /// Arguments to the entrypoint, as in `docker run`; the image's own when empty.
    pub command: Vec<String>,
    /// The image's own when absent.
    pub working_dir: Option<String>,
    pub env: Vec<(String, String)>,
    /// The container's own name, which it can resolve.
    pub hostname: String,
    /// Uid and gid; the image's user when absent.
    pub user: Option<(u32, u32)>,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    pub cpu_millis: u64,
    /// Memory and swap together.
    pub memory_bytes: u64,
    /// The engine's numbers of the gpus that it gets.
    pub gpus: Vec<u32>,
    /// The cpus that are its own, by Linux's numbers; none: it runs on any.
    pub cores: Vec<u32>,
    /// Size of `/dev/shm`.
    pub shm_bytes: u64,
    /// Most processes and threads.
    pub pids: u32,
    /// Soft and hard limit by name.
    pub ulimits: Vec<(String, i64, i64)>,
    /// Directories in memory besides `/tmp`, with their sizes.
    pub tmpfs: Vec<(String, u64)>,
    pub binds: Vec<Bind>,
    pub network: Network,
    /// Addresses that something on the machine lets the container reach: their names are known in it.
    pub reach: Vec<HostPort>,
    /// Such as `linux/amd64`; any when absent.
    pub platform: Option<String>,
    /// The engine's default when absent.
    pub runtime: Option<String>,
    pub stop: Stop,
    /// Bytes of the log that are kept; the engine keeps more for a reader that is behind.
    pub log_limit: u64,
}

impl ContainerSpec {
    /// A container of the same image by the same runtime, with nothing else of what was asked for. It runs nothing of the
    /// image: its command is not there.
    pub fn plain(&self) -> Self {
        Self {
            platform: self.platform.clone(),
            runtime: self.runtime.clone(),
            ..Self::of_nothing(AttemptId::random(), self.agent, &self.image)
        }
    }

    /// A container of an image for which nothing is asked.
    pub fn of_nothing(id: AttemptId, agent: AgentId, image: &str) -> Self {
        Self {
            attempt: id,
            agent,
            sweep: SweepId::random(),
            job: 0,
            is_process: false,
            image: image.to_owned(),
            hostname: "btctl".to_owned(),
            entrypoint: Some(vec!["/btctl/nothing".to_owned()]),
            command: Vec::new(),
            working_dir: Some("/".to_owned()),
            env: Vec::new(),
            user: Some((65534, 65534)),
            groups: Vec::new(),
            cpu_millis: 100,
            memory_bytes: 64 << 20,
            gpus: Vec::new(),
            cores: Vec::new(),
            shm_bytes: 1 << 20,
            pids: 64,
            ulimits: Vec::new(),
            tmpfs: Vec::new(),
            binds: Vec::new(),
            network: Network::None,
            reach: Vec::new(),
            platform: None,
            runtime: None,
            stop: Stop { signal: "SIGKILL".to_owned(), grace: Duration::ZERO },
            log_limit: 4 << 10,
        }
    }
}

/// How a container is ended: a signal, and SIGKILL if it still runs after the grace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    pub signal: String,
    pub grace: Duration,
}

/// A directory or file of the machine, or a volume of the engine, shown to a container. It must exist: an engine never
/// makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    pub source: MountSource,
    /// Absolute path in the container.
    pub target: String,
    pub read_only: bool,
}

/// What a container can reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    #[default]
    None,
    Bridge,
}
