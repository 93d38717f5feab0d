//! What clients want to know. Long answers come in pages, in an order that a next page can start from.

use std::collections::{BTreeMap, HashSet};

use bt_model::encoding::Encoding;
use bt_model::id::{AgentId, AttemptId, SweepId};
use bt_model::placement::{Offer, labels};
use bt_model::reason::{Reason, ReasonKind};
use bt_model::resources::Resources;
use bt_model::state::{AttemptState, JobState};
use jiff::Timestamp;
use sqlx::query_file;
use std::time::Duration;

use super::claim::{Written, interval};
use super::files::PublishedFile;
use super::row::{Pg, from_json, offset, reason, resources, signed, time, unsigned};
use super::session::Fingerprints;
use super::settle::Measured;
use super::{Candidate, Error, Queue};

/// Which sweeps a list is to hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct SweepFilter {
    /// The finished ones as well.
    pub(crate) all: bool,
    /// Names of states; empty: all.
    pub(crate) states: Vec<String>,
    pub(crate) owner: Option<String>,
    /// A pattern of names, for `like`.
    pub(crate) name: Option<String>,
    /// Submitted at this time or later.
    pub(crate) since: Option<Timestamp>,
    /// All of these tags.
    pub(crate) tags: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct SweepRow {
    pub(crate) id: SweepId,
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) image: String,
    pub(crate) image_pin: Option<String>,
    pub(crate) created: Timestamp,
    pub(crate) priority: i32,
    pub(crate) cancelled: bool,
    pub(crate) paused: bool,
    /// Why it was paused, where no user asked for it.
    pub(crate) pause_reason: String,
    /// Its first jobs, which run before the others, and whether they have succeeded.
    pub(crate) canary: Option<(u32, bool)>,
    /// Jobs in each state, in the order of [`JobState::ALL`].
    pub(crate) counts: [u32; 5],
    /// When the last job ended so far.
    pub(crate) finished: Option<Timestamp>,
    /// When its results are given up, if that is known, and whether they have been.
    pub(crate) kept_until: Option<Timestamp>,
    pub(crate) expired: bool,
    pub(crate) tags: Vec<String>,
    pub(crate) note: String,
    /// Its name means this one.
    pub(crate) is_newest: bool,
    /// Sweeps of its name.
    pub(crate) same_name: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct SweepDetails {
    pub(crate) manifest: String,
    /// The sweep as the dispatcher sees it, but for the counts.
    pub(crate) candidate: Candidate,
    pub(crate) paused: bool,
    pub(crate) pause_reason: String,
    pub(crate) cancelled: bool,
    /// What it waits for before it is known whose results it can take.
    pub(crate) waits_for_reuse: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    pub(crate) jobs: u32,
    pub(crate) first_job: u32,
}

/// What a live attempt waits for.
#[derive(Clone, Debug)]
pub(crate) struct Progressing {
    pub(crate) job: u32,
    pub(crate) state: AttemptState,
    pub(crate) agent: String,
    pub(crate) note: String,
}

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
}

#[derive(Clone, Debug)]
pub(crate) struct AgentRow {
    pub(crate) id: AgentId,
    pub(crate) name: String,
    pub(crate) capacity: Resources,
    pub(crate) labels: BTreeMap<String, String>,
    /// Name of each volume, and whether it is offered read-only.
    pub(crate) volumes: BTreeMap<String, bool>,
    pub(crate) version: String,
    pub(crate) engine: String,
    /// What a job gets that asks for no memory.
    pub(crate) job_memory_bytes: u64,
    /// What is only shown, by name.
    pub(crate) about: BTreeMap<String, String>,
    pub(crate) fingerprints: Fingerprints,
    pub(crate) unhealthy: String,
    pub(crate) draining: bool,
    /// An operator has taken it out of service.
    pub(crate) drained: bool,
    pub(crate) offline: bool,
    /// How long ago its stream has ended, if it has.
    pub(crate) disconnected: Option<Duration>,
    /// Where another agent is that claimed the same id a short time ago.
    pub(crate) contested_by: Option<String>,
    pub(crate) last_seen: Timestamp,
}

impl AgentRow {
    /// What it offers, but for its images.
    pub(crate) fn offer(&self) -> Offer {
        Offer {
            capacity: self.capacity,
            labels: labels(self.labels.clone(), self.id),
            volumes: self.volumes.clone(),
            job_memory_bytes: self.job_memory_bytes,
            images: HashSet::new(),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct OutputRow {
    pub(crate) job: u32,
    pub(crate) attempt: u32,
    pub(crate) file: PublishedFile,
}

#[derive(Clone, Debug)]
pub(crate) struct AttemptRow {
    pub(crate) id: AttemptId,
    pub(crate) number: u32,
    pub(crate) state: AttemptState,
    pub(crate) agent: AgentId,
    pub(crate) agent_name: String,
}

/// The rows of the statements that give whole jobs have the same columns but, as all checked rows, types of their own.
macro_rules! job_row {
    ($row:ident) => {
        Ok(JobRow {
            number: unsigned($row.number)?,
            state: $row.state.0,
            parameters: Written::of($row.parameters, $row.point, $row.number)?,
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
        })
    };
}
pub(super) use job_row;

impl Queue {
    /// One sweep; none if it was removed.
    pub(crate) async fn sweep(&self, sweep: SweepId) -> Result<Option<SweepRow>, Error> {
        let filter = SweepFilter { all: true, ..SweepFilter::default() };
        Ok(self.list_sweeps(Some(sweep), &filter, 1).await?.pop())
    }

    /// Sweeps, newest first.
    pub(crate) async fn sweeps(&self, filter: &SweepFilter, limit: u32) -> Result<Vec<SweepRow>, Error> {
        self.list_sweeps(None, filter, limit).await
    }

    /// How many finished sweeps a list without them leaves out.
    pub(crate) async fn finished_sweeps(&self, filter: &SweepFilter) -> Result<u32, Error> {
        let SweepFilter { owner, name, since, tags, .. } = filter;
        let row = query_file!(
            "queries/count_finished.sql",
            owner.as_deref(),
            name.as_deref(),
            since.as_ref().map(offset).transpose()?,
            tags
        )
        .fetch_one(&self.pool)
        .await?;
        unsigned(row.finished)
    }

    async fn list_sweeps(
        &self,
        only: Option<SweepId>,
        filter: &SweepFilter,
        limit: u32,
    ) -> Result<Vec<SweepRow>, Error> {
        let SweepFilter { all, states, owner, name, since, tags } = filter;
        let rows = query_file!(
            "queries/list_sweeps.sql",
            only.map(SweepId::uuid),
            all,
            i64::from(limit),
            states,
            owner.as_deref(),
            name.as_deref(),
            since.as_ref().map(offset).transpose()?,
            tags
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(SweepRow {
                    id: SweepId::from_uuid(row.id),
                    created: time(row.created_at)?,
                    counts: [
                        unsigned(row.queued)?,
                        unsigned(row.running)?,
                        unsigned(row.succeeded)?,
                        unsigned(row.failed)?,
                        unsigned(row.cancelled_jobs)?,
                    ],
                    finished: row.finished_at.map(time).transpose()?,
                    kept_until: row.kept_until.map(time).transpose()?,
                    expired: row.expired,
                    tags: row.tags,
                    note: row.note,
                    is_newest: row.is_newest,
                    same_name: unsigned(row.same_name)?,
                    name: row.name,
                    owner: row.owner,
                    image: row.image,
                    image_pin: row.image_pin,
                    priority: row.priority,
                    cancelled: row.cancelled,
                    paused: row.paused,
                    pause_reason: row.pause_reason,
                    canary: match row.canary {
                        0 => None,
                        jobs => Some((unsigned(jobs)?, row.canary_passed)),
                    },
                })
            })
            .collect()
    }

    pub(crate) async fn sweep_details(&self, sweep: SweepId) -> Result<SweepDetails, Error> {
        let row = query_file!("queries/sweep_details.sql", sweep.uuid()).fetch_one(&self.pool).await?;
        Ok(SweepDetails {
            candidate: Candidate {
                sweep,
                name: row.name,
                jobs: unsigned(row.jobs)?,
                owner: row.owner,
                priority: row.priority,
                needs: resources(row.cpu_millis, row.memory_bytes.unwrap_or(0), row.gpus, row.disk_bytes, 1)?,
                labels: from_json("a sweep's labels", row.labels)?,
                volumes: from_json("a sweep's volumes", row.volumes)?,
                limits: from_json("a sweep's limits", row.limits)?,
                max_parallel: row.max_parallel.map(unsigned).transpose()?,
                canary: row.canary.map(unsigned).transpose()?,
                image_pin: row.image_pin,
                running: 0,
                queued: 0,
            },
            manifest: row.manifest,
            paused: row.paused,
            pause_reason: row.pause_reason,
            cancelled: row.cancelled,
            waits_for_reuse: row.waits_for_reuse.unwrap_or(false).then_some(row.reuse_note),
        })
    }

    /// How many jobs have succeeded lately, at most 200, the mean time that one of them ran, and the most memory that
    /// one took.
    pub(crate) async fn pace(&self, sweep: SweepId) -> Result<(u32, Duration, Option<u64>), Error> {
        let row = query_file!("queries/pace_of_sweep.sql", sweep.uuid()).fetch_one(&self.pool).await?;
        let seconds = Duration::try_from_secs_f64(row.seconds).unwrap_or_default();
        Ok((unsigned(row.jobs)?, seconds, row.peak_memory_bytes.map(unsigned).transpose()?))
    }

    /// The commonest failures of a sweep's jobs.
    pub(crate) async fn failures(&self, sweep: SweepId) -> Result<Vec<Failure>, Error> {
        let rows = query_file!("queries/failures.sql", sweep.uuid()).fetch_all(&self.pool.patient()).await?;
        rows.into_iter()
            .map(|row| {
                Ok(Failure {
                    reason: Reason::from_parts(row.reason.0, row.reason_code, row.reason_message),
                    jobs: unsigned(row.jobs)?,
                    first_job: unsigned(row.first_job)?,
                })
            })
            .collect()
    }

    /// The job that a user asks about who names the sweep alone.
    pub(crate) async fn job_to_explain(&self, sweep: SweepId) -> Result<u32, Error> {
        let row = query_file!("queries/job_to_explain.sql", sweep.uuid()).fetch_one(&self.pool).await?;
        unsigned(row.number)
    }

    /// A job as it stands in the queue.
    pub(crate) async fn in_queue(&self, sweep: SweepId, job: u32) -> Result<InQueue, Error> {
        let row = query_file!("queries/job_in_queue.sql", sweep.uuid(), signed::<i32>(job)?)
            .fetch_one(&self.pool)
            .await?;
        Ok(InQueue {
            state: row.state.0,
            latest: unsigned(row.attempts)?,
            attempts: unsigned(row.attempts - row.returned)?,
            wait: Duration::try_from_secs_f64(row.wait_seconds).unwrap_or_default(),
            before: unsigned(row.before)?,
            is_attached: row.is_attached,
            agent: row.agent,
            attempt_state: row.attempt_state.map(|Pg(state)| state),
            note: row.note,
            reason: reason(row.reason, row.reason_code, row.reason_message),
        })
    }

    pub(crate) async fn manifest(&self, sweep: SweepId) -> Result<String, Error> {
        let row = query_file!("queries/manifest_of_sweep.sql", sweep.uuid()).fetch_one(&self.pool).await?;
        Ok(row.manifest)
    }

    /// What live attempts of a sweep wait for.
    pub(crate) async fn progressing(&self, sweep: SweepId) -> Result<Vec<Progressing>, Error> {
        let rows = query_file!("queries/progressing.sql", sweep.uuid()).fetch_all(&self.pool).await?;
        rows.into_iter()
            .map(|row| {
                Ok(Progressing {
                    job: unsigned(row.job)?,
                    state: row.state.0,
                    agent: row.agent,
                    note: row.note,
                })
            })
            .collect()
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
        let rows = query_file!(
            "queries/list_jobs.sql",
            sweep.uuid(),
            after.map_or(Ok(-1), signed::<i32>)?,
            &states as _,
            filter.job.map(signed::<i32>).transpose()?,
            i64::from(limit),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(|row| job_row!(row)).collect()
    }

    /// All agents that ever said hello; one is offline when it was silent for `silence`.
    pub(crate) async fn agents(&self, silence: Duration) -> Result<Vec<AgentRow>, Error> {
        let rows = query_file!("queries/list_agents.sql", interval(silence)?).fetch_all(&self.pool).await?;
        rows.into_iter()
            .map(|row| {
                Ok(AgentRow {
                    id: AgentId::from_uuid(row.id),
                    capacity: resources(
                        row.cpu_millis,
                        row.memory_bytes,
                        row.gpus,
                        row.disk_bytes,
                        unsigned(row.max_jobs)?,
                    )?,
                    job_memory_bytes: unsigned(row.job_memory_bytes)?,
                    about: from_json("what an agent says of itself", row.about)?,
                    fingerprints: from_json("an agent's fingerprints", row.volume_fingerprints)?,
                    drained: row.drained,
                    labels: from_json("an agent's labels", row.labels)?,
                    volumes: from_json("an agent's volumes", row.volumes)?,
                    last_seen: time(row.last_seen_at)?,
                    name: row.name,
                    version: row.version,
                    engine: row.engine,
                    unhealthy: row.unhealthy,
                    draining: row.draining,
                    offline: row.offline,
                    disconnected: row
                        .disconnected_seconds
                        .map(unsigned)
                        .transpose()?
                        .map(Duration::from_secs),
                    contested_by: row.contested_by,
                })
            })
            .collect()
    }

    /// A page of published files: those after the file `after` of that job.
    pub(crate) async fn outputs(
        &self,
        sweep: SweepId,
        job: Option<u32>,
        after: Option<(u32, &str)>,
        limit: u32,
    ) -> Result<Vec<OutputRow>, Error> {
        let (after_job, after_path) = match after {
            Some((job, path)) => (signed::<i32>(job)?, path),
            None => (-1, ""),
        };
        let rows = query_file!(
            "queries/list_outputs.sql",
            sweep.uuid(),
            after_job,
            after_path,
            job.map(signed::<i32>).transpose()?,
            i64::from(limit),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(OutputRow {
                    job: unsigned(row.job)?,
                    attempt: unsigned(row.attempt)?,
                    file: PublishedFile::read(
                        row.path,
                        row.size,
                        &row.sha256,
                        row.encoding,
                        row.stored_size,
                        row.stored_as,
                    )?,
                })
            })
            .collect()
    }

    /// The numbered attempt of a job, or its latest for 0.
    pub(crate) async fn find_attempt(
        &self,
        sweep: SweepId,
        job: u32,
        number: u32,
    ) -> Result<Option<AttemptRow>, Error> {
        let row = query_file!(
            "queries/find_attempt.sql",
            sweep.uuid(),
            signed::<i32>(job)?,
            signed::<i32>(number)?
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| {
            Ok(AttemptRow {
                id: AttemptId::from_uuid(row.id),
                number: unsigned(row.number)?,
                state: row.state.0,
                agent: AgentId::from_uuid(row.agent_id),
                agent_name: row.agent,
            })
        })
        .transpose()
    }
}
