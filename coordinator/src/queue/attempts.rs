//! Attempts as clients see them: the history of a job, why it is tried again, and what runs now.

use std::collections::HashMap;

use bt_model::id::{AgentId, SweepId};
use bt_model::reason::{Reason, ReasonKind};
use bt_model::state::AttemptState;
use jiff::Timestamp;
use sqlx::query_file;

use super::progress::{ProgressAt, progress_row};
use super::row::{Pg, reason, signed, time, unsigned};
use super::{Error, Queue};

/// One try at running a job.
#[derive(Clone, Debug)]
pub(crate) struct PastAttempt {
    pub(crate) number: u32,
    pub(crate) state: AttemptState,
    pub(crate) agent: String,
    /// What its container might use.
    pub(crate) memory_bytes: u64,
    pub(crate) note: String,
    pub(crate) reason: Option<Reason>,
    pub(crate) leased: Timestamp,
    pub(crate) started: Option<Timestamp>,
    pub(crate) stopped: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
}

/// How a job's latest attempt ended that failed or was lost.
#[derive(Clone, Debug)]
pub(crate) struct LastFailure {
    pub(crate) number: u32,
    pub(crate) state: AttemptState,
    pub(crate) agent: String,
    pub(crate) note: String,
    pub(crate) reason: Option<Reason>,
    pub(crate) ended: Option<Timestamp>,
    /// When a queued job may be tried again.
    pub(crate) next_try: Option<Timestamp>,
}

/// Queued jobs whose last attempt ended for one reason.
#[derive(Clone, Debug)]
pub(crate) struct Retrying {
    pub(crate) state: AttemptState,
    pub(crate) reason: Option<Reason>,
    pub(crate) jobs: u32,
    pub(crate) first_job: u32,
    pub(crate) next_try: Timestamp,
}

/// A job that an agent works on now.
#[derive(Clone, Debug)]
pub(crate) struct LiveAttempt {
    pub(crate) sweep: SweepId,
    pub(crate) sweep_name: String,
    pub(crate) owner: String,
    pub(crate) job: u32,
    pub(crate) number: u32,
    pub(crate) state: AttemptState,
    pub(crate) agent: String,
    pub(crate) note: String,
    pub(crate) leased: Timestamp,
    pub(crate) started: Option<Timestamp>,
    /// How far it is, as it says itself.
    pub(crate) progress: Option<ProgressAt>,
}

impl Queue {
    /// The first `limit` attempts of a job.
    pub(crate) async fn attempts_of_job(
        &self,
        sweep: SweepId,
        job: u32,
        limit: u32,
    ) -> Result<Vec<PastAttempt>, Error> {
        let rows = query_file!(
            "queries/attempts/attempts_of_job.sql",
            sweep.uuid(),
            signed::<i32>(job)?,
            i64::from(limit)
        )
        .fetch_all(&self.by_key)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(PastAttempt {
                    number: unsigned(row.number)?,
                    state: row.state.0,
                    agent: row.agent,
                    memory_bytes: unsigned(row.memory_bytes)?,
                    note: row.note,
                    reason: reason(row.reason, row.reason_code, row.reason_message),
                    leased: time(row.leased_at)?,
                    started: row.started_at.map(time).transpose()?,
                    stopped: row.stopped_at.map(time).transpose()?,
                    ended: row.finished_at.map(time).transpose()?,
                })
            })
            .collect()
    }

    /// Of these jobs, how those ended lately that have failed or were lost.
    pub(crate) async fn last_failures(
        &self,
        sweep: SweepId,
        jobs: &[u32],
    ) -> Result<HashMap<u32, LastFailure>, Error> {
        let jobs = jobs.iter().map(|job| signed::<i32>(*job)).collect::<Result<Vec<_>, _>>()?;
        if jobs.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = query_file!("queries/attempts/last_failures.sql", sweep.uuid(), &jobs)
            .fetch_all(&self.by_key)
            .await?;
        rows.into_iter()
            .map(|row| {
                let failure = LastFailure {
                    number: unsigned(row.number)?,
                    state: row.state.0,
                    agent: row.agent,
                    note: row.note,
                    reason: reason(row.reason, row.reason_code, row.reason_message),
                    ended: row.finished_at.map(time).transpose()?,
                    next_try: row.ready_at.map(time).transpose()?,
                };
                Ok((unsigned(row.job)?, failure))
            })
            .collect()
    }

    /// The commonest reasons why queued jobs of a sweep are tried again.
    pub(crate) async fn retrying(&self, sweep: SweepId) -> Result<Vec<Retrying>, Error> {
        let rows = query_file!("queries/attempts/retrying.sql", sweep.uuid()).fetch_all(&self.pool).await?;
        rows.into_iter()
            .map(|row| {
                Ok(Retrying {
                    state: row.state.0,
                    reason: reason(row.reason, row.reason_code, row.reason_message),
                    jobs: unsigned(row.jobs)?,
                    first_job: unsigned(row.first_job)?,
                    next_try: time(row.ready_at)?,
                })
            })
            .collect()
    }

    /// Up to `limit` live attempts, of one agent or one sweep if one is given.
    pub(crate) async fn running_attempts(
        &self,
        agent: Option<AgentId>,
        sweep: Option<SweepId>,
        limit: u32,
    ) -> Result<Vec<LiveAttempt>, Error> {
        let (agent, sweep) = (agent.map(|agent| agent.uuid()), sweep.map(|sweep| sweep.uuid()));
        let rows = query_file!("queries/attempts/running_attempts.sql", agent, i64::from(limit), sweep);
        let rows = rows.fetch_all(&self.pool).await?;
        rows.into_iter()
            .map(|row| {
                Ok(LiveAttempt {
                    progress: progress_row!(row, said)?,
                    sweep: SweepId::from_uuid(row.sweep_id),
                    sweep_name: row.sweep,
                    owner: row.owner,
                    job: unsigned(row.job)?,
                    number: unsigned(row.number)?,
                    state: row.state.0,
                    agent: row.agent,
                    note: row.note,
                    leased: time(row.leased_at)?,
                    started: row.started_at.map(time).transpose()?,
                })
            })
            .collect()
    }
}
