//! Writes a copy of a volume without the rows from a day on. Only CSV and Parquet files are in it: of others it is not known
//! what they hold.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::Path;

use bt_engine::collect;
use rustix::fs::OFlags;

use super::cut::{Cut, NotCut};
use super::tree::Tree;
use super::{csv, parquet};

/// Files that are named of those that are left out.
const NAMED: usize = 5;
/// Bytes that are written at once.
const PIECE: usize = 256 << 10;

/// A copy's size, and what is not in it.
pub(super) struct Written {
    pub(super) bytes: u64,
    /// A sentence; nothing if all of the volume is there.
    pub(super) left_out: Option<String>,
}

/// Writes the copy of a volume at `root`, of which `tree` was seen, to `target`, which is not there yet. The error names the
/// file.
pub(super) fn copy(
    root: &Path,
    tree: &Tree,
    target: &Path,
    cut: &Cut<'_>,
    room: u64,
) -> Result<Written, (String, NotCut)> {
    let mut left = room;
    let mut left_out = tree.others.clone();
    for path in tree.dirs.keys() {
        fs::create_dir(target.join(path)).map_err(|error| (path.clone(), error.into()))?;
    }
    for (path, found) in &tree.files {
        let name = if path.is_empty() { root.to_string_lossy().into_owned() } else { path.clone() };
        let kind = match name.rsplit_once('.').map(|(_, kind)| kind.to_ascii_lowercase()) {
            Some(kind) if kind == "csv" => Kind::Csv,
            Some(kind) if kind == "parquet" => Kind::Parquet,
            _ if path.is_empty() => {
                let why = "it is the whole volume, and neither a CSV nor a Parquet file, so it can't be cut; list under \
                           `holdout.volumes` those that hold the data";
                return Err((name, NotCut::Data(why.to_owned())));
            }
            _ => {
                left_out.push(path.clone());
                continue;
            }
        };
        let copied = || -> Result<(), NotCut> {
            let to = if path.is_empty() { target.to_owned() } else { target.join(path) };
            let mut from = open(root, path)?;
            let file = File::options().write(true).create_new(true).mode(0o600).open(&to)?;
            let mut sink = Sink { file: &file, left: &mut left, fault: None };
            let done = {
                let mut output = BufWriter::with_capacity(PIECE, &mut sink);
                let done = match kind {
                    Kind::Csv => csv::cut(&mut from, &mut output, cut),
                    Kind::Parquet => parquet::cut(from, &mut output, cut),
                };
                done.and_then(|()| output.flush().map_err(NotCut::from))
            };
            // What goes wrong while it is written is not the file's fault, whoever tells of it.
            match sink.fault.take() {
                Some(fault) => return Err(NotCut::Unwritable(fault)),
                None => done?,
            }
            like(&to, found, 0o400)?;
            Ok(())
        };
        let mut copied = copied;
        copied().map_err(|error| (name, error))?;
    }
    for (path, points_to) in &tree.links {
        symlink(points_to, target.join(path)).map_err(|error| (path.clone(), error.into()))?;
    }
    for (path, found) in tree.dirs.iter().rev() {
        like(&target.join(path), found, 0o700).map_err(|error| (path.clone(), error.into()))?;
    }
    left_out.sort_unstable();
    Ok(Written { bytes: room - left, left_out: told(&left_out) })
}

enum Kind {
    Csv,
    Parquet,
}

fn open(root: &Path, path: &str) -> Result<File, NotCut> {
    let unreadable = |error: &dyn std::fmt::Display| NotCut::Unreadable(io::Error::other(error.to_string()));
    match path {
        "" => {
            let flags = OFlags::NOFOLLOW.bits() as i32;
            File::options().read(true).custom_flags(flags).open(root).map_err(NotCut::Unreadable)
        }
        path => collect::open(root, path).map_err(|error| unreadable(&error)),
    }
}

/// Lets those read the copy who may read the original; the agent may do `own` in any case.
fn like(path: &Path, original: &fs::Metadata, own: u32) -> io::Result<()> {
    if chown(path, Some(original.uid()), Some(original.gid())).is_err() {
        // Only root may give files away; a group that the agent is in can be given.
        drop(chown(path, None, Some(original.gid())));
    }
    fs::set_permissions(path, Permissions::from_mode(original.mode() & 0o777 | own))
}

/// A file that is written for as long as there is room.
struct Sink<'s> {
    file: &'s File,
    left: &'s mut u64,
    fault: Option<io::Error>,
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match u64::try_from(bytes.len()) {
            Ok(length) if length <= *self.left => self.file.write(bytes),
            _ => Err(io::ErrorKind::StorageFull.into()),
        };
        match written {
            Ok(written) => {
                *self.left -= written as u64;
                Ok(written)
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::Interrupted {
                    self.fault = Some(error.kind().into());
                }
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is left out, in a sentence.
fn told(left_out: &[String]) -> Option<String> {
    let shown = left_out.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    let more = match left_out.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!left_out.is_empty())
        .then(|| format!("left out, since only CSV and Parquet files can be cut by date: {shown}{more}"))
}
