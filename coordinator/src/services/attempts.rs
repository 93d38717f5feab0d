//! What clients see of attempts: a job's history, and the jobs that run now.

use bt_model::id::AgentId;
use bt_proto::convert::{parse, timestamp};
use bt_proto::v1;
use tonic::Status;

use super::{Services, status};
use crate::queue::{Found, LiveAttempt, PastAttempt};

/// Attempts of one job that are listed at most.
const MOST_ATTEMPTS: u32 = 1_000;
/// Running jobs that are listed at most.
const MOST_RUNNING: u32 = 20_000;

impl Services {
    pub(super) async fn history(&self, found: &Found, job: u32) -> Result<v1::ListAttemptsReply, Status> {
        let attempts = self.queue.attempts_of_job(found.id, job, MOST_ATTEMPTS).await;
        let attempts = attempts.map_err(status::queue)?.into_iter().map(past);
        Ok(v1::ListAttemptsReply { attempts: attempts.collect() })
    }

    pub(super) async fn running(&self, agent: &str) -> Result<v1::ListRunningReply, Status> {
        let agent = match agent {
            "" => None,
            id => Some(parse::<AgentId>("agent", "a UUID", id).map_err(status::malformed)?),
        };
        let jobs = self.queue.running_attempts(agent, MOST_RUNNING).await.map_err(status::queue)?;
        let cut = jobs.len() == MOST_RUNNING as usize;
        Ok(v1::ListRunningReply { jobs: jobs.into_iter().map(live).collect(), cut })
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
        ended: attempt.ended.map(timestamp),
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
    }
}
