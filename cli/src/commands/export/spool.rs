//! Jobs that are put by on disk until their columns are known.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;

use bt_proto::v1;
use prost::Message;

use super::directory_of;
use crate::error::Error;

/// A file without a name: it is gone with the process.
pub(super) struct JobSpool {
    file: BufWriter<File>,
    encoded: Vec<u8>,
}

impl JobSpool {
    /// Beside the file that is to be written, where there is room for it; else where temporary files go.
    pub(super) fn new(beside: Option<&Path>) -> Result<Self, Error> {
        let dir = beside.map_or_else(std::env::temp_dir, |path| directory_of(path).to_owned());
        let file = tempfile::tempfile_in(&dir)
            .map_err(|error| Error::Failed(format!("a temporary file in {}: {error}", dir.display())))?;
        Ok(Self { file: BufWriter::new(file), encoded: Vec::new() })
    }

    pub(super) fn put(&mut self, job: &v1::Job) -> Result<(), Error> {
        // The command is the longest part of a job, and no column.
        let job = v1::Job { command: Vec::new(), ..job.clone() };
        self.encoded.clear();
        job.encode(&mut self.encoded).map_err(|error| Error::Failed(error.to_string()))?;
        let size = (self.encoded.len() as u64).to_le_bytes();
        self.file.write_all(&size).and_then(|()| self.file.write_all(&self.encoded)).map_err(failed)
    }

    /// The jobs as they arrived.
    pub(super) fn jobs(self) -> Result<impl Iterator<Item = Result<v1::Job, Error>>, Error> {
        let mut file = self.file.into_inner().map_err(|error| failed(error.into_error()))?;
        let end = file.stream_position().map_err(failed)?;
        file.rewind().map_err(failed)?;
        let mut file = BufReader::new(file);
        let (mut at, mut encoded) = (0, Vec::new());
        Ok(std::iter::from_fn(move || {
            (at < end).then(|| {
                let mut size = [0; 8];
                file.read_exact(&mut size).map_err(failed)?;
                let size = u64::from_le_bytes(size);
                at += 8 + size;
                encoded.resize(usize::try_from(size).unwrap_or(usize::MAX), 0);
                file.read_exact(&mut encoded).map_err(failed)?;
                v1::Job::decode(&encoded[..]).map_err(|error| Error::Failed(error.to_string()))
            })
        }))
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::Failed(format!("the jobs can't be put by in a temporary file: {error}"))
}
