//! A container's control group, version 1 or 2, read where it stands: at once and exactly, where the Engine takes a second
//! for an answer. An agent that runs in a container itself may not see it, and asks the Engine then.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use crate::Sample;

const ROOT: &str = "/sys/fs/cgroup";
/// The controllers of version 1 that are read.
const ACCOUNTS: [&str; 4] = ["memory", "cpuacct", "blkio", "pids"];

/// Where a container's accounts are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// All in one directory.
    V2(PathBuf),
    /// A directory for each controller.
    V1(HashMap<String, PathBuf>),
}

/// What can be seen of a container's control group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GroupLook {
    Group(Group),
    /// It has none yet, or none any more.
    NotYet,
    /// It can't be seen from here: the Engine must be asked.
    Hidden,
}

impl Group {
    /// The group of a container's first process, by what `/proc/PID/cgroup` says; nothing if it can't be seen from here.
    ///
    /// A group is the container's if it bears the container's id. Another one is the one in which the process was made
    /// and which it is about to leave, or another process's that got the same number since: the figures of the whole
    /// machine, or a stranger's.
    pub(super) fn of(pid: i64, container: &str) -> GroupLook {
        let Ok(groups) = fs::read_to_string(format!("/proc/{pid}/cgroup")) else { return GroupLook::NotYet };
        let Some(group) = Self::parse(&groups) else { return GroupLook::Hidden };
        match (group.is_of(container), group.oom_kills()) {
            (true, Some(_)) => GroupLook::Group(group),
            (true, None) => GroupLook::Hidden,
            (false, _) if groups.lines().all(|line| line.ends_with(":/")) && is_own_root() => {
                GroupLook::Hidden
            }
            (false, _) => GroupLook::NotYet,
        }
    }

    /// Whether all accounts that are read are the container's.
    fn is_of(&self, container: &str) -> bool {
        let bears = |dir: &PathBuf| !container.is_empty() && dir.to_string_lossy().contains(container);
        match self {
            Self::V2(dir) => bears(dir),
            Self::V1(dirs) => ACCOUNTS.iter().all(|name| dirs.get(*name).is_none_or(bears)),
        }
    }

    fn parse(groups: &str) -> Option<Self> {
        let parts = groups.lines().filter_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            Some((parts.next()?, parts.next()?.trim_start_matches('/')))
        });
        let mut controllers = HashMap::new();
        let mut unified = None;
        for (names, path) in parts {
            if names.is_empty() {
                unified = Some(PathBuf::from(ROOT).join(path));
            }
            for name in names.split(',').filter(|name| !name.is_empty()) {
                controllers.insert(name.to_owned(), PathBuf::from(ROOT).join(name).join(path));
            }
        }
        // A hybrid machine has both, and counts by the old controllers.
        match controllers.contains_key("memory") {
            true => Some(Self::V1(controllers)),
            false => unified.map(Self::V2),
        }
    }

    fn read(&self, v2: &str, (controller, v1): (&str, &str)) -> Option<String> {
        let file = match self {
            Self::V2(dir) => dir.join(v2),
            Self::V1(dirs) => dirs.get(controller)?.join(v1),
        };
        fs::read_to_string(file).ok()
    }

    /// Processes that the kernel has killed for memory.
    pub(super) fn oom_kills(&self) -> Option<u64> {
        field(&self.read("memory.events", ("memory", "memory.oom_control"))?, "oom_kill")
    }

    /// Processes and threads that are in it.
    pub(super) fn processes(&self) -> Option<u64> {
        number(&self.read("pids.current", ("pids", "pids.current"))?)
    }

    /// What it uses now; nothing once it is gone.
    pub(super) fn sample(&self) -> Option<Sample> {
        let usage = number(&self.read("memory.current", ("memory", "memory.usage_in_bytes"))?)?;
        // Without the file cache that the kernel would give up first.
        let detail = self.read("memory.stat", ("memory", "memory.stat")).unwrap_or_default();
        let cache = field(&detail, "total_inactive_file").or_else(|| field(&detail, "inactive_file"));
        let cpu_micros = match self {
            Self::V2(_) => field(&self.read("cpu.stat", ("", ""))?, "usage_usec")?,
            Self::V1(_) => number(&self.read("", ("cpuacct", "cpuacct.usage"))?)? / 1000,
        };
        let io = self.read("io.stat", ("blkio", "blkio.throttle.io_service_bytes")).unwrap_or_default();
        Some(Sample {
            memory_bytes: usage.saturating_sub(cache.unwrap_or(0)),
            cpu_micros,
            written_bytes: io.lines().filter_map(written).sum(),
        })
    }
}

/// True if this process sees itself at the root of its control groups, as in a container: it sees others there as well.
fn is_own_root() -> bool {
    fs::read_to_string("/proc/self/cgroup").is_ok_and(|own| own.lines().all(|line| line.ends_with(":/")))
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// `oom_kill 3` among the lines.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| number(line.strip_prefix(name)?.strip_prefix(' ')?))
}

/// Bytes written, from `8:0 Write 4096` or `8:0 rbytes=1 wbytes=4096 ...`.
fn written(line: &str) -> Option<u64> {
    let mut words = line.split_whitespace().skip(1);
    match words.next()? {
        "Write" => number(words.next()?),
        _ => line.split_whitespace().find_map(|word| number(word.strip_prefix("wbytes=")?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_in_either_version() {
        let v2 = Group::parse("0::/system.slice/docker-ab.scope\n");
        assert_eq!(v2, Some(Group::V2("/sys/fs/cgroup/system.slice/docker-ab.scope".into())));
        let hybrid = "5:memory:/docker/ab\n3:cpu,cpuacct:/docker/ab\n0::/docker/ab\n";
        let Some(Group::V1(dirs)) = Group::parse(hybrid) else { panic!("it counts by the old controllers") };
        assert_eq!(dirs["cpuacct"], PathBuf::from("/sys/fs/cgroup/cpuacct/docker/ab"));
        assert_eq!(Group::parse(""), None);
    }

    #[test]
    fn only_a_group_with_the_containers_id_is_the_containers() {
        let is_of = |groups: &str| Group::parse(groups).unwrap().is_of("ab12");
        assert!(is_of("0::/system.slice/docker-ab12.scope\n"));
        assert!(is_of(
            "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ab12.scope/container\n"
        ));
        assert!(is_of("5:memory:/docker/ab12\n3:cpu,cpuacct:/docker/ab12\n1:name=systemd:/\n"));
        for other in [
            "0::/\n",
            "0::/system.slice/docker.service\n",
            "5:memory:/\n3:cpu,cpuacct:/\n",
            "5:memory:/docker/ab12\n3:cpu,cpuacct:/\n",
            "5:memory:/docker/cd34\n3:cpu,cpuacct:/docker/cd34\n",
        ] {
            assert!(!is_of(other), "{other}");
        }
        assert!(!Group::parse("0::/x\n").unwrap().is_of(""));
    }

    #[test]
    fn accounts_are_read_as_the_kernel_writes_them() {
        assert_eq!(field("oom 3\noom_kill 2\n", "oom_kill"), Some(2));
        assert_eq!(field("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", "oom_kill"), Some(1));
        assert_eq!(written("8:0 Write 4096"), Some(4096));
        assert_eq!(written("8:0 Read 4096"), None);
        assert_eq!(written("8:0 rbytes=5 wbytes=7 rios=1"), Some(7));
        assert_eq!(written("Total 4096"), None);
    }
}
