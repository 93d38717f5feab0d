//! Making, measuring and removing directories that a job has written, or will write, to.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

/// Anyone may write to a results directory: the job's user may be one that only the image knows. On the machine it
/// stands below a directory that only the agent may enter.
const RESULTS_MODE: u32 = 0o777;
/// A block of `st_blocks`, whatever the file system's own are.
const BLOCK: u64 = 512;

/// Makes a job's results directory, for `owner` if the job runs as somebody else than the agent. One that is there is
/// fine.
pub(crate) fn make_results_dir(path: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
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
/// a file with several names counts for each.
pub(crate) fn size_on_disk(root: &Path) -> u64 {
    sum(root, |metadata| metadata.blocks().saturating_mul(BLOCK))
}

/// Bytes on the disk of all files below `root`, without the directories.
pub(crate) fn size_of_files(root: &Path) -> u64 {
    sum(root, |metadata| match metadata.is_dir() {
        true => 0,
        false => metadata.blocks().saturating_mul(BLOCK),
    })
}

fn sum(root: &Path, size: impl Fn(&fs::Metadata) -> u64) -> u64 {
    let mut total = 0_u64;
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            // Of a link this is the link itself.
            let Ok(metadata) = entry.metadata() else { continue };
            total = total.saturating_add(size(&metadata));
            if metadata.is_dir() {
                dirs.push(entry.path());
            }
        }
    }
    total
}

/// Removes everything at `path`, without following links. What can't be removed, such as a directory that a job closed
/// to the agent, is left and told in the agent's log.
pub(crate) fn remove_tree(path: &Path) {
    let removed = fs::remove_dir_all(path).or_else(|_| {
        open_up(path);
        fs::remove_dir_all(path)
    });
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "a directory can't be removed; remove it by hand");
        }
        _ => {}
    }
}

/// Gives the agent back its rights on directories that belong to it but that a job has closed.
fn open_up(root: &Path) {
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        if let Err(error) = fs::set_permissions(&dir, Permissions::from_mode(0o700)) {
            tracing::debug!(path = %dir.display(), %error, "a directory belongs to somebody else");
        }
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        let below = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        dirs.extend(below.map(|entry| entry.path()));
    }
}
