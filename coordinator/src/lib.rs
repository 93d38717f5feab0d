//! The coordinator: keeps the queue in Postgres, dispatches jobs to agents, and publishes what they bring back.

mod config;

use std::net::SocketAddr;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

pub use config::Options;

/// Serves until `shutdown`, and says on `ready` which address it listens on.
pub async fn run(
    options: Options,
    ready: oneshot::Sender<SocketAddr>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let _ = (options, ready, shutdown);
    anyhow::bail!("not built yet")
}
