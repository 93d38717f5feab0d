//! Whether the coordinator is alive, and whether it can work: for load balancers, supervisors and people.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bt_store::Store;
use tokio::time::timeout;

use super::guarded::Guarded;
use crate::access::rights::Right;
use crate::queue::Queue;

/// How long Postgres and the store together may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(super) struct Health {
    pub(super) queue: Queue,
    pub(super) store: Store,
}

pub(super) fn router() -> Guarded<Health> {
    Guarded::new().get("/healthz", Right::None, alive).get("/readyz", Right::None, ready)
}

/// It answers: no more is asked.
async fn alive() -> &'static str {
    "ok\n"
}

/// Postgres and the store answer.
async fn ready(State(health): State<Health>) -> Response {
    let looking = async {
        health.queue.known_store().await.map_err(|error| format!("Postgres: {error}"))?;
        let store = |why: &dyn std::fmt::Display| Err(format!("the store: {why}"));
        match health.store.id().await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => store(&format_args!("{} does not hold it; is it mounted?", health.store.location())),
            Err(error) => store(&error),
        }
    };
    let looked = timeout(PATIENCE, looking).await;
    match looked.unwrap_or_else(|_| Err(format!("Postgres or the store does not answer within {PATIENCE:?}")))
    {
        Ok(()) => "ok\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}
