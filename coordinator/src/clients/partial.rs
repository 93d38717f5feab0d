//! What attempts that are not published have in the store: unfinished, failed and lost ones. It is never listed together
//! with a result of the same job.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bt_model::encoding::Encoding;
use bt_model::layout::{AttemptPlace, first_name};
use bt_proto::convert::present;
use bt_proto::v1;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;
use tonic::Status;

use super::Clients;
use crate::queue::{Found, UnpublishedRow};
use crate::rpc::{Answers, status};

/// Attempts in a page.
const PAGE: u32 = 1_000;
/// Attempts whose files are listed at once.
const AT_ONCE: usize = 8;

impl Clients {
    /// Sends the stored files of the latest attempt, of each job without a result, that has any; or of the attempts of
    /// the number that is asked for.
    pub(super) async fn send_partial(
        &self,
        sweep: &Found,
        request: &v1::ListOutputsRequest,
        answers: &mpsc::Sender<Result<v1::JobOutput, Status>>,
    ) -> Result<(), Status> {
        let number = present(request.attempt);
        if let (Some(job), Some(number)) = (request.job, number) {
            self.unpublished(sweep, job, number).await?;
        }
        let mut after = None;
        let mut done = None;
        loop {
            let page = self.queue.unpublished(sweep.id, request.job, number, after, PAGE).await;
            let page = page.map_err(status::queue)?;
            let more = page.len() == PAGE as usize;
            after = page.last().copied();
            let listing = stream::iter(page).map(|attempt| self.stored(sweep, attempt)).buffered(AT_ONCE);
            let mut listing = std::pin::pin!(listing);
            while let Some((attempt, files)) = listing.try_next().await? {
                let state = v1::AttemptState::from(attempt.state).into();
                let files = match files {
                    Ok(files) => files,
                    Err(fault) => {
                        let output = v1::JobOutput {
                            job: attempt.job,
                            attempt: attempt.number,
                            attempt_state: state,
                            fault: Some(fault),
                            ..v1::JobOutput::default()
                        };
                        if answers.send(Ok(output)).await.is_err() {
                            return Ok(());
                        }
                        continue;
                    }
                };
                if done == Some(attempt.job) || files.is_empty() {
                    continue;
                }
                done = Some(attempt.job);
                for file in files {
                    let output = v1::JobOutput {
                        job: attempt.job,
                        attempt: attempt.number,
                        attempt_state: state,
                        file: Some(file),
                        ..v1::JobOutput::default()
                    };
                    if answers.send(Ok(output)).await.is_err() {
                        return Ok(());
                    }
                }
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// Streams one stored file of an attempt that is not published.
    pub(super) async fn partial_content(
        &self,
        sweep: &Found,
        request: &v1::DownloadRequest,
        number: u32,
    ) -> Result<Answers<v1::DownloadReply>, Status> {
        let attempt = self.unpublished(sweep, request.job, number).await?;
        let encoding = attempt.encoding.of(&request.path);
        let encoding = encoding.map_err(|error| Status::not_found(error.to_string()))?;
        let (_, files) = self.stored(sweep, attempt).await?;
        let file = files.unwrap_or_default().into_iter().find(|file| file.path == request.path);
        let stored_as = file.and_then(|file| file.stored_as);
        let stored_as = stored_as.unwrap_or_else(|| encoding.stored_as(&request.path));
        self.results().stored_content(&place(sweep, attempt).output(&stored_as), encoding, 0).await
    }

    /// The numbered attempt of a job, if it is not its result.
    async fn unpublished(&self, sweep: &Found, job: u32, number: u32) -> Result<UnpublishedRow, Status> {
        let found = self.queue.unpublished(sweep.id, Some(job), Some(number), None, 1).await;
        if let Some(attempt) = found.map_err(status::queue)?.pop() {
            return Ok(attempt);
        }
        let exists = self.queue.find_attempt(sweep.id, job, number).await.map_err(status::queue)?;
        Err(match exists {
            Some(_) => Status::invalid_argument(format!(
                "attempt {number} of job {job} of sweep {} is its result; leave out --partial to get it",
                sweep.name
            )),
            None => Status::not_found(format!("job {job} of sweep {} has no attempt {number}", sweep.name)),
        })
    }

    /// What an attempt has in the store, in the order of its paths, or why its directory can't be read. Of a file that was
    /// stored again after it had changed the latest is meant. An error is the whole store's.
    async fn stored(
        &self,
        sweep: &Found,
        attempt: UnpublishedRow,
    ) -> Result<(UnpublishedRow, Result<Vec<v1::OutputFile>, String>), Status> {
        let dir = place(sweep, attempt).dir();
        let listed = self.store.list(&dir).try_filter_map(|file| {
            let path = file.path.strip_prefix(&dir).and_then(|path| path.strip_prefix('/'));
            let named = path.map(|path| (path.to_owned(), (file.modified, file.size)));
            std::future::ready(Ok(named))
        });
        match listed.try_collect::<BTreeMap<_, _>>().await {
            Ok(all) => Ok((attempt, Ok(latest(attempt.encoding, &all)))),
            Err(error) if error.is_one_files() => Ok((attempt, Err(error.to_string()))),
            Err(error) => Err(status::store(error)),
        }
    }
}

/// The latest of each file among all that were stored, by name, time and size, in the order of their paths.
fn latest(encoding: Encoding, all: &BTreeMap<String, (SystemTime, u64)>) -> Vec<v1::OutputFile> {
    let mut latest: BTreeMap<&str, (&str, (SystemTime, u64))> = BTreeMap::new();
    for (stored, known) in all {
        // A name that looks like another's may be the job's own.
        let name = first_name(stored).filter(|first| all.contains_key(*first)).unwrap_or(stored);
        let file = latest.entry(name).or_insert((stored, *known));
        if file.1.0 <= known.0 {
            *file = (stored, *known);
        }
    }
    let outputs = latest.into_iter().map(|(name, (stored, (_, size)))| {
        let stored_as = (stored != name).then(|| stored.to_owned());
        v1::OutputFile { stored_as, ..output(encoding, name, size) }
    });
    let mut files: Vec<_> = outputs.collect();
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    files
}

/// What stands under this name in the directory of an attempt whose outputs are stored so.
fn output(encoding: Encoding, stored: &str, size: u64) -> v1::OutputFile {
    match encoding.path_of(stored) {
        Some(path) if encoding != Encoding::None => v1::OutputFile {
            path: path.to_owned(),
            encoding: v1::Encoding::from(encoding).into(),
            stored_size: Some(size),
            ..v1::OutputFile::default()
        },
        // Stored as it is, perhaps because its name left no room for another ending.
        _ => v1::OutputFile { path: stored.to_owned(), size, ..v1::OutputFile::default() },
    }
}

fn place(sweep: &Found, attempt: UnpublishedRow) -> AttemptPlace {
    AttemptPlace {
        sweep_name: sweep.name.clone(),
        sweep: sweep.id,
        jobs: sweep.jobs,
        job: attempt.job,
        attempt: attempt.number,
    }
}
