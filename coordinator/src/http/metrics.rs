//! What Prometheus reads. It asks neither Postgres nor the store, so that it answers while they are away.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use bt_measures::POSTGRES_SESSIONS;

use super::guarded::Guarded;
use crate::access::rights::Right;
use crate::clients::Clients;

pub(super) fn router() -> Guarded<Clients> {
    Guarded::new().get("/metrics", Right::Read, metrics)
}

async fn metrics(State(clients): State<Clients>) -> impl IntoResponse {
    clients.sessions.measure();
    let [idle, used] = clients.queue.sessions();
    POSTGRES_SESSIONS.set(["idle"], idle.into());
    POSTGRES_SESSIONS.set(["used"], used.into());
    ([(header::CONTENT_TYPE, bt_measures::CONTENT_TYPE)], bt_measures::render())
}
