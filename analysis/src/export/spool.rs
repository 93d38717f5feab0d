//! Jobs that are put by on disk until their columns are known.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;

use bt_proto::v1;
use prost::Message;

/// A file without a name: it is gone with the process.
pub(super) struct JobSpool {
    file: BufWriter<File>,
    encoded: Vec<u8>,
}

impl JobSpool {
    pub(super) fn new(directory: &Path) -> io::Result<Self> {
        let file = tempfile::tempfile_in(directory)
            .map_err(|error| io::Error::new(error.kind(), format!("in {}: {error}", directory.display())))?;
        Ok(Self { file: BufWriter::new(file), encoded: Vec::new() })
    }

    pub(super) fn put(&mut self, job: &v1::Job) -> io::Result<()> {
        // The command is the longest part of a job, and no column.
        let job = v1::Job { command: Vec::new(), ..job.clone() };
        self.encoded.clear();
        job.encode(&mut self.encoded).map_err(io::Error::other)?;
        let size = (self.encoded.len() as u64).to_le_bytes();
        self.file.write_all(&size).and_then(|()| self.file.write_all(&self.encoded))
    }

    /// The jobs as they arrived.
    pub(super) fn jobs(self) -> io::Result<impl Iterator<Item = io::Result<v1::Job>>> {
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        let end = file.stream_position()?;
        file.rewind()?;
        let mut file = BufReader::new(file);
        let (mut at, mut encoded) = (0, Vec::new());
        Ok(std::iter::from_fn(move || {
            (at < end).then(|| {
                let mut size = [0; 8];
                file.read_exact(&mut size)?;
                let size = u64::from_le_bytes(size);
                at += 8 + size;
                encoded.resize(usize::try_from(size).unwrap_or(usize::MAX), 0);
                file.read_exact(&mut encoded)?;
                v1::Job::decode(&encoded[..]).map_err(io::Error::other)
            })
        }))
    }
}
