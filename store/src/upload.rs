//! One file on its way into the store: hashed as it streams, in bounded memory.
//!
//! A file that fits into one part is written by one call. A larger one goes in parts; in a bucket the parts that are there
//! can be told and gone on with later, also by another process.

use std::sync::Arc;

use bytes::Bytes;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use crate::{Error, Rename, Store};

/// Parts that may be on their way at once; with the part that is being filled they bound an upload's memory.
const PARTS_IN_FLIGHT: usize = 2;
/// Bytes of a part in a bucket: S3 takes no smaller ones than 5 MiB.
const BUCKET_PART: u64 = 8 << 20;
/// Bytes that are written to a directory at once.
const FILE_PART: u64 = 1 << 20;
/// Parts that a file in a bucket may have.
const MOST_PARTS: u64 = 10_000;
/// Where nobody knows how long a file will be, its parts double in size each time that so many were sent.
const DOUBLES: u64 = 1_000;

/// A file that is being written. Dropped unfinished, it never appears.
pub struct Upload {
    store: Store,
    path: String,
    at: Path,
    aside: Option<Path>,
    /// Bytes that it will have, as far as is known.
    expected: Option<u64>,
    /// What was not sent yet, less than a part.
    buffer: Vec<Bytes>,
    buffered: u64,
    /// Parts that were begun.
    begun: u64,
    way: Way,
    /// What was there before this began.
    there: Vec<Part>,
    flight: JoinSet<(u64, object_store::Result<Option<PartId>>)>,
    hash: Sha256,
    size: u64,
}

/// How the parts travel.
enum Way {
    /// There was none yet.
    None,
    File(Box<dyn MultipartUpload>),
    Bucket {
        parts: Arc<dyn MultipartStore>,
        id: String,
        /// The bucket's tag of what stood at this name when it was begun, if anything did.
        replaced: Option<String>,
        /// By number; none for one that is on its way.
        sent: Vec<Option<Part>>,
    },
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Bytes.
    pub size: u64,
    pub sha256: [u8; 32],
}

/// What is in a bucket of a file that is not whole yet: enough to go on with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The bucket's name for the upload.
    id: String,
    expected: Option<u64>,
    replaced: Option<String>,
    parts: Vec<Part>,
}

/// A part that has arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    /// The bucket's name for it.
    id: String,
    /// The SHA-256 of the file up to its end, in hexadecimal digits: a file that has changed since is not gone on with.
    until: String,
}

impl Progress {
    /// Parts that have arrived.
    pub fn parts(&self) -> usize {
        self.parts.len()
    }
}

impl Upload {
    pub(crate) fn new(store: Store, path: &str, at: Path, expected: Option<u64>) -> Self {
        Self {
            aside: store.aside(&at),
            store,
            path: path.to_owned(),
            at,
            expected,
            buffer: Vec::new(),
            buffered: 0,
            begun: 0,
            way: Way::None,
            there: Vec::new(),
            flight: JoinSet::new(),
            hash: Sha256::new(),
            size: 0,
        }
    }

    /// Goes on with what is there: of a file whose beginning is the same, those parts are not sent again.
    pub(crate) fn resume(mut self, progress: Progress) -> Self {
        if let Some(parts) = self.store.parts.clone() {
            self.expected = progress.expected;
            self.there = progress.parts;
            let Progress { id, replaced, .. } = progress;
            self.way = Way::Bucket { parts, id, replaced, sent: Vec::new() };
        }
        self
    }

    /// Where it is written before it appears.
    fn written_at(&self) -> &Path {
        self.aside.as_ref().unwrap_or(&self.at)
    }

    /// Bytes that were written so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    pub async fn write(&mut self, mut piece: Bytes) -> Result<(), Error> {
        while !piece.is_empty() {
            let part = self.part_bytes();
            let room = usize::try_from(part - self.buffered).unwrap_or(usize::MAX);
            let head = piece.split_to(room.min(piece.len()));
            self.hash.update(&head);
            self.size += head.len() as u64;
            self.buffered += head.len() as u64;
            self.buffer.push(head);
            if self.buffered == part {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    /// Makes the file appear.
    pub async fn finish(mut self) -> Result<Receipt, Error> {
        if matches!(self.way, Way::None) {
            let payload = PutPayload::from_iter(std::mem::take(&mut self.buffer));
            self.store.objects.put(self.written_at(), payload).await.map_err(|e| self.error(e))?;
        } else {
            if self.buffered > 0 || self.begun == 0 {
                self.send_part().await?;
            }
            while !self.flight.is_empty() {
                self.one_landed().await?;
            }
            self.complete().await?;
        }
        if let Some(from) = self.aside.take() {
            let rename = Rename { objects: self.store.objects.clone(), from, to: self.at.clone() };
            rename.run().await.map_err(|e| self.error(e))?;
        }
        Ok(Receipt { size: self.size, sha256: self.hash.finalize().into() })
    }

    /// Gives the file up and removes what was written of it.
    pub async fn abort(mut self) -> Result<(), Error> {
        self.flight.shutdown().await;
        let aborted = match &mut self.way {
            Way::None => Ok(()),
            Way::File(upload) => upload.abort().await,
            Way::Bucket { parts, id, .. } => parts.abort_multipart(&self.at, id).await,
        };
        aborted.map_err(|e| self.error(e))
    }

    /// False while what is written is in the bucket already.
    pub fn sends(&self) -> bool {
        self.left().is_empty()
    }

    /// Parts of an earlier try that were not come to yet.
    fn left(&self) -> &[Part] {
        self.there.get(usize::try_from(self.begun).unwrap_or(usize::MAX)..).unwrap_or_default()
    }

    /// What another try can go on with; none where there is nothing, or no way to.
    pub fn progress(&self) -> Option<Progress> {
        let Way::Bucket { id, replaced, sent, .. } = &self.way else { return None };
        let mut parts: Vec<_> = sent.iter().map_while(Clone::clone).collect();
        if parts.len() == sent.len() {
            parts.extend_from_slice(self.left());
        }
        Some(Progress { id: id.clone(), expected: self.expected, replaced: replaced.clone(), parts })
    }

    /// Bytes of the part that is being filled. Parts are of one size where that of the file is known, as some servers
    /// want it.
    fn part_bytes(&self) -> u64 {
        if self.store.parts.is_none() {
            return FILE_PART;
        }
        part_bytes(self.expected, self.begun)
    }

    async fn send_part(&mut self) -> Result<(), Error> {
        let data = PutPayload::from_iter(std::mem::take(&mut self.buffer));
        self.buffered = 0;
        let number = self.begun;
        self.begun += 1;
        let until = hex(&self.hash.clone().finalize());
        if matches!(self.way, Way::None) {
            self.begin().await?;
        }
        while self.flight.len() >= PARTS_IN_FLIGHT {
            self.one_landed().await?;
        }
        match &mut self.way {
            Way::None => {}
            Way::File(upload) => {
                let writing = upload.put_part(data);
                self.flight.spawn(async move { (number, writing.await.map(|()| None)) });
            }
            Way::Bucket { parts, id, sent, .. } => {
                let index = sent.len();
                match self.there.get(index).filter(|part| part.until == until) {
                    Some(part) => sent.push(Some(part.clone())),
                    None => {
                        self.there.truncate(index);
                        sent.push(None);
                        // Its place is known by now, its name only when it has arrived.
                        self.there.push(Part { id: String::new(), until });
                        let (parts, id, at) = (parts.clone(), id.clone(), self.at.clone());
                        self.flight.spawn(async move {
                            (number, parts.put_part(&at, &id, index, data).await.map(Some))
                        });
                    }
                }
            }
        }
        Ok(())
    }

    async fn begin(&mut self) -> Result<(), Error> {
        let at = self.written_at();
        let begun = match &self.store.parts {
            None => self.store.objects.put_multipart(at).await.map(Way::File),
            Some(parts) => {
                let replaced = self.store.tag(&self.path).await?.and_then(|(tag, _)| tag);
                let begun = parts.create_multipart(at).await;
                begun.map(|id| Way::Bucket { parts: parts.clone(), id, replaced, sent: Vec::new() })
            }
        };
        self.way = begun.map_err(|e| self.error(e))?;
        Ok(())
    }

    /// Waits for one part that is on its way.
    async fn one_landed(&mut self) -> Result<(), Error> {
        let Some(landed) = self.flight.join_next().await else { return Ok(()) };
        let (number, put) =
            landed.map_err(|error| Error::Access { path: self.path.clone(), why: error.to_string() })?;
        let put = put.map_err(|e| self.error(e))?;
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        if let (Way::Bucket { sent, .. }, Some(part)) = (&mut self.way, put)
            && let (Some(place), Some(known)) = (sent.get_mut(index), self.there.get(index))
        {
            *place = Some(Part { id: part.content_id, until: known.until.clone() });
        }
        Ok(())
    }

    async fn complete(&mut self) -> Result<(), Error> {
        let path = self.path.clone();
        let done = match &mut self.way {
            Way::None => return Ok(()),
            Way::File(upload) => upload.complete().await.map(drop),
            Way::Bucket { parts, id, sent, .. } => {
                let ids: Option<Vec<_>> = sent
                    .iter()
                    .map(|part| part.as_ref().map(|part| PartId { content_id: part.id.clone() }))
                    .collect();
                let ids = ids.ok_or_else(|| Error::Access {
                    path: path.clone(),
                    why: "a part of it is missing".to_owned(),
                })?;
                parts.complete_multipart(&self.at, id, ids).await.map(drop)
            }
        };
        let Err(error) = done else { return Ok(()) };
        // An earlier request may have done it, and its answer was lost: then another object stands there than before.
        if let Way::Bucket { replaced, .. } = &self.way
            && let Some((Some(tag), size)) = self.store.tag(&path).await?
            && size == self.size
            && replaced.as_ref() != Some(&tag)
        {
            return Ok(());
        }
        Err(self.error(error))
    }

    fn error(&self, error: object_store::Error) -> Error {
        self.store.error(&self.path, error)
    }
}

fn part_bytes(expected: Option<u64>, number: u64) -> u64 {
    match expected {
        Some(size) => size.div_ceil(MOST_PARTS).next_multiple_of(1 << 20).max(BUCKET_PART),
        None => BUCKET_PART << (number / DOUBLES).min(10),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_are_enough_for_five_terabytes() {
        const FIVE: u64 = 5 << 40;
        let unknown: u64 = (0..MOST_PARTS).map(|number| part_bytes(None, number)).sum();
        assert!(unknown >= FIVE, "{unknown}");
        for size in [0, 1, 1 << 30, 20 << 30, FIVE] {
            let part = part_bytes(Some(size), 0);
            assert!(part * MOST_PARTS >= size && part >= 5 << 20, "{size} in parts of {part}");
        }
        assert_eq!(part_bytes(Some(20 << 30), 0), BUCKET_PART, "large files need no large parts");
    }
}
