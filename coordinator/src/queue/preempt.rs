//! Jobs that are ended while they run, to make room for a sweep of a higher priority that asks for it (`preempt`).

use std::time::Duration;

use bt_measures::PREEMPTED;
use bt_model::id::{AgentId, AttemptId};
use bt_model::resources::Resources;
use bt_model::retry::Ending;
use bt_model::state::JobState;
use sqlx::query_file;
use uuid::Uuid;

use super::claim::interval;
use super::row::{resources, signed, unsigned};
use super::settle::{Fence, Settled, Settlement, settle_in};
use super::{Candidate, Error, Queue, measured};

/// How long nothing is ended for a sweep after something was: by then its jobs have the room.
pub(crate) const PAUSE: Duration = Duration::from_secs(2);
/// What is looked at, those that would lose least first.
const LOOKED_AT: i64 = 20_000;

/// What runs somewhere and could make room: an attempt, or all of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Lower {
    pub(crate) agent: AgentId,
    pub(crate) attempts: Vec<AttemptId>,
    pub(crate) sweep_name: String,
    /// The first of its jobs.
    pub(crate) job: u32,
    pub(crate) owner: String,
    pub(crate) priority: i32,
    pub(crate) takes: Resources,
    /// Its outputs are on their way.
    pub(crate) publishes: bool,
    /// How long it has run, which would be lost.
    pub(crate) ran: Duration,
    /// How often it was ended before to make room.
    pub(crate) preempted: u32,
}

impl Queue {
    /// How many of the sweep's queued jobs could start now if there were room, up to `most`.
    pub(crate) async fn ready_jobs(&self, sweep: &Candidate, most: u32) -> Result<u32, Error> {
        let memory = sweep.grown.map(signed::<i64>).transpose()?;
        let first = signed::<i32>(sweep.canary.unwrap_or(sweep.jobs).min(sweep.jobs))?;
        let row =
            query_file!("queries/preempt/ready_jobs.sql", sweep.sweep.uuid(), memory, first, i64::from(most))
                .fetch_one(&self.by_key)
                .await?;
        unsigned(row.ready)
    }

    /// What runs on these agents of sweeps with a lower priority, those first that have the lowest and ran for the shortest time.
    pub(crate) async fn lower_jobs(&self, agents: &[AgentId], priority: i32) -> Result<Vec<Lower>, Error> {
        let ids: Vec<_> = agents.iter().map(|agent| agent.uuid()).collect();
        let rows = query_file!("queries/preempt/lower_jobs.sql", &ids, priority, LOOKED_AT);
        let rows = rows.fetch_all(&self.by_key).await?;
        rows.into_iter()
            .map(|row| {
                Ok(Lower {
                    agent: AgentId::from_uuid(row.agent_id),
                    attempts: row.attempts.into_iter().map(AttemptId::from_uuid).collect(),
                    sweep_name: row.name,
                    job: unsigned(row.job)?,
                    owner: row.owner,
                    priority: row.priority,
                    takes: resources(row.cpu_millis, row.memory_bytes, row.gpus, row.disk_bytes, 1)?,
                    publishes: row.publishes,
                    ran: Duration::try_from_secs_f64(row.ran_seconds).unwrap_or_default(),
                    preempted: unsigned(row.preempted)?,
                })
            })
            .collect()
    }

    /// Ends these attempts to make room for the sweep, and says which; their jobs are queued again at no cost. Those whose
    /// outputs are on their way stay. None are ended if others were a moment ago, or the sweep starts no jobs any more.
    pub(crate) async fn preempt(
        &self,
        sweep: &Candidate,
        attempts: &[AttemptId],
    ) -> Result<Vec<AttemptId>, Error> {
        let mut tx = self.by_key.begin().await?;
        let turn = query_file!("queries/preempt/take_turn.sql", sweep.sweep.uuid(), interval(PAUSE)?)
            .fetch_optional(&mut *tx)
            .await?;
        if turn.is_none() {
            return Ok(Vec::new());
        }
        let settlements: Vec<_> = attempts
            .iter()
            .map(|attempt| Settlement {
                remark: format!("preempted by sweep {} of priority {}", sweep.name, sweep.priority),
                ..Settlement::of(*attempt, Fence::Running, Ending::MadeRoom)
            })
            .collect();
        let settled = settle_in(&mut tx, &settlements).await?;
        let now = |answer: &Settled| matches!(answer, Settled::Now(JobState::Queued | JobState::Cancelled));
        let ended = attempts.iter().zip(&settled).filter(|(_, answer)| now(answer));
        let ended: Vec<_> = ended.map(|(attempt, _)| *attempt).collect();
        let ids: Vec<Uuid> = ended.iter().map(|attempt| attempt.uuid()).collect();
        query_file!("queries/preempt/note_preemptor.sql", &ids, sweep.sweep.uuid()).execute(&mut *tx).await?;
        tx.commit().await?;
        measured::ended(&settlements, &settled);
        PREEMPTED.add([], ended.len() as u64);
        Ok(ended)
    }
}
