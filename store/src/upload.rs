//! One file on its way into the store: hashed as it streams, in bounded memory.
//!
//! A file that fits into one part is written by one call. A larger one goes in parts; in a bucket, another try can use the
//! parts that are there, also in another process. The file never takes the place of another one: see `create`.

use std::sync::Arc;

use bt_model::hex::hex;
use bytes::Bytes;
use object_store::PutPayload;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};

use crate::create::UnnamedContent;
use crate::directory::StagedFile;
use crate::measured::measured;
use crate::{Error, Store};

/// Parts that may be on their way at once; with the part that is being filled they bound an upload's memory.
const PARTS_IN_FLIGHT: usize = 2;
/// Bytes of a part in a bucket: S3 takes no smaller ones than 5 MiB.
const BUCKET_PART: u64 = 8 << 20;
/// Bytes that are written to a directory at once.
const FILE_PART: u64 = 1 << 20;
/// Parts that a file in a bucket may have.
const MOST_PARTS: u64 = 10_000;
/// If a file's length is not known, its parts double in size each time that so many were sent.
const DOUBLES: u64 = 1_000;

/// A file that is being written. Dropped unfinished, it never appears.
pub struct Upload {
    store: Store,
    /// The name that was asked for, and the one that it gets in a bucket.
    path: String,
    at: Path,
    /// Bytes that it will have, if that is known.
    expected: Option<u64>,
    /// What was not sent yet, less than a part.
    buffer: Vec<Bytes>,
    buffered: u64,
    /// Parts that were begun.
    begun: u64,
    way: Transport,
    /// What was there before this began.
    there: Vec<UploadedPart>,
    flight: JoinSet<(u64, object_store::Result<PartId>)>,
    hash: Sha256,
    size: u64,
}

/// How the parts travel.
enum Transport {
    /// There was none yet.
    None,
    /// The write that is under way, or was the last.
    File(JoinHandle<std::io::Result<StagedFile>>),
    Bucket {
        parts: Arc<dyn MultipartStore>,
        id: String,
        /// By number; none for one that is on its way.
        sent: Vec<Option<UploadedPart>>,
    },
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Where it stands: under the name that was asked for, or another one if that was taken.
    pub path: String,
    /// Bytes.
    pub size: u64,
    pub sha256: [u8; 32],
}

/// What is in a bucket of a file that is not whole yet: enough to go on with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The bucket's name for the upload.
    id: String,
    /// Where the file will stand; as the file is called, if it is not said.
    #[serde(default)]
    at: Option<String>,
    expected: Option<u64>,
    parts: Vec<UploadedPart>,
}

/// A part that has arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct UploadedPart {
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
            store,
            path: path.to_owned(),
            at,
            expected,
            buffer: Vec::new(),
            buffered: 0,
            begun: 0,
            way: Transport::None,
            there: Vec::new(),
            flight: JoinSet::new(),
            hash: Sha256::new(),
            size: 0,
        }
    }

    /// Goes on with what is there: of a file whose beginning is the same, those parts are not sent again.
    pub(crate) fn resume(mut self, progress: Progress) -> Self {
        if let Some(parts) = self.store.parts.clone() {
            let Progress { id, at, expected, parts: there } = progress;
            if let Some(at) = at.and_then(|at| self.store.parse(&at).ok()) {
                self.at = at;
            }
            self.expected = expected;
            self.there = there;
            self.way = Transport::Bucket { parts, id, sent: Vec::new() };
        }
        self
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

    /// Makes the file appear, under a name that nothing had.
    pub async fn finish(mut self) -> Result<Receipt, Error> {
        if matches!(self.way, Transport::Bucket { .. }) {
            if self.buffered > 0 || self.begun == 0 {
                self.send_part().await?;
            }
            while !self.flight.is_empty() {
                self.one_landed().await?;
            }
            return measured("write", self.complete()).await;
        }
        if self.begun > 0 && self.buffered > 0 {
            self.send_part().await?;
        }
        let content = match std::mem::replace(&mut self.way, Transport::None) {
            Transport::File(writing) => {
                // By itself: small files must not wait for a large one.
                let staged = self.written(writing).await?;
                let syncing = spawn_blocking(move || staged.sync().map(|()| staged));
                UnnamedContent::Staged(self.written(syncing).await?)
            }
            _ if self.store.parts.is_none() => UnnamedContent::Small(std::mem::take(&mut self.buffer)),
            _ => UnnamedContent::Object(PutPayload::from_iter(std::mem::take(&mut self.buffer))),
        };
        let sha256 = self.hash.clone().finalize().into();
        let naming = self.store.name(&self.path, content, self.size, &sha256);
        let path = measured("write", naming).await?;
        Ok(Receipt { path, size: self.size, sha256 })
    }

    /// Gives the file up and removes what was written of it.
    pub async fn abort(mut self) -> Result<(), Error> {
        self.flight.shutdown().await;
        match std::mem::replace(&mut self.way, Transport::None) {
            Transport::None => Ok(()),
            // Removed with what is dropped here.
            Transport::File(writing) => self.written(writing).await.map(drop),
            Transport::Bucket { parts, id, .. } => {
                parts.abort_multipart(&self.at, &id).await.map_err(|e| self.error(e))
            }
        }
    }

    /// False while what is written is in the bucket already.
    pub fn sends(&self) -> bool {
        self.left().is_empty()
    }

    /// Parts of an earlier try that were not come to yet.
    fn left(&self) -> &[UploadedPart] {
        self.there.get(usize::try_from(self.begun).unwrap_or(usize::MAX)..).unwrap_or_default()
    }

    /// What another try can go on with; none where there is nothing, or no way to.
    pub fn progress(&self) -> Option<Progress> {
        let Transport::Bucket { id, sent, .. } = &self.way else { return None };
        let mut parts: Vec<_> = sent.iter().map_while(Clone::clone).collect();
        if parts.len() == sent.len() {
            parts.extend_from_slice(self.left());
        }
        let at = Some(self.at.to_string());
        Some(Progress { id: id.clone(), at, expected: self.expected, parts })
    }

    /// Bytes of the part that is being filled. Parts are of one size if the file's size is known, as some servers
    /// want it.
    fn part_bytes(&self) -> u64 {
        if self.store.parts.is_none() {
            return FILE_PART;
        }
        part_bytes(self.expected, self.begun)
    }

    async fn send_part(&mut self) -> Result<(), Error> {
        let data = std::mem::take(&mut self.buffer);
        self.buffered = 0;
        let number = self.begun;
        self.begun += 1;
        if matches!(self.way, Transport::None) {
            self.begin().await?;
        }
        while self.flight.len() >= PARTS_IN_FLIGHT {
            self.one_landed().await?;
        }
        match std::mem::replace(&mut self.way, Transport::None) {
            Transport::None => {}
            Transport::File(writing) => {
                let mut staged = self.written(writing).await?;
                self.way = Transport::File(spawn_blocking(move || staged.write(&data).map(|()| staged)));
            }
            Transport::Bucket { parts, id, mut sent } => {
                let until = hex(&self.hash.clone().finalize());
                let index = sent.len();
                match self.there.get(index).filter(|part| part.until == until) {
                    Some(part) => sent.push(Some(part.clone())),
                    None => {
                        self.there.truncate(index);
                        sent.push(None);
                        // Its place is known by now, its name only when it has arrived.
                        self.there.push(UploadedPart { id: String::new(), until });
                        let (sending, id, at) = (parts.clone(), id.clone(), self.at.clone());
                        let data = PutPayload::from_iter(data);
                        self.flight
                            .spawn(async move { (number, sending.put_part(&at, &id, index, data).await) });
                    }
                }
                self.way = Transport::Bucket { parts, id, sent };
            }
        }
        Ok(())
    }

    /// Begins to send parts. In a bucket the name must be known by now: where something has it, another one is taken.
    async fn begin(&mut self) -> Result<(), Error> {
        let Some(parts) = self.store.parts.clone() else {
            let staged = self.store.stage(&self.path).await?;
            self.way = Transport::File(spawn_blocking(move || Ok(staged)));
            return Ok(());
        };
        if self.store.size(&self.path).await?.is_some() {
            self.at = self.store.parse(&self.store.another(&self.path)?)?;
        }
        let id = parts.create_multipart(&self.at).await.map_err(|e| self.error(e))?;
        self.way = Transport::Bucket { parts, id, sent: Vec::new() };
        Ok(())
    }

    /// Waits for the write that is under way.
    async fn written(&self, writing: JoinHandle<std::io::Result<StagedFile>>) -> Result<StagedFile, Error> {
        let written = writing.await.map_err(std::io::Error::other).and_then(|written| written);
        written.map_err(|error| {
            let source = Box::new(error);
            self.error(object_store::Error::Generic { store: "directory", source })
        })
    }

    /// Waits for one part that is on its way.
    async fn one_landed(&mut self) -> Result<(), Error> {
        let Some(landed) = self.flight.join_next().await else { return Ok(()) };
        let (number, put) =
            landed.map_err(|error| Error::Access { path: self.path.clone(), why: error.to_string() })?;
        let put = put.map_err(|e| self.error(e))?;
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        if let Transport::Bucket { sent, .. } = &mut self.way
            && let (Some(place), Some(known)) = (sent.get_mut(index), self.there.get(index))
        {
            *place = Some(UploadedPart { id: put.content_id, until: known.until.clone() });
        }
        Ok(())
    }

    /// Makes one object of the parts. Buckets can't be asked to do so only where nothing has the name, so it is looked at
    /// right before: an earlier request of this upload may have been answered too late, or another file is there by now.
    async fn complete(mut self) -> Result<Receipt, Error> {
        let sha256 = self.hash.clone().finalize().into();
        let receipt = Receipt { path: self.at.to_string(), size: self.size, sha256 };
        let Transport::Bucket { parts, id, sent } = std::mem::replace(&mut self.way, Transport::None) else {
            return Ok(receipt);
        };
        let is_there = async || self.store.holds(&receipt.path, receipt.size, &receipt.sha256).await;
        if self.store.size(&receipt.path).await?.is_some() {
            let done = is_there().await?;
            // Nothing goes on with it. It may be complete, and then there is nothing to give up.
            parts.abort_multipart(&self.at, &id).await.ok();
            let why = "another file has got its name meanwhile".to_owned();
            return if done { Ok(receipt) } else { Err(Error::Taken { path: receipt.path, why }) };
        }
        let ids: Option<Vec<_>> = sent
            .iter()
            .map(|part| part.as_ref().map(|part| PartId { content_id: part.id.clone() }))
            .collect();
        let ids = ids.ok_or_else(|| Error::Access {
            path: receipt.path.clone(),
            why: "a part of it is missing".to_owned(),
        })?;
        let Err(error) = parts.complete_multipart(&self.at, &id, ids).await else { return Ok(receipt) };
        // An earlier request may have done it, and its answer was lost.
        if is_there().await? { Ok(receipt) } else { Err(self.error(error)) }
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
