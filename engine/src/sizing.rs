//! What a job gets that asks for nothing, by the machine's memory:
//!
//! | memory of the machine | threads | memory of a job | `/dev/shm` | jobs at once |
//! | --- | --- | --- | --- | --- |
//! | less than 3 GiB | 1 | 256 MiB | 256 MiB | 5 |
//! | less than 6 GiB | 2 | 512 MiB | 512 MiB | 8 |
//! | less than 12 GiB | 2 to 4 | 1 GiB | 1 GiB | 10, or four for each cpu |
//! | more | 4 | 1 GiB | 2 GiB | 20, or four for each cpu |
//!
//! Never more threads than cpus, nor more `/dev/shm` than memory of the job. What is called a machine of 4 GB has a little
//! less, so the bounds lie between the usual sizes.

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The rule's outcome for one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizing {
    /// Of numeric libraries, where the manifest names no cpus.
    pub threads: u64,
    /// Where the manifest names no memory.
    pub memory_bytes: u64,
    /// Where the manifest names no `shm`; the job's memory bounds it too.
    pub shm_bytes: u64,
    /// Whatever they take.
    pub max_jobs: u32,
}

impl Sizing {
    /// By all the memory that the machine has, or that this process may use, and the cpus that it offers.
    pub fn of(memory_bytes: u64, cpus: u32) -> Self {
        let many = cpus.saturating_mul(4);
        let (threads, memory_bytes, shm_bytes, max_jobs) = match memory_bytes / GIB {
            ..3 => (1, 256 * MIB, 256 * MIB, 5),
            3..6 => (2, 512 * MIB, 512 * MIB, 8),
            6..12 => (cpus.clamp(2, 4), GIB, GIB, many.max(10)),
            12.. => (4, GIB, 2 * GIB, many.max(20)),
        };
        Self { threads: threads.min(cpus).max(1).into(), memory_bytes, shm_bytes, max_jobs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_as_it_is_written() {
        let of = |gib: u64, cpus| {
            // As Linux counts it: a little is missing.
            let Sizing { threads, memory_bytes, shm_bytes, max_jobs } =
                Sizing::of(gib * GIB - 300 * MIB, cpus);
            (threads, memory_bytes / MIB, shm_bytes / MIB, max_jobs)
        };
        assert_eq!(of(2, 4), (1, 256, 256, 5));
        assert_eq!(of(4, 4), (2, 512, 512, 8));
        assert_eq!(of(8, 2), (2, 1024, 1024, 10));
        assert_eq!(of(8, 8), (4, 1024, 1024, 32));
        assert_eq!(of(16, 4), (4, 1024, 2048, 20));
        assert_eq!(of(256, 64), (4, 1024, 2048, 256));
        assert_eq!(of(64, 1), (1, 1024, 2048, 20));
    }
}
