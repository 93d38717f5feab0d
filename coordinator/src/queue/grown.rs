//! Jobs that ran out of memory and are tried again with more. To the dispatcher those of a sweep that need the same are
//! like a sweep of their own.

use bt_model::id::SweepId;
use bt_model::retry::Growth;
use sqlx::query_file;

use super::row::unsigned;
use super::{Candidate, Error, Queue};

/// How the memory of a sweep's jobs grows.
pub(super) fn growth(factor: Option<f64>, max_bytes: Option<i64>) -> Result<Option<Growth>, Error> {
    let Some(factor) = factor else { return Ok(None) };
    Ok(Some(Growth { factor, max_bytes: max_bytes.map(unsigned).transpose()? }))
}

impl Queue {
    /// Puts before each sweep those of its jobs that need more memory than it says.
    pub(crate) async fn set_grown_apart(&self, sweeps: Vec<Candidate>) -> Result<Vec<Candidate>, Error> {
        let growing = sweeps.iter().filter(|sweep| sweep.grows);
        let ids: Vec<_> = growing.map(|sweep| sweep.sweep.uuid()).collect();
        if ids.is_empty() {
            return Ok(sweeps);
        }
        let rows = query_file!("queries/claim/grown_jobs.sql", &ids).fetch_all(&self.by_key).await?;
        if rows.is_empty() {
            return Ok(sweeps);
        }
        let mut apart = Vec::with_capacity(sweeps.len() + rows.len());
        for mut sweep in sweeps {
            for row in rows.iter().filter(|row| SweepId::from_uuid(row.sweep_id) == sweep.sweep) {
                let jobs = unsigned::<u32>(row.jobs)?.min(sweep.queued);
                sweep.queued -= jobs;
                apart.push(Candidate { queued: jobs, ..sweep.with_memory(unsigned(row.memory_bytes)?) });
            }
            apart.extend((sweep.queued > 0).then_some(sweep));
        }
        Ok(apart)
    }
}
