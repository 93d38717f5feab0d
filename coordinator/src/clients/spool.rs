//! What a caller sends piece by piece, kept until all of it is there: in memory while it is little, then in a file without
//! a name. So a caller who is slow, or falls silent, holds no transaction.

use std::io::SeekFrom;

use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufReader};
use tonic::Status;

/// Bytes that are kept in memory.
const IN_MEMORY: usize = 1 << 20;
/// Bytes that one caller may send.
const MOST: u64 = 4 << 30;

/// Records on their way in.
#[derive(Debug, Default)]
pub(super) struct Spool {
    memory: Vec<u8>,
    file: Option<File>,
    size: u64,
}

/// All that came, from the first record on.
#[derive(Debug)]
pub(super) struct Spooled {
    file: Option<BufReader<File>>,
    memory: std::io::Cursor<Vec<u8>>,
}

impl Spool {
    pub(super) async fn push(&mut self, record: &[u8]) -> Result<(), Status> {
        let length = u32::try_from(record.len())
            .map_err(|_| Status::invalid_argument("a record is larger than 4 GiB"))?;
        self.size += u64::from(length) + 4;
        if self.size > MOST {
            return Err(Status::invalid_argument(format!(
                "more than {} GiB came in one call; split it into several",
                MOST >> 30
            )));
        }
        self.memory.extend_from_slice(&length.to_le_bytes());
        self.memory.extend_from_slice(record);
        if self.memory.len() >= IN_MEMORY {
            self.write().await.map_err(unwritable)?;
        }
        Ok(())
    }

    async fn write(&mut self) -> std::io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(File::from_std(tempfile::tempfile()?)),
        };
        file.write_all(&self.memory).await?;
        self.memory.clear();
        Ok(())
    }

    /// No more will come.
    pub(super) async fn finish(mut self) -> Result<Spooled, Status> {
        let file = match self.file.take() {
            None => None,
            Some(mut file) => {
                file.write_all(&self.memory).await.map_err(unwritable)?;
                file.flush().await.map_err(unwritable)?;
                file.seek(SeekFrom::Start(0)).await.map_err(unwritable)?;
                self.memory = Vec::new();
                Some(BufReader::with_capacity(IN_MEMORY, file))
            }
        };
        Ok(Spooled { file, memory: std::io::Cursor::new(self.memory) })
    }
}

impl Spooled {
    /// The next record; none after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, Status> {
        match &mut self.file {
            Some(file) => read(file).await,
            None => read(&mut self.memory).await,
        }
        .map_err(|error| Status::internal(format!("what was kept of the call can't be read: {error}")))
    }
}

async fn read(from: &mut (impl AsyncReadExt + Unpin)) -> std::io::Result<Option<Vec<u8>>> {
    let length = match from.read_u32_le().await {
        Ok(length) => length,
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut record = vec![0; length as usize];
    from.read_exact(&mut record).await?;
    Ok(Some(record))
}

fn unwritable(error: std::io::Error) -> Status {
    Status::resource_exhausted(format!(
        "the coordinator can't keep what came in {}: {error}",
        std::env::temp_dir().display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn records_come_back_as_they_came() {
        for (records, size) in [(0, 0), (3, 5), (1, 0), (5_000, 700), (3, IN_MEMORY)] {
            let mut spool = Spool::default();
            let record = |number: usize| vec![number as u8; size + number % 7];
            for number in 0..records {
                spool.push(&record(number)).await.expect("room");
            }
            let mut spooled = spool.finish().await.expect("room");
            for number in 0..records {
                assert_eq!(spooled.next().await.expect("readable"), Some(record(number)));
            }
            assert_eq!(spooled.next().await.expect("readable"), None);
        }
    }
}
