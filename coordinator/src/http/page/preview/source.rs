//! A published file of which the table's reader, which waits for what it reads, takes parts.

use std::sync::Arc;
use std::time::Duration;

use bt_analysis::preview::Source;
use bt_model::encoding::Encoding;
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use crate::queue::StoredFile;
use crate::results::{PACKED, Results};

/// How long all parts may take together.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Parts {
    results: Results,
    file: StoredFile,
    runtime: Handle,
    /// When it is given up.
    end: Instant,
    /// All of it, if it is stored compressed: parts of such a file can't be had.
    whole: Option<Bytes>,
}

impl Parts {
    pub(super) async fn open(results: &Results, file: &StoredFile) -> Result<Arc<dyn Source>, Status> {
        let whole = match file.encoding {
            Encoding::None => None,
            _ if file.plain_size > PACKED => {
                return Err(Status::failed_precondition(
                    "it is stored compressed, and is too large to be unpacked for a look; download it",
                ));
            }
            _ => Some(results.plain_part(file, 0, file.plain_size).await?),
        };
        Ok(Arc::new(Self {
            results: results.clone(),
            file: file.clone(),
            runtime: Handle::current(),
            end: Instant::now() + PATIENCE,
            whole,
        }))
    }
}

impl Source for Parts {
    fn length(&self) -> u64 {
        self.file.plain_size
    }

    fn read(&self, from: u64, length: usize) -> Result<Bytes, String> {
        if let Some(whole) = &self.whole {
            let from = usize::try_from(from).map_err(|error| error.to_string())?;
            let end = from.checked_add(length).filter(|end| *end <= whole.len());
            return end.map(|end| whole.slice(from..end)).ok_or_else(|| "it breaks off".to_owned());
        }
        let part = timeout_at(self.end, self.results.plain_part(&self.file, from, length as u64));
        match self.runtime.block_on(part) {
            Ok(Ok(part)) => Ok(part),
            Ok(Err(status)) => Err(status.message().to_owned()),
            Err(_) => Err(format!("the store did not answer within {} s", PATIENCE.as_secs())),
        }
    }
}
