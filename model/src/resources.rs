//! What jobs need and agents have, and the arithmetic between the two.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Cpus, memory, gpus, disk, and a place among the jobs: what a job takes from an agent while its attempt is live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Thousandths of a cpu.
    pub cpu_millis: u64,
    pub memory_bytes: u64,
    pub gpus: u32,
    /// Room in results directories.
    #[serde(default)]
    pub disk_bytes: u64,
    /// Jobs at once, whatever they take: a job takes one.
    #[serde(default)]
    pub jobs: u32,
}

impl Resources {
    /// True when `need` can be taken from what is here.
    pub fn covers(&self, need: &Self) -> bool {
        self.cpu_millis >= need.cpu_millis
            && self.memory_bytes >= need.memory_bytes
            && self.gpus >= need.gpus
            && self.disk_bytes >= need.disk_bytes
            && self.jobs >= need.jobs
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, more: &Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.saturating_add(more.cpu_millis),
            memory_bytes: self.memory_bytes.saturating_add(more.memory_bytes),
            gpus: self.gpus.saturating_add(more.gpus),
            disk_bytes: self.disk_bytes.saturating_add(more.disk_bytes),
            jobs: self.jobs.saturating_add(more.jobs),
        }
    }

    /// What is left when `need` is taken; nothing goes below zero.
    pub fn less(&self, need: &Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.saturating_sub(need.cpu_millis),
            memory_bytes: self.memory_bytes.saturating_sub(need.memory_bytes),
            gpus: self.gpus.saturating_sub(need.gpus),
            disk_bytes: self.disk_bytes.saturating_sub(need.disk_bytes),
            jobs: self.jobs.saturating_sub(need.jobs),
        }
    }
}

impl fmt::Display for Resources {
    /// For people: `1.5 cpus and 2 GiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpus = self.cpu_millis as f64 / 1000.0;
        write!(f, "{cpus} cpus and {}", ByteSize(self.memory_bytes))?;
        match self.gpus {
            0 => Ok(()),
            1 => f.write_str(" and 1 gpu"),
            gpus => write!(f, " and {gpus} gpus"),
        }
    }
}

/// A number of bytes, for people: in the largest binary unit that leaves a whole part, with one decimal at most.
#[derive(Clone, Copy, Debug)]
pub struct ByteSize(pub u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        let Some((shift, unit)) = units.into_iter().find(|(shift, _)| self.0 >> shift > 0) else {
            return f.pad(&format!("{} B", self.0));
        };
        let tenths = (self.0 as f64 / (1_u64 << shift) as f64 * 10.0).floor() / 10.0;
        f.pad(&format!("{tenths} {unit}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        let shown = [0, 1023, 1024, 1536, 8 << 30, (2 << 40) - 1].map(|n| ByteSize(n).to_string());
        assert_eq!(shown, ["0 B", "1023 B", "1 KiB", "1.5 KiB", "8 GiB", "1.9 TiB"]);
    }
}
