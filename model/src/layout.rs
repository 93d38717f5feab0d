//! Where a sweep's results stand under the store's root:
//!
//! ```text
//! <sweep name>-<short id>/<job, zero padded>/<attempt number>/<outputs...>
//!     an output that changed after it was stored, or that something else had taken the name of, is `<name>~<8 digits>`
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

/// Hexadecimal digits in a file's other name.
const OTHER: usize = 8;
/// Bytes of a file's name in a directory.
const LONGEST_NAME: usize = 255;

/// The name that a file gets whose own name other content has: `<name>~<8 digits>`. A name that leaves no room is cut.
pub fn other_name(path: &str, digits: &str) -> String {
    let (dir, name) = match path.rfind('/') {
        Some(slash) => path.split_at(slash + 1),
        None => ("", path),
    };
    let name = &name[..name.floor_char_boundary(LONGEST_NAME - 1 - digits.len())];
    format!("{dir}{name}~{digits}")
}

/// True for a name that a file may get whose own name other content has.
pub fn is_other_name(other: &str, path: &str) -> bool {
    let digits = other.rsplit_once('~').map_or("", |(_, digits)| digits);
    first_name(other).is_some() && other_name(path, digits) == other
}

/// The name that was taken, of a file that has another one. A job may itself give such a name to a file.
pub fn first_name(stored: &str) -> Option<&str> {
    let (name, digits) = stored.rsplit_once('~')?;
    let is_digit = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
    (digits.len() == OTHER && digits.bytes().all(is_digit) && !name.is_empty()).then_some(name)
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

    /// The directory of its outputs.
    pub fn dir(&self) -> String {
        format!("{}/{}", self.job(), self.attempt)
    }

    pub fn output(&self, path: &str) -> String {
        format!("{}/{path}", self.dir())
    }

    /// What an output that stands there is called in the directory of the attempt.
    pub fn name_of(&self, place: &str) -> Option<String> {
        let name = place.strip_prefix(&self.dir())?.strip_prefix('/')?;
        Some(name.to_owned())
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

/// What a file below a sweep's directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role<'p> {
    Output {
        job: u32,
        attempt: u32,
        path: &'p str,
    },
    Log {
        job: u32,
        attempt: u32,
    },
    Result {
        job: u32,
    },
    /// What else stands beside a job's `result.json`.
    Beside {
        job: u32,
    },
    /// Nothing of ours.
    Unknown,
}

impl<'p> Role<'p> {
    /// By its path below the directory of a sweep of `jobs` jobs.
    pub fn of(path: &'p str, jobs: u32) -> Self {
        let Some((dir, name)) = path.split_once('/') else { return Self::Unknown };
        let Some(job) = number(dir).filter(|job| dir == job_dir(*job, jobs)) else { return Self::Unknown };
        let attempt = |text: &str| number(text).filter(|n| *n > 0 && n.to_string() == text);
        if let Some((dir, path)) = name.split_once('/') {
            return match attempt(dir) {
                Some(attempt) => Self::Output { job, attempt, path },
                None => Self::Unknown,
            };
        }
        match name {
            "result.json" => Self::Result { job },
            "stdout.log" | "stderr.log" => Self::Beside { job },
            _ if matches!(first_name(name), Some("stdout.log" | "stderr.log")) => Self::Beside { job },
            _ => match name.strip_suffix(".log").and_then(attempt) {
                Some(attempt) => Self::Log { job, attempt },
                None => Self::Unknown,
            },
        }
    }

    pub fn job(&self) -> Option<u32> {
        match self {
            Self::Output { job, .. }
            | Self::Log { job, .. }
            | Self::Result { job }
            | Self::Beside { job } => Some(*job),
            Self::Unknown => None,
        }
    }
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_by_its_path() {
        let place = AttemptPlace {
            sweep_name: "s".to_owned(),
            sweep: SweepId::random(),
            jobs: 11,
            job: 7,
            attempt: 2,
        };
        let dir = format!("{}/", sweep_dir("s", place.sweep));
        let role = |path: &str| match Role::of(path.strip_prefix(&dir).unwrap(), 11) {
            Role::Output { path, .. } => path.to_owned(),
            role => format!("{role:?}"),
        };
        assert_eq!(role(&place.output("a/b.pck")), "a/b.pck");
        assert_eq!(role(&place.log()), "Log { job: 7, attempt: 2 }");
        assert_eq!(role(&place.result()), "Result { job: 7 }");
        assert_eq!(role(&place.beside("stdout.log")), "Beside { job: 7 }");
        for path in ["notes", "7/1/x", "007/1/x", "07/0/x", "07/+1/x", "07/01/x", "07/x", "07/x.log", "x/1/y"]
        {
            assert_eq!(Role::of(path, 11), Role::Unknown, "{path}");
        }
    }

    #[test]
    fn another_name_tells_the_first() {
        assert_eq!(other_name("a/b.pck.zst", "0123abcd"), "a/b.pck.zst~0123abcd");
        assert_eq!(first_name("a/b.pck~0123abcd"), Some("a/b.pck"));
        assert!(is_other_name("a/x~0123abcd", "a/x") && !is_other_name("b/x~0123abcd", "a/x"));
        assert!(!is_other_name("a/x", "a/x"));
        for name in ["a~b", "a", "a~0123ABCD", "a~0123abc", "~0123abcd", "a~0123abcde"] {
            assert_eq!(first_name(name), None, "{name}");
        }
        let long = format!("d/{}", "ä".repeat(127));
        let other = other_name(&long, "0123abcd");
        assert!(is_other_name(&other, &long));
        assert!(other.len() <= 2 + 255 && other.starts_with("d/ä"), "{other}");
    }

    #[test]
    fn jobs_sort_by_name_as_by_number() {
        assert_eq!(job_dir(0, 1), "0");
        assert_eq!(job_dir(7, 10), "7");
        assert_eq!(job_dir(7, 11), "07");
        assert_eq!(job_dir(17, 1_000_001), "0000017");
    }
}
