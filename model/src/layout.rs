//! Where a sweep's results stand under the store's root:
//!
//! ```text
//! <sweep name>-<short id>/<job, zero padded>/<attempt number>/<outputs...>
//! <sweep name>-<short id>/<job, zero padded>/<attempt number>.log
//! <sweep name>-<short id>/<job, zero padded>/stdout.log, stderr.log   of the attempt that counts
//! <sweep name>-<short id>/<job, zero padded>/result.json
//! ```

use crate::id::SweepId;

/// The directory of a sweep.
pub fn sweep_dir(name: &str, sweep: SweepId) -> String {
    format!("{name}-{}", sweep.short())
}

/// The directory of a job within its sweep's: its number, padded to the width of the highest of `jobs` jobs, so that
/// names sort as numbers do.
pub fn job_dir(job: u32, jobs: u32) -> String {
    let highest = jobs.saturating_sub(1).max(job);
    format!("{job:0width$}", width = highest.to_string().len())
}

/// The place of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptPlace {
    pub sweep_name: String,
    pub sweep: SweepId,
    /// How many jobs the sweep has.
    pub jobs: u32,
    pub job: u32,
    /// 1 for the job's first attempt.
    pub attempt: u32,
}

impl AttemptPlace {
    fn job(&self) -> String {
        format!("{}/{}", sweep_dir(&self.sweep_name, self.sweep), job_dir(self.job, self.jobs))
    }

    /// Where its outputs are.
    pub fn dir(&self) -> String {
        format!("{}/{}", self.job(), self.attempt)
    }

    pub fn output(&self, path: &str) -> String {
        format!("{}/{path}", self.dir())
    }

    pub fn log(&self) -> String {
        format!("{}/{}.log", self.job(), self.attempt)
    }

    /// What stands beside the job's `result.json`.
    pub fn beside(&self, name: &str) -> String {
        format!("{}/{name}", self.job())
    }

    pub fn result(&self) -> String {
        format!("{}/result.json", self.job())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_sort_by_name_as_by_number() {
        assert_eq!(job_dir(0, 1), "0");
        assert_eq!(job_dir(7, 10), "7");
        assert_eq!(job_dir(7, 11), "07");
        assert_eq!(job_dir(17, 1_000_001), "0000017");
    }
}
