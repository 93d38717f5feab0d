//! Processes that the kernel has killed for memory, by its own log.
//!
//! The Engine hears of them in a way that can miss one when the container ends right after (Docker 20.10 misses one in
//! fifty), and a job that lost a worker would pass for one that succeeded. The kernel writes to its log before the process
//! is gone. Where this process may not read it (`/dev/kmsg`, root's on most machines), and when the kernel kills so many
//! that it leaves some out, the Engine's word is all there is.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Mutex, PoisonError};

use rustix::fs::OFlags;
use rustix::io::Errno;

/// The longest record of the log.
const RECORD: usize = 8 << 10;
/// Containers that are remembered; the kernel's log itself holds no more.
const REMEMBERED: usize = 10_000;
/// Digits of a container's id.
const ID: usize = 64;

#[derive(Debug, Default)]
pub(super) struct KernelLog(Mutex<KernelLogReader>);

#[derive(Debug, Default)]
struct KernelLogReader {
    log: Option<File>,
    killed: HashSet<String>,
}

impl KernelLog {
    pub(super) fn open() -> Self {
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let log = OpenOptions::new().read(true).custom_flags(flags).open("/dev/kmsg");
        if let Err(error) = &log {
            tracing::debug!(%error, "the kernel's log can't be read");
        }
        Self(Mutex::new(KernelLogReader { log: log.ok(), killed: HashSet::new() }))
    }

    /// True if the log tells of a process of this container that was killed for memory.
    pub(super) fn killed_in(&self, container: &str) -> bool {
        let mut reader = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reader.read_on();
        reader.killed.contains(container)
    }
}

impl KernelLogReader {
    /// Reads what was written since it was read last.
    fn read_on(&mut self) {
        let Some(log) = &mut self.log else { return };
        let mut record = [0; RECORD];
        loop {
            match log.read(&mut record) {
                Ok(0) => return,
                Ok(read) => {
                    let record = String::from_utf8_lossy(&record[..read]);
                    if let Some(container) = container_of(&record) {
                        if self.killed.len() >= REMEMBERED {
                            self.killed.clear();
                        }
                        self.killed.insert(container.to_owned());
                    }
                }
                // Overwritten before it was read.
                Err(error) if error.raw_os_error() == Some(Errno::PIPE.raw_os_error()) => {}
                Err(_) => return,
            }
        }
    }
}

/// The container whose process a record says was killed: `6,1,2,-;oom-kill:...,task_memcg=/docker/ID,task=tail,...`.
fn container_of(record: &str) -> Option<&str> {
    let (_, message) = record.split_once(';')?;
    let (_, group) = message.strip_prefix("oom-kill:")?.split_once("task_memcg=")?;
    let group = group.split(',').next()?;
    let mut words = group.split(|c: char| !c.is_ascii_hexdigit());
    words.find(|word| word.len() == ID)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_container_is_found_wherever_its_group_is() {
        let id = "8".repeat(ID);
        let told = |group: &str| {
            let head = "6,1027,37557676607,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x";
            format!("{head},mems_allowed=0,oom_memcg=/other,task_memcg={group},task=tail,pid=7,uid=0\n")
        };
        for group in
            [format!("/docker/{id}"), format!("/a.slice/docker-{id}.scope"), format!("/docker/{id}/in")]
        {
            assert_eq!(container_of(&told(&group)), Some(id.as_str()), "{group}");
        }
        assert_eq!(container_of(&told("/user.slice")), None);
        assert_eq!(container_of(&format!("6,1,2,-;task_memcg=/docker/{id},")), None);
    }
}
