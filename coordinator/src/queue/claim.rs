//! Leases ready jobs to agents.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bt_measures::{CLAIM_TIME, CLAIMED, JOB_WAIT};
use bt_model::id::{AgentId, AttemptId, BatchId, SweepId};
use bt_model::layout::AttemptPlace;
use bt_model::manifest::Containers;
use bt_model::placement::{Need, Stay};
use bt_model::resources::Resources;
use bt_proto::protocol;
use sqlx::postgres::types::PgInterval;
use sqlx::query_file;

use super::connections::Connection;
use super::quotas::{Quota, Room, room_of_owner};
use super::row::{resources, signed, unsigned};
use super::{Error, OneByOne, Queue};

/// Sweeps that one pass of the dispatcher looks at, best first.
const CANDIDATES: i64 = 1_000;
/// Milliseconds that a claim waits for who else starts jobs under the same limits.
const HURRY: &str = "1000";

/// A sweep that has jobs waiting.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) sweep: SweepId,
    pub(crate) name: String,
    /// How many jobs it has in all.
    pub(crate) jobs: u32,
    pub(crate) owner: String,
    pub(crate) priority: i32,
    /// What each of its jobs takes; no memory where the agent's rule decides.
    pub(crate) needs: Resources,
    pub(crate) labels: BTreeMap<String, String>,
    /// Name of each volume, and whether read-only is enough.
    pub(crate) volumes: BTreeMap<String, bool>,
    /// What each running job takes of the cluster's limits.
    pub(crate) limits: BTreeMap<String, u32>,
    pub(crate) max_parallel: Option<u32>,
    /// Only so many of its first jobs may run yet.
    pub(crate) canary: Option<u32>,
    pub(crate) image_pin: Option<String>,
    /// How its jobs run, if not as its manifest asks.
    pub(crate) containers: Option<Containers>,
    /// So many of its jobs take the place of one, in one container.
    pub(crate) batch: Option<u32>,
    /// Its jobs have cpus of their own.
    pub(crate) is_pinned: bool,
    /// Local directories are laid over its image.
    pub(crate) is_laid: bool,
    /// Jobs that run out of memory are tried again with more.
    pub(crate) grows: bool,
    /// Those of its jobs alone that need so much memory, after they had run out of it.
    pub(crate) grown: Option<u64>,
    /// Its jobs see a copy of their data that is cut before a day.
    pub(crate) is_cut: bool,
    /// Its owner has a quota of what runs.
    pub(crate) has_quota: bool,
    /// Name of each secret that its jobs ask for, and whether the coordinator has it.
    pub(crate) secrets: BTreeMap<String, bool>,
    /// How long each of its jobs may take; none where that is not bounded.
    pub(crate) timeout: Option<Duration>,
    /// Jobs of a lower priority may be ended for its own.
    pub(crate) preempts: bool,
    pub(crate) running: u32,
    pub(crate) queued: u32,
}

impl Candidate {
    /// What each of its jobs needs of an agent.
    pub(crate) fn need(&self) -> Need<'_> {
        let asked = [
            (self.batch.is_some(), protocol::BATCHES),
            (self.is_cut, protocol::HOLDOUTS),
            (self.is_pinned, protocol::PINS),
            (self.is_laid, protocol::DEV_MOUNTS),
            (self.grown.is_some(), protocol::GROWN),
        ];
        Need {
            resources: self.needs,
            labels: &self.labels,
            volumes: &self.volumes,
            protocol: protocol::first_with(asked),
            secrets: &self.secrets,
            stay: self.timeout.map(|at_most| Stay { from: Instant::now(), at_most }),
        }
    }

    /// Those of its jobs that need so much memory.
    pub(crate) fn with_memory(&self, bytes: u64) -> Self {
        let needs = Resources { memory_bytes: bytes, ..self.needs };
        Self { needs, grown: Some(bytes), ..self.clone() }
    }

    /// True when a claim must look at what runs elsewhere.
    fn is_limited(&self) -> bool {
        self.max_parallel.is_some() || !self.limits.is_empty() || self.has_quota
    }
}

/// What an agent's live attempts take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) resources: Resources,
    pub(crate) running: u32,
}

/// An agent that jobs are to be leased to, and how many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) agent: AgentId,
    pub(crate) session: u64,
    pub(crate) jobs: u32,
    /// The batch that they are to make up.
    pub(crate) batch: Option<BatchId>,
}

/// A lease that an agent now has.
#[derive(Clone, Debug)]
pub(crate) struct Claimed {
    pub(crate) attempt: AttemptId,
    pub(crate) agent: AgentId,
    pub(crate) job: u32,
    pub(crate) number: u32,
    pub(crate) parameters: Written,
    pub(crate) image_pin: Option<String>,
    pub(crate) batch: Option<BatchId>,
    /// How long its job was ready before.
    pub(crate) waited: Duration,
}

/// A job's parameters as they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// A JSON object.
    Out(String),
    /// The point of the sweep's matrix.
    Point(u64),
}

/// Which of these secrets the coordinator has.
pub(super) fn stored(named: Vec<String>, stored: Option<&[String]>) -> BTreeMap<String, bool> {
    let is_stored = |name: &String| stored.is_some_and(|stored| stored.contains(name));
    named.into_iter().map(|name| (name.clone(), is_stored(&name))).collect()
}

impl Written {
    pub(super) fn of(parameters: Option<String>, point: Option<i64>, job: i32) -> Result<Self, Error> {
        Ok(match parameters {
            Some(text) => Self::Out(text),
            None => Self::Point(unsigned(point.unwrap_or(job.into()))?),
        })
    }
}

/// A sweep as the statements that name it have it: the same columns, of rows that have types of their own as all checked rows.
macro_rules! candidate_row {
    ($row:ident, $sweep:expr, $running:expr, $queued:expr) => {
        $crate::queue::Candidate {
            sweep: $sweep,
            name: $row.name,
            jobs: $crate::queue::row::unsigned($row.jobs)?,
            owner: $row.owner,
            priority: $row.priority,
            needs: $crate::queue::row::resources(
                $row.cpu_millis,
                $row.memory_bytes.unwrap_or(0),
                $row.gpus,
                $row.disk_bytes,
                1,
            )?,
            labels: $crate::queue::row::from_json("a sweep's labels", $row.labels)?,
            volumes: $crate::queue::row::from_json("a sweep's volumes", $row.volumes)?,
            limits: $crate::queue::row::from_json("a sweep's limits", $row.limits)?,
            max_parallel: $row.max_parallel.map($crate::queue::row::unsigned).transpose()?,
            canary: $row.canary.map($crate::queue::row::unsigned).transpose()?,
            image_pin: $row.image_pin,
            containers: $crate::queue::sharing::containers($row.containers),
            batch: $row.batch.map($crate::queue::row::unsigned).transpose()?,
            is_pinned: $row.pinned,
            is_laid: $row.is_laid,
            grows: $row.grows,
            grown: None,
            is_cut: $row.is_cut,
            has_quota: false,
            secrets: $crate::queue::claim::stored($row.secrets, $row.stored_secrets.as_deref()),
            timeout: $row
                .timeout_millis
                .map($crate::queue::row::unsigned)
                .transpose()?
                .map(::std::time::Duration::from_millis),
            preempts: $row.preempt,
            running: $running,
            queued: $queued,
        }
    };
}
pub(super) use candidate_row;

impl Queue {
    /// The sweeps with jobs waiting that nothing holds back: highest priority first, then oldest.
    pub(crate) async fn candidates(&self) -> Result<OneByOne<SweepId, Candidate>, Error> {
        let rows = query_file!("queries/claim/candidates.sql", CANDIDATES).fetch_all(&self.by_key).await?;
        let candidates = rows.into_iter().map(|row| {
            let sweep = SweepId::from_uuid(row.id);
            let candidate = || Ok(candidate_row!(row, sweep, unsigned(row.running)?, unsigned(row.queued)?));
            (sweep, candidate())
        });
        Ok(candidates.collect())
    }

    /// What each owner has running that may have any, as containers, and how much more it may start if there is a quota.
    pub(crate) async fn owners_running(&self) -> Result<HashMap<String, (u64, Option<Room>)>, Error> {
        let rows = query_file!("queries/claim/owners_running.sql").fetch_all(&self.by_key).await?;
        rows.into_iter()
            .map(|row| {
                let most = |most: Option<i64>| most.map(unsigned).transpose();
                let (running, cpu_millis) = (most(row.most_running)?, most(row.most_cpu_millis)?);
                let quota = Quota { running, cpu_millis, ..Quota::default() };
                let room = Room::left(&quota, unsigned(row.running)?, unsigned(row.cpu_millis)?);
                let is_bound = running.or(cpu_millis).is_some();
                Ok((row.owner, (unsigned(row.containers)?, is_bound.then_some(room))))
            })
            .collect()
    }

    /// What the live attempts of these agents take; agents without any are not in the answer.
    pub(crate) async fn used(&self, agents: &[AgentId]) -> Result<HashMap<AgentId, Usage>, Error> {
        let ids: Vec<_> = agents.iter().map(|agent| agent.uuid()).collect();
        let rows = query_file!("queries/claim/used_by_agents.sql", &ids).fetch_all(&self.by_key).await?;
        rows.into_iter()
            .map(|row| {
                let (running, places) = (unsigned(row.running)?, unsigned(row.places)?);
                let resources =
                    resources(row.cpu_millis, row.memory_bytes, row.gpus, row.disk_bytes, places)?;
                let usage = Usage { resources, running };
                Ok((AgentId::from_uuid(row.agent_id), usage))
            })
            .collect()
    }

    /// The place and the resources of each of these attempts; those of a batch take them together.
    pub(crate) async fn taken_by(
        &self,
        attempts: &[AttemptId],
    ) -> Result<HashMap<AttemptId, (AttemptPlace, Resources, Option<BatchId>)>, Error> {
        let ids: Vec<_> = attempts.iter().map(|attempt| attempt.uuid()).collect();
        let rows = query_file!("queries/claim/taken_by_attempts.sql", &ids).fetch_all(&self.by_key).await?;
        rows.into_iter()
            .map(|row| {
                let taken = resources(row.cpu_millis, row.memory_bytes, row.gpus, row.disk_bytes, 1)?;
                let place = AttemptPlace {
                    sweep_name: row.name,
                    sweep: SweepId::from_uuid(row.sweep_id),
                    jobs: unsigned(row.jobs)?,
                    job: unsigned(row.job)?,
                    attempt: unsigned(row.number)?,
                };
                Ok((AttemptId::from_uuid(row.id), (place, taken, row.batch.map(BatchId::from_uuid))))
            })
            .collect()
    }

    /// Leases ready jobs of a sweep, from number `from` on, to agents for `term`. Two callers never get the same job, a
    /// session that was superseded gets none, and no limit is exceeded.
    pub(crate) async fn claim(
        &self,
        sweep: &Candidate,
        wants: &[Want],
        from: u32,
        term: Duration,
    ) -> Result<Vec<Claimed>, Error> {
        let began = Instant::now();
        let mut tx = self.by_key.begin().await?;
        let mut allowed = wants.to_vec();
        if sweep.is_limited() {
            query_file!("queries/claim/hurry.sql", HURRY).fetch_one(&mut *tx).await?;
            // The owner before limits and sweep, in each claim.
            let owners = if sweep.has_quota { room_of_owner(&mut tx, sweep).await? } else { Room::ALL };
            let room = room(&mut tx, sweep).await?;
            keep_to(
                &mut allowed,
                u64::from(room).min(owners.jobs),
                owners.containers(sweep.needs.cpu_millis),
            );
        }
        let claimed = match sweep.batch {
            None => claim_in(&mut tx, sweep, &allowed, from, term).await?,
            Some(_) => claim_batches(&mut tx, sweep.sweep, &allowed, from, term).await?,
        };
        tx.commit().await?;
        CLAIM_TIME.record([], began.elapsed());
        CLAIMED.add([], claimed.len() as u64);
        for claimed in &claimed {
            JOB_WAIT.record([], claimed.waited);
        }
        Ok(claimed)
    }
}

/// Takes out what is more than so many jobs and containers. A batch has one container.
fn keep_to(wants: &mut [Want], mut jobs: u64, mut containers: u64) {
    for want in wants {
        let most = match want.batch {
            None => jobs.min(containers),
            Some(_) => {
                if containers > 0 {
                    jobs
                } else {
                    0
                }
            }
        };
        want.jobs = u64::from(want.jobs).min(most) as u32;
        jobs -= u64::from(want.jobs);
        containers -= match want.batch {
            None => u64::from(want.jobs),
            Some(_) => u64::from(want.jobs > 0),
        };
    }
}

/// How many more jobs of the sweep may start, and holds everybody else off from starting any.
async fn room(tx: &mut Connection, sweep: &Candidate) -> Result<u32, Error> {
    let names: Vec<_> = sweep.limits.keys().cloned().collect();
    let mut room = u32::MAX;
    if !names.is_empty() {
        let set = query_file!("queries/claim/hold_limits.sql", &names).fetch_all(&mut *tx).await?;
        let used = query_file!("queries/claim/used_of_limits.sql", &names).fetch_all(&mut *tx).await?;
        for (name, amount) in &sweep.limits {
            let Some(limit) = set.iter().find(|row| row.name == *name) else { return Ok(0) };
            let used = used.iter().find(|row| row.name == *name).map_or(0, |row| row.used);
            let free = i64::from(limit.capacity).saturating_sub(used).max(0);
            room = room.min(unsigned(free / i64::from((*amount).max(1)))?);
        }
    }
    if sweep.max_parallel.is_some() {
        // Held first, counted then: a statement sees what was there when it began, not when it stopped waiting.
        let held =
            query_file!("queries/claim/hold_parallel.sql", sweep.sweep.uuid()).fetch_one(&mut *tx).await?;
        let live = query_file!("queries/claim/count_live.sql", sweep.sweep.uuid()).fetch_one(tx).await?.live;
        let most = held.max_parallel.map_or(i64::MAX, i64::from);
        room = room.min(unsigned(most.saturating_sub(live).clamp(0, u32::MAX.into()))?);
    }
    Ok(room)
}

async fn claim_in(
    connection: &mut Connection,
    sweep: &Candidate,
    wants: &[Want],
    from: u32,
    term: Duration,
) -> Result<Vec<Claimed>, Error> {
    let (mut agents, mut sessions) = (Vec::new(), Vec::new());
    for want in wants {
        for _ in 0..want.jobs {
            agents.push(want.agent.uuid());
            sessions.push(signed::<i64>(want.session)?);
        }
    }
    if agents.is_empty() {
        return Ok(Vec::new());
    }
    let rows = query_file!(
        "queries/claim/claim_jobs.sql",
        sweep.sweep.uuid(),
        &agents,
        &sessions,
        interval(term)?,
        signed::<i32>(from)?,
        sweep.grown.map(signed::<i64>).transpose()?,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Claimed {
                attempt: AttemptId::from_uuid(row.id),
                agent: AgentId::from_uuid(row.agent_id),
                job: unsigned(row.job)?,
                number: unsigned(row.number)?,
                parameters: Written::of(row.parameters, row.point, row.job)?,
                image_pin: row.image_pin,
                batch: None,
                waited: Duration::try_from_secs_f64(row.waited).unwrap_or_default(),
            })
        })
        .collect()
}

/// As [`claim_in`], where each want is a batch.
async fn claim_batches(
    connection: &mut Connection,
    sweep: SweepId,
    wants: &[Want],
    from: u32,
    term: Duration,
) -> Result<Vec<Claimed>, Error> {
    let (mut agents, mut sessions, mut batches, mut sizes) = (vec![], vec![], vec![], vec![]);
    for want in wants.iter().filter(|want| want.jobs > 0) {
        agents.push(want.agent.uuid());
        sessions.push(signed::<i64>(want.session)?);
        batches.push(want.batch.unwrap_or_else(BatchId::random).uuid());
        sizes.push(signed::<i32>(want.jobs)?);
    }
    if agents.is_empty() {
        return Ok(Vec::new());
    }
    let rows = query_file!(
        "queries/claim/claim_batches.sql",
        sweep.uuid(),
        &agents,
        &sessions,
        interval(term)?,
        signed::<i32>(from)?,
        &batches,
        &sizes,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Claimed {
                attempt: AttemptId::from_uuid(row.id),
                agent: AgentId::from_uuid(row.agent_id),
                job: unsigned(row.job)?,
                number: unsigned(row.number)?,
                parameters: Written::of(row.parameters, row.point, row.job)?,
                image_pin: row.image_pin,
                batch: Some(BatchId::from_uuid(row.batch)),
                waited: Duration::try_from_secs_f64(row.waited).unwrap_or_default(),
            })
        })
        .collect()
}

pub(super) fn interval(duration: Duration) -> Result<PgInterval, Error> {
    let micros = i64::try_from(duration.as_micros());
    Ok(PgInterval {
        months: 0,
        days: 0,
        microseconds: micros.map_err(|_| Error::Corrupt(format!("{duration:?} is too long a time")))?,
    })
}
