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

impl Queue {
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
