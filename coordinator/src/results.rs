//! Published outputs: their list, and their content.

use std::future::ready;
use std::time::Duration;

use bt_model::encoding::Encoding;
use bt_proto::v1;
use bt_store::Store;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::Status;

use crate::decoded::decoded;
use crate::queue::{Error, Found, OutputRow, Published, PublishedFile, Queue, StoredFile};
use crate::rpc::{Answers, status};

/// Files in a page of a list.
const PAGE: u32 = 1_000;
/// Bytes to which a compressed file is unpacked for a part of it.
pub(crate) const PACKED: u64 = 32 << 20;
/// How long a part of a file may take: somebody waits for a page.
const PATIENCE: Duration = Duration::from_secs(20);

/// What of jobs is published: rows in Postgres, and files in the store.
#[derive(Clone)]
pub(crate) struct Results {
    pub(crate) queue: Queue,
    pub(crate) store: Store,
}

impl Results {
    pub(crate) async fn send_outputs(
        &self,
        sweep: &Found,
        job: Option<u32>,
        answers: &mpsc::Sender<Result<v1::JobOutput, Status>>,
    ) -> Result<(), Status> {
        not_expired(sweep)?;
        let mut last: Option<OutputRow> = None;
        loop {
            let after = last.as_ref().map(|row| (row.job, row.file.path.as_str()));
            let page = self.queue.outputs(sweep.id, job, after, PAGE).await;
            let mut page = page.map_err(status::queue)?;
            let more = page.len() == PAGE as usize;
            last = page.last().cloned();
            for row in page.drain(..) {
                if answers.send(Ok(output(row))).await.is_err() {
                    return Ok(());
                }
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// An error unless a job has a result that is still there.
    pub(crate) async fn has_result(&self, sweep: &Found, job: u32) -> Result<(), Status> {
        not_expired(sweep)?;
        has_jobs(sweep, &[job])?;
        self.published(sweep, job).await.map(drop)
    }

    pub(crate) async fn published(&self, sweep: &Found, job: u32) -> Result<Published, Status> {
        let published = self.queue.published(sweep.id, job).await.map_err(status::queue)?;
        published.ok_or_else(|| {
            Status::not_found(format!(
                "job {job} of sweep {} has no published result; btctl show {}/{job} says why",
                sweep.name,
                sweep.address()
            ))
        })
    }

    /// Streams one published file, as it is stored: from an offset on, or from its beginning if it is compressed.
    pub(crate) async fn content(
        &self,
        sweep: &Found,
        job: u32,
        path: &str,
        offset: u64,
    ) -> Result<Answers<v1::DownloadReply>, Status> {
        let file = self.published_file(sweep, job, path).await?;
        self.stored_content(&file.place, file.encoding, offset).await
    }

    /// Where one published file stands.
    pub(crate) async fn published_file(
        &self,
        sweep: &Found,
        job: u32,
        path: &str,
    ) -> Result<StoredFile, Status> {
        not_expired(sweep)?;
        let found = self.queue.published_files(sweep.id, &[(job, path)]).await;
        let found = found.map_err(status::queue)?.pop();
        let (_, file) = found
            .ok_or_else(|| Status::not_found(format!("sweep {} has no output {job}/{path}", sweep.name)))?;
        Ok(file)
    }

    /// Streams a published file as the job wrote it, from an offset on.
    pub(crate) async fn plain_content(
        &self,
        file: &StoredFile,
        offset: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, Status>>, Status> {
        if file.encoding == Encoding::None {
            let pieces = self.store.read_from(&file.place, offset).await.map_err(status::store)?;
            return Ok(pieces.map_err(status::store).boxed());
        }
        let pieces = self.store.read(&file.place).await.map_err(status::store)?;
        let pieces = decoded(pieces, file.encoding).map_err(status::decoded);
        let mut before = offset;
        let behind = pieces.try_filter_map(move |mut piece| {
            let skipped = usize::try_from(before).unwrap_or(usize::MAX).min(piece.len());
            piece.advance(skipped);
            before -= skipped as u64;
            ready(Ok((!piece.is_empty()).then_some(piece)))
        });
        Ok(behind.boxed())
    }

    /// So many bytes of a published file as the job wrote it, from an offset on. Of a file that is stored compressed, only
    /// the first [`PACKED`] can be had.
    pub(crate) async fn plain_part(
        &self,
        file: &StoredFile,
        from: u64,
        length: u64,
    ) -> Result<Bytes, Status> {
        let told = || format!("the store did not answer within {} s", PATIENCE.as_secs());
        let part = timeout(PATIENCE, self.part(file, from, length)).await;
        part.unwrap_or_else(|_| Err(Status::unavailable(told())))
    }

    async fn part(&self, file: &StoredFile, from: u64, length: u64) -> Result<Bytes, Status> {
        let end = from.saturating_add(length);
        if file.encoding == Encoding::None {
            return self.store.read_range(&file.place, from..end).await.map_err(status::store);
        }
        if end > PACKED {
            return Err(Status::failed_precondition(
                "it is stored compressed, so that only its beginning can be looked at; download it",
            ));
        }
        let mut pieces = self.plain_content(file, from).await?;
        let mut part = BytesMut::new();
        while (part.len() as u64) < length {
            let piece = pieces.try_next().await?;
            let Some(piece) = piece else {
                return Err(Status::data_loss("the file in the store is shorter than was published"));
            };
            part.extend_from_slice(&piece);
        }
        part.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        Ok(part.freeze())
    }

    /// Streams a file that stands there: from the offset if it is stored as it is, else from its beginning.
    pub(crate) async fn stored_content(
        &self,
        place: &str,
        encoding: Encoding,
        offset: u64,
    ) -> Result<Answers<v1::DownloadReply>, Status> {
        let offset = if encoding == Encoding::None { offset } else { 0 };
        let pieces = self.store.read_from(place, offset).await;
        let pieces = pieces.map_err(status::store)?;
        let answer = |piece: Result<Bytes, bt_store::Error>| match piece {
            Ok(data) => Ok(v1::DownloadReply { data, ..v1::DownloadReply::default() }),
            Err(error) => Err(status::store(error)),
        };
        let encoding = v1::Encoding::from(encoding).into();
        let first = v1::DownloadReply { data: Bytes::new(), offset, encoding };
        Ok(Box::pin(stream::once(ready(Ok(first))).chain(pieces.map(answer))))
    }
}

/// An error if a sweep has not all of these jobs.
pub(crate) fn has_jobs(found: &Found, jobs: &[u32]) -> Result<(), Status> {
    match jobs.iter().find(|job| **job >= found.known) {
        None => Ok(()),
        Some(job) => {
            let highest = found.known.checked_sub(1);
            Err(status::queue(Error::NoJob { sweep: found.name.clone(), job: *job, highest }))
        }
    }
}

/// An error if the sweep's results were given up.
pub(crate) fn not_expired(sweep: &Found) -> Result<(), Status> {
    match sweep.expired {
        None => Ok(()),
        Some(time) => {
            let told = format!(
                "the results of sweep {} expired at {time}, as its manifest's `keep` says",
                sweep.name
            );
            Err(Status::not_found(told))
        }
    }
}

fn output(row: OutputRow) -> v1::JobOutput {
    let PublishedFile { path, size, sha256, encoding, stored_size, other_name } = row.file;
    let file = v1::OutputFile {
        path,
        size,
        sha256: sha256.into(),
        encoding: v1::Encoding::from(encoding).into(),
        stored_size,
        stored_as: other_name,
    };
    v1::JobOutput { job: row.job, attempt: row.attempt, file: Some(file), ..v1::JobOutput::default() }
}
