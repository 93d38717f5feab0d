//! What clients see of results that count for more than one job.

use std::collections::HashMap;

use bt_model::state::ReuseState;
use bt_proto::v1;
use tonic::Status;

use super::Clients;
use crate::queue::{Found, JobRow, TwinRow};
use crate::rpc::status;

impl Clients {
    /// What a sweep has of identical jobs; none if it was not asked for.
    pub(super) async fn show_reuse(&self, found: &Found) -> Result<Option<v1::Reuse>, Status> {
        let reused = self.queue.reused(found.id).await.map_err(status::queue)?;
        Ok(reused.map(|reused| v1::Reuse {
            state: wire_state(reused.state).into(),
            note: reused.note,
            taken: reused.taken,
            attached: reused.attached,
            differing: reused.differing,
            sources: reused
                .sources
                .into_iter()
                .map(|source| v1::ReuseSource {
                    sweep: source.sweep.to_string(),
                    name: source.name,
                    taken: source.taken,
                    attached: source.attached,
                })
                .collect(),
        }))
    }

    /// Of these jobs, those that have another's result or wait for one.
    pub(super) async fn twins(
        &self,
        sweep: &Found,
        jobs: &[JobRow],
    ) -> Result<HashMap<u32, TwinRow>, Status> {
        if !sweep.reuses {
            return Ok(HashMap::new());
        }
        let jobs: Vec<_> = jobs.iter().map(|job| job.number).collect();
        self.queue.twins(sweep.id, &jobs).await.map_err(status::queue)
    }
}

/// As a job's `reused_from` and `attached_to`.
pub(super) fn wire(twin: Option<TwinRow>) -> (Option<v1::Twin>, Option<v1::Twin>) {
    let Some(row) = twin else { return (None, None) };
    let twin = v1::Twin {
        sweep: row.of.sweep.to_string(),
        sweep_name: row.sweep_name,
        job: row.of.job,
        attempt: row.attempt,
    };
    match row.attempt {
        Some(_) => (Some(twin), None),
        None => (None, Some(twin)),
    }
}

fn wire_state(state: ReuseState) -> v1::ReuseState {
    match state {
        ReuseState::Pending => v1::ReuseState::Pending,
        ReuseState::Settled => v1::ReuseState::Settled,
        ReuseState::Declined => v1::ReuseState::Declined,
    }
}
