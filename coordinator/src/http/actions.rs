//! Calls that change something.

use axum::Json;
use axum::extract::{Path, State};
use bt_documents::{Agent, Cancelled, Changed, Pruned, Retried};
use bt_proto::v1;
use bt_proto::v1::sweeps_server::Sweeps as _;
use schemars::JsonSchema;
use serde::Deserialize;
use tonic::{Request, Status};

use super::reply::{Given, Reply};
use crate::clients::Clients;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cancel {
    /// Numbers of the jobs; none: the whole sweep.
    #[serde(default)]
    jobs: Vec<u32>,
}

pub(super) async fn cancel(
    State(clients): State<Clients>,
    Path(sweep): Path<String>,
    Given(given): Given<Cancel>,
) -> Reply<Cancelled> {
    let request = v1::CancelRequest { sweep, jobs: given.jobs };
    let v1::CancelReply { cancelled, stopping, ended } =
        clients.cancel(Request::new(request)).await?.into_inner();
    Ok(Json(Cancelled { cancelled, stopping, finished: ended }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Prune {
    /// Numbers of the jobs. Only those that run are pruned.
    jobs: Vec<u32>,
    /// Why, for people: 500 characters at most, on one line.
    #[serde(default)]
    why: String,
}

pub(super) async fn prune(
    State(clients): State<Clients>,
    Path(sweep): Path<String>,
    Given(given): Given<Prune>,
) -> Reply<Pruned> {
    Ok(Json(clients.prune_jobs(&sweep, given.jobs, &given.why).await?))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Retry {
    /// Numbers of the jobs; none: all that failed or were cancelled.
    #[serde(default)]
    jobs: Vec<u32>,
    /// True: leave the cancelled ones.
    #[serde(default)]
    failed_only: bool,
    /// Only jobs that failed for one of these reasons, such as `oom` or `timeout`.
    #[serde(default)]
    reasons: Vec<String>,
    /// True: the pruned ones, and no others.
    #[serde(default)]
    pruned: bool,
}

pub(super) async fn retry(
    State(clients): State<Clients>,
    Path(sweep): Path<String>,
    Given(given): Given<Retry>,
) -> Reply<Retried> {
    let Retry { jobs, failed_only, reasons, pruned } = given;
    let request = v1::RetryRequest { sweep, jobs, failed_only, reasons, kinds: Vec::new(), pruned };
    let reply = clients.retry(Request::new(request)).await?.into_inner();
    Ok(Json(Retried { queued: reply.queued }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

pub(super) async fn pause(
    State(clients): State<Clients>,
    Path(sweep): Path<String>,
    Given(Nothing {}): Given<Nothing>,
) -> Reply<Changed> {
    let reply = clients.pause(Request::new(v1::PauseRequest { sweep })).await?.into_inner();
    Ok(Json(Changed { changed: reply.changed }))
}

pub(super) async fn close(
    State(clients): State<Clients>,
    Path(sweep): Path<String>,
    Given(Nothing {}): Given<Nothing>,
) -> Reply<Changed> {
    let reply = clients.close_sweep(Request::new(v1::CloseSweepRequest { sweep })).await?.into_inner();
    Ok(Json(Changed { changed: reply.changed }))
}

pub(super) async fn resume(
    State(clients): State<Clients>,
    Path(sweep): Path<String>,
    Given(Nothing {}): Given<Nothing>,
) -> Reply<Changed> {
    let reply = clients.resume(Request::new(v1::ResumeRequest { sweep })).await?.into_inner();
    Ok(Json(Changed { changed: reply.changed }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Drain {
    /// True: it takes new jobs again.
    #[serde(default)]
    undrain: bool,
}

pub(super) async fn drain(
    State(clients): State<Clients>,
    Path(agent): Path<String>,
    Given(given): Given<Drain>,
) -> Reply<Agent> {
    let request = v1::DrainAgentRequest { agent: agent.clone(), undrain: given.undrain };
    let reply = clients.drain_agent(Request::new(request)).await?.into_inner();
    let found = reply.agent.ok_or_else(|| Status::not_found(format!("there is no agent {agent:?}")))?;
    Ok(Json(Agent::try_from(&found)?))
}
