//! What is served over HTTP beside gRPC, on the same port: the page, the JSON API and its description, what it
//! measures, and whether it is alive.
//!
//! Each call asks the service that gRPC's clients ask ([`Clients`]), and answers with the documents that `btctl -o json`
//! prints. All calls are in one table ([`table::ROUTES`]): the router and the description are made from it.

mod actions;
mod compare;
mod describe;
mod download;
mod events;
mod export;
mod filter;
mod health;
mod jobs;
mod judged;
mod log;
mod machines;
mod metrics;
mod page;
mod reply;
mod reported;
mod route;
mod submit;
mod sweeps;
mod table;

use axum::http::{HeaderMap, Uri, header};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use tonic::Status;

use crate::clients::Clients;
pub use describe::openapi;
use health::Health;
use reply::Refused;

/// All that is served over HTTP.
pub(crate) fn router(clients: Clients) -> Router {
    let health = Health { queue: clients.queue.clone(), store: clients.store.clone() };
    let mut router = Router::new();
    for route in table::ROUTES {
        router = router.route(route.path, (route.handler)());
    }
    router
        .with_state(clients.clone())
        .merge(metrics::router(clients.clone()))
        .merge(page::router(clients))
        .merge(describe::router())
        .merge(health::router(health))
        .fallback(nothing_there)
        .layer(from_fn(page::for_people))
        .method_not_allowed_fallback(|uri: Uri| async move { Refused::other_method(uri.path()) })
}

/// A sweep's page as one file.
pub(crate) async fn report(clients: &Clients, sweep: String) -> Result<String, Status> {
    page::report(clients, sweep).await.map_err(Status::from)
}

/// A call of gRPC that there is not is refused in its own way.
async fn nothing_there(uri: Uri, headers: HeaderMap) -> Response {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    match kind {
        Some(kind) if kind.starts_with("application/grpc") => {
            let told = format!("this coordinator does not know {}", uri.path());
            Status::unimplemented(told).into_http::<axum::body::Body>()
        }
        _ => (Extension(page::NoSuchPath), Refused::no_such_path(uri.path())).into_response(),
    }
}
