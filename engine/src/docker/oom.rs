//! Whether the kernel has killed a process of a container for memory, by the kernel's own notification.
//!
//! The Engine reads the same notification, but after the control group may be gone, and then can't tell it from the
//! group's removal: it misses about one in fifty. Here the group is made before the container starts, and two
//! notifications are asked for: one that comes at each kill, one that never comes. Both come once more when the group is
//! removed, the first before the second. So when the second has come, the first has counted the kills and one more.
//!
//! This needs version 1 of control groups, the Engine's own `cgroupfs` driver, and the right to write there (root's).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::EventfdFlags;
use tokio::sync::OnceCell;

/// Where the Engine makes the groups of its containers.
const GROUPS: &str = "/sys/fs/cgroup/memory/docker";
/// More memory than any machine has: a use that is never reached.
const NEVER_REACHED: u64 = 1 << 60;
/// How long the group of a container that has ended may still be there. The Engine removes it before it says so.
const REMOVAL_LIMIT: Duration = Duration::from_secs(2);
const REMOVAL_PAUSE: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(super) struct OomWatch {
    group: PathBuf,
    kills: File,
    removal: File,
    killed: OnceCell<Option<bool>>,
}

impl OomWatch {
    /// Makes the group of a container that has not started, and watches it.
    pub(super) fn begin(container: &str) -> io::Result<Self> {
        let group = Path::new(GROUPS).join(container);
        fs::create_dir(&group).or_else(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Ok(()),
            _ => Err(error),
        })?;
        Self::watch(&group).inspect_err(|_| remove(&group))
    }

    fn watch(group: &Path) -> io::Result<Self> {
        let control = OpenOptions::new().write(true).open(group.join("cgroup.event_control"))?;
        let ask = |of: &str, argument: &str| -> io::Result<File> {
            let event = rustix::event::eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
            let of = File::open(group.join(of))?;
            let request = format!("{} {} {argument}", event.as_raw_fd(), of.as_raw_fd());
            (&control).write_all(request.as_bytes())?;
            Ok(File::from(event))
        };
        // The one that was asked for last is the first that a removal tells.
        let removal = ask("memory.usage_in_bytes", &NEVER_REACHED.to_string())?;
        let kills = ask("memory.oom_control", "")?;
        Ok(Self { group: group.to_owned(), kills, removal, killed: OnceCell::new() })
    }

    /// Whether a process was killed in the container, which has ended; nothing if its group is not the one that is
    /// watched.
    pub(super) async fn killed(&self) -> Option<bool> {
        let asking = async {
            while count(&self.removal).is_none() {
                tokio::time::sleep(REMOVAL_PAUSE).await;
            }
            count(&self.kills).is_some_and(|count| count > 1)
        };
        let asking = tokio::time::timeout(REMOVAL_LIMIT, asking);
        // A notification can be read once.
        self.killed.get_or_init(|| async { asking.await.ok() }).await.to_owned()
    }
}

/// How often a notification has come, if it has.
fn count(mut event: &File) -> Option<u64> {
    let mut count = [0; size_of::<u64>()];
    event.read_exact(&mut count).ok()?;
    Some(u64::from_ne_bytes(count))
}

impl Drop for OomWatch {
    fn drop(&mut self) {
        // The Engine has removed it, unless the container never started.
        remove(&self.group);
    }
}

fn remove(group: &Path) {
    // One that is in use can't be removed, and is its container's.
    if let Err(error) = fs::remove_dir(group)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!(group = %group.display(), %error, "a control group is left to its container");
    }
}
