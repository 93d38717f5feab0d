//! A backup that is there: what it says of itself, whether it is whole, and the list of the store's files.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use bt_coordinator::backup::newest_migration;
use bt_documents::{BackupFile, BackupRecord, StoreLine};
use bt_store::Decoder;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{DUMP, FORMAT, LIST, RECORD};
use crate::error::Error;
use crate::output::words;

/// Bytes that a record may have.
const LARGEST: u64 = 1 << 20;
/// Bytes that are read of a file at once.
const PIECE: usize = 1 << 17;

#[derive(Debug)]
pub(crate) struct StoredBackup {
    dir: PathBuf,
    pub(crate) record: BackupRecord,
}

impl StoredBackup {
    /// Reads what a backup says of itself. Refuses one of a newer version.
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(RECORD);
        let damaged = |why: &dyn std::fmt::Display| {
            Error::Failed(format!("{} is damaged ({why}); use another backup", path.display()))
        };
        let mut text = Vec::new();
        match File::open(&path) {
            Ok(file) => file.take(LARGEST).read_to_end(&mut text).map_err(|error| damaged(&error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NotFound(format!(
                    "{} holds no backup: {RECORD} is missing, which is written when all else is",
                    dir.display()
                )));
            }
            Err(error) => return Err(Error::Failed(format!("{} can't be read: {error}", path.display()))),
        };
        let value: Value = serde_json::from_slice(&text).map_err(|error| damaged(&error))?;
        let number = |key: &str| value[key].as_i64();
        let (Some(format), Some(migration)) = (number("format"), number("migration")) else {
            return Err(damaged(&"it does not say what it is of"));
        };
        if format > i64::from(FORMAT) || migration > newest_migration() {
            return Err(Error::Failed(format!(
                "{} was made by btctl {} (migration {migration}), and this btctl {} knows {} at most: use that version, or a \
                 newer one",
                dir.display(),
                value["btctl"].as_str().unwrap_or("of a newer version"),
                env!("CARGO_PKG_VERSION"),
                newest_migration()
            )));
        }
        let record: BackupRecord = serde_json::from_value(value).map_err(|error| damaged(&error))?;
        for name in [DUMP, LIST] {
            if !record.files.iter().any(|file| file.name == name) {
                return Err(damaged(&format_args!("it names no {name}")));
            }
        }
        Ok(Self { dir: dir.to_owned(), record })
    }

    /// Reads all of its files, and compares them with what the record says.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.record.files.iter().try_for_each(|file| self.check_file(file))
    }

    fn check_file(&self, file: &BackupFile) -> Result<(), Error> {
        if file.name.contains('/') {
            return Err(Error::Failed(format!("{RECORD} names a file outside of the backup: {}", file.name)));
        }
        let path = self.dir.join(&file.name);
        let wrong = |why: String| {
            Error::Failed(format!("{} {why}: the backup is damaged; use another one", path.display()))
        };
        let mut opened = match File::open(&path) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(wrong("is missing".to_owned()));
            }
            Err(error) => return Err(Error::Failed(format!("{} can't be read: {error}", path.display()))),
        };
        let size = opened.metadata().map_or(0, |about| about.len());
        if size != file.size {
            return Err(wrong(format!("has {size} bytes, where {} were written", file.size)));
        }
        let (mut hash, mut piece) = (Sha256::new(), vec![0; PIECE]);
        loop {
            match opened.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => hash.update(&piece[..read]),
                Err(error) => return Err(wrong(format!("can't be read to its end ({error})"))),
            }
        }
        match words::hex(&hash.finalize()) == file.sha256 {
            true => Ok(()),
            false => Err(wrong("has another content than was written".to_owned())),
        }
    }

    /// The queue as pg_dump wrote it.
    pub(crate) fn dump(&self) -> Result<File, Error> {
        let path = self.dir.join(DUMP);
        File::open(&path).map_err(|error| Error::Failed(format!("{} can't be read: {error}", path.display())))
    }

    /// The files that the store must hold.
    pub(crate) fn store_lines(
        &self,
    ) -> Result<impl Iterator<Item = anyhow::Result<StoreLine>> + use<>, Error> {
        let path = self.dir.join(LIST);
        let failed = |error: io::Error| Error::Failed(format!("{} can't be read: {error}", path.display()));
        let file = File::open(&path).map_err(failed)?;
        let decoder = Decoder::new().map_err(failed)?;
        let plain = Plain { file, decoder, input: Vec::new(), at: 0, output: Vec::new(), given: 0 };
        Ok(BufReader::new(plain).lines().map(|line| Ok(serde_json::from_str(&line?)?)))
    }
}

/// A compressed file as it was before.
struct Plain {
    file: File,
    decoder: Decoder,
    /// What was read of the file, and how much of it was taken.
    input: Vec<u8>,
    at: usize,
    /// What was decompressed, and how much of it the reader has.
    output: Vec<u8>,
    given: usize,
}

impl Read for Plain {
    fn read(&mut self, wanted: &mut [u8]) -> io::Result<usize> {
        while self.given == self.output.len() {
            let mut left = &self.input[self.at..];
            let decoded = self.decoder.decode(&mut left)?;
            self.at = self.input.len() - left.len();
            if let Some(decoded) = decoded {
                (self.output, self.given) = (decoded, 0);
                continue;
            }
            self.input.resize(PIECE, 0);
            let read = self.file.read(&mut self.input)?;
            self.input.truncate(read);
            self.at = 0;
            if read == 0 {
                return Ok(0);
            }
        }
        let part = &self.output[self.given..];
        let size = part.len().min(wanted.len());
        wanted[..size].copy_from_slice(&part[..size]);
        self.given += size;
        Ok(size)
    }
}
