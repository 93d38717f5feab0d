//! What coordinators do besides serving: stamp, take away what has run out, make good what was left undone.

use std::time::Duration;

use bt_model::id::{AgentId, AttemptId, SweepId};
use bt_model::layout::AttemptPlace;
use bt_model::retry::Ending;
use bt_model::software::Software;
use bt_model::state::SweepEvent;
use jiff::Timestamp;
use serde_json::Value;
use sqlx::query_file;
use sqlx::types::chrono::{DateTime, Utc};
use tracing::warn;
use uuid::Uuid;

use super::claim::Written;
use super::claim::interval;
use super::files::PublishedFile;
use super::outbox::write_event;
use super::reuse::Place;
use super::row::{from_json, signed, time, unsigned};
use super::session::Fingerprints;
use super::settle::{Fence, Measured, Settled, Settlement, settle_in};
use super::{Error, OneByOne, Queue, READY, measured, notify};

/// Attempts that one pass takes away at most.
const EXPIRE_BATCH: i64 = 500;
/// Queued jobs of cancelled sweeps that one pass cancels at most.
const CANCEL_BATCH: i64 = 20_000;
/// A sweep's counts are folded when it has more rows of changes than this.
const MANY_CHANGES: i64 = 64;

/// A published result, and how it came about.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) attempt: AttemptId,
    pub(crate) agent: AgentId,
    pub(crate) agent_name: String,
    /// Of the job whose result it is; `attempt` is the number of the attempt that made it.
    pub(crate) place: AttemptPlace,
    /// Where the files are, if another job's attempt made them.
    pub(crate) reused_from: Option<AttemptPlace>,
    pub(crate) published: Timestamp,
    pub(crate) image: String,
    pub(crate) image_pin: Option<String>,
    pub(crate) parameters: Written,
    pub(crate) metrics: Option<String>,
    pub(crate) image_id: Option<String>,
    pub(crate) started: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
    pub(crate) measured: Measured,
    /// What its volumes held, by their names, where an owner asked for it.
    pub(crate) fingerprints: Fingerprints,
    /// What its agent said that it was given: a JSON object.
    pub(crate) given: Option<Value>,
    /// What is in its image, where that is known.
    pub(crate) software: Option<Software>,
    pub(crate) files: Vec<PublishedFile>,
    /// Which of what its document has said since it was published.
    pub(crate) revision: i32,
}

/// A result whose document does not stand in the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unwritten {
    pub(crate) result: Place,
    published: DateTime<Utc>,
}

/// A result whose document stands in the store.
#[derive(Clone, Debug)]
pub(crate) struct Documented {
    pub(crate) result: Place,
    pub(crate) revision: i32,
    /// As JSON, where the job itself has only its point in the matrix.
    pub(crate) parameters: Option<String>,
}

impl Queue {
    /// Takes away the leases that have run out, unless no coordinator was there to renew them for longer than `gap`:
    /// then every live lease gets a full term first. Says which attempts were lost; none if another coordinator is at
    /// it.
    pub(crate) async fn expire_leases(
        &self,
        coordinator: Uuid,
        gap: Duration,
        term: Duration,
    ) -> Result<Option<Vec<AttemptId>>, Error> {
        let mut tx = self.by_key.begin().await?;
        let lock = query_file!("queries/maintain/try_maintenance_lock.sql").fetch_one(&mut *tx).await?;
        if !lock.locked {
            tx.rollback().await?;
            query_file!("queries/maintain/stamp.sql", coordinator).execute(&self.by_key).await?;
            return Ok(None);
        }
        let away = query_file!("queries/maintain/seconds_since_stamp.sql").fetch_one(&mut *tx).await?.seconds;
        if away.is_none_or(|seconds| seconds > gap.as_secs_f64()) {
            query_file!("queries/maintain/grant_full_term.sql", interval(term)?).execute(&mut *tx).await?;
        }
        query_file!("queries/maintain/stamp.sql", coordinator).execute(&mut *tx).await?;
        query_file!("queries/maintain/forget_coordinators.sql", coordinator).execute(&mut *tx).await?;
        let expired =
            query_file!("queries/maintain/expired_attempts.sql", EXPIRE_BATCH).fetch_all(&mut *tx).await?;
        let settlements: Vec<_> = expired
            .iter()
            .map(|row| {
                // A lease that its agent has never spoken of never reached it.
                let ending = if row.unreceived { Ending::Returned } else { Ending::Lost };
                Settlement::of(AttemptId::from_uuid(row.id), Fence::Expired, ending)
            })
            .collect();
        let settled = match settle_in(&mut tx, &settlements).await {
            // What one of them has wrong must not keep the others' jobs from being run again.
            Err(error) if settlements.len() > 1 && error.is_one_items() => {
                tx.rollback().await?;
                query_file!("queries/maintain/stamp.sql", coordinator).execute(&self.by_key).await?;
                let mut settled = Vec::with_capacity(settlements.len());
                for settlement in &settlements {
                    match self.settle(std::slice::from_ref(settlement)).await {
                        Ok(mut answer) => settled.append(&mut answer),
                        Err(error) => {
                            warn!(attempt.id = %settlement.attempt, error = %error, "a lease can't be taken away");
                            settled.push(Settled::Unknown);
                        }
                    }
                }
                settled
            }
            settled => {
                let settled = settled?;
                tx.commit().await?;
                measured::ended(&settlements, &settled);
                settled
            }
        };
        let lost = settlements.iter().zip(settled).filter(|(_, settled)| matches!(settled, Settled::Now(_)));
        Ok(Some(lost.map(|(settlement, _)| settlement.attempt).collect()))
    }

    /// Brings sweeps up to date with their jobs: cancels what a cancelled one has left over, releases or pauses those
    /// whose canary has ended, ends those without a job left, decides on those that wait for others, and folds counts. It
    /// does no harm if two coordinators do it at once. True if there is more to do at once.
    pub(crate) async fn tend_sweeps(&self) -> Result<bool, Error> {
        let cancelled =
            query_file!("queries/maintain/cancel_left_over.sql", CANCEL_BATCH).execute(&self.by_key).await;
        // One that fails, for a lock that is held, does not keep the others from being done.
        let others = [
            self.judge_canaries().await,
            self.end_sweeps().await,
            self.judge_after().await,
            query_file!("queries/maintain/fold_counts.sql", MANY_CHANGES)
                .execute(&self.by_key)
                .await
                .map(drop)
                .map_err(Error::from),
        ];
        others.into_iter().collect::<Result<(), _>>()?;
        Ok(cancelled?.rows_affected() >= CANCEL_BATCH.unsigned_abs())
    }

    /// Has statistics made of tables that have changed by more than they held. Postgres does so by itself once a minute,
    /// and plans meanwhile for tables that are as small as they were. True if it was time.
    pub(crate) async fn refresh_statistics(&self) -> Result<bool, Error> {
        let grown = query_file!("queries/maintain/grown_tables.sql").fetch_one(&self.pool).await?.grown;
        if grown {
            query_file!("queries/maintain/analyze.sql").execute(&self.pool.patient()).await?;
        }
        Ok(grown)
    }

    /// Releases the sweeps whose canary has succeeded, and pauses those whose canary has failed.
    pub(crate) async fn judge_canaries(&self) -> Result<(), Error> {
        let mut outcome = Ok(());
        for row in query_file!("queries/maintain/judged_canaries.sql").fetch_all(&self.by_key).await? {
            outcome = outcome.and(self.judge_canary(row.id, row.passed).await);
        }
        outcome
    }

    async fn judge_canary(&self, sweep: Uuid, passed: bool) -> Result<(), Error> {
        let mut tx = self.by_key.begin().await?;
        if passed {
            query_file!("queries/maintain/pass_canary.sql", sweep).execute(&mut *tx).await?;
            notify(&mut tx, READY).await?;
        } else {
            let failed = query_file!("queries/maintain/fail_canary.sql", sweep).execute(&mut *tx).await?;
            if failed.rows_affected() > 0 {
                write_event(&mut tx, sweep, SweepEvent::Paused).await?;
            }
        }
        Ok(tx.commit().await?)
    }

    /// Marks the sweeps that have no job left to run.
    pub(crate) async fn end_sweeps(&self) -> Result<(), Error> {
        let mut outcome = Ok(());
        for row in query_file!("queries/maintain/finished_sweeps.sql").fetch_all(&self.by_key).await? {
            outcome = outcome.and(self.end_sweep(row.id).await);
        }
        outcome
    }

    async fn end_sweep(&self, sweep: Uuid) -> Result<(), Error> {
        let mut tx = self.by_key.begin().await?;
        // Held first, looked at then: a retry that came before is seen, one that comes later opens it again.
        query_file!("queries/cancel/lock_sweep.sql", sweep).fetch_one(&mut *tx).await?;
        let ended =
            query_file!("queries/maintain/end_sweep.sql", sweep).execute(&mut *tx).await?.rows_affected();
        if ended > 0 {
            query_file!("queries/maintain/fold_counts_of_sweep.sql", sweep).execute(&mut *tx).await?;
            write_event(&mut tx, sweep, SweepEvent::Finished).await?;
        }
        Ok(tx.commit().await?)
    }

    /// A page of published results without a `result.json`, oldest first, after one that was seen (none: from the first).
    pub(crate) async fn unwritten(
        &self,
        after: Option<&Unwritten>,
        limit: u32,
    ) -> Result<Vec<Unwritten>, Error> {
        let (published, sweep, job) = match after {
            Some(last) => (last.published, last.result.sweep.uuid(), signed::<i32>(last.result.job)?),
            None => (DateTime::<Utc>::UNIX_EPOCH, Uuid::nil(), 0),
        };
        let rows =
            query_file!("queries/maintain/unwritten_results.sql", published, sweep, job, i64::from(limit));
        let rows = rows.fetch_all(&self.by_key).await?;
        rows.into_iter()
            .map(|row| {
                let result = Place { sweep: SweepId::from_uuid(row.sweep_id), job: unsigned(row.job)? };
                Ok(Unwritten { result, published: row.published_at })
            })
            .collect()
    }

    /// Published results, as far as they are there.
    pub(crate) async fn published_of(&self, results: &[Place]) -> Result<OneByOne<Place, Published>, Error> {
        let sweeps: Vec<_> = results.iter().map(|result| result.sweep.uuid()).collect();
        let jobs = results.iter().map(|result| signed::<i32>(result.job));
        self.published_results(&sweeps, &jobs.collect::<Result<Vec<_>, _>>()?).await
    }

    /// The published result of a job, if it has one.
    pub(crate) async fn published(&self, sweep: SweepId, job: u32) -> Result<Option<Published>, Error> {
        let found = self.published_results(&[sweep.uuid()], &[signed(job)?]).await?.pop();
        found.map(|(_, published)| published).transpose()
    }

    async fn published_results(
        &self,
        sweeps: &[Uuid],
        jobs: &[i32],
    ) -> Result<OneByOne<Place, Published>, Error> {
        let rows = query_file!("queries/maintain/published_results.sql", sweeps, jobs)
            .fetch_all(&self.by_key)
            .await?;
        let results = rows.into_iter().map(|row| {
            let result = Place { sweep: SweepId::from_uuid(row.sweep_id), job: unsigned(row.job)? };
            let published = || {
                Ok(Published {
                    attempt: AttemptId::from_uuid(row.attempt_id),
                    agent: AgentId::from_uuid(row.agent_id),
                    agent_name: row.agent,
                    place: AttemptPlace {
                        sweep_name: row.name,
                        sweep: SweepId::from_uuid(row.sweep_id),
                        jobs: unsigned(row.jobs)?,
                        job: unsigned(row.job)?,
                        attempt: unsigned(row.attempt)?,
                    },
                    reused_from: match row.reused {
                        false => None,
                        true => Some(AttemptPlace {
                            sweep_name: row.origin_name,
                            sweep: SweepId::from_uuid(row.origin_id),
                            jobs: unsigned(row.origin_jobs)?,
                            job: unsigned(row.origin_job)?,
                            attempt: unsigned(row.attempt)?,
                        }),
                    },
                    published: time(row.published_at)?,
                    image: row.image,
                    image_pin: row.image_pin,
                    parameters: Written::of(row.parameters, row.point, row.job)?,
                    metrics: row.metrics,
                    image_id: row.image_id,
                    started: row.started_at.map(time).transpose()?,
                    ended: row.finished_at.map(time).transpose()?,
                    measured: Measured::read([
                        row.peak_memory_bytes,
                        row.cpu_micros,
                        row.written_bytes,
                        row.wall_millis,
                    ])?,
                    fingerprints: match row.volume_fingerprints {
                        Some(told) => from_json("a volume's fingerprint", told)?,
                        None => Fingerprints::new(),
                    },
                    given: row.given,
                    revision: row.revision,
                    software: row.software.map(|told| from_json("what is in an image", told)).transpose()?,
                    files: Vec::new(),
                })
            };
            Ok((result, published()))
        });
        let mut results: OneByOne<_, _> = results.collect::<Result<_, Error>>()?;
        let readable = results.iter_mut().filter_map(|(_, published)| published.as_mut().ok());
        self.add_files(readable.collect()).await?;
        Ok(results)
    }

    async fn add_files(&self, results: Vec<&mut Published>) -> Result<(), Error> {
        let sweeps: Vec<_> = results.iter().map(|result| result.place.sweep.uuid()).collect();
        let jobs = results.iter().map(|result| signed::<i32>(result.place.job));
        let jobs = jobs.collect::<Result<Vec<_>, _>>()?;
        let mut files = self.files_of_results(&sweeps, &jobs).await?;
        for (result, of) in results.into_iter().zip(sweeps.into_iter().zip(jobs)) {
            result.files = files.remove(&of).unwrap_or_default();
        }
        Ok(())
    }

    /// Notes that these results' `result.json` stand in the store.
    pub(crate) async fn mark_written(&self, written: &[Documented]) -> Result<(), Error> {
        let sweeps: Vec<_> = written.iter().map(|written| written.result.sweep.uuid()).collect();
        let jobs = written.iter().map(|written| signed::<i32>(written.result.job));
        let jobs = jobs.collect::<Result<Vec<_>, _>>()?;
        let revisions: Vec<_> = written.iter().map(|result| result.revision).collect();
        let parameters: Vec<_> = written.iter().map(|result| result.parameters.clone()).collect();
        query_file!("queries/maintain/mark_written.sql", &sweeps, &jobs, &revisions, &parameters as _)
            .execute(&self.by_key)
            .await?;
        Ok(())
    }
}
