//! How long results are kept, and what in the store is garbage. What is garbage stays garbage: an attempt that has ended
//! without being published never is, and a published result never gets another file.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bt_model::encoding::Encoding;
use bt_model::id::{AttemptId, SweepId};
use bt_model::layout::{AttemptPlace, first_name};
use sqlx::query_file;

use super::claim::interval;
use super::files::PublishedFile;
use super::row::{Pg, signed, unsigned};
use super::{Error, Found, Queue, returns};

/// Sweeps that one statement gives up, and that a page holds.
const BATCH: i64 = 100;
/// Results that are read together, with all their files.
const RESULTS: i64 = 20;

/// A sweep in whose directory there may be garbage.
#[derive(Clone, Debug)]
pub(crate) struct Collectable {
    pub(crate) id: SweepId,
    pub(crate) name: String,
    pub(crate) jobs: u32,
    /// What its own attempts left is not kept any longer, or not from the next collection on.
    pub(crate) expired: bool,
}

/// What became of an attempt that has files in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) ended: bool,
    /// For as long as garbage is kept.
    pub(crate) old: bool,
    /// Its outputs are a result: this sweep's, or another one's that has taken it over.
    pub(crate) counts: bool,
}

/// A published result.
#[derive(Clone, Debug)]
pub(crate) struct ResultRow {
    pub(crate) attempt: AttemptId,
    pub(crate) place: AttemptPlace,
    /// Where its files are: another job may have made them.
    pub(crate) made_by: AttemptPlace,
    /// Its `result.json` was written.
    pub(crate) written: bool,
    pub(crate) files: Vec<PublishedFile>,
}

macro_rules! collectable {
    ($row:ident) => {
        Ok(Collectable {
            id: SweepId::from_uuid($row.id),
            name: $row.name,
            jobs: unsigned($row.jobs)?,
            expired: $row.expired,
        })
    };
}

impl Queue {
    /// Gives up the results of sweeps that were kept for as long as they were to be. The files go later.
    pub(crate) async fn expire_sweeps(&self) -> Result<Vec<SweepId>, Error> {
        let mut tx = self.pool.begin().await?;
        let expired = query_file!("queries/keep/expire_sweeps.sql", BATCH).fetch_all(&mut *tx).await?;
        let ids: Vec<_> = expired.iter().map(|row| row.id).collect();
        query_file!("queries/keep/forget_files.sql", &ids).execute(&mut *tx).await?;
        query_file!("queries/keep/collect_again.sql", &ids).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(ids.into_iter().map(SweepId::from_uuid).collect())
    }

    /// A page of sweeps in whose directories there may be garbage that is older than `age`, in the order of their ids; those
    /// that were looked at before only if all are meant. With `foresee`, those are expired that would be given up now.
    pub(crate) async fn collectables(
        &self,
        age: Duration,
        after: Option<SweepId>,
        all: bool,
        foresee: bool,
    ) -> Result<Vec<Collectable>, Error> {
        let after = after.map(SweepId::uuid);
        let rows =
            query_file!("queries/keep/sweeps_to_collect.sql", interval(age)?, after, BATCH, all, foresee);
        rows.fetch_all(&self.pool).await?.into_iter().map(|row| collectable!(row)).collect()
    }

    pub(crate) async fn collectable(&self, sweep: SweepId, foresee: bool) -> Result<Collectable, Error> {
        let row = query_file!("queries/keep/sweep_to_collect.sql", sweep.uuid(), foresee)
            .fetch_one(&self.by_key)
            .await?;
        collectable!(row)
    }

    /// What became of these attempts (job, number) of a sweep. One that is not there is not known.
    pub(crate) async fn fates(
        &self,
        sweep: &Collectable,
        attempts: &HashSet<(u32, u32)>,
        age: Duration,
    ) -> Result<HashMap<(u32, u32), Fate>, Error> {
        let (jobs, numbers) = signed_pairs(attempts)?;
        let (id, age) = (sweep.id.uuid(), interval(age)?);
        let rows = query_file!("queries/keep/attempts_in_store.sql", &jobs, &numbers, id, age, sweep.expired)
            .fetch_all(&self.by_key)
            .await?;
        rows.into_iter()
            .map(|row| {
                let fate = Fate { ended: row.ended, old: row.old, counts: row.counts };
                Ok(((unsigned(row.job)?, unsigned(row.number)?), fate))
            })
            .collect()
    }

    /// Which of these files are published: the job of each, and where it stands in its attempt's directory.
    pub(crate) async fn published_among(
        &self,
        sweep: SweepId,
        files: &[(u32, String)],
    ) -> Result<HashSet<(u32, String)>, Error> {
        let (mut jobs, mut paths, mut encodings, mut stored) = (vec![], vec![], vec![], vec![]);
        let (mut other_jobs, mut other_names) = (vec![], vec![]);
        for (job, place) in files {
            if first_name(place).is_some() {
                other_jobs.push(signed::<i32>(*job)?);
                other_names.push(place.clone());
            }
            for encoding in Encoding::ALL {
                // A file of this name that is stored as it is, and one that is compressed to this name.
                if let Some(path) = encoding.path_of(place) {
                    jobs.push(signed::<i32>(*job)?);
                    paths.push(path.to_owned());
                    encodings.push(Pg(encoding));
                    stored.push(place.clone());
                }
            }
        }
        let id = sweep.uuid();
        let rows = query_file!(
            "queries/keep/published_among.sql",
            id,
            &jobs,
            &paths,
            &encodings as _,
            &stored,
            &other_jobs,
            &other_names,
        );
        let rows = rows.fetch_all(&self.by_key).await?;
        rows.into_iter().map(|row| Ok((unsigned(row.job)?, row.stored))).collect()
    }

    /// Notes that a sweep's directory holds no garbage of its age. Of one whose results were given up, nothing is kept of
    /// what its jobs returned either.
    pub(crate) async fn mark_collected(&self, sweep: SweepId) -> Result<(), Error> {
        let mut tx = self.by_key.begin().await?;
        let marked =
            query_file!("queries/keep/mark_collected.sql", sweep.uuid()).fetch_optional(&mut *tx).await?;
        if marked.is_some_and(|row| row.expired) {
            returns::forget(&mut tx, sweep).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// A page of published results, after job `after`, or that of one job.
    pub(crate) async fn results(
        &self,
        sweep: &Found,
        job: Option<u32>,
        after: Option<u32>,
    ) -> Result<Vec<ResultRow>, Error> {
        let after = after.map_or(Ok(-1), signed::<i32>)?;
        let job = job.map(signed::<i32>).transpose()?;
        let id = sweep.id.uuid();
        let rows = query_file!("queries/keep/list_results.sql", id, after, job, RESULTS)
            .fetch_all(&self.pool)
            .await?;
        let jobs: Vec<_> = rows.iter().map(|row| row.job).collect();
        let sweeps = vec![id; jobs.len()];
        let mut files = self.files_of_results(&sweeps, &jobs).await?;
        rows.into_iter()
            .map(|row| {
                Ok(ResultRow {
                    attempt: AttemptId::from_uuid(row.attempt_id),
                    place: AttemptPlace {
                        sweep_name: sweep.name.clone(),
                        sweep: sweep.id,
                        jobs: sweep.jobs,
                        job: unsigned(row.job)?,
                        attempt: unsigned(row.attempt)?,
                    },
                    made_by: AttemptPlace {
                        sweep_name: row.made_by_name,
                        sweep: SweepId::from_uuid(row.made_by_sweep),
                        jobs: unsigned(row.made_by_jobs)?,
                        job: unsigned(row.made_by_job)?,
                        attempt: unsigned(row.attempt)?,
                    },
                    written: row.written,
                    files: files.remove(&(id, row.job)).unwrap_or_default(),
                })
            })
            .collect()
    }

    /// Has the `result.json` of these jobs written anew.
    pub(crate) async fn unwrite(&self, sweep: SweepId, jobs: &[u32]) -> Result<(), Error> {
        let jobs = jobs.iter().map(|job| signed(*job)).collect::<Result<Vec<i32>, _>>()?;
        query_file!("queries/keep/unwrite_results.sql", sweep.uuid(), &jobs).execute(&self.pool).await?;
        Ok(())
    }
}

fn signed_pairs(pairs: &HashSet<(u32, u32)>) -> Result<(Vec<i32>, Vec<i32>), Error> {
    let pairs = pairs.iter().map(|(a, b)| Ok((signed::<i32>(*a)?, signed::<i32>(*b)?)));
    Ok(pairs.collect::<Result<Vec<_>, Error>>()?.into_iter().unzip())
}
