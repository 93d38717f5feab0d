//! What users take back, and what they want done again.

use bt_model::id::{AttemptId, SweepId};
use bt_model::retry::Ending;
use bt_model::state::JobState;
use sqlx::query_file;

use super::row::{Pg, signed, unsigned};
use super::settle::{Fence, Settled, Settlement, settle_in};
use super::{Error, Queue, READY, notify};

/// The jobs of a sweep that a user means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Chosen {
    All,
    These(Vec<u32>),
}

impl Chosen {
    fn numbers(&self) -> Result<Option<Vec<i32>>, Error> {
        match self {
            Self::All => Ok(None),
            Self::These(jobs) => jobs.iter().map(|job| signed(*job)).collect::<Result<_, _>>().map(Some),
        }
    }
}

/// What a cancel did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cancelled {
    /// Jobs that this call cancelled; of these, `stopping` had a live attempt.
    pub(crate) cancelled: u32,
    pub(crate) stopping: u32,
    /// Jobs that had ended before.
    pub(crate) ended: u32,
}

impl Queue {
    /// Cancels a sweep's jobs. Jobs that have ended stay as they are.
    pub(crate) async fn cancel(&self, sweep: SweepId, jobs: &Chosen) -> Result<Cancelled, Error> {
        let numbers = jobs.numbers()?;
        let mut tx = self.pool.begin().await?;
        query_file!("queries/lock_sweep.sql", sweep.uuid()).fetch_one(&mut *tx).await?;
        if *jobs == Chosen::All {
            query_file!("queries/cancel_sweep.sql", sweep.uuid()).execute(&mut *tx).await?;
        }
        let live = query_file!("queries/live_attempts_of_jobs.sql", sweep.uuid(), numbers.as_deref())
            .fetch_all(&mut *tx)
            .await?;
        let settlements: Vec<_> =
            live.iter().map(|row| Settlement::of(AttemptId::from_uuid(row.id), Ending::Cancelled)).collect();
        let settled = settle_in(&mut tx, Fence::None, &settlements).await?;
        let stopped = |answer: &&Settled| **answer == Settled::Now(JobState::Cancelled);
        let stopping = settled.iter().filter(stopped).count() as u32;
        let queued = query_file!("queries/cancel_queued.sql", sweep.uuid(), numbers.as_deref())
            .execute(&mut *tx)
            .await?
            .rows_affected();
        let counts = query_file!("queries/count_jobs.sql", sweep.uuid(), numbers.as_deref())
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        let all = counts.iter().map(|row| row.jobs).sum::<i64>();
        let cancelled = stopping + queued as u32;
        Ok(Cancelled { cancelled, stopping, ended: unsigned::<u32>(all)?.saturating_sub(cancelled) })
    }

    /// Queues again the jobs that ended in one of these states, with fresh budgets.
    pub(crate) async fn retry(
        &self,
        sweep: SweepId,
        jobs: &Chosen,
        ended: &[JobState],
    ) -> Result<u32, Error> {
        let numbers = jobs.numbers()?;
        let states: Vec<_> = ended.iter().map(|state| Pg(*state)).collect();
        let mut tx = self.pool.begin().await?;
        query_file!("queries/lock_sweep.sql", sweep.uuid()).fetch_one(&mut *tx).await?;
        query_file!("queries/uncancel_sweep.sql", sweep.uuid()).execute(&mut *tx).await?;
        let queued = query_file!("queries/retry_jobs.sql", sweep.uuid(), &states as _, numbers.as_deref())
            .execute(&mut *tx)
            .await?
            .rows_affected();
        notify(&mut tx, READY).await?;
        tx.commit().await?;
        Ok(queued as u32)
    }
}
