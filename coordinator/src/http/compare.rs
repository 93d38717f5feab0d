//! Two sweeps side by side.

use axum::Json;
use axum::extract::State;
use bt_analysis::compare::{Comparing, Error, Question};
use bt_documents::Comparison;
use bt_proto::v1;
use bt_proto::v1::sweeps_server::Sweeps as _;
use futures_util::TryStreamExt;
use schemars::JsonSchema;
use serde::Deserialize;
use tonic::{Request, Status};

use super::reply::{Asked, Refused, Reply};
use super::sweeps::report;
use crate::clients::Clients;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CompareSweeps {
    /// The first sweep: its id, its name, or the beginning of its id.
    a: String,
    /// The second sweep.
    b: String,
    /// List the points by the difference in this metric, the largest first.
    by: Option<String>,
    /// Whether lower is better, whatever the goals in the manifests are.
    ascending: Option<bool>,
    /// Points at most, with `by`.
    limit: Option<usize>,
}

pub(super) async fn compare(
    State(clients): State<Clients>,
    Asked(asked): Asked<CompareSweeps>,
) -> Reply<Comparison> {
    let CompareSweeps { a, b, by, ascending, limit } = asked;
    let sweeps = [report(&clients, a).await?, report(&clients, b).await?];
    let mut comparing = Comparing::begin(Question { by, ascending, limit }, sweeps).map_err(refused)?;
    for (side, sweep) in comparing.ids().into_iter().enumerate() {
        let request = v1::ListJobsRequest { sweep, ..v1::ListJobsRequest::default() };
        let mut jobs = clients.list_jobs(Request::new(request)).await?.into_inner();
        while let Some(job) = jobs.try_next().await? {
            comparing.take(side, &job)?;
        }
    }
    comparing.finish().map(Json).map_err(refused)
}

fn refused(error: Error) -> Refused {
    match error {
        Error::Unreadable(error) => error.into(),
        error => Status::invalid_argument(error.to_string()).into(),
    }
}
