//! A look at a results directory while its job runs: what can be seen of it now, however odd the rest is.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Stat};
use serde::{Deserialize, Serialize};

use super::{DIRECTORY, MOST_ENTRIES, checked, open_beneath, open_root};

/// What tells one state of a file from a later one, as far as the file system tells. Its owner can set all of it but the
/// time of the last change, `ctime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    dev: u64,
    inode: u64,
    pub size: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
    /// It has but one name, so that who writes to it is seen under this one.
    pub one_name: bool,
}

impl Stamp {
    /// The stamp of an open file.
    pub fn of(file: &std::fs::File) -> std::io::Result<Self> {
        Ok(Self::read(&rustix::fs::fstat(file)?))
    }

    fn read(stat: &Stat) -> Self {
        Self {
            dev: stat.st_dev,
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime: (stat.st_mtime, i64::from(stat.st_mtime_nsec as u32)),
            ctime: (stat.st_ctime, i64::from(stat.st_ctime_nsec as u32)),
            one_name: stat.st_nlink == 1,
        }
    }

    /// How long ago the file was changed last; nothing if that is in the future.
    pub fn age(&self) -> std::time::Duration {
        let (seconds, nanos) = self.ctime;
        let changed = jiff::Timestamp::new(seconds, i32::try_from(nanos).unwrap_or(0));
        let age = changed.map(|changed| jiff::Timestamp::now().duration_since(changed));
        age.ok().and_then(|age| age.try_into().ok()).unwrap_or_default()
    }
}

/// Regular files below a directory, and whether there is more than that.
#[derive(Debug, Default)]
pub struct FilesSeen {
    pub files: Vec<(String, Stamp)>,
    /// There was too much to see all of it.
    pub cut: bool,
}

/// Looks at what is in the directory `below` of a results directory (empty: in all of it). `enter` is handed each
/// directory before it is read. What can't be read, or has a name that can't be kept, is passed over.
pub fn look(root: &Path, below: &str, mut enter: impl FnMut(&OwnedFd, &str)) -> FilesSeen {
    let mut seen = FilesSeen::default();
    let Ok(top) = open_root(root) else { return seen };
    let mut entries = 0;
    let mut dirs = vec![below.to_owned()];
    while let Some(dir) = dirs.pop() {
        let open = match dir.as_str() {
            "" => top.try_clone().ok(),
            path => open_beneath(&top, path, DIRECTORY).ok(),
        };
        let Some(open) = open else { continue };
        enter(&open, &dir);
        let Ok(listed) = Dir::read_from(&open) else { continue };
        for entry in listed.flatten() {
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            entries += 1;
            if entries > MOST_ENTRIES {
                seen.cut = true;
                return seen;
            }
            let Ok(path) = checked(&dir, name.to_bytes()) else { continue };
            let Ok(stat) = rustix::fs::statat(&open, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => seen.files.push((path, Stamp::read(&stat))),
                FileType::Directory => dirs.push(path),
                _ => {}
            }
        }
    }
    seen
}
