//! Jobs of a sweep, by number or ranked by a metric, and one job with all that is known of it.

use axum::Json;
use axum::extract::{Path, State};
use bt_documents::{Attempt, Explained, Job, Jobs, Output, Outputs, ProgressSeries, ShownJob};
use bt_proto::v1;
use bt_proto::v1::sweeps_server::Sweeps as _;
use futures_util::TryStreamExt;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;
use tonic::{Request, Status};

use super::reply::{Asked, Refused, Reply};
use super::sweeps::listed;
use crate::clients::Clients;

/// Jobs of a page if the caller does not say, and at most.
const PAGE: u32 = 100;
const LARGEST_PAGE: u32 = 1_000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListJobs {
    /// Only jobs with larger numbers: the `next` of the page before. Not with `by`.
    after: Option<u32>,
    /// Jobs at most, 1 to 1000; 100 if it is not given.
    limit: Option<u32>,
    /// Only jobs that fulfil this expression over parameters and metrics, as `btctl top --where` takes it.
    #[serde(rename = "where")]
    filter: Option<String>,
    /// Only these states, separated by commas: queued, running, succeeded, failed, cancelled, pruned. Not with `by`.
    state: Option<String>,
    /// Rank by this metric, the best first; jobs without it are left out.
    by: Option<String>,
    /// With `by`, whether the lowest is the best; if it is not given, as the manifest's goal says, else the highest.
    ascending: Option<bool>,
    /// With `by`, rank by the median of a job's metric and those of its neighbours, as `btctl top --robust` does.
    robust: Option<bool>,
}

pub(super) async fn list(
    State(clients): State<Clients>,
    Path(sweep): Path<String>,
    Asked(asked): Asked<ListJobs>,
) -> Reply<Jobs> {
    let limit = asked.limit.unwrap_or(PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(Status::invalid_argument(format!(
            "`limit` goes from 1 to {LARGEST_PAGE}, and is {limit}"
        ))
        .into());
    }
    let ranked = asked.by.is_some();
    let states = listed(asked.state.as_deref()).map(state);
    let request = v1::ListJobsRequest {
        sweep,
        states: states.collect::<Result<_, _>>()?,
        job: None,
        by: asked.by,
        ascending: asked.ascending,
        limit: Some(limit),
        filter: asked.filter,
        after: asked.after,
        robust: asked.robust.unwrap_or(false),
    };
    let jobs = listed_jobs(&clients, request).await?;
    let is_full = jobs.len() >= limit as usize;
    let next = jobs.last().filter(|_| is_full && !ranked).map(|job| job.job);
    Ok(Json(Jobs { jobs, next }))
}

pub(super) async fn listed_jobs(
    clients: &Clients,
    request: v1::ListJobsRequest,
) -> Result<Vec<Job>, Refused> {
    let jobs: Vec<v1::Job> =
        clients.list_jobs(Request::new(request)).await?.into_inner().try_collect().await?;
    Ok(jobs.iter().map(Job::try_from).collect::<Result<_, _>>()?)
}

pub(super) async fn show(
    State(clients): State<Clients>,
    Path((sweep, job)): Path<(String, u32)>,
) -> Reply<ShownJob> {
    shown_job(&clients, sweep, job).await.map(Json)
}

pub(super) async fn shown_job(clients: &Clients, sweep: String, job: u32) -> Result<ShownJob, Refused> {
    let request = v1::ListJobsRequest { sweep: sweep.clone(), job: Some(job), ..Default::default() };
    let found = listed_jobs(clients, request).await?.pop();
    let found = found.ok_or_else(|| Status::not_found(format!("sweep {sweep} has no job {job}")))?;
    let attempts =
        clients.list_attempts(Request::new(v1::ListAttemptsRequest { sweep, job })).await?.into_inner();
    let history = attempts.attempts.iter().map(Attempt::try_from).collect::<Result<_, _>>()?;
    Ok(ShownJob { job: found, history })
}

pub(super) async fn explain(
    State(clients): State<Clients>,
    Path((sweep, job)): Path<(String, u32)>,
) -> Reply<Explained> {
    explained(&clients, sweep, Some(job)).await
}

pub(super) async fn explain_sweep(
    State(clients): State<Clients>,
    Path(sweep): Path<String>,
) -> Reply<Explained> {
    explained(&clients, sweep, None).await
}

async fn explained(clients: &Clients, sweep: String, job: Option<u32>) -> Reply<Explained> {
    let reply = clients.explain(Request::new(v1::ExplainRequest { sweep, job })).await?.into_inner();
    Ok(Json(Explained::try_from(reply)?))
}

pub(super) async fn progress(
    State(clients): State<Clients>,
    Path((sweep, job)): Path<(String, u32)>,
) -> Reply<ProgressSeries> {
    let reply = clients.show_progress(Request::new(v1::ShowProgressRequest { sweep, job })).await?;
    Ok(Json(ProgressSeries::of(job, &reply.into_inner())?))
}

pub(super) async fn outputs(
    State(clients): State<Clients>,
    Path((sweep, job)): Path<(String, u32)>,
) -> Reply<Outputs> {
    published(&clients, sweep, job).await.map(|outputs| Json(Outputs { outputs }))
}

pub(super) async fn published(clients: &Clients, sweep: String, job: u32) -> Result<Vec<Output>, Refused> {
    let request = v1::ListOutputsRequest { sweep, job: Some(job), ..Default::default() };
    let outputs: Vec<v1::JobOutput> =
        clients.list_outputs(Request::new(request)).await?.into_inner().try_collect().await?;
    Ok(outputs.into_iter().map(Output::from).collect())
}

/// The record of a result, a [`bt_store::ResultDocument`]: as it was written, so that numbers keep their spelling.
pub(super) async fn result(
    State(clients): State<Clients>,
    Path((sweep, job)): Path<(String, u32)>,
) -> Reply<Box<RawValue>> {
    let reply = clients.show_result(Request::new(v1::ShowResultRequest { sweep, job })).await?.into_inner();
    let record = RawValue::from_string(reply.record);
    record
        .map(Json)
        .map_err(|error| Refused::from(Status::internal(format!("the record can't be read: {error}"))))
}

fn state(name: &str) -> Result<i32, Status> {
    let state = match name {
        "queued" => v1::JobState::Queued,
        "running" => v1::JobState::Running,
        "succeeded" => v1::JobState::Succeeded,
        "failed" => v1::JobState::Failed,
        "cancelled" => v1::JobState::Cancelled,
        "pruned" => v1::JobState::Pruned,
        _ => {
            return Err(Status::invalid_argument(format!(
                "{name:?} is not the state of a job; states are queued, running, succeeded, failed, cancelled and pruned"
            )));
        }
    };
    Ok(state.into())
}
