//! Makes published results known in the store: writes their `result.json` from what Postgres says.
//!
//! Postgres decides what is published; this follows. A `result.json` that a coordinator's death prevented is written by
//! the next pass of any coordinator.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bt_store::{FileEntry, ResultDocument, Store};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::document::{self, Writer};
use crate::kept_log;
use crate::loops::Health;
use crate::manifests::{self, Manifests};
use crate::queue::{self, Documented, Place, Published, Queue, Written};

/// Results that one pass makes good.
const BATCH: u32 = 500;
/// Documents that are written at once.
const AT_ONCE: usize = 8;
/// How long what another coordinator left undone may wait.
const POLL: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Queue(#[from] queue::Error),
    #[error(transparent)]
    Manifest(#[from] manifests::Error),
    #[error(transparent)]
    Store(#[from] bt_store::Error),
    #[error(transparent)]
    Document(#[from] document::Error),
}

#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    queue: Queue,
    manifests: Manifests,
    store: Store,
    work: Arc<Notify>,
}

impl Publisher {
    pub(crate) fn new(queue: Queue, manifests: Manifests, store: Store) -> Self {
        Self { queue, manifests, store, work: Arc::default() }
    }

    /// Says that something was published.
    pub(crate) fn wake(&self) {
        self.work.notify_one();
    }

    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut health = Health::new("writing result.json");
        loop {
            let woken = self.work.notified();
            let written = health.note(self.run_once().await).unwrap_or(0);
            if written == BATCH as usize {
                continue;
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = timeout(POLL, woken) => {}
            }
        }
    }

    /// One pass: says how many documents it wrote.
    pub(crate) async fn run_once(&self) -> Result<usize, Error> {
        let unwritten = self.queue.unwritten(BATCH).await?;
        if unwritten.is_empty() {
            return Ok(0);
        }
        let mut by_sweep: HashMap<_, Vec<_>> = HashMap::new();
        for result in &unwritten {
            by_sweep.entry(result.place.sweep).or_default().push(result);
        }
        let mut documents = Vec::with_capacity(unwritten.len());
        for (sweep, results) in by_sweep {
            let known = self.manifests.get(sweep).await?;
            let writer = Writer::new(&known)?;
            for result in results {
                let document = writer.document(result)?;
                let is_point = matches!(result.parameters, Written::Point(_));
                let parameters = is_point.then(|| document.parameters.to_string());
                let noted = Documented {
                    result: Place { sweep, job: result.place.job },
                    revision: result.revision,
                    parameters,
                };
                documents.push((result, document, noted));
            }
        }
        let writing: Vec<_> = documents
            .into_iter()
            .map(|(result, document, noted)| self.write(result, document, noted))
            .collect();
        let written: Vec<_> = stream::iter(writing).buffer_unordered(AT_ONCE).try_collect().await?;
        self.queue.mark_written(&written).await?;
        Ok(written.len())
    }

    /// What the job printed, then the document that names it and all else.
    async fn write(
        &self,
        result: &Published,
        mut document: ResultDocument,
        noted: Documented,
    ) -> Result<Documented, Error> {
        let place = &result.place;
        if result.reused_from.is_none() {
            document.logs = self.part_log(result).await?;
            for file in result.files.iter().filter(|file| file.other_name.is_some()) {
                let output = |name: &str| place.output(name);
                self.store.also_as(&output(&file.stored_as()), &output(&file.first_name())).await?;
            }
        }
        self.store.write_result(&place.result(), &document).await?;
        Ok(noted)
    }

    async fn part_log(&self, result: &Published) -> Result<Vec<FileEntry>, Error> {
        let place = &result.place;
        match kept_log::part(&self.store, &place.log(), &place.beside("")).await {
            Ok(logs) => Ok(logs),
            // A damaged log must not hold up a result.
            Err(error @ kept_log::Error::NotALog { .. }) => {
                warn!(attempt.id = %result.attempt, error = %error, "the log is not published by its streams");
                Ok(Vec::new())
            }
            Err(kept_log::Error::Store(error)) => Err(error.into()),
        }
    }
}
