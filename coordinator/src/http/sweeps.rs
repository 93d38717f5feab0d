//! Sweeps.

use axum::Json;
use axum::extract::{Path, State};
use bt_documents::{ShownSweep, Sweep, SweepLandscape, SweepReport, Sweeps, Walk};
use bt_proto::convert::timestamp;
use bt_proto::v1;
use bt_proto::v1::sweeps_server::Sweeps as _;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use tonic::{Request, Status};

use super::reply::{Asked, Refused, Reply};
use crate::clients::Clients;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListSweeps {
    /// True: the finished ones as well.
    #[serde(default)]
    pub(super) all: bool,
    /// Sweeps at most; 100 if it is not given.
    pub(super) limit: Option<u32>,
    /// Only these states, separated by commas: queued, running, paused, open, succeeded, failed, cancelled.
    pub(super) state: Option<String>,
    /// Only this owner's.
    pub(super) owner: Option<String>,
    /// Only those of this name, in which * stands for any characters.
    pub(super) name: Option<String>,
    /// Only those with all of these tags, separated by commas.
    pub(super) tags: Option<String>,
    /// Only those that were submitted then or later.
    pub(super) since: Option<Timestamp>,
}

pub(super) async fn list(State(clients): State<Clients>, Asked(asked): Asked<ListSweeps>) -> Reply<Sweeps> {
    listed_sweeps(&clients, asked).await.map(Json)
}

pub(super) async fn listed_sweeps(clients: &Clients, asked: ListSweeps) -> Result<Sweeps, Refused> {
    let states = listed(asked.state.as_deref()).map(state);
    let request = v1::ListSweepsRequest {
        all: asked.all,
        limit: asked.limit,
        states: states.collect::<Result<_, _>>()?,
        owner: asked.owner,
        name: asked.name,
        since: asked.since.map(timestamp),
        tags: listed(asked.tags.as_deref()).map(str::to_owned).collect(),
    };
    let reply = clients.list_sweeps(Request::new(request)).await?.into_inner();
    let sweeps = reply.sweeps.iter().map(Sweep::try_from).collect::<Result<_, _>>()?;
    Ok(Sweeps { sweeps, hidden: reply.hidden })
}

pub(super) async fn show(State(clients): State<Clients>, Path(sweep): Path<String>) -> Reply<ShownSweep> {
    shown_sweep(&clients, sweep).await.map(Json)
}

pub(super) async fn shown_sweep(clients: &Clients, sweep: String) -> Result<ShownSweep, Refused> {
    Ok(ShownSweep::try_from(&report(clients, sweep).await?)?)
}

/// A sweep and what is to be said of it, as gRPC's clients get it.
pub(super) async fn report(clients: &Clients, sweep: String) -> Result<SweepReport, Refused> {
    let reply = clients.show_sweep(Request::new(v1::ShowSweepRequest { sweep })).await?.into_inner();
    Ok(SweepReport::try_from(reply).map_err(bt_documents::Unreadable::from)?)
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ShowLandscape {
    /// The metric; if it is not given, the manifest's first goal, or a usual one.
    by: Option<String>,
    /// The parameter of the map's columns; if it is not given, one of the two that matter most.
    across: Option<String>,
    /// The parameter of the map's rows.
    down: Option<String>,
}

pub(super) async fn landscape(
    State(clients): State<Clients>,
    Path(sweep): Path<String>,
    Asked(asked): Asked<ShowLandscape>,
) -> Reply<SweepLandscape> {
    let ShowLandscape { by, across, down } = asked;
    let request = v1::ShowLandscapeRequest { sweep, metric: by, across, down };
    let reply = clients.show_landscape(Request::new(request)).await?.into_inner();
    Ok(Json(reply.into()))
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ShowWalk {
    /// The metric; if it is not given, that of the manifest's `select`, or a usual one.
    by: Option<String>,
}

pub(super) async fn walk(
    State(clients): State<Clients>,
    Path(sweep): Path<String>,
    Asked(asked): Asked<ShowWalk>,
) -> Reply<Walk> {
    let request = v1::ShowWalkRequest { sweep, metric: asked.by };
    let reply = clients.show_walk(Request::new(request)).await?.into_inner();
    Ok(Json(Walk::try_from(reply)?))
}

/// What a text lists, separated by commas.
pub(super) fn listed(text: Option<&str>) -> impl Iterator<Item = &str> {
    text.unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty())
}

fn state(name: &str) -> Result<i32, Status> {
    let state = match name {
        "queued" => v1::SweepState::Queued,
        "running" => v1::SweepState::Running,
        "paused" => v1::SweepState::Paused,
        "open" => v1::SweepState::Open,
        "succeeded" => v1::SweepState::Succeeded,
        "failed" => v1::SweepState::Failed,
        "cancelled" => v1::SweepState::Cancelled,
        _ => {
            return Err(Status::invalid_argument(format!(
                "{name:?} is not the state of a sweep; states are queued, running, paused, open, succeeded, failed and cancelled"
            )));
        }
    };
    Ok(state.into())
}
