//! Agents, what they work on, and limits.

use std::collections::HashMap;
use std::fmt::Display;

use axum::Json;
use axum::extract::{Path, State};
use bt_documents::{
    Agent, Agents, Demand, Fleet, FleetLoad, FleetSample, Limit, Limits, Quota, Quotas, RunningJob,
    RunningJobs, ShownAgent,
};
use bt_model::manifest::{parse_cpus, parse_size};
use bt_model::resources::Resources;
use bt_proto::v1;
use bt_proto::v1::sweeps_server::Sweeps as _;
use schemars::JsonSchema;
use serde::Deserialize;
use tonic::{Request, Status};

use super::reply::{Asked, Refused, Reply};
use super::sweeps::listed;
use crate::access::quotas;
use crate::clients::Clients;
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

/// A kind of agents; without `cpus` and `memory`, the kinds that are connected.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AskDemand {
    /// Cpus that such an agent offers, e.g. 16.
    cpus: Option<String>,
    /// Memory that it offers, e.g. 64GiB.
    memory: Option<String>,
    gpus: Option<u32>,
    /// Jobs that it runs at once, at most.
    jobs: Option<u32>,
    /// Its labels, separated by commas: pool=spot,zone=a.
    labels: Option<String>,
    /// In what time the queue is to be done; 15m if it is not given.
    within: Option<String>,
    /// For how long more agents than are wanted now count; 5m if it is not given.
    hold: Option<String>,
}

pub(super) async fn demand(State(clients): State<Clients>, Asked(asked): Asked<AskDemand>) -> Reply<Demand> {
    let wrong = |what: &str, error: &dyn Display| Status::invalid_argument(format!("`{what}`: {error}"));
    let size = match (asked.cpus.as_deref(), asked.memory.as_deref()) {
        (Some(cpus), Some(memory)) => Some(v1::Resources {
            cpu_millis: parse_cpus(cpus).map_err(|error| wrong("cpus", &error))?,
            memory_bytes: parse_size(memory).map_err(|error| wrong("memory", &error))?,
            gpus: asked.gpus.unwrap_or(0),
            disk_bytes: u64::MAX,
            jobs: asked.jobs.unwrap_or(u32::MAX),
        }),
        (None, None) if asked.gpus.is_none() && asked.jobs.is_none() => None,
        _ => return Err(Status::invalid_argument("the size of an agent is `cpus` and `memory`, both").into()),
    };
    let mut labels = HashMap::new();
    for text in listed(asked.labels.as_deref()) {
        let Some((key, value)) = text.split_once('=') else {
            return Err(wrong("labels", &format!("{text:?} is not of the form KEY=VALUE")).into());
        };
        labels.insert(key.to_owned(), value.to_owned());
    }
    let seconds = |what: &str, text: Option<&str>| match text {
        None => Ok(0),
        Some(text) => match humantime::parse_duration(text) {
            Ok(span) if span.as_secs() > 0 => Ok(span.as_secs()),
            Ok(_) => Err(wrong(what, &"it is at least a second")),
            Err(error) => Err(wrong(what, &format!("{error}; write 15m or 90s"))),
        },
    };
    let request = v1::GetDemandRequest {
        size,
        labels,
        within_seconds: seconds("within", asked.within.as_deref())?,
        hold_seconds: seconds("hold", asked.hold.as_deref())?,
    };
    Ok(Json(clients.demand(request).await?.into()))
}

pub(super) async fn quotas(State(clients): State<Clients>) -> Reply<Quotas> {
    let quotas = quotas::seen(&clients.queue).await?;
    Ok(Json(Quotas { quotas: quotas.into_iter().map(Quota::from).collect() }))
}

pub(super) async fn limits(State(clients): State<Clients>) -> Reply<Limits> {
    let reply = clients.list_limits(Request::new(v1::ListLimitsRequest {})).await?.into_inner();
    Ok(Json(Limits { limits: reply.limits.into_iter().map(Limit::from).collect() }))
}
