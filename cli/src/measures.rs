//! What an agent measures, served for Prometheus on an address of its own: agents listen on no other.

use std::net::SocketAddr;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tracing::{error, info};

use crate::error::Error;

/// Begins to record, for all that runs in this process.
pub(crate) fn record() {
    bt_measures::start(env!("CARGO_PKG_VERSION"));
}

/// Begins to record, and to serve as one of these tasks.
pub(crate) async fn serve(address: SocketAddr, tasks: &mut JoinSet<()>) -> Result<(), Error> {
    record();
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Error::Failed(format!("--metrics-address {address} can't be listened on: {error}; give another port"))
    })?;
    info!("metrics are at http://{address}/metrics");
    let metrics = async || ([(header::CONTENT_TYPE, bt_measures::CONTENT_TYPE)], bt_measures::render());
    let router = Router::new().route("/metrics", get(metrics));
    tasks.spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            error!(error = %error, "metrics are not served any more");
        }
    });
    Ok(())
}
