//! Makes published results known in the store: writes their `result.json` from what Postgres says.
//!
//! Postgres decides what is published; this follows. A `result.json` that a coordinator's death prevented is written by
//! the next pass of any coordinator.

use bt_model::id::AttemptId;
use bt_store::{FileEntry, ResultDocument, Store};

use crate::queue::{self, Queue, Unwritten};

/// Results that one pass makes good.
const BATCH: u32 = 100;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Queue(#[from] queue::Error),
    #[error(transparent)]
    Store(#[from] bt_store::Error),
    #[error("attempt {0} was published with parameters or metrics that are not JSON: {1}")]
    Json(AttemptId, #[source] serde_json::Error),
}

#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    queue: Queue,
    store: Store,
}

impl Publisher {
    pub(crate) fn new(queue: Queue, store: Store) -> Self {
        Self { queue, store }
    }

    /// Writes the document of one result, or of all that lack theirs. Says how many it wrote.
    pub(crate) async fn write(&self, attempt: Option<AttemptId>) -> Result<usize, Error> {
        let unwritten = self.queue.unwritten(attempt, BATCH).await?;
        for result in &unwritten {
            let document = document(result)?;
            self.store.write_result(&result.place.result(), &document).await?;
            self.queue.mark_written(result.attempt).await?;
        }
        Ok(unwritten.len())
    }
}

fn document(result: &Unwritten) -> Result<ResultDocument, Error> {
    let json = |text: &str| serde_json::from_str(text).map_err(|error| Error::Json(result.attempt, error));
    Ok(ResultDocument {
        sweep: result.place.sweep,
        sweep_name: result.place.sweep_name.clone(),
        job: result.place.job,
        attempt: result.place.attempt,
        attempt_id: result.attempt,
        agent: result.agent,
        published: result.published,
        image: result.image.clone(),
        image_pin: result.image_pin.clone(),
        parameters: json(&result.parameters)?,
        metrics: result.metrics.as_deref().map(json).transpose()?,
        files: result.files.iter().map(|(path, size, sha256)| FileEntry::new(path, *size, sha256)).collect(),
    })
}
