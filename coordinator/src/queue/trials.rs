//! What was ever tried: the sweeps of a family and their jobs. Rows of removed sweeps stay, so no trial is ever forgotten.

use bt_model::id::SweepId;
use jiff::Timestamp;
use sqlx::query_file;

use super::claim::Written;
use super::row::{signed, time, unsigned};
use super::{Error, Queue};

/// Sweeps that test one idea.
#[derive(Clone, Debug)]
pub(crate) struct FamilyRow {
    pub(crate) family: String,
    pub(crate) sweeps: u32,
    pub(crate) jobs: u64,
    /// When a sweep of it was submitted last.
    pub(crate) latest: Timestamp,
}

/// A sweep of a family.
#[derive(Clone, Debug)]
pub(crate) struct FamilySweep {
    pub(crate) id: SweepId,
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) jobs: u32,
    pub(crate) submitted: Timestamp,
    pub(crate) removed: bool,
    /// As it runs; as the manifest names it until that is known.
    pub(crate) image: String,
    /// The first day that its jobs do not see.
    pub(crate) cut_before: Option<String>,
    /// Which look of the family it has spent.
    pub(crate) look: Option<u32>,
}

/// A job that was tried.
#[derive(Clone, Debug)]
pub(crate) struct TriedJob {
    pub(crate) number: u32,
    pub(crate) parameters: Written,
    pub(crate) failed: bool,
    pub(crate) pruned: bool,
}

impl Queue {
    /// The families that were tried last.
    pub(crate) async fn families(&self, limit: u32) -> Result<Vec<FamilyRow>, Error> {
        let rows = query_file!("queries/trials/families.sql", i64::from(limit)).fetch_all(&self.pool).await?;
        let families = rows.into_iter().map(|row| {
            Ok(FamilyRow {
                family: row.family,
                sweeps: unsigned(row.sweeps)?,
                jobs: unsigned(row.jobs)?,
                latest: time(row.latest)?,
            })
        });
        families.collect()
    }

    /// The family of a sweep; nothing for one that an earlier btctl queued.
    pub(crate) async fn family_of(&self, sweep: SweepId) -> Result<String, Error> {
        let row =
            query_file!("queries/trials/family_of_sweep.sql", sweep.uuid()).fetch_one(&self.by_key).await?;
        Ok(row.family)
    }

    /// How many jobs of a sweep and of all others of its family have succeeded, failed or
    /// were pruned.
    pub(crate) async fn tried_in_family(&self, sweep: SweepId, family: &str) -> Result<u64, Error> {
        let row = query_file!("queries/trials/tried_in_family.sql", sweep.uuid(), family);
        unsigned(row.fetch_one(&self.pool).await?.tried)
    }

    /// The sweeps of a family, and one that may have none, the oldest first.
    pub(crate) async fn sweeps_of_family(
        &self,
        family: &str,
        sweep: Option<SweepId>,
        limit: u32,
    ) -> Result<Vec<FamilySweep>, Error> {
        let sweep = sweep.map(|sweep| sweep.uuid());
        let rows = query_file!("queries/trials/sweeps_of_family.sql", family, i64::from(limit), sweep);
        let rows = rows.fetch_all(&self.pool).await?;
        let sweeps = rows.into_iter().map(|row| {
            Ok(FamilySweep {
                id: SweepId::from_uuid(row.id),
                name: row.name,
                owner: row.owner,
                jobs: unsigned(row.jobs)?,
                submitted: time(row.created_at)?,
                removed: row.removed,
                image: row.image,
                cut_before: row.cut_before,
                look: row.look.map(unsigned).transpose()?,
            })
        });
        sweeps.collect()
    }

    /// A page of the jobs of a sweep that have succeeded, failed or were pruned, after number `after`.
    pub(crate) async fn tried(
        &self,
        sweep: SweepId,
        after: Option<u32>,
        limit: u32,
    ) -> Result<Vec<TriedJob>, Error> {
        let after = after.map_or(Ok(-1), signed::<i32>)?;
        let rows = query_file!("queries/trials/tried_jobs.sql", sweep.uuid(), after, i64::from(limit));
        let rows = rows.fetch_all(&self.pool.patient()).await?;
        let jobs = rows.into_iter().map(|row| {
            Ok(TriedJob {
                number: unsigned(row.number)?,
                parameters: Written::of(row.parameters, row.point, row.number)?,
                failed: row.failed,
                pruned: row.pruned,
            })
        });
        jobs.collect()
    }
}
