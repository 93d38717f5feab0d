//! What clients see of results that count for more than one job, and what agents say of the images of sweeps that wait.

use std::collections::HashMap;

use bt_model::id::{AgentId, SweepId};
use bt_model::state::ReuseState;
use bt_proto::convert::parse;
use bt_proto::v1;
use tonic::Status;
use tracing::info;

use super::{Services, status};
use crate::queue::{Found, JobRow, TwinRow};

impl Services {
    /// What a sweep has of identical jobs; none if nobody asked for it.
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

    /// Takes an agent's answer to what the image of a sweep stands for.
    pub(super) async fn take_image(
        &self,
        agent: AgentId,
        request: v1::PinImageRequest,
    ) -> Result<v1::PinImageReply, Status> {
        let sweep: SweepId = parse("sweep", "a UUID", &request.sweep).map_err(status::malformed)?;
        if !request.failed.is_empty() {
            info!(sweep.id = %sweep, agent.id = %agent, "the agent can't tell the sweep's image: {}", request.failed);
            self.reuse.answered(sweep, agent, Some(request.failed));
            return Ok(v1::PinImageReply::default());
        }
        let pinned = self.queue.pin_sweep(agent, request.session, sweep, &request.image).await;
        let pinned = pinned.map_err(status::queue)?;
        let image = pinned.ok_or_else(|| Status::not_found(format!("sweep {sweep} asks for no image")))?;
        self.reuse.answered(sweep, agent, None);
        Ok(v1::PinImageReply { image })
    }
}

/// As a job's `reused_from` and `attached_to`.
pub(super) fn wire(twin: Option<TwinRow>) -> (Option<v1::Twin>, Option<v1::Twin>) {
    let Some(row) = twin else { return (None, None) };
    let twin = v1::Twin {
        sweep: row.of.sweep.to_string(),
        sweep_name: row.sweep_name,
        job: row.of.job,
        attempt: row.attempt.unwrap_or_default(),
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
