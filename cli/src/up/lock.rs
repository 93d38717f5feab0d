//! At most one `btctl up` in a directory: a lock that the kernel takes back when its process ends, however it ends.
//!
//! The file says who holds it: the process id in its first line, and in its second, once it serves, its address.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};

use crate::error::Error;
use crate::state_dir::UpDir;

/// The lock, held.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

/// Who holds the lock of a state directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) pid: u32,
    /// None while it starts.
    pub(super) address: Option<String>,
}

impl Lock {
    pub(super) fn take(state_dir: &UpDir) -> Result<Self, Error> {
        let path = state_dir.lock_file();
        let failed = |error: std::io::Error| Error::Failed(format!("{}: {error}", path.display()));
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = holder(state_dir)?
                    .map_or_else(String::new, |holder| format!(" (process {})", holder.pid));
                return Err(Error::Failed(format!(
                    "btctl up runs already in {}{holder}; {} ends it, --state-dir gives another one its own place",
                    state_dir.dir().display(),
                    state_dir.down_command()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut lock = Self { file };
        lock.write(&format!("{}\n", std::process::id()))?;
        Ok(lock)
    }

    /// Says that the coordinator serves.
    pub(super) fn announce(&mut self, address: &str) -> Result<(), Error> {
        self.write(&format!("{}\n{address}\n", std::process::id()))
    }

    fn write(&mut self, text: &str) -> Result<(), Error> {
        let file = &mut self.file;
        let written = file.rewind().and_then(|()| file.write_all(text.as_bytes()));
        let written = written.and_then(|()| file.set_len(text.len() as u64));
        written.map_err(|error| Error::Failed(format!("the lock file can't be written: {error}")))
    }
}

/// Who holds the lock, if it is held.
pub(super) fn holder(state_dir: &UpDir) -> Result<Option<Holder>, Error> {
    let path = state_dir.lock_file();
    let failed = |error: std::io::Error| Error::Failed(format!("{}: {error}", path.display()));
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => return Ok(None),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    let mut lines = text.lines();
    let pid = lines.next().and_then(|line| line.parse().ok());
    Ok(pid.map(|pid| Holder { pid, address: lines.next().map(str::to_owned) }))
}
