//! Who may use an agent's state directory: one process at a time, by a lock that ends with it, and one machine. A directory
//! that was copied to another machine, as in a virtual machine's image, gets an id of its own there; what the copy says of
//! attempts belongs to the original, and is left to it.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, bail};
use bt_model::hex::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The lock's file; it says who holds it.
const LOCK: &str = "agent.lock";
/// Where it is written down which machine the directory is used on.
pub(crate) const MACHINE: &str = "machine.json";
/// What tells machines apart: the installed system's id, and the hardware's, which root alone may read.
const SYSTEM_IDS: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
const HARDWARE_ID: &str = "/sys/class/dmi/id/product_uuid";

/// The lock of a state directory, held as long as this lives.
#[derive(Debug)]
pub(crate) struct Tenancy {
    _lock: File,
    inode: u64,
}

impl Tenancy {
    /// Takes the lock. The error says who holds it.
    pub(crate) fn take(root: &Path) -> anyhow::Result<Self> {
        let path = root.join(LOCK);
        let opened = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.with_context(|| format!("open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder).ok();
                let holder = holder.trim();
                let holder = if holder.is_empty() { "another process" } else { holder };
                bail!(
                    "the state directory {} is in use by {holder}; end that agent, or give this one a directory of its own \
                     with --state-dir",
                    root.display()
                );
            }
            Err(TryLockError::Error(error)) => {
                bail!(
                    "{} can't be locked: {error}; put the state directory on a file system that has locks",
                    path.display()
                );
            }
        }
        let holder = format!("process {} on {}\n", std::process::id(), host_name());
        let written = file.rewind().and_then(|()| file.write_all(holder.as_bytes()));
        written
            .and_then(|()| file.set_len(holder.len() as u64))
            .with_context(|| format!("write {}", path.display()))?;
        let inode = file.metadata().with_context(|| format!("look at {}", path.display()))?.ino();
        Ok(Self { _lock: file, inode })
    }

    /// What an agent says of where it is: no other agent that runs says the same.
    pub(crate) fn place(&self, root: &Path, machine: &MachineId) -> String {
        let root = root.canonicalize().unwrap_or_else(|_| root.to_path_buf());
        format!("{} on {} (machine {}, inode {})", root.display(), host_name(), machine.short(), self.inode)
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What tells a machine from others. Only digests: the ids themselves are not to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MachineId {
    /// Of the installed system.
    system: Option<String>,
    /// Of the hardware, as far as this process may read it.
    hardware: Option<String>,
}

impl MachineId {
    pub(crate) fn detect() -> Self {
        let digest = |path: &str| {
            let text = fs::read_to_string(path).ok()?;
            let id = text.trim().to_ascii_lowercase();
            // "uninitialized" and zeros stand for none.
            let is_id = id.len() >= 32 && id.bytes().any(|byte| byte.is_ascii_hexdigit() && byte != b'0');
            let digest = Sha256::digest(format!("btctl {id}").as_bytes());
            is_id.then(|| hex(&digest[..8]))
        };
        Self { system: SYSTEM_IDS.iter().find_map(|path| digest(path)), hardware: digest(HARDWARE_ID) }
    }

    /// True if both can be those of one machine: what either does not know is not compared.
    fn may_be(&self, other: &Self) -> bool {
        let same = |one: &Option<String>, other: &Option<String>| match (one, other) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        same(&self.system, &other.system) && same(&self.hardware, &other.hardware)
    }

    /// Both, where one does not know a part.
    fn or(self, other: Self) -> Self {
        Self { system: self.system.or(other.system), hardware: self.hardware.or(other.hardware) }
    }

    fn short(&self) -> &str {
        self.hardware.as_deref().or(self.system.as_deref()).unwrap_or("unknown")
    }
}

/// Where a state directory is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// Where it was, or nothing says where it was.
    Here(MachineId),
    /// It was copied from another machine.
    Copied,
}

/// Compares the machine with the one that the directory was used on.
pub(crate) fn whereabouts(root: &Path, machine: &MachineId) -> anyhow::Result<Whereabouts> {
    let path = root.join(MACHINE);
    let known: MachineId = match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).with_context(|| format!("read {}", path.display()))?,
        Err(error) if error.kind() == ErrorKind::NotFound => MachineId::default(),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    Ok(match machine.may_be(&known) {
        true => Whereabouts::Here(machine.clone().or(known)),
        false => Whereabouts::Copied,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(system: &str, hardware: &str) -> MachineId {
        let known = |id: &str| (!id.is_empty()).then(|| id.to_owned());
        MachineId { system: known(system), hardware: known(hardware) }
    }

    #[test]
    fn a_directory_has_one_holder_and_the_second_hears_who_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let first = Tenancy::take(dir.path()).unwrap();
        let error = Tenancy::take(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        Tenancy::take(dir.path()).unwrap();
    }

    #[test]
    fn another_machine_is_told_by_what_both_know() {
        let dir = tempfile::tempdir().unwrap();
        let look = |machine: &MachineId| whereabouts(dir.path(), machine).unwrap();
        assert_eq!(look(&machine("a", "")), Whereabouts::Here(machine("a", "")));
        let known = serde_json::to_vec(&machine("a", "1")).unwrap();
        fs::write(dir.path().join(MACHINE), known).unwrap();
        for same in [machine("a", "1"), machine("a", ""), machine("", "1"), machine("", "")] {
            assert_eq!(look(&same), Whereabouts::Here(machine("a", "1")), "{same:?}");
        }
        for other in [machine("a", "2"), machine("b", "1"), machine("b", "")] {
            assert_eq!(look(&other), Whereabouts::Copied, "{other:?}");
        }
    }
}
