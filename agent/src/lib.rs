//! The agent: runs attempts in containers on one machine, and streams their outputs back.

mod config;

use tokio_util::sync::CancellationToken;

pub use config::{Options, Place};

/// How an agent is told to end. `drain` first: no new work, running jobs may finish for the drain timeout. Then `now`:
/// what still runs is stopped and handed back.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    pub drain: CancellationToken,
    pub now: CancellationToken,
}

/// Works until told to end.
pub async fn run(options: Options, place: Place, shutdown: Shutdown) -> anyhow::Result<()> {
    let _ = (options, place, shutdown);
    anyhow::bail!("not built yet")
}
