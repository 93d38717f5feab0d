//! What happens, as a stream of server-sent events (the HTML standard, section 9.2).

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::timeout;
use tonic::Status;

use super::reply::{Asked, Refused};
use super::sweeps::listed;
use crate::clients::Clients;
use crate::events::Watcher;
use crate::rpc::status;

/// How long nothing may be sent: proxies end connections that are silent.
const SILENCE: Duration = Duration::from_secs(15);
/// What a client that comes again says, by itself.
const LAST_ID: &str = "last-event-id";

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WatchEvents {
    /// Only events behind this one, as their `id` says; from now on if it is not given. The header `Last-Event-ID` says the
    /// same.
    after: Option<String>,
    /// Only events of this sweep.
    sweep: Option<String>,
    /// Only these kinds, separated by commas: sweep, jobs, attempts, agent.
    kinds: Option<String>,
}

pub(super) async fn watch(
    State(clients): State<Clients>,
    Asked(asked): Asked<WatchEvents>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let last = headers.get(LAST_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let kinds: Vec<String> = listed(asked.kinds.as_deref()).map(str::to_owned).collect();
    let watcher = clients.watch(last.or(asked.after), asked.sweep, kinds).await?;
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // nginx would collect it otherwise.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(stream::try_unfold((watcher, true), next))).into_response())
}

/// The next piece of the stream. The first comes at once, so that whoever asks knows that it has begun.
async fn next((mut watcher, is_first): (Watcher, bool)) -> Result<Option<(Bytes, (Watcher, bool))>, Status> {
    if is_first {
        return Ok(Some((Bytes::from_static(b":\n\n"), (watcher, false))));
    }
    let Ok(events) = timeout(SILENCE, watcher.next()).await else {
        return Ok(Some((Bytes::from_static(b":\n\n"), (watcher, false))));
    };
    let mut text = String::new();
    for known in events.map_err(status::events)? {
        let (event, data) = (&known.event, known.json().map_err(status::events)?);
        text.push_str(&format!("id: {}\nevent: {}\ndata: {data}\n\n", event.id, event.what.kind()));
    }
    Ok(Some((Bytes::from(text), (watcher, false))))
}
