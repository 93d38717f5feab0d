//! How a job's container is made, beyond what it needs: the keys that go by docker's and compose's names.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::document::{Entry, Kind, Node};
use super::error::{Error, suggestion};
use super::read::{list, map, number, scalar_text, text};
use super::size::{parse_size, parse_timeout};
use super::volume::absolute_path;
use super::{Containers, Pull, check};

/// Processes and threads of a job that asks for no number.
pub const DEFAULT_PIDS: u32 = 1024;
const MAX_PIDS: u32 = 4_194_304;
/// Bytes of a job's log that are kept if the manifest says nothing.
pub const DEFAULT_LOG_LIMIT: u64 = 64 << 20;
const LEAST_LOG_LIMIT: u64 = 4 << 10;
const MOST_LOG_LIMIT: u64 = 1 << 40;
/// The longest time that a container may take to end by itself.
const LONGEST_GRACE: Duration = Duration::from_secs(3600);
const MAX_TMPFS: usize = 16;
const MAX_GROUPS: usize = 32;
/// What is known under another name elsewhere, and its name here.
const ALIASES: [(&str, &str); 4] = [
    ("pids_limit", "pids"),
    ("stop_grace_period", "stop_grace"),
    ("pull_policy", "pull"),
    ("group_add", "groups"),
];
/// The limits that Docker knows.
const ULIMITS: [&str; 14] = [
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
const SIGNALS: [&str; 7] = ["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGKILL"];

/// The keys of this module; what is absent has a default where it is used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sandbox {
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
}

/// A directory in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tmpfs {
    pub path: String,
    /// Absent: half of the job's memory.
    pub size: Option<u64>,
}

/// What an image is made for, as `linux/amd64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    pub os: String,
    pub arch: String,
    /// As `v8` in `linux/arm64/v8`.
    pub variant: Option<String>,
}

impl FromStr for Platform {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let is_word = |word: &&str| {
            (1..=32).contains(&word.len())
                && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        };
        let words: Vec<_> = text.split('/').filter(is_word).collect();
        if words.len() != text.split('/').count() {
            return Err(not_a_platform(text));
        }
        let (os, arch, variant) = match words[..] {
            [os, arch] => (os, arch, None),
            [os, arch, variant] => (os, arch, Some(variant.to_owned())),
            _ => return Err(not_a_platform(text)),
        };
        if os != "linux" {
            return Err(Error::new(format!("`platform` has the system {os:?}; containers here are linux")));
        }
        let arch = match arch {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Ok(Self { os: os.to_owned(), arch: arch.to_owned(), variant })
    }
}

fn not_a_platform(text: &str) -> Error {
    let text: String = text.chars().take(80).collect();
    Error::new(format!("`platform` has {text:?}; write linux/amd64 or linux/arm64"))
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.arch)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
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

fn check_ulimit(name: &str, (soft, hard): (i64, i64)) -> Result<(), Error> {
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

    /// The same with what the flags say, who win; limits one by one, directories by their paths.
    #[must_use]
    pub(super) fn merge(mut self, mut flags: Self) -> Self {
        self.ulimits.append(&mut flags.ulimits);
        self.tmpfs.retain(|known| flags.tmpfs.iter().all(|more| more.path != known.path));
        self.tmpfs.append(&mut flags.tmpfs);
        self.groups.retain(|known| !flags.groups.contains(known));
        self.groups.append(&mut flags.groups);
        Self {
            entrypoint: flags.entrypoint.or(self.entrypoint),
            working_dir: flags.working_dir.or(self.working_dir),
            stop_signal: flags.stop_signal.or(self.stop_signal),
            stop_grace: flags.stop_grace.or(self.stop_grace),
            platform: flags.platform.or(self.platform),
            pull: flags.pull.or(self.pull),
            pids: flags.pids.or(self.pids),
            ulimits: self.ulimits,
            tmpfs: self.tmpfs,
            groups: self.groups,
            cache: flags.cache.or(self.cache),
            log_limit: flags.log_limit.or(self.log_limit),
            containers: flags.containers.or(self.containers),
        }
    }

    /// The bounds of each value.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        self.check_values()?;
        let counts = [("tmpfs", self.tmpfs.len(), MAX_TMPFS), ("groups", self.groups.len(), MAX_GROUPS)];
        for (key, count, most) in counts {
            if count > most {
                return Err((key, format!("`{key}` has {count}; {most} is the limit")));
            }
        }
        Ok(())
    }

    fn check_values(&self) -> Result<(), (&'static str, String)> {
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
        if self.log_limit.is_some_and(|limit| !(LEAST_LOG_LIMIT..=MOST_LOG_LIMIT).contains(&limit)) {
            return Err(("log_limit", "`log_limit` goes from 4KiB to 1TiB".to_owned()));
        }
        Ok(())
    }

    /// Reads one of this module's keys; false if it is another's.
    pub(super) fn read(&mut self, entry: &Entry) -> Result<bool, Error> {
        let (key, node) = (canonical(&entry.name), &entry.node);
        let at = |error: Error| error.or_at(Some(&node.place));
        match key {
            "entrypoint" => self.entrypoint = Some(words(node)?),
            "working_dir" => self.working_dir = Some(working_dir(&text(node, key)?).map_err(at)?),
            "stop_signal" => self.stop_signal = Some(signal(&text(node, key)?).map_err(at)?),
            "stop_grace" => {
                let grace = scalar_text(node, key, "a time such as 30s")?;
                self.stop_grace = Some(parse_timeout(&grace).map_err(at)?);
            }
            "platform" => self.platform = Some(text(node, key)?.parse().map_err(at)?),
            "pull" => self.pull = Some(text(node, key)?.parse().map_err(at)?),
            "pids" => self.pids = Some(number(node, key, 2, i64::from(MAX_PIDS))? as u32),
            "ulimits" => self.ulimits = read_ulimits(node)?,
            "tmpfs" => self.tmpfs = items(node, key, "a list of paths, such as [/scratch:1GiB]", str::parse)?,
            "groups" => {
                for item in list(node, key, "a list of group ids, such as [1001]")? {
                    self.groups.push(number(item, key, 0, u32::MAX.into())? as u32);
                }
            }
            "cache" => self.cache = Some(cache(&text(node, key)?).map_err(at)?),
            "log_limit" => {
                let limit = scalar_text(node, key, "a size such as 64MiB")?;
                self.log_limit = Some(parse_size(&limit).map_err(at)?);
            }
            "containers" => self.containers = Some(text(node, key)?.parse().map_err(at)?),
            _ => return Ok(false),
        }
        self.check_values().map_err(|(_, message)| node.error(message))?;
        Ok(true)
    }

    /// Adds the keys to the manifest's JSON.
    pub(super) fn write(&self, manifest: &mut Map<String, Value>) {
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                manifest.insert(key.to_owned(), value);
            }
        };
        put("entrypoint", self.entrypoint.as_ref().map(|words| json!(words)));
        put("working_dir", self.working_dir.as_ref().map(|path| json!(path)));
        put("stop_signal", self.stop_signal.as_ref().map(|name| json!(name)));
        put("stop_grace", self.stop_grace.map(|grace| json!(humantime::format_duration(grace).to_string())));
        put("platform", self.platform.as_ref().map(|platform| json!(platform.to_string())));
        put("pull", self.pull.map(|pull| json!(pull.name())));
        put("pids", self.pids.map(|pids| json!(pids)));
        let ulimits =
            self.ulimits.iter().map(|(name, (soft, hard))| (name, json!({"soft": soft, "hard": hard})));
        let ulimits: BTreeMap<_, _> = ulimits.collect();
        put("ulimits", (!ulimits.is_empty()).then(|| json!(ulimits)));
        let tmpfs: Vec<_> = self.tmpfs.iter().map(ToString::to_string).collect();
        put("tmpfs", (!tmpfs.is_empty()).then(|| json!(tmpfs)));
        put("groups", (!self.groups.is_empty()).then(|| json!(self.groups)));
        put("cache", self.cache.as_ref().map(|path| json!(path)));
        put("log_limit", self.log_limit.map(|limit| json!(limit)));
        put("containers", self.containers.map(|containers| json!(containers.name())));
    }
}

/// The name that a key has here.
pub(super) fn canonical(key: &str) -> &str {
    ALIASES.into_iter().find(|(alias, _)| *alias == key).map_or(key, |(_, name)| name)
}

fn words(node: &Node) -> Result<Vec<String>, Error> {
    let mut words = Vec::new();
    for item in list(node, "entrypoint", "a list of words")? {
        words.push(scalar_text(item, "entrypoint", "words")?);
    }
    match words.is_empty() {
        true => Err(node.error("`entrypoint` is empty; leave it out for the image's own")),
        false => Ok(words),
    }
}

fn items<T>(
    node: &Node,
    key: &str,
    what: &str,
    parse: impl Fn(&str) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let item = |item: &Node| parse(&text(item, key)?).map_err(|error| error.or_at(Some(&item.place)));
    list(node, key, what)?.iter().map(item).collect()
}

fn read_ulimits(node: &Node) -> Result<BTreeMap<String, (i64, i64)>, Error> {
    let mut ulimits = BTreeMap::new();
    for entry in map(node, "`ulimits`")? {
        let name = entry.name.as_str();
        let key = format!("ulimits.{name}");
        let limits = match &entry.node.kind {
            Kind::Map(entries) => {
                let of = |wanted: &str| {
                    let found = entries.iter().find(|entry| entry.name == wanted);
                    let found =
                        found.ok_or_else(|| entry.node.error(format!("`{key}` has no `{wanted}`")))?;
                    number(&found.node, &format!("{key}.{wanted}"), -1, i64::MAX)
                };
                if let Some(other) =
                    entries.iter().find(|entry| !["soft", "hard"].contains(&entry.name.as_str()))
                {
                    let hint = suggestion(&other.name, ["soft", "hard"], "keys there");
                    let message = format!("unknown key `{}` in `{key}`{hint}", other.name);
                    return Err(Error::new(message).or_at(Some(&other.place)));
                }
                (of("soft")?, of("hard")?)
            }
            _ => {
                let limit = number(&entry.node, &key, -1, i64::MAX)?;
                (limit, limit)
            }
        };
        check_ulimit(name, limits).map_err(|error| error.or_at(Some(&entry.place)))?;
        ulimits.insert(name.to_owned(), limits);
    }
    Ok(ulimits)
}

fn working_dir(path: &str) -> Result<String, Error> {
    if path == "/" {
        return Ok(path.to_owned());
    }
    absolute_path(path)
        .map_err(|why| Error::new(format!("`working_dir` {why}; write a directory such as /app")))
}

fn cache(path: &str) -> Result<String, Error> {
    absolute_path(path).map_err(|why| Error::new(format!("`cache` {why}; write a directory such as /cache")))
}

/// `SIGINT`, `INT` or `int`.
fn signal(name: &str) -> Result<String, Error> {
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
    fn machines_names_of_platforms_are_taken_too() {
        let platform = |text: &str| text.parse::<Platform>().unwrap().to_string();
        assert_eq!(platform("linux/x86_64"), "linux/amd64");
        assert_eq!(platform("linux/aarch64/v8"), "linux/arm64/v8");
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
