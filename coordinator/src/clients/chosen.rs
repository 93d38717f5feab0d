//! Which jobs of a sweep a call means, for which failures, and what becomes of them: stopped, or tried again.

use bt_model::manifest::parse_reason;
use bt_model::reason::ReasonKind;
use bt_model::state::JobState;
use bt_proto::v1;
use tonic::Status;

use super::Clients;
use crate::bell::Event;
use crate::queue::{Chosen, Found};
use crate::results::has_jobs;
use crate::rpc::status;

impl Clients {
    pub(super) async fn cancel_jobs(&self, request: v1::CancelRequest) -> Result<v1::CancelReply, Status> {
        let (found, changeable) = self.find_to_change(&request.sweep).await?;
        let jobs = chosen(&found, request.jobs)?;
        let cancelled = self.queue.cancel(changeable, &jobs).await;
        let cancelled = cancelled.map_err(status::queue)?;
        self.bell.ring(Event::JobsCancelled);
        Ok(v1::CancelReply {
            cancelled: cancelled.cancelled,
            stopping: cancelled.stopping,
            ended: cancelled.ended,
        })
    }

    pub(super) async fn retry_jobs(&self, request: v1::RetryRequest) -> Result<v1::RetryReply, Status> {
        let (found, changeable) = self.find_to_change(&request.sweep).await?;
        let reasons = reasons(&request)?;
        let jobs = chosen(&found, request.jobs)?;
        let both = [JobState::Failed, JobState::Cancelled];
        let ended = if request.failed_only || !reasons.is_empty() { &both[..1] } else { &both[..] };
        let queued = self.queue.retry(changeable, &jobs, ended, &reasons).await;
        let queued = queued.map_err(status::queue)?;
        self.bell.ring(Event::JobsRetried);
        let tested = self.tests_that_stay(&found, &jobs, queued).await?;
        Ok(v1::RetryReply { queued, tested })
    }
}

/// The kinds of failures that are to be tried again; empty: all. A client of protocol 1 names them.
fn reasons(request: &v1::RetryRequest) -> Result<Vec<ReasonKind>, Status> {
    if request.kinds.is_empty() {
        let named = request.reasons.iter().map(|name| parse_reason(name));
        return named.collect::<Result<_, _>>().map_err(|error| Status::invalid_argument(error.to_string()));
    }
    request.kinds().map(ReasonKind::try_from).collect::<Result<_, _>>().map_err(status::malformed)
}

fn chosen(found: &Found, jobs: Vec<u32>) -> Result<Chosen, Status> {
    has_jobs(found, &jobs)?;
    Ok(match jobs.is_empty() {
        true => Chosen::All,
        false => Chosen::These(jobs),
    })
}
