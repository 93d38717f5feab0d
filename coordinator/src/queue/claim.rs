//! Leases ready jobs to agents.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bt_model::id::{AgentId, AttemptId, SweepId};
use bt_model::resources::Resources;
use sqlx::postgres::types::PgInterval;
use sqlx::query_file;

use super::row::{from_json, resources, signed, unsigned};
use super::{Error, Queue};

/// Sweeps that one pass of the dispatcher looks at, best first.
const CANDIDATES: i64 = 1_000;

/// A sweep that has jobs ready to be leased.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) sweep: SweepId,
    pub(crate) owner: String,
    pub(crate) priority: i32,
    pub(crate) needs: Resources,
    pub(crate) labels: BTreeMap<String, String>,
    /// Name of each volume, and whether read-only is enough.
    pub(crate) volumes: BTreeMap<String, bool>,
    /// Live attempts.
    pub(crate) running: u64,
}

/// What an agent's live attempts take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) resources: Resources,
    pub(crate) running: u32,
}

/// A lease that an agent now has.
#[derive(Clone, Debug)]
pub(crate) struct Claimed {
    pub(crate) attempt: AttemptId,
    pub(crate) sweep: SweepId,
    pub(crate) job: u32,
    pub(crate) number: u32,
    pub(crate) parameters: String,
    pub(crate) sweep_name: String,
    pub(crate) manifest: String,
    pub(crate) image_pin: Option<String>,
}

impl Queue {
    /// The sweeps with ready jobs: highest priority first, then oldest.
    pub(crate) async fn candidates(&self) -> Result<Vec<Candidate>, Error> {
        let rows = query_file!("queries/candidates.sql", CANDIDATES).fetch_all(&self.pool).await?;
        rows.into_iter()
            .map(|row| {
                Ok(Candidate {
                    sweep: SweepId::from_uuid(row.id),
                    needs: resources(row.cpu_millis, row.memory_bytes, row.gpus)?,
                    labels: from_json("a sweep's labels", row.labels)?,
                    volumes: from_json("a sweep's volumes", row.volumes)?,
                    running: unsigned(row.running)?,
                    owner: row.owner,
                    priority: row.priority,
                })
            })
            .collect()
    }

    /// Live attempts of each owner that has any.
    pub(crate) async fn owners_running(&self) -> Result<HashMap<String, u64>, Error> {
        let rows = query_file!("queries/owners_running.sql").fetch_all(&self.pool).await?;
        rows.into_iter().map(|row| Ok((row.owner, unsigned(row.running)?))).collect()
    }

    /// What the live attempts of these agents take; agents without any are not in the answer.
    pub(crate) async fn used(&self, agents: &[AgentId]) -> Result<HashMap<AgentId, Usage>, Error> {
        let ids: Vec<_> = agents.iter().map(|agent| agent.uuid()).collect();
        let rows = query_file!("queries/used_by_agents.sql", &ids).fetch_all(&self.pool).await?;
        rows.into_iter()
            .map(|row| {
                let usage = Usage {
                    resources: resources(row.cpu_millis, row.memory_bytes, row.gpus)?,
                    running: unsigned(row.running)?,
                };
                Ok((AgentId::from_uuid(row.agent_id), usage))
            })
            .collect()
    }

    /// Leases up to `limit` ready jobs of a sweep to an agent for `term`. Two callers never get the same job, and a
    /// session that was superseded gets none.
    pub(crate) async fn claim(
        &self,
        sweep: SweepId,
        limit: u32,
        agent: AgentId,
        session: u64,
        term: Duration,
    ) -> Result<Vec<Claimed>, Error> {
        let rows = query_file!(
            "queries/claim_jobs.sql",
            sweep.uuid(),
            i64::from(limit),
            agent.uuid(),
            signed::<i64>(session)?,
            interval(term)?,
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(Claimed {
                    attempt: AttemptId::from_uuid(row.id),
                    sweep,
                    job: unsigned(row.job)?,
                    number: unsigned(row.number)?,
                    parameters: row.parameters,
                    sweep_name: row.sweep_name,
                    manifest: row.manifest,
                    image_pin: row.image_pin,
                })
            })
            .collect()
    }
}

pub(super) fn interval(duration: Duration) -> Result<PgInterval, Error> {
    let micros = i64::try_from(duration.as_micros());
    Ok(PgInterval {
        months: 0,
        days: 0,
        microseconds: micros.map_err(|_| Error::Corrupt(format!("{duration:?} is too long a time")))?,
    })
}
