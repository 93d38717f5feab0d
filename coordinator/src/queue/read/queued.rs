//! Sweeps with jobs that wait, all at once: what decides whether these may start.

use bt_model::id::SweepId;
use sqlx::query_file;
use uuid::Uuid;

use super::SweepDetails;
use crate::queue::claim::candidate_row;
use crate::queue::row::unsigned;
use crate::queue::{Error, Queue};

/// A sweep whose jobs wait.
#[derive(Clone, Debug)]
pub(crate) struct QueuedSweep {
    /// Without its manifest.
    pub(crate) details: SweepDetails,
    /// Queued jobs that wait for identical ones.
    pub(crate) attached: u32,
    /// How long one of its jobs takes; none before one has succeeded.
    pub(crate) seconds: Option<f64>,
}

/// How long a job of a family takes, what was tried in vain included.
#[derive(Clone, Debug)]
pub(crate) struct FamilyTime {
    pub(crate) seconds: f64,
    /// So many that succeeded were looked at, of this sweep.
    pub(crate) jobs: u32,
    pub(crate) sweep: String,
}

impl Queue {
    /// None before a job of the family has succeeded.
    pub(crate) async fn time_of_family(&self, family: &str) -> Result<Option<FamilyTime>, Error> {
        let row = query_file!("queries/read/time_of_family.sql", family).fetch_optional(&self.by_key).await?;
        let time = row.map(|row| {
            let jobs = unsigned(row.jobs)?;
            Ok(FamilyTime { seconds: row.seconds / f64::from(jobs), jobs, sweep: row.sweep })
        });
        time.transpose()
    }

    pub(crate) async fn queued_sweeps(&self, sweeps: &[SweepId]) -> Result<Vec<QueuedSweep>, Error> {
        let ids: Vec<Uuid> = sweeps.iter().map(|sweep| sweep.uuid()).collect();
        let rows = query_file!("queries/read/queue_of_sweeps.sql", &ids).fetch_all(&self.by_key).await?;
        rows.into_iter()
            .map(|row| {
                let candidate = candidate_row!(row, SweepId::from_uuid(row.id), 0, 0);
                let details = SweepDetails {
                    candidate,
                    manifest: String::new(),
                    paused: row.paused,
                    pause_reason: row.pause_reason,
                    cancelled: row.cancelled,
                    cancel_reason: row.cancel_reason,
                    waits_after: row.waits_after,
                    waits_for_reuse: row.waits_for_reuse.unwrap_or(false).then_some(row.reuse_note),
                };
                Ok(QueuedSweep { details, attached: unsigned(row.attached)?, seconds: row.seconds })
            })
            .collect()
    }
}
