//! Jobs of a sweep: pages of them with all that is recorded, and how one stands in the queue.

use std::time::Duration;

use bt_model::id::SweepId;
use bt_model::reason::{Reason, ReasonKind};
use bt_model::state::{AttemptState, JobState};
use jiff::Timestamp;
use sqlx::query_file;

use crate::queue::claim::Written;
use crate::queue::row::{Pg, reason, signed, time, unsigned};
use crate::queue::settle::Measured;
use crate::queue::{Error, Queue};

/// A job as it stands in the queue.
#[derive(Clone, Debug)]
pub(crate) struct InQueue {
    pub(crate) state: JobState,
    /// The number of the latest attempt.
    pub(crate) latest: u32,
    /// Without those that were handed back before they had started.
    pub(crate) attempts: u32,
    /// How long it still waits before it is tried again.
    pub(crate) wait: Duration,
    /// Queued jobs of the same sweep with lower numbers.
    pub(crate) before: u32,
    /// It waits for an identical job.
    pub(crate) is_attached: bool,
    /// The window whose training it waits for.
    pub(crate) waits_for: Option<u32>,
    /// What it needs after it ran out of memory.
    pub(crate) memory_bytes: Option<u64>,
    /// Of the latest attempt.
    pub(crate) agent: Option<String>,
    pub(crate) attempt_state: Option<AttemptState>,
    pub(crate) note: Option<String>,
    /// Why it failed, if it has.
    pub(crate) reason: Option<Reason>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct JobFilter {
    /// Empty: all.
    pub(crate) states: Vec<JobState>,
    pub(crate) job: Option<u32>,
}

#[derive(Clone, Debug)]
pub(crate) struct JobRow {
    pub(crate) number: u32,
    pub(crate) state: JobState,
    pub(crate) parameters: Written,
    /// The window whose training it waits for, or waited for in vain.
    pub(crate) waits_for: Option<u32>,
    pub(crate) metrics: Option<String>,
    /// Without those that were handed back before they had started.
    pub(crate) attempts: u32,
    pub(crate) reason: Option<Reason>,
    pub(crate) started: Option<Timestamp>,
    pub(crate) finished: Option<Timestamp>,
    /// Of the latest attempt.
    pub(crate) agent: Option<String>,
    pub(crate) attempt_state: Option<AttemptState>,
    pub(crate) note: Option<String>,
    pub(crate) ended: Option<Timestamp>,
    pub(crate) measured: Measured,
    pub(crate) image_id: Option<String>,
    /// Where that is more than its sweep says.
    pub(crate) memory_bytes: Option<u64>,
}

/// The rows of the statements that give whole jobs have the same columns but, as all checked rows, types of their own.
macro_rules! job_row {
    ($row:ident) => {
        Ok(JobRow {
            number: unsigned($row.number)?,
            state: $row.state.0,
            parameters: Written::of($row.parameters, $row.point, $row.number)?,
            waits_for: $row.waits_for.map(unsigned).transpose()?,
            metrics: $row.metrics,
            attempts: unsigned($row.attempts)?,
            reason: reason($row.reason, $row.reason_code, $row.reason_message),
            started: $row.started_at.map(time).transpose()?,
            finished: $row.finished_at.map(time).transpose()?,
            agent: $row.agent,
            attempt_state: $row.attempt_state.map(|Pg(state)| state),
            note: $row.note,
            ended: $row.ended_at.map(time).transpose()?,
            measured: Measured::read([
                $row.peak_memory_bytes,
                $row.cpu_micros,
                $row.written_bytes,
                $row.wall_millis,
            ])?,
            image_id: $row.image_id,
            memory_bytes: $row.memory_bytes.map(unsigned).transpose()?,
        })
    };
}
pub(in super::super) use job_row;

impl Queue {
    /// The job that a user asks about who names the sweep alone.
    pub(crate) async fn job_to_explain(&self, sweep: SweepId) -> Result<u32, Error> {
        let row = query_file!("queries/read/job_to_explain.sql", sweep.uuid()).fetch_one(&self.pool).await?;
        unsigned(row.number)
    }

    /// A job as it stands in the queue.
    pub(crate) async fn in_queue(&self, sweep: SweepId, job: u32) -> Result<InQueue, Error> {
        let row = query_file!("queries/read/job_in_queue.sql", sweep.uuid(), signed::<i32>(job)?)
            .fetch_one(&self.by_key)
            .await?;
        Ok(InQueue {
            state: row.state.0,
            latest: unsigned(row.attempts)?,
            attempts: unsigned(row.attempts - row.returned)?,
            wait: Duration::try_from_secs_f64(row.wait_seconds).unwrap_or_default(),
            before: unsigned(row.before)?,
            is_attached: row.is_attached,
            waits_for: row.waits_for.map(unsigned).transpose()?,
            memory_bytes: row.memory_bytes.map(unsigned).transpose()?,
            agent: row.agent,
            attempt_state: row.attempt_state.map(|Pg(state)| state),
            note: row.note,
            reason: reason(row.reason, row.reason_code, row.reason_message),
        })
    }

    /// A page of jobs: those after number `after` (none: from the first).
    pub(crate) async fn jobs(
        &self,
        sweep: SweepId,
        filter: &JobFilter,
        after: Option<u32>,
        limit: u32,
    ) -> Result<Vec<JobRow>, Error> {
        let states: Vec<_> = filter.states.iter().map(|state| Pg(*state)).collect();
        // One job is a page from the job before it to itself.
        let after = after.max(filter.job.and_then(|job| job.checked_sub(1)));
        let rows = query_file!(
            "queries/read/list_jobs.sql",
            sweep.uuid(),
            after.map_or(Ok(-1), signed::<i32>)?,
            &states as _,
            filter.job.map_or(Ok(i32::MAX), signed::<i32>)?,
            i64::from(limit),
        )
        .fetch_all(&self.by_key)
        .await?;
        rows.into_iter().map(|row| job_row!(row)).collect()
    }
}
