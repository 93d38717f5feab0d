//! What is seen of containers on the machine: which there are, and what each uses.

use std::path::PathBuf;

use bt_model::id::AttemptId;

/// What a container uses at one moment; the sums are since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    pub memory_bytes: u64,
    /// Millionths of a second.
    pub cpu_micros: u64,
    pub written_bytes: u64,
}

/// A container of this agent, met on the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundContainer {
    /// Absent when its label holds no attempt's id; such a container is a stranger's.
    pub attempt: Option<AttemptId>,
    /// The engine's id of it.
    pub container: String,
    /// The engine's id of what it runs.
    pub image_id: String,
    pub state: FoundState,
    /// It was let stand still.
    pub is_frozen: bool,
    /// What of the machine is mounted in it.
    pub mounts: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundState {
    /// Made, and never started.
    Created,
    Running,
    Exited,
}

/// The first process of a container that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerProcess {
    /// As the engine's machine counts.
    pub pid: i32,
    /// The engine's id of the container. The process's control groups bear it.
    pub id: String,
}
