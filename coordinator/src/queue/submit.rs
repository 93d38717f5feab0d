//! Queues sweeps: all of one, or nothing.

use std::collections::BTreeMap;

use bt_model::id::SweepId;
use bt_model::resources::Resources;
use sqlx::{Postgres, Transaction, query_file};

use super::row::{signed, unsigned};
use super::{Error, Queue, READY, notify};

/// Jobs that one statement inserts; bounds the memory of a submit.
const BATCH: usize = 5_000;

/// A sweep to be queued, without its jobs.
#[derive(Clone, Debug)]
pub(crate) struct Submission {
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) idempotency_key: String,
    /// SHA-256 of all that the client sent.
    pub(crate) fingerprint: [u8; 32],
    pub(crate) manifest: String,
    pub(crate) jobs: u32,
    pub(crate) priority: i32,
    pub(crate) retries: u32,
    pub(crate) needs: Resources,
    pub(crate) labels: BTreeMap<String, String>,
    /// Name of each volume, and whether read-only is enough.
    pub(crate) volumes: BTreeMap<String, bool>,
    pub(crate) image: String,
}

/// A sweep that is queued.
#[derive(Clone, Debug)]
pub(crate) struct Submitted {
    pub(crate) id: SweepId,
    pub(crate) name: String,
    pub(crate) jobs: u32,
    /// An earlier submit with the same key had queued it.
    pub(crate) existed: bool,
}

impl Queue {
    /// Queues a sweep whose jobs have these parameters (JSON objects, in the order of the jobs' numbers). When this
    /// returns, it is committed.
    pub(crate) async fn submit(
        &self,
        sweep: &Submission,
        parameters: impl Iterator<Item = String>,
    ) -> Result<Submitted, Error> {
        let mut tx = self.pool.begin().await?;
        let Some(id) = insert_sweep(&mut tx, sweep).await? else {
            tx.rollback().await?;
            return self.submitted_before(sweep).await;
        };
        let mut number = 0_i32;
        let mut batch = Vec::with_capacity(BATCH);
        let mut parameters = parameters.peekable();
        while parameters.peek().is_some() {
            batch.clear();
            batch.extend(parameters.by_ref().take(BATCH));
            query_file!("queries/insert_jobs.sql", id.uuid(), number, &batch).execute(&mut *tx).await?;
            number += signed::<i32>(batch.len() as u64)?;
        }
        notify(&mut tx, READY).await?;
        tx.commit().await?;
        Ok(Submitted { id, name: sweep.name.clone(), jobs: sweep.jobs, existed: false })
    }

    async fn submitted_before(&self, sweep: &Submission) -> Result<Submitted, Error> {
        let row =
            query_file!("queries/sweep_by_key.sql", sweep.idempotency_key).fetch_one(&self.pool).await?;
        if row.fingerprint != sweep.fingerprint {
            return Err(Error::KeyReused(sweep.idempotency_key.clone()));
        }
        Ok(Submitted {
            id: SweepId::from_uuid(row.id),
            name: row.name,
            jobs: unsigned(row.jobs)?,
            existed: true,
        })
    }
}

/// Inserts the sweep's row, unless one with its key is there.
async fn insert_sweep(
    tx: &mut Transaction<'_, Postgres>,
    sweep: &Submission,
) -> Result<Option<SweepId>, Error> {
    let id = SweepId::random();
    let inserted = query_file!(
        "queries/insert_sweep.sql",
        id.uuid(),
        sweep.name,
        sweep.owner,
        sweep.idempotency_key,
        sweep.fingerprint.as_slice(),
        sweep.manifest,
        signed::<i32>(sweep.jobs)?,
        sweep.priority,
        signed::<i32>(sweep.retries)?,
        signed::<i64>(sweep.needs.cpu_millis)?,
        signed::<i64>(sweep.needs.memory_bytes)?,
        signed::<i32>(sweep.needs.gpus)?,
        serde_json::json!(sweep.labels),
        serde_json::json!(sweep.volumes),
        sweep.image,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(inserted.map(|_| id))
}
