//! Open sweeps: jobs that are added to a sweep while it runs, until it is closed.

use bt_model::manifest::MAX_JOBS;
use sqlx::query_file;

use super::row::{signed, unsigned};
use super::submit::{BATCH, count_queued, insert_written};
use super::{Changeable, Error, Queue, READY, notify, quotas};

/// Jobs that were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddedJobs {
    /// The number of the first; the others follow.
    pub(crate) first_job: u32,
    pub(crate) jobs: u32,
    /// An earlier call with the same key had added them.
    pub(crate) existed: bool,
}

impl Queue {
    /// Adds jobs to an open sweep, all of them or none; under one key only once. The rows are JSON objects, at least one.
    pub(crate) async fn add_jobs(
        &self,
        sweep: impl Into<Changeable>,
        key: &str,
        fingerprint: &[u8; 32],
        rows: &[String],
    ) -> Result<AddedJobs, Error> {
        let sweep = sweep.into().id();
        let id = sweep.uuid();
        let mut tx = self.by_key.patient().begin().await?;
        let held = query_file!("queries/open/lock_open_sweep.sql", id).fetch_optional(&mut *tx).await?;
        let held = held.ok_or_else(|| Error::NoSweep(format!("there is no sweep {sweep} any more")))?;
        let before = query_file!("queries/open/added_before.sql", id, key).fetch_optional(&mut *tx).await?;
        if let Some(row) = before {
            if row.fingerprint != fingerprint {
                return Err(Error::KeyReused(key.to_owned()));
            }
            return Ok(AddedJobs {
                first_job: unsigned(row.first_job)?,
                jobs: unsigned(row.jobs)?,
                existed: true,
            });
        }
        let name = held.name;
        let Some(first) = held.open_jobs else {
            return Err(Error::Refused(format!(
                "sweep {name} takes no jobs: it was not submitted open (`btctl submit --open`)"
            )));
        };
        if held.cancelled || held.closed {
            let why = if held.cancelled { "cancelled" } else { "closed" };
            return Err(Error::Refused(format!("sweep {name} takes no more jobs: it was {why}")));
        }
        let count: i32 = signed(rows.len() as u64)?;
        let all = first.checked_add(count).filter(|all| i64::from(*all) <= i64::from(MAX_JOBS));
        let Some(all) = all else {
            return Err(Error::Refused(format!(
                "sweep {name} has {first} jobs, and with {count} more it would have more than {MAX_JOBS}, the limit"
            )));
        };
        let mut next = first;
        for batch in rows.chunks(BATCH) {
            insert_written(&mut tx, sweep, next, batch).await?;
            next += signed::<i32>(batch.len() as u64)?;
        }
        count_queued(&mut tx, sweep, count).await?;
        quotas::admit_in_sweep(&mut tx, id, rows.len() as u64).await?;
        query_file!("queries/open/grow_sweep.sql", id, all).execute(&mut *tx).await?;
        query_file!("queries/open/note_addition.sql", id, key, fingerprint, first, count)
            .execute(&mut *tx)
            .await?;
        notify(&mut tx, READY).await?;
        tx.commit().await?;
        Ok(AddedJobs { first_job: unsigned(first)?, jobs: unsigned(count)?, existed: false })
    }

    /// Takes no more jobs, so that the sweep ends with those that it has. False if it was not open.
    pub(crate) async fn close_sweep(&self, sweep: impl Into<Changeable>) -> Result<bool, Error> {
        let sweep = sweep.into().id();
        let closed =
            query_file!("queries/open/close_sweep.sql", sweep.uuid()).fetch_optional(&self.by_key).await?;
        Ok(closed.is_some())
    }
}
