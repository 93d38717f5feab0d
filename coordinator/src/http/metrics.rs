//! What Prometheus reads. It asks neither Postgres nor the store, so that it answers while they are away.

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use bt_measures::POSTGRES_SESSIONS;

use crate::clients::Clients;

pub(super) fn router(clients: Clients) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(clients)
}

async fn metrics(State(clients): State<Clients>) -> impl IntoResponse {
    clients.sessions.measure();
    let [idle, used] = clients.queue.sessions();
    POSTGRES_SESSIONS.set(["idle"], idle.into());
    POSTGRES_SESSIONS.set(["used"], used.into());
    ([(header::CONTENT_TYPE, bt_measures::CONTENT_TYPE)], bt_measures::render())
}
