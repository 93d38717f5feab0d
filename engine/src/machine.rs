//! What this machine has: its name, its cpus, and the memory that jobs may be offered.

use std::fs;
use std::path::{Path, PathBuf};

/// The name that images have for this program's instruction set.
pub const ARCHITECTURE: &str = match std::env::consts::ARCH.as_bytes() {
    b"x86_64" => "amd64",
    b"aarch64" => "arm64",
    _ => std::env::consts::ARCH,
};
/// What is never offered to jobs: room for the system, the engine and the agent.
const RESERVE_MIN: u64 = 512 << 20;
/// The part of the memory that is reserved where that is more than [`RESERVE_MIN`]: a tenth.
const RESERVE_PART: u64 = 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    pub host_name: String,
    /// At least 1.
    pub cpus: u32,
    /// Linux's numbers of the cpus that this process may run on.
    pub cores: Vec<u32>,
    /// What jobs may be offered: all memory, or what this process's control group allows, less a reserve.
    pub memory_bytes: u64,
    /// All that the machine has, or that this process's control group allows.
    pub total_bytes: u64,
    /// NVIDIA's, as its driver lists them.
    pub gpus: u32,
}

/// Which version of control groups the machine has: the engine's figures come from them.
pub fn cgroup_version() -> &'static str {
    if std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { "v2" } else { "v1" }
}

pub fn detect() -> Machine {
    let system = rustix::system::sysinfo();
    let installed = (system.totalram as u64).saturating_mul(u64::from(system.mem_unit));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let allowed = group_limit(&groups, |path| fs::read_to_string(path).ok());
    let usable = allowed.map_or(installed, |allowed| allowed.min(installed));
    let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get());
    Machine {
        host_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
        cores: cores(&fs::read_to_string("/proc/self/status").unwrap_or_default()),
        memory_bytes: less_reserve(usable),
        total_bytes: usable,
        gpus: gpus(Path::new("/proc/driver/nvidia/gpus")),
    }
}

/// Most cpus that Linux is built for.
const MOST_CORES: u32 = 8192;

/// `Cpus_allowed_list: 0-3,8` of `/proc/self/status`.
fn cores(status: &str) -> Vec<u32> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
    let range = |part: &str| {
        let (first, last) = part.trim().split_once('-').unwrap_or((part.trim(), part.trim()));
        Some(first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?.min(MOST_CORES))
    };
    list.split(',').filter_map(range).flatten().collect()
}

/// The driver has a directory for each.
fn gpus(driver: &Path) -> u32 {
    fs::read_dir(driver).map_or(0, |entries| entries.filter_map(Result::ok).count() as u32)
}

fn less_reserve(usable: u64) -> u64 {
    usable.saturating_sub((usable / RESERVE_PART).max(RESERVE_MIN))
}

/// The lowest memory limit of the control groups named by `/proc/self/cgroup`, or of a group above them.
///
/// In a container the file may name groups as the host sees them; then those paths do not exist, and the limit stands
/// at the root, which is always looked at.
fn group_limit(groups: &str, read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            named if named.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        let path = Path::new(path.trim_start_matches('/'));
        let places = path.ancestors().map(|group| PathBuf::from(root).join(group).join(file));
        // "max", the v2 word for no limit, is no number.
        places.filter_map(|place| read(&place)?.trim().parse::<u64>().ok()).min()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(groups: &str, files: &[(&str, &str)], expected: Option<u64>) {
        let read = |path: &Path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| format!("{text}\n"))
        };
        assert_eq!(group_limit(groups, read), expected);
    }

    #[test]
    fn the_lowest_limit_above_the_process_counts() {
        let v2 = "0::/system.slice/agent.service\n";
        let own = "/sys/fs/cgroup/system.slice/agent.service/memory.max";
        check(v2, &[(own, "max"), ("/sys/fs/cgroup/system.slice/memory.max", "4096")], Some(4096));
        check(v2, &[(own, "max")], None);
        check(v2, &[("/sys/fs/cgroup/memory.max", "77")], Some(77));
        let v1 = "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n";
        check(v1, &[("/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "99")], Some(99));
        check(v1, &[("/sys/fs/cgroup/memory/memory.limit_in_bytes", "98")], Some(98));
        check("", &[], None);
    }

    #[test]
    fn the_cpus_of_this_process_are_read() {
        assert_eq!(cores("Name:\tx\nCpus_allowed:\t10f\nCpus_allowed_list:\t0-3,8\n"), [0, 1, 2, 3, 8]);
        assert!(cores("Cpus_allowed_list:\tx\n").is_empty());
        assert!(cores("").is_empty());
    }

    #[test]
    fn gpus_are_counted_as_the_driver_lists_them() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(gpus(&dir.path().join("none")), 0);
        for name in ["0000:01:00.0", "0000:02:00.0"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        assert_eq!(gpus(dir.path()), 2);
    }

    #[test]
    fn a_reserve_is_kept() {
        assert_eq!(less_reserve(100 << 30), 90 << 30);
        assert_eq!(less_reserve(1 << 30), 512 << 20);
        assert_eq!(less_reserve(1), 0);
    }

    #[test]
    fn this_machine_has_something() {
        let machine = detect();
        assert!(machine.cpus > 0 && machine.memory_bytes > 0 && !machine.host_name.is_empty(), "{machine:?}");
    }
}
