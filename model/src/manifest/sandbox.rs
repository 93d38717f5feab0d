//! How a job's container is made, beyond what it needs: the keys that go by docker's and compose's names.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::check;
use super::choice::{Containers, Driver, Pull};
use super::dev_mount::{DevMount, MAX_DEV_MOUNTS};
use super::error::{Error, suggestion};
use super::platform::Platform;
use super::secrets::{MAX_SECRETS, SecretUse};
use super::size::parse_size;
use super::volume::absolute_path;
use super::warm::Warm;

/// The most points of one container.
pub const MAX_BATCH: u32 = 10_000;
/// Processes and threads of a job that asks for no number.
pub const DEFAULT_PIDS: u32 = 1024;
pub(super) const MAX_PIDS: u32 = 4_194_304;
/// Bytes of a job's log that are kept if the manifest says nothing.
pub const DEFAULT_LOG_LIMIT: u64 = 64 << 20;
pub(super) const LEAST_LOG_LIMIT: u64 = 4 << 10;
pub(super) const MOST_LOG_LIMIT: u64 = 1 << 40;
/// The longest time that a container may take to end by itself.
const LONGEST_GRACE: Duration = Duration::from_secs(3600);
pub(super) const MAX_TMPFS: usize = 16;
pub(super) const MAX_GROUPS: usize = 32;
/// The limits that Docker knows.
pub(super) const ULIMITS: [&str; 14] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "sigpending",
    "stack",
];
/// The signals that a stop may be.
pub(super) const SIGNALS: [&str; 7] =
    ["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGKILL"];

/// The keys of this module; what is absent has a default where it is used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sandbox {
    /// What its jobs run in; absent: a container.
    pub driver: Option<Driver>,
    /// In place of the image's own.
    pub entrypoint: Option<Vec<String>>,
    /// An absolute path in the container; absent: the image's.
    pub working_dir: Option<String>,
    pub stop_signal: Option<String>,
    /// How long it may take to end by itself after the signal; absent: the agent's.
    pub stop_grace: Option<Duration>,
    pub platform: Option<Platform>,
    pub pull: Option<Pull>,
    /// Most processes and threads.
    pub pids: Option<u32>,
    /// Soft and hard limit by name; -1 is no limit.
    pub ulimits: BTreeMap<String, (i64, i64)>,
    /// Absolute paths and sizes, besides `/tmp`.
    pub tmpfs: Vec<Tmpfs>,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Where a directory is mounted that jobs of the same image and user share on each agent.
    pub cache: Option<String>,
    /// Bytes of the log that are kept.
    pub log_limit: Option<u64>,
    pub containers: Option<Containers>,
    /// Only with `containers: warm`.
    pub warm: Option<Warm>,
    /// Points that one container gets at most; absent: a job is not called so.
    pub batch: Option<u32>,
    pub secrets: Vec<SecretUse>,
    /// Local directories that were laid over the image.
    pub dev_mounts: Vec<DevMount>,
}

/// A directory in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tmpfs {
    pub path: String,
    /// Absent: half of the job's memory.
    pub size: Option<u64>,
}

impl FromStr for Tmpfs {
    type Err = Error;

    /// `/scratch`, `/scratch:1GiB` or, as docker has it, `/scratch:size=1g`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (path, size) = match text.split_once(':') {
            None => (text, None),
            Some((path, size)) => {
                let size = size.strip_prefix("size=").unwrap_or(size);
                let size =
                    parse_size(size).map_err(|error| Error::new(format!("the tmpfs {path}: {error}")))?;
                (path, Some(size))
            }
        };
        let path = absolute_path(path)
            .map_err(|why| Error::new(format!("the tmpfs {text:?} {why}; write /path or /path:size")))?;
        if size == Some(0) {
            return Err(Error::new(format!("the tmpfs {path} has no size at all")));
        }
        Ok(Self { path, size })
    }
}

impl fmt::Display for Tmpfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.size {
            None => f.write_str(&self.path),
            Some(size) => write!(f, "{}:{size}", self.path),
        }
    }
}

/// `nofile=1024` or `nofile=1024:2048`.
pub fn parse_ulimit_flag(flag: &str) -> Result<(String, (i64, i64)), Error> {
    let fails = || {
        Error::new(format!("{flag:?} is not a limit; write NAME=SOFT or NAME=SOFT:HARD, such as nofile=1024"))
    };
    let (name, limits) = flag.split_once('=').ok_or_else(fails)?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let limit = |text: &str| text.parse::<i64>().map_err(|_| fails());
    let limits = (limit(soft)?, limit(hard)?);
    check_ulimit(name, limits)?;
    Ok((name.to_owned(), limits))
}

pub(super) fn check_ulimit(name: &str, (soft, hard): (i64, i64)) -> Result<(), Error> {
    if !ULIMITS.contains(&name) {
        let hint = suggestion(name, ULIMITS, "limits");
        return Err(Error::new(format!("unknown limit `{name}` in `ulimits`{hint}")));
    }
    let is_above = hard == -1 || (soft != -1 && soft <= hard);
    if soft < -1 || hard < -1 || !is_above {
        return Err(Error::new(format!(
            "the limit {name} is {soft} with {hard} as the most; the first may not be above the second, and -1 is no limit"
        )));
    }
    Ok(())
}

impl Sandbox {
    pub fn pids(&self) -> u32 {
        self.pids.unwrap_or(DEFAULT_PIDS)
    }

    pub fn log_limit(&self) -> u64 {
        self.log_limit.unwrap_or(DEFAULT_LOG_LIMIT)
    }

    pub fn pull(&self) -> Pull {
        self.pull.unwrap_or_default()
    }

    pub fn containers(&self) -> Containers {
        self.containers.unwrap_or_default()
    }

    pub fn warm(&self) -> Warm {
        self.warm.clone().unwrap_or_default()
    }

    /// The bounds of each value.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        self.check_values()?;
        let counts = [
            ("tmpfs", self.tmpfs.len(), MAX_TMPFS),
            ("groups", self.groups.len(), MAX_GROUPS),
            ("secrets", self.secrets.len(), MAX_SECRETS),
            ("dev_mount", self.dev_mounts.len(), MAX_DEV_MOUNTS),
        ];
        for (key, count, most) in counts {
            if count > most {
                return Err((key, format!("`{key}` has {count}; {most} is the limit")));
            }
        }
        if self.warm.is_some() && self.containers() != Containers::Warm {
            let told = format!("`warm` is for `containers: warm`, and `containers` is {}", self.containers());
            return Err(("warm", told));
        }
        Ok(())
    }

    pub(super) fn check_values(&self) -> Result<(), (&'static str, String)> {
        let told = |key: &'static str| move |error: Error| (key, error.message);
        if let Some(words) = &self.entrypoint {
            check::command(words.clone()).map_err(told("entrypoint"))?;
        }
        if let Some(path) = &self.working_dir {
            working_dir(path).map_err(told("working_dir"))?;
        }
        if let Some(name) = &self.stop_signal {
            signal(name).map_err(told("stop_signal"))?;
        }
        if let Some(grace) = self.stop_grace.filter(|grace| *grace > LONGEST_GRACE) {
            let grace = humantime::format_duration(grace);
            return Err(("stop_grace", format!("`stop_grace` is {grace}; 1h is the longest")));
        }
        if self.pids.is_some_and(|pids| !(2..=MAX_PIDS).contains(&pids)) {
            return Err(("pids", format!("`pids` goes from 2 to {MAX_PIDS}")));
        }
        for (name, limits) in &self.ulimits {
            check_ulimit(name, *limits).map_err(told("ulimits"))?;
        }
        if let Some(path) = &self.cache {
            cache(path).map_err(told("cache"))?;
        }
        if self.batch.is_some_and(|batch| !(1..=MAX_BATCH).contains(&batch)) {
            return Err(("batch", format!("`batch` goes from 1 to {MAX_BATCH}")));
        }
        if self.log_limit.is_some_and(|limit| !(LEAST_LOG_LIMIT..=MOST_LOG_LIMIT).contains(&limit)) {
            return Err(("log_limit", "`log_limit` goes from 4KiB to 1TiB".to_owned()));
        }
        Ok(())
    }
}

pub(super) fn working_dir(path: &str) -> Result<String, Error> {
    if path == "/" {
        return Ok(path.to_owned());
    }
    absolute_path(path)
        .map_err(|why| Error::new(format!("`working_dir` {why}; write a directory such as /app")))
}

pub(super) fn cache(path: &str) -> Result<String, Error> {
    absolute_path(path).map_err(|why| Error::new(format!("`cache` {why}; write a directory such as /cache")))
}

/// `SIGINT`, `INT` or `int`.
pub(super) fn signal(name: &str) -> Result<String, Error> {
    let upper = name.to_ascii_uppercase();
    let full = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    if SIGNALS.contains(&full.as_str()) {
        return Ok(full);
    }
    let hint = suggestion(&full, SIGNALS, "signals");
    Err(Error::new(format!("`stop_signal` has {name:?}{hint}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Format, Manifest};

    fn read(text: &str) -> Result<Manifest, Error> {
        Manifest::parse(format!("image: x\n{text}").as_bytes(), Format::Yaml, "s.yaml")?.finish()
    }

    #[test]
    fn every_key_survives_the_wire() {
        let text = "entrypoint: [python3, -u]\nworking_dir: /app/\nstop_signal: int\nstop_grace: 90s\n\
                    platform: linux/arm64/v8\npull: never\npids: 77\nulimits: { nofile: 1024, core: { soft: 0, hard: -1 } }\n\
                    tmpfs: [/scratch:1GiB, /var/run]\ngroups: [1001, 4]\ncache: /cache\n\
                    log_limit: 1MiB\ncontainers: reuse\n";
        let manifest = read(text).unwrap();
        let sandbox = &manifest.sandbox;
        assert_eq!(sandbox.stop_signal.as_deref(), Some("SIGINT"));
        assert_eq!(sandbox.working_dir.as_deref(), Some("/app"));
        assert_eq!(sandbox.ulimits["core"], (0, -1));
        assert_eq!(sandbox.tmpfs[0], Tmpfs { path: "/scratch".into(), size: Some(1 << 30) });
        assert_eq!(Manifest::from_json(&manifest.to_json()).unwrap().sandbox, *sandbox);
    }

    #[test]
    fn composes_names_are_taken_too() {
        let manifest =
            read("pids_limit: 9\nstop_grace_period: 1m\npull_policy: always\ngroup_add: [7]\n").unwrap();
        let Sandbox { pids, stop_grace, pull, groups, .. } = manifest.sandbox;
        assert_eq!((pids, stop_grace, pull), (Some(9), Some(Duration::from_secs(60)), Some(Pull::Always)));
        assert_eq!(groups, [7]);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (text, expected) in [
            ("pids: 0", "`pids` is the number 0; write a whole number from 2"),
            ("pids: 9\npids_limit: 8", "both `pids` and `pids_limit` are given"),
            ("pull: alway", "did you mean `always`?"),
            ("platform: windows/amd64", "containers here are linux"),
            ("platform: amd64", "write linux/amd64"),
            ("stop_signal: TREM", "did you mean `SIGTERM`?"),
            ("ulimits: { nofiles: 3 }", "did you mean `nofile`?"),
            ("ulimits: { nofile: { soft: 9, hard: 3 } }", "may not be above"),
            ("tmpfs: [scratch]", "does not start with `/`"),
            ("tmpfs: [/results/x]", "overlaps with `results` at /results"),
            ("cache: /tmp/numba", "choose another path"),
            ("entrypoint: python3", "write a list of words"),
            ("log_limit: 1", "from 4KiB to 1TiB"),
            ("containers: reused", "did you mean `reuse`?"),
            ("groups: [users]", "write a whole number"),
            ("stop_grace: 2h", "1h is the longest"),
        ] {
            let told = read(text).unwrap_err().to_string();
            assert!(told.contains(expected), "{text}: {told}");
        }
    }
}
