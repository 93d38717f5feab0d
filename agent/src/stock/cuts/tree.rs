//! What lies in a volume, by paths below it. No link is followed.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

/// Files, directories and links of a volume that is cut.
const MOST_ENTRIES: usize = 1_000_000;

/// All of a volume.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Each after the one that it lies in; the volume itself, if it is a directory, is the first, by an empty path.
    pub(super) dirs: BTreeMap<String, Metadata>,
    /// Of a volume that is a file, itself by an empty path.
    pub(super) files: BTreeMap<String, Metadata>,
    /// Links, and what stands in them.
    pub(super) links: BTreeMap<String, PathBuf>,
    /// What is none of these, or has a name that is no text.
    pub(super) others: Vec<String>,
}

impl Tree {
    /// The error is a sentence.
    pub(super) fn look(root: &Path) -> Result<Self, String> {
        let unreadable = |path: &Path, error: io::Error| format!("{} can't be read: {error}", path.display());
        let mut tree = Self::default();
        let top = fs::symlink_metadata(root).map_err(|error| unreadable(root, error))?;
        if top.is_file() {
            tree.files.insert(String::new(), top);
            return Ok(tree);
        }
        tree.dirs.insert(String::new(), top);
        let mut open = vec![String::new()];
        let mut entries = 0;
        while let Some(dir) = open.pop() {
            let place = root.join(&dir);
            let listed = match fs::read_dir(&place) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && !dir.is_empty() => continue,
                listed => listed.map_err(|error| unreadable(&place, error))?,
            };
            for entry in listed {
                let entry = entry.map_err(|error| unreadable(&place, error))?;
                entries += 1;
                if entries > MOST_ENTRIES {
                    return Err(format!("{} has more than {MOST_ENTRIES} files", root.display()));
                }
                let found = match entry.metadata() {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    found => found.map_err(|error| unreadable(&entry.path(), error))?,
                };
                let name = entry.file_name();
                let in_dir = |name: &str| match dir.as_str() {
                    "" => name.to_owned(),
                    dir => format!("{dir}/{name}"),
                };
                let Some(path) = name.to_str().map(in_dir) else {
                    tree.others.push(in_dir(&name.to_string_lossy()));
                    continue;
                };
                if found.is_dir() {
                    tree.dirs.insert(path.clone(), found);
                    open.push(path);
                } else if found.is_file() {
                    tree.files.insert(path, found);
                } else if found.is_symlink() {
                    let target =
                        fs::read_link(entry.path()).map_err(|error| unreadable(&entry.path(), error))?;
                    tree.links.insert(path, target);
                } else {
                    tree.others.push(path);
                }
            }
        }
        tree.others.sort_unstable();
        Ok(tree)
    }

    /// Another one if any file was written to, made or removed, or any mode or owner has changed.
    pub(super) fn version(&self) -> [u8; 32] {
        let mut version = Sha256::new();
        for (kind, found) in [(b"d", &self.dirs), (b"f", &self.files)] {
            for (path, found) in found {
                version.update(kind);
                version.update(path);
                let (size, modified, changed) = match found.is_dir() {
                    // What is in it says more.
                    true => (0, 0, 0),
                    false => (found.size(), nanos(found.mtime(), found.mtime_nsec()), changed(found)),
                };
                let (dev, ino, mode) = (found.dev(), found.ino(), found.mode());
                let (uid, gid) = (found.uid(), found.gid());
                version.update(format!("\0{dev} {ino} {size} {modified} {changed} {mode} {uid} {gid}\0"));
            }
        }
        for (path, target) in &self.links {
            version.update(path);
            version.update("\0");
            version.update(target.as_os_str().as_bytes());
            version.update("\0");
        }
        for other in &self.others {
            version.update(other);
            version.update("\0");
        }
        version.finalize().into()
    }

    /// How long ago the latest change of a file was; one in the future is of now.
    pub(super) fn age(&self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let latest = self.files.values().map(changed).max().unwrap_or(0);
        let age = now.saturating_sub(u128::try_from(latest).unwrap_or(0));
        Duration::from_nanos(u64::try_from(age).unwrap_or(u64::MAX))
    }
}

fn changed(found: &Metadata) -> i128 {
    nanos(found.ctime(), found.ctime_nsec()).max(nanos(found.mtime(), found.mtime_nsec()))
}

fn nanos(seconds: i64, nanos: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanos)
}
