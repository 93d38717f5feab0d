//! What jobs need and agents have, and the arithmetic between the two.

use serde::{Deserialize, Serialize};

/// Cpus, memory and gpus: what a job takes from an agent while its attempt is live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Thousandths of a cpu.
    pub cpu_millis: u64,
    pub memory_bytes: u64,
    pub gpus: u32,
}

impl Resources {
    /// True when `need` can be taken from what is here.
    pub fn covers(&self, need: &Self) -> bool {
        self.cpu_millis >= need.cpu_millis
            && self.memory_bytes >= need.memory_bytes
            && self.gpus >= need.gpus
    }

    /// What is left when `need` is taken; nothing goes below zero.
    pub fn less(&self, need: &Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.saturating_sub(need.cpu_millis),
            memory_bytes: self.memory_bytes.saturating_sub(need.memory_bytes),
            gpus: self.gpus.saturating_sub(need.gpus),
        }
    }
}
