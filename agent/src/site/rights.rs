//! Whether this process may enter the network namespaces of containers.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The rights that it takes, by the bits of `CapEff`.
const RIGHTS: [(u32, &str); 3] = [(12, "CAP_NET_ADMIN"), (19, "CAP_SYS_PTRACE"), (21, "CAP_SYS_ADMIN")];

/// The error says what is lacking.
pub(super) fn check() -> Result<(), String> {
    let missing = missing(&fs::read_to_string("/proc/self/status").unwrap_or_default());
    if !missing.is_empty() {
        return Err(format!("this process lacks {}", missing.join(", ")));
    }
    // In a user namespace it may have all rights, and none outside of it. A thread that has been elsewhere does nothing else.
    let entering = || {
        let own = File::open("/proc/thread-self/ns/net")?;
        Ok(move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::Network))?)
    };
    let entered: io::Result<()> =
        thread::spawn(entering).join().unwrap_or_else(|_| Err(io::Error::other("the thread has died")));
    entered.map_err(|error| format!("this process may enter no network namespace: {error}"))
}

/// The rights that the status of a process does not show.
fn missing(status: &str) -> Vec<&'static str> {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0);
    RIGHTS.iter().filter(|(bit, _)| effective >> bit & 1 == 0).map(|(_, name)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_unit_grants_them() {
        let unit = include_str!("../../../deploy/systemd/btctl-agent.service");
        let setting = |name: &str| {
            let mut lines = unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            lines.next().unwrap_or_default().split(' ').collect::<Vec<_>>()
        };
        for (_, right) in RIGHTS {
            assert!(setting("CapabilityBoundingSet").contains(&right), "{right} is taken away");
        }
        assert!(setting("RestrictAddressFamilies").contains(&"AF_NETLINK"), "addresses can't be added");
    }

    #[test]
    fn what_a_process_lacks_is_named() {
        assert!(missing("Name:\tx\nCapEff:\t000001ffffffffff\n").is_empty());
        assert_eq!(missing("CapEff:\t0000000000201000\n"), ["CAP_SYS_PTRACE"]);
        let all = RIGHTS.map(|(_, name)| name);
        assert_eq!(missing("CapEff:\t0000000000000000\n"), all);
        assert_eq!(missing(""), all);
    }
}
