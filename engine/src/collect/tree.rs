//! Making, measuring and removing directories that a job has written, or will write, to.

use std::ffi::{CStr, CString};
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

/// Anyone may write to a results directory: the job's user may be one that only the image knows. On the machine it
/// stands below a directory that only the agent may enter.
const RESULTS_MODE: u32 = 0o777;
/// A block of `st_blocks`, whatever the file system's own are.
const BLOCK: u64 = 512;
/// How often a directory is read again that is not empty after all that was seen in it is gone.
const LOOKS: u32 = 100;

/// Makes a job's results directory, for `owner` if the job runs as somebody else than the agent. One that is there is
/// fine.
pub fn make_results_dir(path: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(RESULTS_MODE).create(path)?;
    // Not by the mode above alone: the process's umask took bits away.
    fs::set_permissions(path, Permissions::from_mode(RESULTS_MODE))?;
    let Some((uid, gid)) = owner else { return Ok(()) };
    match std::os::unix::fs::chown(path, Some(uid), Some(gid)) {
        // Only root may give a directory away; its mode lets the job write all the same.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        chowned => chowned,
    }
}

/// Bytes that everything below `root` takes on the disk. What can't be read, or goes away meanwhile, counts as nothing;
/// a file with several names counts for each. A tree so deep that the system has no names for what is in it could hide
/// anything, and counts as more than any limit: nothing of it could ever be an output.
pub fn size_on_disk(root: &Path) -> u64 {
    let sum = sum(root, |metadata| metadata.blocks().saturating_mul(BLOCK));
    if sum.hides { u64::MAX } else { sum.bytes }
}

/// Bytes on the disk of all files below `root`, without the directories.
pub fn size_of_files(root: &Path) -> u64 {
    let size = |metadata: &fs::Metadata| match metadata.is_dir() {
        true => 0,
        false => metadata.blocks().saturating_mul(BLOCK),
    };
    sum(root, size).bytes
}

#[derive(Default)]
struct Sum {
    bytes: u64,
    /// Directories were met whose paths are too long to be read.
    hides: bool,
}

fn sum(root: &Path, size: impl Fn(&fs::Metadata) -> u64) -> Sum {
    let mut sum = Sum::default();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) => {
                sum.hides |= error.kind() == io::ErrorKind::InvalidFilename;
                continue;
            }
        };
        for entry in entries.flatten() {
            // Of a link this is the link itself.
            let Ok(metadata) = entry.metadata() else { continue };
            sum.bytes = sum.bytes.saturating_add(size(&metadata));
            if metadata.is_dir() {
                dirs.push(entry.path());
            }
        }
    }
    sum
}

/// Removes everything at `path`, without following links. What can't be removed, such as a directory of somebody else, is
/// left and told in the agent's log.
pub fn remove_tree(path: &Path) {
    match remove(path) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "a directory can't be removed; remove it by hand");
        }
    }
}

/// However deep the tree is, two directories of it are open at a time and no call waits for another: a directory that is
/// found in another one is moved up to the top first.
fn remove(path: &Path) -> Result<(), Errno> {
    let top = open_dir(CWD, path)?;
    let mut lifted = 0;
    for _ in 0..LOOKS {
        loop {
            let before = lifted;
            for dir in remove_files(&top)? {
                flatten(&top, &dir, &mut lifted)?;
            }
            if lifted == before {
                break;
            }
        }
        match rustix::fs::rmdir(path) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            removed => return removed,
        }
    }
    Err(Errno::NOTEMPTY)
}

/// Removes a directory of `top`; what directories it has are in `top` then.
fn flatten(top: &OwnedFd, name: &CStr, lifted: &mut u64) -> Result<(), Errno> {
    let dir = open_dir(top, name)?;
    for _ in 0..LOOKS {
        for inner in remove_files(&dir)? {
            lift(&dir, &inner, top, lifted)?;
        }
        match rustix::fs::unlinkat(top, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            removed => return removed,
        }
    }
    Err(Errno::NOTEMPTY)
}

/// Moves a directory from `dir` to `top`, under a name that nothing there has.
fn lift(dir: &OwnedFd, name: &CStr, top: &OwnedFd, lifted: &mut u64) -> Result<(), Errno> {
    // Only who may write to a directory may move it.
    drop(open_dir(dir, name));
    loop {
        *lifted += 1;
        match rustix::fs::renameat(dir, name, top, format!("btctl-{lifted}")) {
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
            moved => return moved,
        }
    }
}

/// Removes all that is no directory, and names the directories.
fn remove_files(dir: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let mut dirs = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let is_dir = match entry.file_type() {
            FileType::Unknown => {
                let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode) == FileType::Directory
            }
            kind => kind == FileType::Directory,
        };
        match is_dir {
            true => dirs.push(name.to_owned()),
            false => rustix::fs::unlinkat(dir, name, AtFlags::empty())?,
        }
    }
    Ok(dirs)
}

/// Opens a directory, and gives the agent back its rights on one that a job has closed.
fn open_dir(at: impl AsFd, name: impl rustix::path::Arg + Copy) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(at.as_fd(), name, flags, Mode::empty());
    let dir = match open() {
        Err(Errno::ACCESS) => {
            rustix::fs::chmodat(at.as_fd(), name, Mode::RWXU, AtFlags::empty())?;
            open()?
        }
        dir => dir?,
    };
    if let Err(error) = rustix::fs::fchmod(&dir, Mode::RWXU) {
        tracing::debug!(%error, "a directory belongs to somebody else");
    }
    Ok(dir)
}
