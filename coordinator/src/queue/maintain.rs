//! What coordinators do besides serving: stamp, take away what has run out, make good what was left undone.

use std::time::Duration;

use bt_model::id::{AgentId, AttemptId, SweepId};
use bt_model::layout::AttemptPlace;
use bt_model::retry::Ending;
use jiff::Timestamp;
use sqlx::query_file;
use uuid::Uuid;

use super::claim::interval;
use super::row::{sha256, time, unsigned};
use super::settle::{Fence, Settled, Settlement, settle_in};
use super::{Error, Queue};

/// Attempts that one pass takes away at most.
const EXPIRE_BATCH: i64 = 500;

/// A result that is published but whose `result.json` is not known to stand in the store.
#[derive(Clone, Debug)]
pub(crate) struct Unwritten {
    pub(crate) attempt: AttemptId,
    pub(crate) agent: AgentId,
    pub(crate) place: AttemptPlace,
    pub(crate) published: Timestamp,
    pub(crate) image: String,
    pub(crate) image_pin: Option<String>,
    pub(crate) parameters: String,
    pub(crate) metrics: Option<String>,
    /// Path, size and SHA-256 of each output.
    pub(crate) files: Vec<(String, u64, [u8; 32])>,
}

impl Queue {
    /// Takes away the leases that have run out, unless no coordinator was there to renew them for longer than `gap`:
    /// then every live lease gets a full term first. Says whose jobs were lost, or nothing if another coordinator is
    /// at it.
    pub(crate) async fn expire_leases(
        &self,
        coordinator: Uuid,
        gap: Duration,
        term: Duration,
    ) -> Result<Vec<AttemptId>, Error> {
        let mut tx = self.pool.begin().await?;
        let lock = query_file!("queries/try_maintenance_lock.sql").fetch_one(&mut *tx).await?;
        if !lock.locked {
            tx.rollback().await?;
            query_file!("queries/stamp.sql", coordinator).execute(&self.pool).await?;
            return Ok(Vec::new());
        }
        let away = query_file!("queries/seconds_since_stamp.sql").fetch_one(&mut *tx).await?.seconds;
        if away.is_none_or(|seconds| seconds > gap.as_secs_f64()) {
            query_file!("queries/grant_full_term.sql", interval(term)?).execute(&mut *tx).await?;
        }
        query_file!("queries/stamp.sql", coordinator).execute(&mut *tx).await?;
        query_file!("queries/forget_coordinators.sql", coordinator).execute(&mut *tx).await?;
        let expired = query_file!("queries/expired_attempts.sql", EXPIRE_BATCH).fetch_all(&mut *tx).await?;
        let settlements: Vec<_> =
            expired.iter().map(|row| Settlement::of(AttemptId::from_uuid(row.id), Ending::Lost)).collect();
        let settled = settle_in(&mut tx, Fence::Expired, &settlements).await?;
        tx.commit().await?;
        let lost = settlements.iter().zip(settled).filter(|(_, settled)| matches!(settled, Settled::Now(_)));
        Ok(lost.map(|(settlement, _)| settlement.attempt).collect())
    }

    /// Published results without a `result.json`, oldest first; only that of `attempt` if one is given.
    pub(crate) async fn unwritten(
        &self,
        attempt: Option<AttemptId>,
        limit: u32,
    ) -> Result<Vec<Unwritten>, Error> {
        let only = attempt.map(AttemptId::uuid);
        let rows = query_file!("queries/unwritten_results.sql", only, i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        let mut unwritten = Vec::with_capacity(rows.len());
        for row in rows {
            let files = query_file!("queries/files_of_result.sql", row.sweep_id, row.job)
                .fetch_all(&self.pool)
                .await?;
            let files =
                files.into_iter().map(|file| Ok((file.path, unsigned(file.size)?, sha256(&file.sha256)?)));
            unwritten.push(Unwritten {
                attempt: AttemptId::from_uuid(row.attempt_id),
                agent: AgentId::from_uuid(row.agent_id),
                place: AttemptPlace {
                    sweep_name: row.name,
                    sweep: SweepId::from_uuid(row.sweep_id),
                    jobs: unsigned(row.jobs)?,
                    job: unsigned(row.job)?,
                    attempt: unsigned(row.attempt)?,
                },
                published: time(row.published_at)?,
                image: row.image,
                image_pin: row.image_pin,
                parameters: row.parameters,
                metrics: row.metrics,
                files: files.collect::<Result<_, Error>>()?,
            });
        }
        Ok(unwritten)
    }

    /// Notes that a result's `result.json` stands in the store.
    pub(crate) async fn mark_written(&self, attempt: AttemptId) -> Result<(), Error> {
        query_file!("queries/mark_written.sql", attempt.uuid()).execute(&self.pool).await?;
        Ok(())
    }
}
