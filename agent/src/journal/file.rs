//! The journal's file: appended to, synced, cut where it is torn, and written anew.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tracing::warn;

use super::record::Record;

/// What a journal begins with.
const MAGIC: &[u8] = b"btctl agent journal 1\n";
/// What a journal of any version begins with.
const ANY_VERSION: &[u8] = b"btctl agent journal ";
/// A smaller file is not written anew, and a larger one when it is so many times as large as what is live in it.
const WORTH_IT: u64 = 16 << 20;
const TIMES: u64 = 4;

#[derive(Debug)]
pub(super) struct JournalFile {
    path: PathBuf,
    file: File,
    /// Bytes that are whole records.
    size: u64,
    /// What is on the disk is not known: it is written anew before anything else.
    is_broken: bool,
    #[cfg(test)]
    pub(super) syncs: u64,
}

impl JournalFile {
    /// Opens it, or makes it, and reads its records.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<Record>)> {
        let new = new_path(path);
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let content = match fs::read(path) {
            Ok(content) => Bytes::from(content),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((Self::made(path, write_new(path, &[])?, 0), Vec::new()));
            }
            Err(error) => return Err(error),
        };
        if !content.starts_with(MAGIC) {
            let why = match content.starts_with(ANY_VERSION) {
                true => "another version of btctl wrote it; start that version",
                false => "it is no journal of an agent",
            };
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let mut records = Vec::new();
        let mut size = MAGIC.len();
        while let Some((record, length)) = Record::decode(&content.slice(size..)) {
            records.push(record);
            size += length;
        }
        let file = File::options().append(true).open(path)?;
        if size < content.len() {
            warn!(
                path = %path.display(),
                "the last {} bytes of the journal are not whole and are cut off: they were being written when the machine \
                 or the agent stopped",
                content.len() - size
            );
            file.set_len(size as u64)?;
            file.sync_all()?;
        }
        Ok((Self::made(path, file, size as u64), records))
    }

    fn made(path: &Path, file: File, size: u64) -> Self {
        Self {
            path: path.to_owned(),
            file,
            size: size.max(MAGIC.len() as u64),
            is_broken: false,
            #[cfg(test)]
            syncs: 0,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// True if it should be written anew, with so many bytes that are live.
    pub(super) fn wants_rewriting(&self, live: u64) -> bool {
        self.is_broken || (self.size > WORTH_IT && self.size / TIMES > live)
    }

    /// Adds records, and waits for the disk if that is wanted.
    pub(super) fn append(&mut self, records: &[u8], sync: bool) -> io::Result<()> {
        let added = self.try_append(records, sync);
        if added.is_err() {
            self.is_broken = true;
            // Nothing may be read after a record that is not whole; if this fails too, it is written anew all the same.
            self.file.set_len(self.size).ok();
        }
        added
    }

    fn try_append(&mut self, records: &[u8], sync: bool) -> io::Result<()> {
        self.file.write_all(records)?;
        if sync {
            #[cfg(test)]
            {
                self.syncs += 1;
            }
            self.file.sync_data()?;
        }
        self.size += records.len() as u64;
        Ok(())
    }

    /// Writes a file of these records alone, on the disk when this returns.
    pub(super) fn rewrite(&mut self, all: &[u8]) -> io::Result<()> {
        // Whatever fails, the old file stays, and memory knows what is missing in it.
        self.is_broken = true;
        self.file = write_new(&self.path, all)?;
        self.size = (MAGIC.len() + all.len()) as u64;
        self.is_broken = false;
        #[cfg(test)]
        {
            self.syncs += 1;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn replace_with(&mut self, file: File) {
        self.file = file;
    }
}

fn new_path(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// Writes a journal under another name, and gives it its name when it is on the disk.
fn write_new(path: &Path, records: &[u8]) -> io::Result<File> {
    let new = new_path(path);
    let written = (|| {
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(MAGIC)?;
        file.write_all(records)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        if let Some(dir) = path.parent() {
            File::open(dir)?.sync_all()?;
        }
        File::options().append(true).open(path)
    })();
    if written.is_err() {
        // It may be what fills the disk.
        fs::remove_file(&new).ok();
    }
    written
}
