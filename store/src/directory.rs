//! Files on their way into a directory. Each is written under a name of its own, `<name>#<number>`, and gets its real name
//! when it is whole. A name that is taken is never taken over: the writer hears of it and keeps what it has written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

/// Writers of one file at a time, those that were killed included. More can't be right.
const MOST_WRITERS: u32 = 1_000;

/// A file that is being written. It is removed when it is dropped without having been named.
#[derive(Debug)]
pub(crate) struct StagedFile {
    file: File,
    at: PathBuf,
    is_named: bool,
    /// Directories that got a directory for it, and are not synced yet.
    grown: Vec<PathBuf>,
}

impl StagedFile {
    /// Begins a file that is named by a number after `base` while it is written.
    pub(crate) fn begin(base: &Path) -> io::Result<Self> {
        let mut grown = Vec::new();
        for number in 1..=MOST_WRITERS {
            let at = numbered(base, number);
            let mut made = create(&at);
            if made.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound)
                && let Some(parent) = at.parent()
            {
                make_dirs(parent, &mut grown)?;
                made = create(&at);
            }
            match made {
                Ok(file) => return Ok(Self { file, at, is_named: false, grown }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(ErrorKind::AlreadyExists, format!("{MOST_WRITERS} writers have begun this file")))
    }

    pub(crate) fn write(&mut self, pieces: &[Bytes]) -> io::Result<()> {
        pieces.iter().try_for_each(|piece| self.file.write_all(piece))
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Directories that got a directory for it: they must be synced too.
    pub(crate) fn take_grown_dirs(&mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.grown)
    }

    /// Waits until all that was written is on disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Gives the file its name. False if another file has it and may not be replaced.
    pub(crate) fn give_name(&mut self, name: &Path, replaces: bool) -> io::Result<bool> {
        self.is_named = match replaces {
            true => fs::rename(&self.at, name).map(|()| true)?,
            false => name_file(&self.at, name)?,
        };
        Ok(self.is_named)
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.is_named {
            // What can't be removed now is removed as a file that was never finished.
            fs::remove_file(&self.at).ok();
        }
    }
}

/// Removes what writers of this file left that were killed. Their numbers are counted up from 1.
pub(crate) fn clear(base: &Path) {
    for number in 1..=MOST_WRITERS {
        if fs::remove_file(numbered(base, number)).is_err() {
            return;
        }
    }
}

fn create(at: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(at)
}

fn numbered(base: &Path, number: u32) -> PathBuf {
    let mut name = base.to_path_buf().into_os_string();
    name.push(format!("#{number}"));
    name.into()
}

/// Moves a file to a name that nothing has. False if something has it. File systems differ in what they can do: the first
/// way is one step, the second needs hard links, and the third claims the name with an empty file.
fn name_file(from: &Path, to: &Path) -> io::Result<bool> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => return Ok(true),
        Err(Errno::EXIST) => return Ok(false),
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
        Err(error) => return Err(error.into()),
    }
    match fs::hard_link(from, to) {
        Ok(()) => {
            fs::remove_file(from)?;
            return Ok(true);
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            // NFS may send a request twice, and then the answer is the second one's.
            if !is_same_file(from, to) {
                return Ok(false);
            }
            fs::remove_file(from)?;
            return Ok(true);
        }
        Err(error) if is_unsupported(&error) => {}
        Err(error) => return Err(error),
    }
    match create(to) {
        Ok(_) => fs::rename(from, to).map(|()| true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Linux says EPERM where a file system knows no hard links.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied | ErrorKind::TooManyLinks)
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let known = |path: &Path| path.symlink_metadata().map(|file| (file.dev(), file.ino()));
    matches!((known(one), known(other)), (Ok(one), Ok(other)) if one == other)
}

/// Makes a directory and those above it, and adds to `grown` where they were made.
fn make_dirs(dir: &Path, grown: &mut Vec<PathBuf>) -> io::Result<()> {
    let missing = dir.ancestors().take_while(|dir| !dir.exists());
    grown.extend(missing.filter_map(Path::parent).map(Path::to_path_buf));
    fs::create_dir_all(dir)
}

/// Waits until the names in a directory are on disk.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Waits until a file is on disk, and its name, and the directories that lead to it from `root`.
pub(crate) fn sync_file(root: &Path, path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    let dirs = path.ancestors().skip(1).take_while(|dir| dir.starts_with(root));
    dirs.into_iter().try_for_each(sync_dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_given_once() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().join("a/b/x");
        let staged = |text: &'static str| {
            let mut staged = StagedFile::begin(&name).unwrap();
            staged.write(&[Bytes::from_static(text.as_bytes())]).unwrap();
            staged
        };
        let (mut first, mut second, third) = (staged("first"), staged("second"), staged("third"));
        assert!(second.give_name(&name, false).unwrap());
        assert!(!first.give_name(&name, false).unwrap(), "it took the name over");
        assert!(first.give_name(&dir.path().join("a/b/y"), false).unwrap());
        drop(third);
        let read = |name: &str| fs::read_to_string(dir.path().join("a/b").join(name)).unwrap();
        assert_eq!((read("x"), read("y")), ("second".to_owned(), "first".to_owned()));
        assert_eq!(fs::read_dir(dir.path().join("a/b")).unwrap().count(), 2, "nothing else is left");
    }
}
