//! Queues sweeps: all of one, or nothing.

use std::collections::BTreeMap;

use bt_model::id::SweepId;
use bt_model::manifest::Policy;
use bt_model::resources::Resources;
use sqlx::{PgConnection, query_file};

use super::row::{Pg, signed, unsigned};
use super::{Error, Queue, READY, notify};

/// Jobs that one statement inserts; bounds the memory of a submit.
const BATCH: usize = 5_000;
/// Jobs that Postgres makes in one statement.
const WHOLE_BATCH: u32 = 100_000;

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
    pub(crate) policy: Policy,
    pub(crate) needs: Resources,
    pub(crate) labels: BTreeMap<String, String>,
    /// Name of each volume, and whether read-only is enough.
    pub(crate) volumes: BTreeMap<String, bool>,
    pub(crate) image: String,
}

/// The parameters of a sweep's jobs, in the order of their numbers.
pub(crate) enum Jobs<'j> {
    /// The matrix as it is: nothing but numbers is written.
    Whole,
    /// Points of the matrix.
    Points(Box<dyn Iterator<Item = u64> + Send + 'j>),
    /// JSON objects.
    Written(Box<dyn Iterator<Item = String> + Send + 'j>),
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
    /// Queues a sweep. When this returns, it is committed.
    pub(crate) async fn submit(&self, sweep: &Submission, jobs: Jobs<'_>) -> Result<Submitted, Error> {
        let mut tx = self.pool.begin().await?;
        let Some(id) = insert_sweep(&mut tx, sweep).await? else {
            tx.rollback().await?;
            return self.submitted_before(sweep).await;
        };
        match jobs {
            Jobs::Whole => insert_whole(&mut tx, id, sweep.jobs).await?,
            Jobs::Points(points) => insert_points(&mut tx, id, points).await?,
            Jobs::Written(parameters) => insert_written(&mut tx, id, parameters).await?,
        }
        query_file!("queries/insert_counts.sql", id.uuid(), signed::<i32>(sweep.jobs)?)
            .execute(&mut *tx)
            .await?;
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
async fn insert_sweep(tx: &mut PgConnection, sweep: &Submission) -> Result<Option<SweepId>, Error> {
    let id = SweepId::random();
    let policy = &sweep.policy;
    let retried: Vec<_> = policy.retried().into_iter().map(Pg).collect();
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
        signed::<i32>(policy.failure_retries())?,
        signed::<i64>(sweep.needs.cpu_millis)?,
        signed::<i64>(sweep.needs.memory_bytes)?,
        signed::<i32>(sweep.needs.gpus)?,
        serde_json::json!(sweep.labels),
        serde_json::json!(sweep.volumes),
        sweep.image,
        signed::<i32>(policy.oom_retries())?,
        signed::<i32>(policy.loss_limit())?,
        signed::<i32>(policy.preemption_limit())?,
        &retried as _,
        policy.max_parallel.map(signed::<i32>).transpose()?,
        serde_json::json!(policy.limits),
        signed::<i32>(policy.canary.unwrap_or(0))?,
        signed::<i64>(sweep.needs.disk_bytes)?,
    )
    .fetch_optional(tx)
    .await?;
    Ok(inserted.map(|_| id))
}

async fn insert_whole(tx: &mut PgConnection, sweep: SweepId, jobs: u32) -> Result<(), Error> {
    let mut from = 0;
    while from < jobs {
        let to = jobs.min(from.saturating_add(WHOLE_BATCH));
        query_file!("queries/insert_all_points.sql", sweep.uuid(), signed::<i32>(from)?, signed::<i32>(to)?)
            .execute(&mut *tx)
            .await?;
        from = to;
    }
    Ok(())
}

async fn insert_points(
    tx: &mut PgConnection,
    sweep: SweepId,
    mut points: impl Iterator<Item = u64>,
) -> Result<(), Error> {
    let mut number = 0_i32;
    loop {
        let batch: Vec<_> = points.by_ref().take(BATCH).map(signed::<i64>).collect::<Result<_, _>>()?;
        if batch.is_empty() {
            return Ok(());
        }
        query_file!("queries/insert_points.sql", sweep.uuid(), number, &batch).execute(&mut *tx).await?;
        number += signed::<i32>(batch.len() as u64)?;
    }
}

async fn insert_written(
    tx: &mut PgConnection,
    sweep: SweepId,
    mut parameters: impl Iterator<Item = String>,
) -> Result<(), Error> {
    let mut number = 0_i32;
    loop {
        let batch: Vec<_> = parameters.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            return Ok(());
        }
        query_file!("queries/insert_jobs.sql", sweep.uuid(), number, &batch).execute(&mut *tx).await?;
        number += signed::<i32>(batch.len() as u64)?;
    }
}
