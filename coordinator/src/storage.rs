//! The store when a coordinator starts: opened, known by its id, and proved to be writable before anything relies on it.

use std::time::Duration;

use anyhow::Context;
use bt_store::{Error, Location, Store};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

/// The wait between two tries to use a store that may be there later.
const AGAIN: Duration = Duration::from_secs(2);

/// Opens the store, and waits for one that can't be reached now. What nobody but its owner can put right is an error.
/// None if it is time to stop.
pub(crate) async fn open(
    location: &Location,
    shutdown: &CancellationToken,
) -> anyhow::Result<Option<(Store, Uuid)>> {
    let mut told = false;
    loop {
        let claimed = tokio::select! {
            claimed = claim(location) => claimed,
            () = shutdown.cancelled() => return Ok(None),
        };
        match claimed {
            Ok(claimed) => return Ok(Some(claimed)),
            Err(error) if error.may_pass() => {
                if !told {
                    warn!(error = %error, "waiting for the store");
                    told = true;
                }
            }
            Err(error) => return Err(error).context("open the store"),
        }
        if timeout(AGAIN, shutdown.cancelled()).await.is_ok() {
            return Ok(None);
        }
    }
}

async fn claim(location: &Location) -> Result<(Store, Uuid), Error> {
    let mut store = Store::open(location)?;
    let id = store.claim().await?;
    match store.prove_writable().await {
        // Jobs can go on meanwhile.
        Err(error @ Error::Full { .. }) => warn!(error = %error, "results wait until there is room"),
        proved => proved?,
    }
    Ok((store, id))
}
