//! Which jobs of a sweep a call means, for which failures, and what becomes of them: stopped, or tried again.

use bt_documents::Pruned;
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

/// Characters that say why jobs are pruned.
const MOST_WHY: usize = 500;

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

    /// Gives running jobs up for what they have reported, as a search asks. Those that do not run stay as they are.
    pub(crate) async fn prune_jobs(&self, sweep: &str, jobs: Vec<u32>, why: &str) -> Result<Pruned, Status> {
        let (found, changeable) = self.find_to_change(sweep).await?;
        if jobs.is_empty() {
            return Err(Status::invalid_argument("`jobs` names none; name the jobs that are to be pruned"));
        }
        has_jobs(&found, &jobs)?;
        let why = match why.trim() {
            "" => "as asked",
            why if why.chars().count() > MOST_WHY || why.chars().any(char::is_control) => {
                return Err(Status::invalid_argument(format!(
                    "`why` is one line of {MOST_WHY} characters at most"
                )));
            }
            why => why,
        };
        let pruned = self.queue.prune_jobs(changeable, &jobs, why).await.map_err(status::queue)?;
        self.bell.ring(Event::JobsCancelled);
        Ok(Pruned { pruned: pruned.pruned, queued: pruned.queued, finished: pruned.ended })
    }

    pub(super) async fn retry_jobs(&self, request: v1::RetryRequest) -> Result<v1::RetryReply, Status> {
        let (found, changeable) = self.find_to_change(&request.sweep).await?;
        let reasons = reasons(&request)?;
        let jobs = chosen(&found, request.jobs)?;
        self.allow_image_of(found.id).await?;
        let failed_only = request.failed_only || !reasons.is_empty();
        let ended: &[_] = match (request.pruned, failed_only) {
            (true, true) => {
                return Err(Status::invalid_argument(
                    "jobs that failed and jobs that were pruned are tried again by calls of their own",
                ));
            }
            (true, false) => &[JobState::Pruned],
            (false, true) => &[JobState::Failed],
            (false, false) => &[JobState::Failed, JobState::Cancelled],
        };
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
