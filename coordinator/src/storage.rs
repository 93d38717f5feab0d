//! The store when a coordinator starts: opened, known by its id, compared with what the queue knows of it, and proved to be
//! writable before anything relies on it.
//!
//! Results that the queue knows are in one store, and the store's results are known to one queue. Where either is another
//! one, or a copy that was put back, the coordinator does not start: `--adopt-store` says that it is meant.

use std::time::Duration;

use anyhow::Context;
use bt_store::{Generation, Location, Store};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::queue::{self, KnownStore, Queue};

/// The wait between two tries to use a store that may be there later.
const AGAIN: Duration = Duration::from_secs(2);
/// How often the queue tells the store that both belong together: what was done since a copy was made is noticed if it was
/// made so long before.
const TELL: Duration = Duration::from_secs(600);
/// How long one telling may take.
const TELLING: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Store(#[from] bt_store::Error),
    #[error(transparent)]
    Queue(#[from] queue::Error),
    #[error(
        "the results of this queue are in the store {known}, and {given} is {what}; start with --store {known}, or, if \
         {given} is to be used from now on, once with --adopt-store: results that are not in it will be missing"
    )]
    AnotherStore { known: String, given: String, what: String },
    #[error(
        "the store {given} belongs to another queue (another database); use that queue, or give a store of its own, or, if \
         the other queue is given up, start once with --adopt-store"
    )]
    AnotherQueue { given: String },
    #[error(
        "the database is older than the store {given}, as one that was restored from a backup: sweeps and results that came \
         after the backup are unknown to it, and their jobs would run again; restore a newer one, or, if that is all there \
         is, start once with --adopt-store"
    )]
    OldDatabase { given: String },
    #[error(
        "the store {given} is older than the database, as one that was restored from a backup: results that came after \
         the backup are missing in it; restore a newer one, or, if that is all there is, start once with --adopt-store and \
         look for what is missing with `btctl results verify`"
    )]
    OldStore { given: String },
}

impl Error {
    /// True where a start with `--adopt-store` would go on.
    pub(crate) fn can_adopt(&self) -> bool {
        matches!(
            self,
            Self::AnotherStore { .. }
                | Self::AnotherQueue { .. }
                | Self::OldDatabase { .. }
                | Self::OldStore { .. }
        )
    }

    /// True where waiting may help.
    fn may_pass(&self) -> bool {
        match self {
            Self::Store(error) => error.may_pass(),
            Self::Queue(error) => error.is_transient(),
            _ => false,
        }
    }
}

/// Opens the store, and waits for one that can't be reached now. What only its owner can put right is an error. None if it
/// is time to stop.
pub(crate) async fn open(
    location: &Location,
    adopt: bool,
    queue: &Queue,
    shutdown: &CancellationToken,
) -> anyhow::Result<Option<(Store, Uuid)>> {
    let mut told = false;
    loop {
        let claimed = tokio::select! {
            claimed = claim(location, adopt, queue) => claimed,
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

/// Tells the store again and again that the queue is the one that it belongs to.
pub(crate) async fn keep_telling(queue: Queue, store: Store, id: Uuid, shutdown: CancellationToken) {
    while timeout(TELL, shutdown.cancelled()).await.is_err() {
        let told = timeout(TELLING, tell(&queue, &store, id)).await;
        match told {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(error = %error, "the store does not hear how far the queue is"),
            Err(_) => warn!("the store does not answer within {TELLING:?}"),
        }
    }
}

async fn claim(location: &Location, adopt: bool, queue: &Queue) -> Result<(Store, Uuid), Error> {
    let known = queue.known_store().await?.filter(|_| !adopt);
    let given = location.to_string();
    let mut store = match &known {
        Some(known) => open_known(location, known)?,
        None => Store::open(location)?,
    };
    store.find().await?;
    if let Some(known) = &known {
        must_be(known, store.id().await?, location)?;
    }
    let id = store.claim().await?;
    match store.prove_writable().await {
        // Jobs can go on meanwhile.
        Err(error @ bt_store::Error::Full { .. }) => {
            warn!(error = %error, "results wait until there is room");
        }
        proved => proved?,
    }
    queue.bind_store(id, &given).await?;
    let there = store.generation().await?;
    if adopt {
        queue.adopt_store(id, &given, there.map_or(0, |there| there.number)).await?;
        info!("the results are in the store {given} from now on");
    }
    let known = queue.known_store().await?.filter(|_| !adopt);
    if let Some(known) = &known {
        compare(known, id, given, there)?;
    }
    tell(queue, &store, id).await?;
    Ok((store, id))
}

/// Looks whether a store can be used for a queue, as [`open`] would, and makes nothing. What stands in the way is an error.
/// Returns whether there is a store yet.
pub(crate) async fn look(location: &Location, known: Option<&KnownStore>) -> Result<bool, Error> {
    let mut store = match known {
        Some(known) => open_known(location, known)?,
        None => Store::open_existing(location)?,
    };
    store.find().await?;
    let id = store.id().await?;
    if let Some(known) = known {
        must_be(known, id, location)?;
    }
    store.prove_writable().await?;
    let there = store.generation().await?;
    if let (Some(known), Some(id)) = (known, id) {
        compare(known, id, location.to_string(), there)?;
    }
    Ok(id.is_some())
}

/// Opens the store that the queue knows. What is missing is not made: it may be the place where the store is not mounted.
fn open_known(location: &Location, known: &KnownStore) -> Result<Store, Error> {
    match Store::open_existing(location) {
        Err(bt_store::Error::Root { why, .. }) => {
            Err(another(known, location.to_string(), format!("no directory that can be read ({why})")))
        }
        opened => Ok(opened?),
    }
}

/// Refuses a store with another id than the one that the queue knows, or with none.
fn must_be(known: &KnownStore, id: Option<Uuid>, location: &Location) -> Result<(), Error> {
    let what = match id {
        Some(id) if id == known.store => return Ok(()),
        Some(_) => "another store",
        None => "none that was used before; is it mounted?",
    };
    Err(another(known, location.to_string(), what.to_owned()))
}

fn another(known: &KnownStore, given: String, what: String) -> Error {
    Error::AnotherStore { known: known.location.clone(), given, what }
}

/// Whether queue and store belong together, and neither is behind.
fn compare(known: &KnownStore, id: Uuid, given: String, there: Option<Generation>) -> Result<(), Error> {
    if known.store != id {
        // Two coordinators started at once, each with another store.
        return Err(another(known, given, "another store".to_owned()));
    }
    if there.is_some_and(|there| there.queue != known.queue) {
        return Err(Error::AnotherQueue { given });
    }
    let number = there.map_or(0, |there| there.number);
    if there.is_some() && number > known.generation {
        return Err(Error::OldDatabase { given });
    }
    if number < known.confirmed {
        return Err(Error::OldStore { given });
    }
    Ok(())
}

/// The queue first: a store that has heard of a generation that the queue has not is newer than the queue.
async fn tell(queue: &Queue, store: &Store, id: Uuid) -> Result<(), Error> {
    let location = store.location().to_string();
    let Some(number) = queue.raise_generation(id, &location).await? else {
        let known = queue.known_store().await?;
        let known = known.map_or_else(|| "another one".to_owned(), |known| known.location);
        return Err(Error::AnotherStore { known, given: location, what: "not used any more".to_owned() });
    };
    let known = queue.known_store().await?;
    if let Some(known) = known {
        match store.note_generation(Generation { number, queue: known.queue }).await {
            Err(error @ bt_store::Error::Full { .. }) => {
                warn!(error = %error, "the store does not hear how far the queue is");
            }
            noted => {
                noted?;
                queue.confirm_generation(id, number).await?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_and_store_must_belong_together_and_be_of_one_age() {
        let (queue, id) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let known =
            KnownStore { queue, store: id, location: "/srv/results".to_owned(), generation: 7, confirmed: 6 };
        let there = |number, queue| Some(Generation { number, queue });
        let compare = |id, there| compare(&known, id, "/given".to_owned(), there);
        for number in [6, 7] {
            assert!(compare(id, there(number, queue)).is_ok(), "{number}");
        }
        assert!(matches!(compare(Uuid::from_u128(3), None), Err(Error::AnotherStore { .. })));
        assert!(matches!(compare(id, there(6, Uuid::from_u128(3))), Err(Error::AnotherQueue { .. })));
        assert!(matches!(compare(id, there(8, queue)), Err(Error::OldDatabase { .. })));
        assert!(matches!(compare(id, there(5, queue)), Err(Error::OldStore { .. })));
        assert!(matches!(compare(id, None), Err(Error::OldStore { .. })));
    }
}
