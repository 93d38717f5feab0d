//! What users take back, hold up, and want done again. Each answers at once, however many jobs a sweep has: the sweep is
//! marked, and no job of it starts from then on.

use bt_model::id::AttemptId;
use bt_model::reason::ReasonKind;
use bt_model::retry::Ending;
use bt_model::state::JobState;
use sqlx::query_file;

use super::row::{Pg, signed, unsigned};
use super::settle::{Fence, Settled, Settlement, settle_in};
use super::{Changeable, Error, Queue, READY, after, measured, notify, quotas};

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
    pub(crate) async fn cancel(
        &self,
        sweep: impl Into<Changeable>,
        jobs: &Chosen,
    ) -> Result<Cancelled, Error> {
        let sweep = sweep.into().id();
        let numbers = jobs.numbers()?;
        let mut tx = self.by_key.patient().begin().await?;
        let held = query_file!("queries/cancel/lock_sweep.sql", sweep.uuid()).fetch_one(&mut *tx).await?;
        let counted = query_file!("queries/cancel/sum_counts.sql", sweep.uuid()).fetch_one(&mut *tx).await?;
        let id = sweep.uuid();
        let live: Vec<_> = match &numbers {
            None => {
                let rows =
                    query_file!("queries/cancel/live_attempts_of_sweep.sql", id).fetch_all(&mut *tx).await?;
                rows.into_iter().map(|row| row.id).collect()
            }
            Some(jobs) => {
                let rows = query_file!("queries/cancel/live_attempts_of_jobs.sql", id, jobs)
                    .fetch_all(&mut *tx)
                    .await?;
                rows.into_iter().map(|row| row.id).collect()
            }
        };
        let cancel = |id| Settlement::of(AttemptId::from_uuid(id), Fence::None, Ending::Cancelled);
        let settlements: Vec<_> = live.into_iter().map(cancel).collect();
        let settled = settle_in(&mut tx, &settlements).await?;
        let stopped = |answer: &&Settled| **answer == Settled::Now(JobState::Cancelled);
        let stopping = settled.iter().filter(stopped).count() as u32;
        let (all, queued) = match &numbers {
            // The reconciler cancels their rows one batch after the other.
            None => {
                query_file!("queries/cancel/cancel_sweep.sql", sweep.uuid()).execute(&mut *tx).await?;
                let queued = if held.cancelled { 0 } else { unsigned(counted.queued)? };
                (unsigned(counted.jobs)?, queued)
            }
            Some(numbers) => {
                let cancelled = query_file!("queries/cancel/cancel_queued_jobs.sql", id, numbers);
                let queued = cancelled.execute(&mut *tx).await?.rows_affected();
                (numbers.len() as u32, queued as u32)
            }
        };
        tx.commit().await?;
        measured::ended(&settlements, &settled);
        let cancelled = stopping + queued;
        Ok(Cancelled { cancelled, stopping, ended: all.saturating_sub(cancelled) })
    }

    /// Starts no more jobs of the sweep. False if it was paused before or has ended.
    pub(crate) async fn pause(&self, sweep: impl Into<Changeable>) -> Result<bool, Error> {
        let sweep = sweep.into().id();
        let paused =
            query_file!("queries/cancel/pause_sweep.sql", sweep.uuid()).fetch_optional(&self.by_key).await?;
        Ok(paused.is_some())
    }

    /// Starts jobs of the sweep again. False if it was not paused.
    pub(crate) async fn resume(&self, sweep: impl Into<Changeable>) -> Result<bool, Error> {
        let sweep = sweep.into().id();
        let mut tx = self.by_key.begin().await?;
        let resumed =
            query_file!("queries/cancel/resume_sweep.sql", sweep.uuid()).fetch_optional(&mut *tx).await?;
        notify(&mut tx, READY).await?;
        tx.commit().await?;
        Ok(resumed.is_some())
    }

    /// Queues again the jobs that ended in one of these states, with fresh budgets; of the failed ones only those with
    /// one of the reasons, if there are any.
    pub(crate) async fn retry(
        &self,
        sweep: impl Into<Changeable>,
        jobs: &Chosen,
        ended: &[JobState],
        reasons: &[ReasonKind],
    ) -> Result<u32, Error> {
        let sweep = sweep.into().id();
        let numbers = jobs.numbers()?;
        let states: Vec<_> = ended.iter().map(|state| Pg(*state)).collect();
        let reasons: Vec<_> = reasons.iter().map(|reason| Pg(*reason)).collect();
        let mut tx = self.pool.patient().begin().await?;
        let held = query_file!("queries/cancel/lock_sweep.sql", sweep.uuid()).fetch_one(&mut *tx).await?;
        if held.expired {
            return Err(Error::Expired { name: held.name, sweep });
        }
        after::check_retry(&mut tx, sweep).await?;
        let mut left_over = 0_u64;
        if held.cancelled && *jobs == Chosen::All && ended.contains(&JobState::Cancelled) {
            // These were never taken out of the queue.
            let counted =
                query_file!("queries/cancel/sum_counts.sql", sweep.uuid()).fetch_one(&mut *tx).await?;
            left_over = unsigned(counted.queued)?;
            query_file!("queries/cancel/detach_jobs.sql", sweep.uuid()).execute(&mut *tx).await?;
        } else if held.cancelled {
            query_file!("queries/cancel/cancel_queued.sql", sweep.uuid()).execute(&mut *tx).await?;
        }
        query_file!("queries/cancel/uncancel_sweep.sql", sweep.uuid()).execute(&mut *tx).await?;
        let queued = query_file!(
            "queries/cancel/retry_jobs.sql",
            sweep.uuid(),
            &states as _,
            numbers.as_deref(),
            &reasons as _
        )
        .execute(&mut *tx)
        .await?
        .rows_affected();
        quotas::admit_in_sweep(&mut tx, sweep.uuid(), left_over + queued).await?;
        notify(&mut tx, READY).await?;
        tx.commit().await?;
        Ok((left_over + queued) as u32)
    }
}
