//! What the coordinator logs, to be read and changed while it runs.

use axum::Json;
use axum::extract::State;
use bt_documents::LogFilter;
use schemars::JsonSchema;
use serde::Deserialize;
use tonic::Status;

use super::reply::{Given, Reply};
use crate::clients::Clients;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// error, warn, info, debug, or a filter such as info,bt_coordinator=debug.
    filter: String,
}

pub(super) async fn read(State(clients): State<Clients>) -> Reply<LogFilter> {
    Ok(Json(LogFilter { filter: (clients.log.read)() }))
}

pub(super) async fn change(State(clients): State<Clients>, Given(given): Given<Change>) -> Reply<LogFilter> {
    (clients.log.change)(&given.filter).map_err(Status::invalid_argument)?;
    read(State(clients)).await
}
