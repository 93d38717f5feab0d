//! Figures of the whole queue, for monitoring: sums that are kept, and counts that have a bound.

use std::collections::HashMap;
use std::time::Duration;

use bt_model::resources::Resources;
use jiff::Timestamp;
use sqlx::query_file;

use super::claim::interval;
use super::row::{resources, time, unsigned};
use super::{Error, Queue};

/// Results without a document that are counted at most.
const UNWRITTEN: i64 = 10_000;
/// Open sweeps whose ended jobs are noted every minute.
const SAMPLED: i64 = 5_000;

/// How the fleet stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FleetSample {
    pub(crate) at: Timestamp,
    /// Agents that took jobs, and all that were connected.
    pub(crate) ready: u32,
    pub(crate) connected: u32,
    pub(crate) running: u32,
    /// By those that were connected; without disk and places.
    pub(crate) offered: Resources,
    pub(crate) used: Resources,
}

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
    pub(crate) pruned: i64,
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
            pruned: row.pruned,
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

    /// Notes how the fleet and the sweeps stand, and what owners have running where fair shares remember it, unless that was done
    /// within this minute.
    pub(crate) async fn sample(&self, silence: Duration, half_life: Option<Duration>) -> Result<(), Error> {
        let noted =
            query_file!("queries/observe/sample_fleet.sql", interval(silence)?).execute(&self.by_key).await?;
        if noted.rows_affected() > 0 {
            query_file!("queries/observe/sample_sweeps.sql", SAMPLED).execute(&self.by_key).await?;
            query_file!("queries/observe/forget_samples.sql").execute(&self.pool).await?;
            if let Some(half_life) = half_life {
                self.note_shares(half_life).await?;
            }
        }
        Ok(())
    }

    /// Moves what each owner had running lately towards what it has now.
    pub(super) async fn note_shares(&self, half_life: Duration) -> Result<(), Error> {
        let half_life = half_life.as_secs_f64();
        query_file!("queries/observe/note_shares.sql", half_life).execute(&self.by_key).await?;
        query_file!("queries/observe/forget_shares.sql").execute(&self.pool).await?;
        Ok(())
    }

    /// How many containers each owner had running lately, on average, where that was noted.
    pub(crate) async fn owners_lately(&self, half_life: Duration) -> Result<HashMap<String, f64>, Error> {
        let half_life = half_life.as_secs_f64();
        let rows =
            query_file!("queries/observe/owners_lately.sql", half_life).fetch_all(&self.by_key).await?;
        Ok(rows.into_iter().map(|row| (row.owner, row.containers)).collect())
    }

    /// How the fleet stood within the last day, the oldest first.
    pub(crate) async fn fleet_samples(&self) -> Result<Vec<FleetSample>, Error> {
        let rows = query_file!("queries/observe/fleet_samples.sql").fetch_all(&self.pool).await?;
        rows.into_iter()
            .map(|row| {
                Ok(FleetSample {
                    at: time(row.at)?,
                    ready: unsigned(row.ready)?,
                    connected: unsigned(row.connected)?,
                    running: unsigned(row.running)?,
                    offered: resources(row.cpu_millis, row.memory_bytes, row.gpus, 0, 0)?,
                    used: resources(row.cpu_millis_used, row.memory_bytes_used, row.gpus_used, 0, 0)?,
                })
            })
            .collect()
    }

    /// Sessions with Postgres that are idle, and that are used.
    pub(crate) fn sessions(&self) -> [u32; 2] {
        self.pool.sessions()
    }
}
