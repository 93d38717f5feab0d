//! What is served over HTTP beside gRPC, on the same port: the page, the JSON API and its description, what it
//! measures, and whether it is alive.
//!
//! Each call asks the service that gRPC's clients ask ([`Clients`]), and answers with the documents that `btctl -o json`
//! prints. All calls are in one table ([`table`]): the router and the description are made from it.

mod actions;
mod aliases;
mod compare;
mod describe;
mod download;
mod events;
mod export;
mod filter;
mod guarded;
mod health;
mod jobs;
mod judged;
mod log;
mod login;
mod machines;
mod metrics;
mod page;
mod reply;
mod reported;
mod route;
mod schedules;
mod sign_in;
mod submit;
mod sweeps;
mod table;

use std::net::IpAddr;

use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, Uri, header};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use tonic::{Code, Status};

use crate::access::Access;
use crate::access::rights::Right;
use crate::clients::Clients;
use crate::oidc::Oidc;
pub use describe::openapi;
use guarded::Guarded;
pub(crate) use guarded::Rights;
use health::Health;
use login::Doorway;
pub(crate) use login::cookie;
use reply::Refused;

/// With these a proxy says whom it calls for.
const FORWARDED: [&str; 5] = ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];

/// All that is served over HTTP.
pub(crate) fn router(clients: Clients, access: Access, oidc: Option<Oidc>) -> (Router, Rights) {
    let health = Health { queue: clients.queue.clone(), store: clients.store.clone() };
    let all = api()
        .with_state(clients.clone())
        .merge(metrics::router().with_state(clients.clone()))
        .merge(page::router().with_state(clients))
        .merge(login::router().with_state(Doorway { access, oidc }))
        .merge(describe::router())
        .merge(health::router().with_state(health));
    let (router, rights) = all.into_parts();
    let router = router
        .fallback(nothing_there)
        .layer(from_fn(page::for_people))
        .method_not_allowed_fallback(|uri: Uri| async move { Refused::other_method(uri.path()) });
    (router, rights)
}

fn api() -> Guarded<Clients> {
    let mut api = Guarded::new();
    for route in table::routes() {
        let method = if route.method == "post" { Method::POST } else { Method::GET };
        api = api.add(method, route.path, route.right, (route.handler)());
    }
    api
}

/// What each route needs, in the order of the routes.
pub(crate) fn rights() -> Vec<(Method, String, Right)> {
    let parts = [
        api().into_parts().1,
        metrics::router().into_parts().1,
        page::router().into_parts().1,
        login::router().into_parts().1,
        describe::router().into_parts().1,
        health::router().into_parts().1,
    ];
    let mut all: Vec<_> = parts.iter().flat_map(Rights::all).collect();
    all.sort_by(|a, b| (&a.1, a.0.as_str()).cmp(&(&b.1, b.0.as_str())));
    all
}

/// What a call is told whose route has no such method.
pub(crate) fn other_method(path: &str) -> Response {
    Refused::other_method(path).into_response()
}

/// A refusal: for a person who is not logged in a page to log in with, for programs JSON.
pub(crate) fn refused(parts: &Parts, status: Status, oidc: Option<&Oidc>) -> Response {
    let path = parts.uri.path();
    if !page::is_page_asked(&parts.method, path, &parts.headers) {
        return Refused::from(status).into_response();
    }
    match status.code() {
        Code::Unauthenticated => {
            login::needed(&parts.uri, &parts.headers, status.message(), oidc.map(Oidc::host))
        }
        _ => page::refused(path, &Refused::from(status)),
    }
}

/// Whether a form was sent by a page of this coordinator.
pub(crate) fn is_sent_by_own_page(headers: &HeaderMap) -> Result<(), Status> {
    page::is_sent_by_own_page(headers).map_err(Status::from)
}

/// Whether a call came straight to this machine's own name, by no proxy.
pub(crate) fn is_called_locally(parts: &Parts) -> bool {
    let host = parts.uri.authority().map(|authority| authority.as_str());
    let host = host.or_else(|| parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()));
    let name = host.and_then(|host| host.parse::<Authority>().ok());
    let is_own = name.is_some_and(|name| {
        let name = name.host().trim_start_matches('[').trim_end_matches(']');
        name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    });
    is_own && !FORWARDED.iter().any(|name| parts.headers.contains_key(*name))
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
