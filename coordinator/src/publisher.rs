//! Makes published results known in the store: writes their `result.json` from what Postgres says.
//!
//! Postgres decides what is published; this follows. A `result.json` that a coordinator's death prevented is written by
//! the next pass of any coordinator.

use std::collections::HashMap;
use std::time::Duration;

use bt_model::id::SweepId;
use bt_store::{FileEntry, Store};
use futures_util::{StreamExt, stream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::bell::{Bell, Sleeper};
use crate::document::{self, Writer};
use crate::kept_log;
use crate::loops::{Health, PutOff};
use crate::manifests::{self, Manifests};
use crate::queue::{self, Documented, Place, Published, Queue, Unwritten, Written};

/// Results that are read and noted together.
const BATCH: u32 = 500;
/// Documents that are written at once: a directory makes them durable together.
const AT_ONCE: usize = 256;
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

impl Error {
    /// True if only this result is affected, so that others can be written.
    fn is_one_results(&self) -> bool {
        match self {
            Self::Queue(error)
            | Self::Manifest(manifests::Error::Queue(error))
            | Self::Document(document::Error::Manifest(manifests::Error::Queue(error))) => {
                !error.is_transient()
            }
            Self::Store(error) => error.is_one_files(),
            Self::Manifest(_) | Self::Document(_) => true,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    queue: Queue,
    manifests: Manifests,
    store: Store,
    bell: Bell,
}

impl Publisher {
    pub(crate) fn new(queue: Queue, manifests: Manifests, store: Store, bell: Bell) -> Self {
        Self { queue, manifests, store, bell }
    }

    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut health = Health::new("writing result.json");
        let mut put_off = PutOff::new("writing the result.json of");
        loop {
            let woken = self.bell.rung(Sleeper::Publisher);
            health.note(self.run_once(&mut put_off).await);
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = timeout(POLL, woken) => {}
            }
        }
    }

    /// One pass over all results without a document: says how many it wrote. A result that fails is put off by itself;
    /// an error is not one result's alone.
    pub(crate) async fn run_once(&self, put_off: &mut PutOff<Place>) -> Result<usize, Error> {
        let (mut after, mut written): (Option<Unwritten>, _) = (None, 0);
        loop {
            let page = self.queue.unwritten(after.as_ref(), BATCH).await?;
            let more = page.len() == BATCH as usize;
            after = page.last().copied();
            let due = page.into_iter().map(|unwritten| unwritten.result);
            let due: Vec<_> = due.filter(|result| put_off.is_due(result)).collect();
            written += self.write_all(&due, put_off).await?;
            if !more {
                return Ok(written);
            }
        }
    }

    async fn write_all(&self, due: &[Place], put_off: &mut PutOff<Place>) -> Result<usize, Error> {
        let mut by_sweep: HashMap<SweepId, Vec<Published>> = HashMap::new();
        for (result, published) in self.queue.published_of(due).await? {
            match published {
                Ok(published) => by_sweep.entry(result.sweep).or_default().push(published),
                Err(error) => drop(put_off.note(&result, Err::<(), _>(error))),
            }
        }
        let mut written = Vec::with_capacity(due.len());
        let mut outcome = Ok(());
        for (sweep, results) in by_sweep {
            let mut put_all_off = |error: Error| {
                if !error.is_one_results() {
                    return Err(error);
                }
                for result in &results {
                    put_off.note(&Place { sweep, job: result.place.job }, Err::<(), _>(&error));
                }
                Ok(())
            };
            let known = match self.manifests.get(sweep).await {
                Ok(known) => known,
                Err(error) => {
                    put_all_off(error.into())?;
                    continue;
                }
            };
            // Its templates are compiled once for all of these.
            let documents = match Writer::new(&known) {
                Ok(documents) => documents,
                Err(error) => {
                    put_all_off(error.into())?;
                    continue;
                }
            };
            let writing = results.iter().map(|result| async {
                let place = Place { sweep, job: result.place.job };
                (place, self.write(&documents, result).await)
            });
            let writing: Vec<_> = writing.collect();
            let mut writing = stream::iter(writing).buffer_unordered(AT_ONCE);
            while let Some((place, result)) = writing.next().await {
                match result {
                    Err(error) if !error.is_one_results() => outcome = Err(error),
                    result => written.extend(put_off.note(&place, result)),
                }
            }
            if outcome.is_err() {
                break;
            }
        }
        self.queue.mark_written(&written).await?;
        outcome.map(|()| written.len())
    }

    /// What the job printed, then the document that names it and all else.
    async fn write(&self, documents: &Writer<'_>, result: &Published) -> Result<Documented, Error> {
        let mut document = documents.document(result)?;
        let place = &result.place;
        let is_point = matches!(result.parameters, Written::Point(_));
        let noted = Documented {
            result: Place { sweep: place.sweep, job: place.job },
            revision: result.revision,
            parameters: is_point.then(|| document.parameters.to_string()),
        };
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
