//! A local directory as one archive whose SHA-256 says what it holds: entries in the order of their names, without times and
//! owners, so that the same files make the same archive everywhere. It is what `--dev-mount` brings to agents.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use bt_model::resources::ByteSize;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// What is never taken along.
pub const SKIPPED: [&str; 3] = ["__pycache__", ".git", ".venv"];
/// Bytes of all files of a directory.
pub const LARGEST: u64 = 100 << 20;
/// Files, directories and links of a directory.
pub const MOST_ENTRIES: usize = 10_000;
/// Bytes of an archive; its headers and long names come on top of the files.
pub const LARGEST_ARCHIVE: u64 = LARGEST + (64 << 20);

/// Why a directory can't be packed, or an archive not be unpacked. A sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OverlayError(String);

/// A directory, packed.
#[derive(Clone, Debug)]
pub struct PackedDir {
    pub archive: Vec<u8>,
    pub sha256: [u8; 32],
    pub files: u32,
    /// Of all files together.
    pub bytes: u64,
}

/// Packs what is below a directory.
pub fn pack(dir: &Path) -> Result<PackedDir, OverlayError> {
    let root = match fs::metadata(dir) {
        Ok(found) if found.is_dir() => fs::canonicalize(dir).map_err(|error| unreadable(dir, &error))?,
        Ok(_) => return Err(OverlayError(format!("{} is not a directory", dir.display()))),
        Err(error) => return Err(unreadable(dir, &error)),
    };
    let found = list(&root)?;
    let sizes = found.iter().filter(|(_, metadata)| metadata.is_file()).map(|(_, metadata)| metadata.len());
    let (files, bytes) = sizes.fold((0_u32, 0_u64), |(files, bytes), size| (files + 1, bytes + size));
    if files == 0 {
        return Err(OverlayError(format!(
            "{} has no files ({} are left out)",
            dir.display(),
            SKIPPED.join(", ")
        )));
    }
    if bytes > LARGEST {
        return Err(OverlayError(format!(
            "{} has {} of files; {} is the limit. Larger things belong into the image or a volume",
            dir.display(),
            ByteSize(bytes),
            ByteSize(LARGEST)
        )));
    }
    let mut archive = Builder::new(Vec::new());
    for (path, metadata) in &found {
        add(&mut archive, &root, path, metadata).map_err(|error| unreadable(&root.join(path), &error))?;
    }
    let archive = archive.into_inner().map_err(|error| unreadable(dir, &error))?;
    let sha256 = Sha256::digest(&archive).into();
    Ok(PackedDir { archive, sha256, files, bytes })
}

/// All below a directory, by the path from there, in order.
fn list(root: &Path) -> Result<Vec<(PathBuf, Metadata)>, OverlayError> {
    let (mut found, mut left) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(dir) = left.pop() {
        let here = root.join(&dir);
        for entry in fs::read_dir(&here).map_err(|error| unreadable(&here, &error))? {
            let entry = entry.map_err(|error| unreadable(&here, &error))?;
            let name = entry.file_name();
            if SKIPPED.iter().any(|skipped| name == *skipped) {
                continue;
            }
            let (path, full) = (dir.join(&name), entry.path());
            if path.to_str().is_none() {
                return Err(OverlayError(format!("the name of {} is not UTF-8", full.display())));
            }
            let metadata = fs::symlink_metadata(&full).map_err(|error| unreadable(&full, &error))?;
            if metadata.is_symlink() {
                stays(root, &path)?;
            } else if metadata.is_dir() {
                left.push(path.clone());
            } else if !metadata.is_file() {
                return Err(OverlayError(format!(
                    "{} is neither a file nor a directory nor a link",
                    full.display()
                )));
            }
            found.push((path, metadata));
            if found.len() > MOST_ENTRIES {
                let told = format!("{} has more than {MOST_ENTRIES} files and directories", root.display());
                return Err(OverlayError(told));
            }
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(found)
}

/// Refuses a link that leads out of the directory.
fn stays(root: &Path, link: &Path) -> Result<(), OverlayError> {
    let full = root.join(link);
    let points_to = fs::read_link(&full).map_err(|error| unreadable(&full, &error))?;
    let is_below = leads_inside(link, &points_to);
    let really = fs::canonicalize(&full).map_or(true, |end| end.starts_with(root));
    match is_below && really && points_to.to_str().is_some() {
        true => Ok(()),
        false => Err(OverlayError(format!(
            "{} is a link to {}, out of the directory; jobs would not find that",
            full.display(),
            points_to.display()
        ))),
    }
}

fn leads_inside(link: &Path, points_to: &Path) -> bool {
    let mut depth = link.components().count().saturating_sub(1);
    for part in points_to.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return false,
        }
    }
    true
}

fn add(archive: &mut Builder<Vec<u8>>, root: &Path, path: &Path, metadata: &Metadata) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header.set_mode(0o755);
    let full = root.join(path);
    if metadata.is_symlink() {
        header.set_entry_type(EntryType::Symlink);
        header.set_mode(0o777);
        return archive.append_link(&mut header, path, fs::read_link(full)?);
    }
    if metadata.is_dir() {
        header.set_entry_type(EntryType::Directory);
        return archive.append_data(&mut header, path, io::empty());
    }
    let size = metadata.len();
    header.set_entry_type(EntryType::Regular);
    header.set_size(size);
    if !is_program(metadata) {
        header.set_mode(0o644);
    }
    let mut data = Vec::new();
    File::open(full)?.take(size + 1).read_to_end(&mut data)?;
    if data.len() as u64 != size {
        return Err(io::Error::other("it changes while it is read"));
    }
    archive.append_data(&mut header, path, data.as_slice())
}

#[cfg(unix)]
fn is_program(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
fn is_program(_: &Metadata) -> bool {
    false
}

/// Unpacks an archive that [`pack`] made into a directory that is empty. Nothing is written outside of it, whatever the
/// archive says; one that is not exactly what [`pack`] makes of the files is refused.
#[cfg(unix)]
pub fn unpack(archive: &[u8], dir: &Path) -> Result<(), OverlayError> {
    let broken = |error: io::Error| OverlayError(format!("the archive of a dev mount is not one: {error}"));
    let unwritten = |path: &Path, error: &io::Error| {
        OverlayError(format!("{} can't be written: {error}", dir.join(path).display()))
    };
    let mut made = BTreeSet::from([PathBuf::new()]);
    for (number, entry) in tar::Archive::new(archive).entries().map_err(broken)?.enumerate() {
        let mut entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.into_owned();
        let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        let has_place = path.parent().is_some_and(|parent| made.contains(parent));
        if number >= MOST_ENTRIES || !is_plain || !has_place {
            let told = format!("the archive of a dev mount has {}, which no directory makes", path.display());
            return Err(OverlayError(told));
        }
        write(&mut entry, &dir.join(&path)).map_err(|error| unwritten(&path, &error))?;
        if entry.header().entry_type() == EntryType::Directory {
            made.insert(path);
        }
    }
    let again = pack(dir)?;
    match again.sha256 == <[u8; 32]>::from(Sha256::digest(archive)) {
        true => Ok(()),
        false => Err(OverlayError("the archive of a dev mount is not what its files make".to_owned())),
    }
}

#[cfg(unix)]
fn write(entry: &mut tar::Entry<'_, &[u8]>, to: &Path) -> io::Result<()> {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let mode = Permissions::from_mode(if entry.header().mode()? & 0o100 != 0 { 0o755 } else { 0o644 });
    match entry.header().entry_type() {
        EntryType::Directory => {
            fs::create_dir(to)?;
            fs::set_permissions(to, Permissions::from_mode(0o755))
        }
        EntryType::Symlink => {
            let points_to = entry.link_name()?.ok_or_else(|| io::Error::other("a link points nowhere"))?;
            symlink(points_to, to)
        }
        EntryType::Regular => {
            let mut file = File::create_new(to)?;
            io::copy(&mut entry.take(LARGEST), &mut file)?;
            file.flush()?;
            file.set_permissions(mode)
        }
        _ => Err(io::Error::other("it is neither a file nor a directory nor a link")),
    }
}

/// Says by names, sizes and times alone whether a directory was touched: it is another value then.
#[cfg(unix)]
pub fn stamp(dir: &Path) -> Result<[u8; 32], OverlayError> {
    use std::os::unix::fs::MetadataExt;
    let mut hash = Sha256::new();
    for (path, metadata) in list(dir)? {
        let facts = [metadata.ino() as i64, metadata.len() as i64, i64::from(metadata.mode())];
        let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
        hash.update(path.as_os_str().as_encoded_bytes());
        hash.update([0]);
        facts.iter().chain(&times).for_each(|number| hash.update(number.to_le_bytes()));
    }
    Ok(hash.finalize().into())
}

fn unreadable(path: &Path, error: &io::Error) -> OverlayError {
    OverlayError(match error.kind() {
        io::ErrorKind::NotFound => format!("{} does not exist", path.display()),
        _ => format!("{} can't be read: {error}", path.display()),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn filled() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("pkg/__pycache__")).unwrap();
        fs::create_dir(dir.path().join(".git")).unwrap();
        for (path, text) in [
            ("pkg/a.py", "A = 1\n"),
            ("pkg/__pycache__/a.pyc", "x"),
            (".git/HEAD", "x"),
            ("run", "#!/bin/sh\n"),
        ] {
            fs::write(dir.path().join(path), text).unwrap();
        }
        fs::set_permissions(dir.path().join("run"), Permissions::from_mode(0o700)).unwrap();
        symlink("a.py", dir.path().join("pkg/b.py")).unwrap();
        dir
    }

    fn told<T: std::fmt::Debug>(outcome: Result<T, OverlayError>) -> String {
        outcome.unwrap_err().to_string()
    }

    #[test]
    fn the_same_files_make_the_same_archive_and_one_byte_another() {
        let (one, other) = (filled(), filled());
        let packed = pack(one.path()).unwrap();
        assert_eq!((packed.files, packed.bytes), (2, 16));
        fs::write(other.path().join("pkg/__pycache__/a.pyc"), "another").unwrap();
        fs::set_permissions(other.path().join("pkg/a.py"), Permissions::from_mode(0o600)).unwrap();
        assert_eq!(pack(other.path()).unwrap().sha256, packed.sha256);
        fs::write(other.path().join("pkg/a.py"), "A = 2\n").unwrap();
        assert_ne!(pack(other.path()).unwrap().sha256, packed.sha256);
        let there = tempfile::tempdir().unwrap();
        unpack(&packed.archive, there.path()).unwrap();
        assert_eq!(fs::read_to_string(there.path().join("pkg/b.py")).unwrap(), "A = 1\n");
        assert_eq!(pack(there.path()).unwrap().sha256, packed.sha256);
        let before = stamp(there.path()).unwrap();
        assert_eq!(stamp(there.path()).unwrap(), before);
        fs::write(there.path().join("pkg/a.py"), "A = 3\n").unwrap();
        assert_ne!(stamp(there.path()).unwrap(), before);
    }

    #[test]
    fn what_no_job_would_find_is_refused_by_name() {
        let dir = filled();
        for points_to in ["/etc/passwd", "../../x", "../.."] {
            let link = dir.path().join("pkg/out");
            symlink(points_to, &link).unwrap();
            let told = told(pack(dir.path()));
            assert!(told.contains("pkg/out is a link to") && told.contains(points_to), "{told}");
            fs::remove_file(link).unwrap();
        }
        let empty = tempfile::tempdir().unwrap();
        fs::create_dir_all(empty.path().join("x/.git")).unwrap();
        assert!(told(pack(empty.path())).contains("has no files"));
        assert!(told(pack(&empty.path().join("gone"))).contains("gone does not exist"));
        assert!(told(pack(&dir.path().join("run"))).contains("is not a directory"));
        File::create(dir.path().join("big")).unwrap().set_len(LARGEST + 1).unwrap();
        let told = told(pack(dir.path()));
        assert!(told.contains("100 MiB is the limit"), "{told}");
    }

    #[test]
    fn an_archive_of_a_strangers_writes_nothing_outside() {
        let entry = |kind, path: &str, points_to: &str| {
            let mut header = Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(0);
            header.set_mode(0o644);
            header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
            if !points_to.is_empty() {
                header.set_link_name(points_to).unwrap();
            }
            header.set_cksum();
            header
        };
        let refused = |headers: &[Header]| {
            let mut archive = Builder::new(Vec::new());
            headers.iter().for_each(|header| archive.append(header, io::empty()).unwrap());
            let outer = tempfile::tempdir().unwrap();
            let dir = outer.path().join("in");
            fs::create_dir(&dir).unwrap();
            told(unpack(&archive.into_inner().unwrap(), &dir));
            assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 1);
        };
        refused(&[entry(EntryType::Regular, "../x", "")]);
        refused(&[entry(EntryType::Regular, "/tmp/x", "")]);
        refused(&[entry(EntryType::Symlink, "a", ".."), entry(EntryType::Regular, "a/x", "")]);
        refused(&[entry(EntryType::Symlink, "a", "/etc")]);
        refused(&[entry(EntryType::Regular, "f", ""), entry(EntryType::Link, "g", "f")]);
        refused(&[entry(EntryType::Fifo, "f", "")]);
        // Files that `pack` would order otherwise.
        refused(&[entry(EntryType::Regular, "g", ""), entry(EntryType::Regular, "f", "")]);
    }
}
