//! How outputs get into the store from here: written by this agent itself, or relayed by a coordinator.
//!
//! It is decided once for each session, by trying: the store must be the coordinator's own (its id stands in its root), and
//! a file must be written and removed there. Where a write fails later because there is no access any more, the relay is
//! used for a while, and then it is tried anew.

use std::fmt;
use std::time::Duration;

use bt_model::encoding::Encoding;
use bt_proto::v1;
use bt_store::Store;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};
use uuid::Uuid;

use crate::store_choice::StoreChoice;

/// How long finding out may take.
const DECISION: Duration = Duration::from_secs(10);

/// How long the relay is used after there was no access any more.
const AGAIN: Duration = Duration::from_secs(300);

/// The way that was decided on.
#[derive(Clone, Debug)]
pub(crate) enum UploadWay {
    Direct(Store),
    /// Through the coordinator, and why.
    Relay(String),
}

impl fmt::Display for UploadWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct(store) => write!(f, "direct: {}", store.location()),
            Self::Relay(why) => write!(f, "relayed: {why}"),
        }
    }
}

/// The decision, as the rest of the agent sees it.
#[derive(Debug)]
pub(crate) struct Reach {
    choice: StoreChoice,
    way: watch::Sender<Option<UploadWay>>,
    fell_back: Notify,
    /// How outputs are to be stored; none before the first word of a coordinator.
    encoding: watch::Sender<Option<Encoding>>,
}

impl Reach {
    pub(crate) fn new(choice: StoreChoice) -> Self {
        Self {
            choice,
            way: watch::Sender::new(None),
            fell_back: Notify::new(),
            encoding: watch::Sender::new(None),
        }
    }

    /// Waits until it is decided.
    pub(crate) async fn way(&self) -> UploadWay {
        some(&self.way).await
    }

    /// The store, where it is written to from here.
    pub(crate) fn store(&self) -> Option<Store> {
        match self.way.borrow().as_ref()? {
            UploadWay::Direct(store) => Some(store.clone()),
            UploadWay::Relay(_) => None,
        }
    }

    /// How outputs are to be stored, once a coordinator has said it.
    pub(crate) async fn encoding(&self) -> Encoding {
        some(&self.encoding).await
    }

    /// What was decided, for people; nothing while it is not.
    pub(crate) fn told(&self) -> String {
        self.way.borrow().as_ref().map(UploadWay::to_string).unwrap_or_default()
    }

    /// Hears of the next decisions.
    pub(crate) fn decisions(&self) -> watch::Receiver<Option<UploadWay>> {
        self.way.subscribe()
    }

    /// Decides for the session that has begun with this Welcome, until it ends.
    pub(crate) async fn decide(&self, welcome: &v1::Welcome) {
        let encoding = Encoding::from(welcome.encoding());
        self.encoding.send_replace(Some(encoding));
        self.way.send_replace(None);
        loop {
            let looked = timeout(DECISION, look(&self.choice, &welcome.store, &welcome.store_id)).await;
            let way = match looked {
                Ok(Ok(store)) => UploadWay::Direct(store),
                Ok(Err(why)) => UploadWay::Relay(why),
                Err(_) => {
                    UploadWay::Relay(format!("the store did not answer within {} s", DECISION.as_secs()))
                }
            };
            info!("outputs are {way}");
            self.way.send_replace(Some(way));
            self.fell_back.notified().await;
            sleep(AGAIN).await;
        }
    }

    /// Uses the relay for now.
    pub(crate) fn fall_back(&self, why: &str) {
        if matches!(*self.way.borrow(), Some(UploadWay::Relay(_))) {
            return;
        }
        let why = format!("it could be written to at first, but then: {why}");
        warn!("outputs are sent through the coordinator: {why}");
        self.way.send_replace(Some(UploadWay::Relay(why)));
        self.fell_back.notify_one();
    }
}

async fn some<T: Clone>(told: &watch::Sender<Option<T>>) -> T {
    let mut changes = told.subscribe();
    loop {
        if let Some(value) = changes.borrow_and_update().clone() {
            return value;
        }
        if changes.changed().await.is_err() {
            unreachable!("the sender is held by self");
        }
    }
}

/// The store, if it is reached from here. The error says why it is not.
async fn look(choice: &StoreChoice, told: &str, id: &str) -> Result<Store, String> {
    let id: Uuid = id.parse().map_err(|_| "the coordinator does not say which store it has".to_owned())?;
    let location = match choice {
        StoreChoice::Relay => return Err("--store relay asks for it".to_owned()),
        StoreChoice::At(location) => location.clone(),
        StoreChoice::Auto => told.parse().map_err(|error: bt_store::Unreadable| error.to_string())?,
    };
    // A directory may hang, as one that is mounted from a machine that is away.
    let opening = location.clone();
    let opened = tokio::task::spawn_blocking(move || Store::open_existing(&opening)).await;
    let opened = opened.map_err(|error| error.to_string())?;
    let mut store = opened.map_err(|error| error.to_string())?;
    store.find().await.map_err(|error| error.to_string())?;
    if !store.recognise(id).await.map_err(|error| error.to_string())? {
        return Err(format!("{location} is there, but it is not the coordinator's store"));
    }
    store.prove_shared().await.map_err(|error| error.to_string())?;
    Ok(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn looked(choice: StoreChoice, told: &str, id: Uuid) -> Result<Store, String> {
        look(&choice, told, &id.to_string()).await
    }

    #[tokio::test]
    async fn only_the_coordinators_own_store_is_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().join("store");
        let told = here.display().to_string();
        let id = Uuid::new_v4();
        assert!(looked(StoreChoice::Auto, &told, id).await.is_err());
        assert!(!here.exists(), "nothing is made");
        std::fs::create_dir(&here).unwrap();
        let other = looked(StoreChoice::Auto, &told, id).await.unwrap_err();
        assert!(other.contains("not the coordinator's"), "{other}");
        let id = Store::open(&told.parse().unwrap()).unwrap().claim().await.unwrap();
        assert!(looked(StoreChoice::Auto, &told, id).await.is_ok());
        assert!(looked(StoreChoice::Auto, &told, Uuid::new_v4()).await.is_err());
        assert!(looked(StoreChoice::Relay, &told, id).await.is_err());
        let at = StoreChoice::At(told.parse().unwrap());
        assert!(looked(at, "/elsewhere", id).await.is_ok());
        assert_eq!(std::fs::read_dir(&here).unwrap().count(), 1, "no probe is left");
    }
}
