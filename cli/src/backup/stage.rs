//! A backup that is being written. It stands under another name until it is whole, so that nothing that looks like a backup
//! is left by a full disk or a kill.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bt_documents::BackupFile;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::output::{say, words};

/// A directory that is not whole yet. It is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Stage {
    /// What it is called when it is whole.
    dir: PathBuf,
    part: PathBuf,
    parent: PathBuf,
    is_whole: bool,
    /// Held until the end, so that no two write here.
    _lock: File,
}

impl Stage {
    /// Refuses a name that is taken.
    pub(crate) fn begin(dir: &Path) -> Result<Self, Error> {
        let dir = std::path::absolute(dir)
            .map_err(|error| Error::Usage(format!("{} is no directory: {error}", dir.display())))?;
        let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else {
            return Err(Error::Usage(format!("{} can't be the name of a backup", dir.display())));
        };
        if fs::symlink_metadata(&dir).is_ok() {
            return Err(Error::Usage(format!(
                "{} is there already; a backup is written to a new directory, such as one named by the date",
                dir.display()
            )));
        }
        let part = parent.join(format!(".{}.part", name.to_string_lossy()));
        match fs::DirBuilder::new().mode(0o700).create(&part) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::Failed(format!("{} can't be made: {error}", part.display()))),
        }
        let failed = |error: io::Error| Error::Failed(format!("{}: {error}", part.display()));
        let lock = File::open(&part).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let what = format!("another btctl backup writes {} just now", dir.display());
                return Err(Error::Failed(what));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let parent = parent.to_owned();
        let stage = Self { dir, part, parent, is_whole: false, _lock: lock };
        let mut is_left = false;
        for entry in fs::read_dir(&stage.part).map_err(failed_at(&stage.part))? {
            let entry = entry.map_err(failed_at(&stage.part))?;
            fs::remove_file(entry.path()).map_err(failed_at(&entry.path()))?;
            is_left = true;
        }
        if is_left {
            say("what an earlier backup that was broken off has left is removed");
        }
        Ok(stage)
    }

    /// Begins a file of the backup.
    pub(crate) fn create(&self, name: &str) -> Result<StagedFile, Error> {
        let path = self.part.join(name);
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(failed_at(&path))?;
        Ok(StagedFile {
            name: name.to_owned(),
            path,
            file: BufWriter::with_capacity(1 << 18, file),
            hash: Sha256::new(),
            size: 0,
        })
    }

    /// Gives the backup its name. It is on disk when this returns.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        sync(&self.part)?;
        let renamed = renameat_with(CWD, &self.part, CWD, &self.dir, RenameFlags::NOREPLACE);
        let renamed = match renamed {
            // Not every file system can do that.
            Err(rustix::io::Errno::INVAL) if fs::symlink_metadata(&self.dir).is_err() => {
                fs::rename(&self.part, &self.dir)
            }
            renamed => renamed.map_err(io::Error::from),
        };
        renamed.map_err(failed_at(&self.dir))?;
        self.is_whole = true;
        sync(&self.parent)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.is_whole
            && let Err(error) = fs::remove_dir_all(&self.part)
        {
            say(&format!("{} is left behind, and can be removed: {error}", self.part.display()));
        }
    }
}

fn sync(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed_at(dir))
}

/// A file of a backup that is being written.
pub(crate) struct StagedFile {
    name: String,
    path: PathBuf,
    file: BufWriter<File>,
    hash: Sha256,
    size: u64,
}

impl StagedFile {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(failed_at(&self.path))?;
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// It is on disk when this returns.
    pub(crate) fn finish(self) -> Result<BackupFile, Error> {
        let file = self.file.into_inner().map_err(|error| failed_at(&self.path)(error.into_error()))?;
        file.sync_all().map_err(failed_at(&self.path))?;
        Ok(BackupFile { name: self.name, size: self.size, sha256: words::hex(&self.hash.finalize()) })
    }
}

fn failed_at(path: &Path) -> impl Fn(io::Error) -> Error + '_ {
    move |error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::NoRoom(format!(
            "{} can't be written: {error}. No backup was made, and what was written of it is removed; make room, or choose \
             another disk",
            path.display()
        )),
        _ => Error::Failed(format!("{}: {error}", path.display())),
    }
}
