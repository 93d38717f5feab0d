//! Attempts as clients see them: the history of a job, and what runs now.

use bt_model::id::{AgentId, SweepId};
use bt_model::reason::{Reason, ReasonKind};
use bt_model::state::AttemptState;
use jiff::Timestamp;
use sqlx::query_file;

use super::row::{Pg, reason, signed, time, unsigned};
use super::{Error, Queue};

/// One try at running a job.
#[derive(Clone, Debug)]
pub(crate) struct PastAttempt {
    pub(crate) number: u32,
    pub(crate) state: AttemptState,
    pub(crate) agent: String,
    pub(crate) note: String,
    pub(crate) reason: Option<Reason>,
    pub(crate) leased: Timestamp,
    pub(crate) started: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
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
}

impl Queue {
    /// The first `limit` attempts of a job.
    pub(crate) async fn attempts_of_job(
        &self,
        sweep: SweepId,
        job: u32,
        limit: u32,
    ) -> Result<Vec<PastAttempt>, Error> {
        let rows =
            query_file!("queries/attempts_of_job.sql", sweep.uuid(), signed::<i32>(job)?, i64::from(limit))
                .fetch_all(&self.pool)
                .await?;
        rows.into_iter()
            .map(|row| {
                Ok(PastAttempt {
                    number: unsigned(row.number)?,
                    state: row.state.0,
                    agent: row.agent,
                    note: row.note,
                    reason: reason(row.reason, row.reason_code, row.reason_message),
                    leased: time(row.leased_at)?,
                    started: row.started_at.map(time).transpose()?,
                    ended: row.finished_at.map(time).transpose()?,
                })
            })
            .collect()
    }

    /// Up to `limit` live attempts, of one agent if one is given.
    pub(crate) async fn running_attempts(
        &self,
        agent: Option<AgentId>,
        limit: u32,
    ) -> Result<Vec<LiveAttempt>, Error> {
        let agent = agent.map(|agent| agent.uuid());
        let rows = query_file!("queries/running_attempts.sql", agent, i64::from(limit));
        let rows = rows.fetch_all(&self.pool).await?;
        rows.into_iter()
            .map(|row| {
                Ok(LiveAttempt {
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
