//! Figures of the whole queue, for monitoring: sums that are kept, and counts that have a bound.

use std::time::Duration;

use sqlx::query_file;

use super::claim::interval;
use super::{Error, Queue};

/// Results without a document that are counted at most.
const UNWRITTEN: i64 = 10_000;

/// Jobs of the sweeps that have not finished, by state, and these sweeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenJobs {
    pub(crate) queued: i64,
    /// Queued, and not to be started now.
    pub(crate) held: i64,
    pub(crate) running: i64,
    pub(crate) succeeded: i64,
    pub(crate) failed: i64,
    pub(crate) cancelled: i64,
    pub(crate) sweeps: i64,
    pub(crate) paused_sweeps: i64,
    pub(crate) unwritten: i64,
}

/// Agents by state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeenAgents {
    pub(crate) ready: i64,
    pub(crate) draining: i64,
    pub(crate) unhealthy: i64,
    pub(crate) gone: i64,
}

impl Queue {
    pub(crate) async fn open_jobs(&self) -> Result<OpenJobs, Error> {
        let row = query_file!("queries/observe/open_jobs.sql").fetch_one(&self.by_key).await?;
        let unwritten =
            query_file!("queries/observe/unwritten.sql", UNWRITTEN).fetch_one(&self.pool).await?.unwritten;
        Ok(OpenJobs {
            queued: row.queued,
            held: row.held,
            running: row.running,
            succeeded: row.succeeded,
            failed: row.failed,
            cancelled: row.cancelled,
            sweeps: row.open,
            paused_sweeps: row.paused,
            unwritten,
        })
    }

    /// Agents that were heard of lately; one that was silent for this long is gone.
    pub(crate) async fn seen_agents(&self, silence: Duration) -> Result<SeenAgents, Error> {
        let row =
            query_file!("queries/observe/seen_agents.sql", interval(silence)?).fetch_one(&self.pool).await?;
        Ok(SeenAgents { ready: row.ready, draining: row.draining, unhealthy: row.unhealthy, gone: row.gone })
    }

    /// Sessions with Postgres that are idle, and that are used.
    pub(crate) fn sessions(&self) -> [u32; 2] {
        self.pool.sessions()
    }
}
