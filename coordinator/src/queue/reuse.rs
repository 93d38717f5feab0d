//! Results that count for more than one job: what a sweep takes of identical jobs, and which of its jobs wait for one.
//!
//! A job that waits is attached to its leader, which is attached to none. Who attaches and who makes new leaders keep off
//! each other by an advisory lock, so no chain of leaders arises. A result is taken only while its sweep is held, so that it
//! is not given up at the same moment (`expire_sweeps.sql` passes over what is held).

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use bt_model::id::{AgentId, SweepId};
use bt_model::state::{JobState, ReuseState};
use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::query_file;
use uuid::Uuid;

use super::claim::Written;
use super::connections::{Connection, Transaction};
use super::row::{Pg, from_json, sha256, signed, time, unsigned};
use super::session::Fingerprints;
use super::{Error, Queue, READY, notify};

/// Sweeps that one pass tries to settle.
const PENDING: i64 = 1_000;
/// Leaders that one pass takes jobs away from at most.
const LEADERS: i64 = 10_000;
/// Jobs that one statement moves.
const BATCH: usize = 5_000;
/// Jobs in a page of those that are compared.
const PAGE: i64 = 4_000;

/// A sweep that waits until it is known whose results it can take.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) sweep: SweepId,
    pub(crate) name: String,
    pub(crate) image: String,
    /// What tells the image from all others; absent while nobody knows it.
    pub(crate) known_image: Option<String>,
    pub(crate) recipe: [u8; 32],
    /// Since it was submitted.
    pub(crate) age: Duration,
    /// Name of each volume, and whether read-only is enough.
    pub(crate) volumes: BTreeMap<String, bool>,
}

/// A sweep whose jobs may be identical to another's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub(crate) sweep: SweepId,
    /// Its jobs start, as far as nobody holds them back.
    goes_on: bool,
    same_agents: bool,
}

/// A job that has a result, or will have one.
#[derive(Clone, Debug)]
pub(crate) struct Offered {
    pub(crate) parameters: Written,
    pub(crate) twin: Twin,
}

/// What an identical job has to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twin {
    Result {
        of: Place,
        finished: Timestamp,
        metrics: Option<i64>,
    },
    /// It runs, or waits to.
    End {
        of: Place,
        runs: bool,
    },
}

/// A job of any sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) sweep: SweepId,
    pub(crate) job: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.sweep, self.job)
    }
}

/// A sweep that is being settled: nothing of it counts before it is finished, and it stays pending if this is dropped.
pub(crate) struct Settling {
    tx: Transaction,
    sweep: SweepId,
    /// What its volumes hold, if it has any.
    volumes: Option<Value>,
}

/// What became of jobs that waited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Followed {
    /// Jobs that have got a result.
    pub(crate) taken: u64,
    /// Jobs that others wait for from now on, in place of one that has none.
    pub(crate) promoted: u64,
}

/// What a sweep has of identical jobs.
#[derive(Clone, Debug)]
pub(crate) struct Reused {
    pub(crate) state: ReuseState,
    pub(crate) note: String,
    pub(crate) taken: u32,
    pub(crate) attached: u32,
    /// Jobs with several earlier results whose metrics differ.
    pub(crate) differing: u32,
    /// Most jobs first; not all if there are very many.
    pub(crate) sources: Vec<ReusedFrom>,
}

/// Another sweep that jobs have results of, or wait for.
#[derive(Clone, Debug)]
pub(crate) struct ReusedFrom {
    pub(crate) sweep: SweepId,
    pub(crate) name: String,
    pub(crate) taken: u32,
    pub(crate) attached: u32,
}

/// The identical job that a job has its result from, or that it waits for.
#[derive(Clone, Debug)]
pub(crate) struct TwinRow {
    pub(crate) of: Place,
    pub(crate) sweep_name: String,
    pub(crate) state: JobState,
    /// The attempt that made the result; none if the job waits.
    pub(crate) attempt: Option<u32>,
}

impl Queue {
    /// The sweeps that wait until it is known whose results they can take, oldest first.
    pub(crate) async fn pending_reuse(&self) -> Result<Vec<Pending>, Error> {
        let rows = query_file!("queries/reuse/pending_reuse.sql", PENDING).fetch_all(&self.by_key).await?;
        rows.into_iter()
            .map(|row| {
                Ok(Pending {
                    sweep: SweepId::from_uuid(row.id),
                    name: row.name,
                    image: row.image,
                    known_image: row.known_image,
                    recipe: sha256(&row.recipe)?,
                    age: Duration::try_from_secs_f64(row.age).unwrap_or_default(),
                    volumes: from_json("a sweep's volumes", row.volumes)?,
                })
            })
            .collect()
    }

    /// Writes the image of a sweep that an agent was asked for, if none is written yet. False if the session was
    /// superseded or there is no such sweep.
    pub(crate) async fn pin_sweep(
        &self,
        agent: AgentId,
        session: u64,
        sweep: SweepId,
        image: &str,
    ) -> Result<Option<String>, Error> {
        let session = signed::<i64>(session)?;
        let pinned = query_file!("queries/reuse/pin_sweep.sql", sweep.uuid(), agent.uuid(), session, image)
            .fetch_optional(&self.by_key)
            .await?;
        Ok(pinned.map(|row| row.image_pin))
    }

    /// Says what a pending sweep waits for.
    pub(crate) async fn note_reuse(&self, sweep: SweepId, note: &str) -> Result<(), Error> {
        query_file!("queries/reuse/note_reuse.sql", sweep.uuid(), note).execute(&self.by_key).await?;
        Ok(())
    }

    /// Lets all jobs of a pending sweep run, since it can't be known whose results it could take.
    pub(crate) async fn decline_reuse(&self, sweep: SweepId, why: &str) -> Result<(), Error> {
        let mut tx = self.by_key.begin().await?;
        query_file!("queries/reuse/decline_reuse.sql", sweep.uuid(), why).execute(&mut *tx).await?;
        notify(&mut tx, READY).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Begins to settle a sweep whose image is known. Waits for others of the same recipe and image. None if it is not
    /// pending any more. `identity` is a number for recipe and image.
    pub(crate) async fn begin_settling(
        &self,
        sweep: SweepId,
        known_image: &str,
        volumes: &Fingerprints,
        identity: i64,
    ) -> Result<Option<Settling>, Error> {
        query_file!("queries/reuse/pin_alike.sql", sweep.uuid()).execute(&self.by_key).await?;
        let mut tx = self.by_key.patient().begin().await?;
        query_file!("queries/reuse/lock_identity.sql", identity).fetch_one(&mut *tx).await?;
        query_file!("queries/reuse/share_attachments.sql").fetch_one(&mut *tx).await?;
        let held = query_file!("queries/reuse/hold_pending.sql", sweep.uuid(), known_image);
        let held = held.fetch_optional(&mut *tx).await?;
        let volumes = (!volumes.is_empty()).then(|| json!(volumes));
        Ok(held.map(|_| Settling { tx, sweep, volumes }))
    }

    /// Brings jobs that wait up to date with those that they wait for: one that has succeeded gives its result to all
    /// of them, and where one has failed, was cancelled or will not start, another takes its place. Nothing if another
    /// coordinator is at it.
    pub(crate) async fn follow(&self) -> Result<Followed, Error> {
        let leaders = query_file!("queries/reuse/ended_leaders.sql", LEADERS).fetch_all(&self.by_key).await?;
        if leaders.is_empty() {
            return Ok(Followed::default());
        }
        let sweeps: Vec<_> = leaders.iter().map(|row| row.sweep_id).collect();
        let jobs: Vec<_> = leaders.iter().map(|row| row.job).collect();
        let mut tx = self.by_key.patient().begin().await?;
        let lock = query_file!("queries/reuse/lead_attachments.sql").fetch_one(&mut *tx).await?;
        if !lock.locked {
            tx.rollback().await?;
            return Ok(Followed::default());
        }
        query_file!("queries/reuse/hold_attached.sql", &sweeps, &jobs).fetch_all(&mut *tx).await?;
        let due = query_file!("queries/reuse/due_followers.sql", &sweeps, &jobs).fetch_all(&mut *tx).await?;
        let mut takes = Takes::default();
        for row in due {
            takes.push((row.sweep_id, row.number), (row.leader_sweep, row.leader_job));
        }
        let taken = takes.write(&mut tx).await?;
        let promoted = query_file!("queries/reuse/promote.sql", &sweeps, &jobs).fetch_one(&mut *tx).await?;
        let promoted = unsigned(promoted.promoted)?;
        if promoted > 0 {
            notify(&mut tx, READY).await?;
        }
        tx.commit().await?;
        Ok(Followed { taken, promoted })
    }

    /// What a sweep has of identical jobs; none if nobody asked for it.
    pub(crate) async fn reused(&self, sweep: SweepId) -> Result<Option<Reused>, Error> {
        let row =
            query_file!("queries/reuse/reuse_of_sweep.sql", sweep.uuid()).fetch_one(&self.by_key).await?;
        let Some(Pg(state)) = row.reuse else { return Ok(None) };
        let sources =
            query_file!("queries/reuse/sources_of_sweep.sql", sweep.uuid()).fetch_all(&self.by_key).await?;
        let sources = sources.into_iter().map(|row| {
            Ok(ReusedFrom {
                sweep: SweepId::from_uuid(row.id),
                name: row.name,
                taken: unsigned(row.taken)?,
                attached: unsigned(row.attached)?,
            })
        });
        Ok(Some(Reused {
            state,
            note: row.reuse_note,
            taken: unsigned(row.taken)?,
            attached: unsigned(row.attached)?,
            differing: unsigned(row.reuse_differing)?,
            sources: sources.collect::<Result<_, Error>>()?,
        }))
    }

    /// Of these jobs of a sweep, those that have another's result or wait for one.
    pub(crate) async fn twins(&self, sweep: SweepId, jobs: &[u32]) -> Result<HashMap<u32, TwinRow>, Error> {
        let jobs = jobs.iter().map(|job| signed::<i32>(*job)).collect::<Result<Vec<_>, _>>()?;
        let rows = query_file!("queries/reuse/twins_of_jobs.sql", sweep.uuid(), &jobs)
            .fetch_all(&self.by_key)
            .await?;
        rows.into_iter()
            .map(|row| {
                let twin = TwinRow {
                    of: Place { sweep: SweepId::from_uuid(row.id), job: unsigned(row.job)? },
                    sweep_name: row.name,
                    state: row.state.0,
                    attempt: row.attempt.map(unsigned).transpose()?,
                };
                Ok((unsigned(row.number)?, twin))
            })
            .collect()
    }
}

impl Settling {
    /// Sweeps that may have identical jobs, oldest first; its own is the last.
    pub(crate) async fn sources(&mut self) -> Result<Vec<Source>, Error> {
        let rows = query_file!("queries/reuse/sources_of_reuse.sql", self.sweep.uuid())
            .fetch_all(&mut *self.tx)
            .await?;
        let sources = rows.into_iter().map(|row| Source {
            sweep: SweepId::from_uuid(row.id),
            goes_on: row.goes_on,
            same_agents: row.same_agents,
        });
        let own = Source { sweep: self.sweep, goes_on: true, same_agents: true };
        Ok(sources.chain([own]).collect())
    }

    /// A page of its jobs that have still to run, after number `after`; an empty one is the end.
    pub(crate) async fn jobs(&mut self, after: Option<u32>) -> Result<Vec<(u32, Written)>, Error> {
        let after = after.map_or(Ok(-1), signed::<i32>)?;
        let rows = query_file!("queries/reuse/jobs_to_match.sql", self.sweep.uuid(), after, PAGE)
            .fetch_all(&mut *self.tx)
            .await?;
        rows.into_iter()
            .map(|row| Ok((unsigned(row.number)?, Written::of(row.parameters, row.point, row.number)?)))
            .collect()
    }

    /// A page of a sweep's jobs that have something to give, and the number after which the next begins, unless it was the
    /// last. Of its own sweep, only jobs before number `before` can be waited for; of a matrix, only these points are of
    /// interest.
    pub(crate) async fn offers(
        &mut self,
        source: Source,
        after: Option<u32>,
        before: u32,
        points: Option<&[u64]>,
    ) -> Result<(Vec<Offered>, Option<u32>), Error> {
        let live = match source {
            Source { sweep, .. } if sweep == self.sweep => signed::<i32>(before)?,
            Source { goes_on: true, .. } => i32::MAX,
            Source { .. } => 0,
        };
        let after = after.map_or(Ok(-1), signed::<i32>)?;
        let points = points.map(|points| points.iter().map(|point| signed(*point)).collect());
        let points: Option<Vec<i64>> = points.transpose()?;
        let rows = query_file!(
            "queries/reuse/jobs_to_reuse.sql",
            source.sweep.uuid(),
            after,
            PAGE,
            live,
            self.volumes,
            points.as_deref(),
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let full = rows.len() == PAGE as usize;
        let next = rows.last().filter(|_| full).map(|row| unsigned(row.number)).transpose()?;
        let mut offered = Vec::with_capacity(rows.len());
        for row in rows {
            let place =
                |sweep, job| Ok::<_, Error>(Place { sweep: SweepId::from_uuid(sweep), job: unsigned(job)? });
            let twin = match row.finished_at {
                Some(finished) => Twin::Result {
                    of: place(source.sweep.uuid(), row.number)?,
                    finished: time(finished)?,
                    metrics: row.metrics_hash,
                },
                None => {
                    let runs = row.state.0 == JobState::Running;
                    if !runs && !source.same_agents {
                        continue;
                    }
                    Twin::End { of: place(row.leader_sweep, row.leader_job)?, runs }
                }
            };
            offered.push(Offered { parameters: Written::of(row.parameters, row.point, row.number)?, twin });
        }
        Ok((offered, next))
    }

    /// Takes for each of these jobs of the sweep the result of another one. How many have got it: a result may have been
    /// collected meanwhile, and then its job runs.
    pub(crate) async fn take(&mut self, pairs: &[(u32, Place)]) -> Result<u64, Error> {
        let mut takes = Takes::default();
        for (job, from) in pairs {
            takes.push((self.sweep.uuid(), signed(*job)?), (from.sweep.uuid(), signed(from.job)?));
        }
        takes.write(&mut self.tx).await
    }

    /// Lets each of these jobs of the sweep wait for another one.
    pub(crate) async fn attach(&mut self, pairs: &[(u32, Place)]) -> Result<(), Error> {
        for batch in pairs.chunks(BATCH) {
            let (mut jobs, mut sweeps, mut leaders) = (Vec::new(), Vec::new(), Vec::new());
            for (job, leader) in batch {
                jobs.push(signed::<i32>(*job)?);
                sweeps.push(leader.sweep.uuid());
                leaders.push(signed::<i32>(leader.job)?);
            }
            query_file!("queries/reuse/attach_jobs.sql", self.sweep.uuid(), &jobs, &sweeps, &leaders)
                .execute(&mut *self.tx)
                .await?;
        }
        Ok(())
    }

    /// Commits it: from now on the sweep's other jobs start.
    pub(crate) async fn finish(mut self, differing: u32) -> Result<(), Error> {
        let differing = signed::<i32>(differing)?;
        query_file!("queries/reuse/settle_reuse.sql", self.sweep.uuid(), differing, self.volumes)
            .execute(&mut *self.tx)
            .await?;
        notify(&mut self.tx, READY).await?;
        self.tx.commit().await?;
        Ok(())
    }
}

/// The columns of `take_results.sql`.
#[derive(Default)]
struct Takes {
    sweeps: Vec<Uuid>,
    jobs: Vec<i32>,
    from_sweeps: Vec<Uuid>,
    from_jobs: Vec<i32>,
}

impl Takes {
    fn push(&mut self, (sweep, job): (Uuid, i32), (from_sweep, from_job): (Uuid, i32)) {
        self.sweeps.push(sweep);
        self.jobs.push(job);
        self.from_sweeps.push(from_sweep);
        self.from_jobs.push(from_job);
    }

    async fn write(&self, tx: &mut Connection) -> Result<u64, Error> {
        let mut taken = 0;
        for from in (0..self.jobs.len()).step_by(BATCH) {
            let batch = from..self.jobs.len().min(from + BATCH);
            let row = query_file!(
                "queries/reuse/take_results.sql",
                &self.sweeps[batch.clone()],
                &self.jobs[batch.clone()],
                &self.from_sweeps[batch.clone()],
                &self.from_jobs[batch],
            )
            .fetch_one(&mut *tx)
            .await?;
            taken += unsigned::<u64>(row.taken)?;
        }
        Ok(taken)
    }
}
