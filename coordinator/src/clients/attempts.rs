//! What clients see of attempts: a job's history, why it is tried again, and the jobs that run now.

use std::collections::HashMap;

use bt_model::id::{AgentId, SweepId};
use bt_model::state::{AttemptState, JobState};
use bt_proto::convert::{parse, timestamp};
use bt_proto::v1;
use tonic::Status;

use super::{Clients, progress};
use crate::queue::{Found, JobRow, LastFailure, LiveAttempt, PastAttempt};
use crate::rpc::status;

/// Attempts of one job that are listed at most.
const MOST_ATTEMPTS: u32 = 1_000;
/// Running jobs that are listed at most.
const MOST_RUNNING: u32 = 20_000;

impl Clients {
    pub(super) async fn history(&self, found: &Found, job: u32) -> Result<v1::ListAttemptsReply, Status> {
        let attempts = self.queue.attempts_of_job(found.id, job, MOST_ATTEMPTS).await;
        let attempts = attempts.map_err(status::queue)?.into_iter().map(past);
        Ok(v1::ListAttemptsReply { attempts: attempts.collect() })
    }

    /// Of these jobs, how those ended lately that are to be tried again, or are.
    pub(super) async fn last_failures(
        &self,
        sweep: &Found,
        jobs: &[JobRow],
    ) -> Result<HashMap<u32, LastFailure>, Status> {
        let tried =
            |job: &&JobRow| matches!(job.state, JobState::Queued | JobState::Running) && job.attempts > 0;
        let jobs: Vec<_> = jobs.iter().filter(tried).map(|job| job.number).collect();
        self.queue.last_failures(sweep.id, &jobs).await.map_err(status::queue)
    }

    /// Why queued jobs of a sweep are tried again.
    pub(super) async fn retrying(&self, found: &Found) -> Result<Vec<v1::Retrying>, Status> {
        let groups = self.queue.retrying(found.id).await.map_err(status::queue)?;
        let wire = groups.into_iter().map(|group| v1::Retrying {
            state: v1::AttemptState::from(group.state).into(),
            reason: group.reason.as_ref().map(Into::into),
            jobs: group.jobs,
            first_job: group.first_job,
            next_try: Some(timestamp(group.next_try)),
        });
        Ok(wire.collect())
    }

    pub(super) async fn running(&self, agent: Option<String>) -> Result<v1::ListRunningReply, Status> {
        let agent = agent.map(|id| parse::<AgentId>("agent", "a UUID", &id));
        let agent = agent.transpose().map_err(status::malformed)?;
        let jobs = self.queue.running_attempts(agent, None, MOST_RUNNING).await.map_err(status::queue)?;
        let cut = jobs.len() == MOST_RUNNING as usize;
        Ok(v1::ListRunningReply { jobs: jobs.into_iter().map(live).collect(), cut })
    }

    /// The first jobs of a sweep that agents work on now.
    pub(crate) async fn running_of_sweep(
        &self,
        sweep: SweepId,
        limit: u32,
    ) -> Result<Vec<v1::RunningJob>, Status> {
        let jobs = self.queue.running_attempts(None, Some(sweep), limit).await.map_err(status::queue)?;
        Ok(jobs.into_iter().map(live).collect())
    }
}

fn past(attempt: PastAttempt) -> v1::Attempt {
    v1::Attempt {
        number: attempt.number,
        state: v1::AttemptState::from(attempt.state).into(),
        agent: attempt.agent,
        reason: attempt.reason.as_ref().map(Into::into),
        note: attempt.note,
        leased: Some(timestamp(attempt.leased)),
        started: attempt.started.map(timestamp),
        stopped: attempt.stopped.map(timestamp),
        ended: attempt.ended.map(timestamp),
        memory_bytes: Some(attempt.memory_bytes),
    }
}

/// `attempt 2 failed on agent node7: exit(1)`
pub(super) fn how_it_ended(failure: &LastFailure) -> String {
    let LastFailure { number, agent, .. } = failure;
    let ended = match failure.state {
        AttemptState::Lost => format!("attempt {number} was lost with agent {agent}"),
        _ => format!("attempt {number} failed on agent {agent}"),
    };
    match (&failure.reason, failure.note.as_str()) {
        (Some(reason), _) => format!("{ended}: {reason}"),
        (None, "") => ended,
        (None, note) => format!("{ended}: {note}"),
    }
}

pub(super) fn last_failure(failure: LastFailure) -> v1::LastFailure {
    v1::LastFailure {
        attempt: failure.number,
        state: v1::AttemptState::from(failure.state).into(),
        agent: failure.agent,
        reason: failure.reason.as_ref().map(Into::into),
        note: failure.note,
        ended: failure.ended.map(timestamp),
        next_try: failure.next_try.map(timestamp),
    }
}

fn live(attempt: LiveAttempt) -> v1::RunningJob {
    v1::RunningJob {
        sweep: attempt.sweep.to_string(),
        sweep_name: attempt.sweep_name,
        owner: attempt.owner,
        job: attempt.job,
        attempt: attempt.number,
        state: v1::AttemptState::from(attempt.state).into(),
        agent: attempt.agent,
        note: attempt.note,
        leased: Some(timestamp(attempt.leased)),
        started: attempt.started.map(timestamp),
        progress: attempt.progress.map(progress::wire),
    }
}
