//! One file on its way into the store: hashed as it streams, in bounded memory.

use bytes::Bytes;
use object_store::{MultipartUpload, WriteMultipart};
use sha2::{Digest, Sha256};

use crate::{Error, Rename};

/// Parts that may be on their way at once; with the parts' 5 MiB this bounds an upload's memory.
const PARTS_IN_FLIGHT: usize = 2;

/// A file that is being written. Dropped unfinished, it never appears.
pub struct Upload {
    path: String,
    parts: WriteMultipart,
    rename: Option<Rename>,
    hash: Sha256,
    size: u64,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Bytes.
    pub size: u64,
    pub sha256: [u8; 32],
}

impl Upload {
    pub(crate) fn new(path: &str, parts: Box<dyn MultipartUpload>, rename: Option<Rename>) -> Self {
        let parts = WriteMultipart::new(parts);
        Self { path: path.to_owned(), parts, rename, hash: Sha256::new(), size: 0 }
    }

    pub async fn write(&mut self, piece: Bytes) -> Result<(), Error> {
        let room = self.parts.wait_for_capacity(PARTS_IN_FLIGHT).await;
        room.map_err(|e| Error::of(&self.path, e))?;
        self.hash.update(&piece);
        self.size += piece.len() as u64;
        self.parts.put(piece);
        Ok(())
    }

    /// Makes the file appear.
    pub async fn finish(self) -> Result<Receipt, Error> {
        let done = self.parts.finish().await;
        done.map_err(|e| Error::of(&self.path, e))?;
        if let Some(rename) = self.rename {
            rename.run().await.map_err(|e| Error::of(&self.path, e))?;
        }
        Ok(Receipt { size: self.size, sha256: self.hash.finalize().into() })
    }

    /// Gives the file up and removes what was written of it.
    pub async fn abort(self) -> Result<(), Error> {
        let path = self.path;
        self.parts.abort().await.map_err(|e| Error::of(&path, e))
    }
}
