//! Agents, what they work on, and limits.

use axum::Json;
use axum::extract::{Path, State};
use bt_documents::{
    Agent, Agents, Demand, Fleet, FleetLoad, FleetSample, Limit, Limits, Quota, Quotas, RunningJob,
    RunningJobs, ShownAgent,
};
use bt_model::resources::Resources;
use bt_proto::v1;
use bt_proto::v1::sweeps_server::Sweeps as _;
use tonic::{Request, Status};

use super::reply::{Asked, Refused, Reply};
use crate::access::quotas;
use crate::clients::{AskDemand, Clients};
use crate::rpc::status;

pub(super) async fn agents(State(clients): State<Clients>) -> Reply<Agents> {
    all_agents(&clients).await.map(|agents| Json(Agents { agents }))
}

pub(super) async fn all_agents(clients: &Clients) -> Result<Vec<Agent>, Refused> {
    let reply = clients.list_agents(Request::new(v1::ListAgentsRequest { agent: None })).await?.into_inner();
    Ok(reply.agents.iter().map(Agent::try_from).collect::<Result<_, _>>()?)
}

pub(super) async fn agent(State(clients): State<Clients>, Path(name): Path<String>) -> Reply<ShownAgent> {
    let request = v1::ListAgentsRequest { agent: Some(name.clone()) };
    let reply = clients.list_agents(Request::new(request)).await?.into_inner();
    let found =
        reply.agents.first().ok_or_else(|| Status::not_found(format!("there is no agent {name:?}")))?;
    let (running_jobs, _) = running_of(&clients, Some(found.id.clone())).await?;
    Ok(Json(ShownAgent { agent: Agent::try_from(found)?, running_jobs }))
}

pub(super) async fn running(State(clients): State<Clients>) -> Reply<RunningJobs> {
    let (jobs, cut) = running_of(&clients, None).await?;
    Ok(Json(RunningJobs { jobs, cut }))
}

/// The jobs that agents work on, or one of them; true if there are more.
pub(super) async fn running_of(
    clients: &Clients,
    agent: Option<String>,
) -> Result<(Vec<RunningJob>, bool), Refused> {
    let reply = clients.list_running(Request::new(v1::ListRunningRequest { agent })).await?.into_inner();
    let jobs = reply.jobs.iter().map(RunningJob::try_from).collect::<Result<_, _>>()?;
    Ok((jobs, reply.cut))
}

pub(super) async fn fleet(State(clients): State<Clients>) -> Reply<Fleet> {
    load(&clients).await.map(Json)
}

pub(super) async fn load(clients: &Clients) -> Result<Fleet, Refused> {
    let load = |of: Resources| FleetLoad {
        cpus: of.cpu_millis as f64 / 1_000.0,
        memory_bytes: of.memory_bytes,
        gpus: of.gpus,
    };
    let samples = clients.queue.fleet_samples().await.map_err(status::queue)?;
    let samples = samples.into_iter().map(|sample| FleetSample {
        at: sample.at,
        ready: sample.ready,
        connected: sample.connected,
        running: sample.running,
        offered: load(sample.offered),
        used: load(sample.used),
    });
    Ok(Fleet { samples: samples.collect() })
}

pub(super) async fn demand(State(clients): State<Clients>, Asked(asked): Asked<AskDemand>) -> Reply<Demand> {
    Ok(Json(clients.demand(asked.request()?).await?.into()))
}

pub(super) async fn quotas(State(clients): State<Clients>) -> Reply<Quotas> {
    let quotas = quotas::seen(&clients.queue).await?;
    Ok(Json(Quotas { quotas: quotas.into_iter().map(Quota::from).collect() }))
}

pub(super) async fn limits(State(clients): State<Clients>) -> Reply<Limits> {
    let reply = clients.list_limits(Request::new(v1::ListLimitsRequest {})).await?.into_inner();
    Ok(Json(Limits { limits: reply.limits.into_iter().map(Limit::from).collect() }))
}
