//! Which jobs of a sweep a call means, and for which failures.

use bt_model::manifest::parse_reason;
use bt_model::reason::ReasonKind;
use bt_proto::v1;
use tonic::Status;

use crate::queue::{Chosen, Found};
use crate::results::has_jobs;
use crate::rpc::status;

/// The kinds of failures that are to be tried again; empty: all. A client of protocol 1 names them.
pub(super) fn reasons(request: &v1::RetryRequest) -> Result<Vec<ReasonKind>, Status> {
    if request.kinds.is_empty() {
        let named = request.reasons.iter().map(|name| parse_reason(name));
        return named.collect::<Result<_, _>>().map_err(|error| Status::invalid_argument(error.to_string()));
    }
    request.kinds().map(ReasonKind::try_from).collect::<Result<_, _>>().map_err(status::malformed)
}

pub(super) fn chosen(found: &Found, jobs: Vec<u32>) -> Result<Chosen, Status> {
    has_jobs(found, &jobs)?;
    Ok(match jobs.is_empty() {
        true => Chosen::All,
        false => Chosen::These(jobs),
    })
}
