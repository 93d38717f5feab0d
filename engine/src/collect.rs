//! The results directory of a job, read as what it is: data that an untrusted program made, and may still be changing.
//!
//! No link is ever followed, neither in the last part of a path nor before, so nothing outside the directory can be
//! read. Only regular files are outputs. A name that can't be kept as it is is refused, never changed.

mod error;
mod look;
mod tree;

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

pub use error::{Error, SkipReason, Skipped};
pub use look::{FilesSeen, Stamp, look};
pub use tree::{make_results_dir, remove_tree, size_of_files, size_on_disk};

/// Files, directories and everything else that a results directory may hold.
const MOST_ENTRIES: usize = 100_000;
/// Bytes of all paths together: they travel in one message, which has its limit.
const MOST_NAMING: usize = 8 << 20;
/// Left out outputs that are named to the job's owner.
const NAMED: usize = 5;
/// Bytes of a path, counted from the results directory: what an S3 key allows.
const LONGEST_PATH: usize = 1024;

/// What a results directory holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Sorted by path.
    pub outputs: Vec<ListedOutput>,
    pub skipped: Vec<Skipped>,
}

/// One regular file. Its size is what is read when it is read; the job's processes are gone, but a volume of another
/// machine may lag behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedOutput {
    /// Relative to the results directory, `/` between its parts.
    pub path: String,
}

/// What was left out, in a sentence; nothing if nothing was.
pub fn told(skipped: &[Skipped]) -> Option<String> {
    let shown: Vec<_> =
        skipped.iter().take(NAMED).map(|skipped| format!("{} ({})", skipped.path, skipped.why)).collect();
    let outputs = match skipped.len() {
        0 => return None,
        1 => "1 output is left out",
        _ => "outputs are left out",
    };
    let count = if skipped.len() > 1 { format!("{} ", skipped.len()) } else { String::new() };
    let more = skipped.len() - shown.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!("{count}{outputs}, since only regular files are kept: {}{more}", shown.join(", ")))
}

/// Lists the outputs below `root`.
pub fn list(root: &Path) -> Result<Listing, Error> {
    let top = open_root(root)?;
    let mut listing = Listing::default();
    let (mut entries, mut naming) = (0, 0);
    // One directory is open at a time, however deep the tree is.
    let mut dirs = BTreeSet::from([String::new()]);
    while let Some(dir) = dirs.pop_first() {
        let open = match dir.as_str() {
            "" => top.try_clone().map_err(|error| Error::read(root, "", error))?,
            path => match open_beneath(&top, path, DIRECTORY) {
                Ok(open) => open,
                // Removed or replaced since it was seen.
                Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => continue,
                Err(errno) => return Err(refused(root, &top, path, errno)),
            },
        };
        let read = |errno| refused(root, &top, &dir, errno);
        for entry in Dir::read_from(&open).map_err(read)? {
            let entry = entry.map_err(read)?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            entries += 1;
            if entries > MOST_ENTRIES {
                return Err(Error::TooMany { root: root.to_owned(), most: MOST_ENTRIES });
            }
            let path = checked(&dir, name)?;
            naming += path.len();
            if naming > MOST_NAMING {
                return Err(Error::LongNames { root: root.to_owned(), most: MOST_NAMING });
            }
            let kind = match entry.file_type() {
                FileType::Unknown => {
                    match rustix::fs::statat(&open, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                        Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                        Err(Errno::NOENT) => continue,
                        Err(errno) => return Err(refused(root, &top, &path, errno)),
                    }
                }
                kind => kind,
            };
            match kind {
                FileType::RegularFile => listing.outputs.push(ListedOutput { path }),
                FileType::Directory => drop(dirs.insert(path)),
                kind => listing.skipped.push(Skipped { path, why: SkipReason::of(kind) }),
            }
        }
    }
    listing.outputs.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    listing.skipped.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(listing)
}

/// Opens one output to read it. `path` need not come from [`list`].
pub fn open(root: &Path, path: &str) -> Result<File, Error> {
    if path.is_empty() || path.starts_with('/') || path.split('/').any(|part| matches!(part, "" | "." | ".."))
    {
        return Err(Error::Outside { path: path.to_owned() });
    }
    let top = open_root(root)?;
    // A pipe that nobody writes to would be waited for without NONBLOCK; on a regular file it means nothing.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match open_beneath(&top, path, flags) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::NOTDIR) => return Err(Error::NotFound { path: path.to_owned() }),
        Err(Errno::LOOP) => return Err(Error::not_regular(path, SkipReason::Symlink)),
        // What opening a socket, or a device that isn't there, answers.
        Err(Errno::NXIO) => return Err(Error::not_regular(path, SkipReason::Special)),
        Err(errno) => return Err(refused(root, &top, path, errno)),
    };
    let kind = file.metadata().map_err(|error| Error::read(root, path, error))?.file_type();
    if kind.is_file() {
        Ok(file)
    } else if kind.is_dir() {
        Err(Error::not_regular(path, SkipReason::Directory))
    } else if kind.is_fifo() {
        Err(Error::not_regular(path, SkipReason::Pipe))
    } else {
        Err(Error::not_regular(path, SkipReason::Special))
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

fn open_root(root: &Path) -> Result<OwnedFd, Error> {
    rustix::fs::open(root, DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::read(root, "", errno.into()))
}

/// Opens without following any link. `ELOOP` stands for a link, wherever in the path it is.
fn open_beneath(top: &OwnedFd, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    loop {
        match rustix::fs::openat2(top, path, flags, Mode::empty(), resolve) {
            // The tree was being renamed meanwhile.
            Err(Errno::AGAIN | Errno::INTR) => {}
            // Kernels before 5.6 do not have it, and old seccomp profiles forbid it.
            Err(Errno::NOSYS | Errno::PERM) => return open_by_steps(top, path, flags),
            opened => return opened,
        }
    }
}

/// What `openat2` does, a part at a time: each part is opened in the directory that was opened before.
fn open_by_steps(top: &OwnedFd, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let (dirs, last) = match path.rsplit_once('/') {
        Some((dirs, last)) => (Some(dirs), last),
        None => (None, path),
    };
    let mut held: Option<OwnedFd> = None;
    for dir in dirs.into_iter().flat_map(|dirs| dirs.split('/')) {
        let at = held.as_ref().unwrap_or(top).as_fd();
        let step = DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        held = Some(rustix::fs::openat(at, dir, step, Mode::empty())?);
    }
    rustix::fs::openat(held.as_ref().unwrap_or(top), last, flags, Mode::empty())
}

/// The path of `name` in `dir`, if it can be kept as it is.
pub fn checked(dir: &str, name: &[u8]) -> Result<String, Error> {
    let refuse = |why| Error::Name { path: shown(dir, name), why };
    let name = std::str::from_utf8(name).map_err(|_| refuse("is not UTF-8"))?;
    if name.chars().any(char::is_control) {
        return Err(refuse("holds a control character"));
    }
    if name.contains('\\') {
        return Err(refuse("holds a backslash, which some systems take for a separator"));
    }
    let path = if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
    if path.len() > LONGEST_PATH {
        return Err(refuse("is longer than 1024 bytes"));
    }
    Ok(path)
}

/// A path in which every odd byte is written out.
fn shown(dir: &str, name: &[u8]) -> String {
    let name = name.escape_ascii();
    if dir.is_empty() { name.to_string() } else { format!("{dir}/{name}") }
}

/// An error that names who owns what can't be read.
fn refused(root: &Path, top: &OwnedFd, path: &str, errno: Errno) -> Error {
    if errno != Errno::ACCESS {
        return Error::read(root, path, errno.into());
    }
    let looked_at = if path.is_empty() { "." } else { path };
    match rustix::fs::statat(top, looked_at, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => {
            Error::Unreadable { path: path.to_owned(), uid: stat.st_uid, mode: stat.st_mode & 0o7777 }
        }
        Err(_) => Error::read(root, path, errno.into()),
    }
}

#[cfg(test)]
mod tests;
