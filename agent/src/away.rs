//! Whether the machine's owner lends it now, as all parts of the agent know it, and when its containers stood still.

mod frozen;

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, RwLock, RwLockReadGuard, watch};

use frozen::Stretches;

/// Whether the machine is away from the agent, and what is frozen.
#[derive(Debug)]
pub(crate) struct Away {
    /// Empty while it is available.
    why: watch::Sender<String>,
    pub(crate) frozen: watch::Sender<bool>,
    /// Read by whoever starts something, written by who freezes.
    pub(crate) starts: RwLock<()>,
    pub(crate) stretches: Stretches,
    news: Notify,
}

impl Away {
    /// As an earlier run of the agent has left it.
    pub(crate) fn open(file: PathBuf) -> Self {
        let stretches = Stretches::read(file);
        Self {
            why: watch::Sender::default(),
            frozen: watch::Sender::new(stretches.open_since().is_some()),
            starts: RwLock::default(),
            stretches,
            news: Notify::new(),
        }
    }

    /// Why it is not available; empty while it is.
    pub(crate) fn why(&self) -> String {
        self.why.borrow().clone()
    }

    /// Waits until coordinators should hear of it at once.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// Waits until it is not available, and says why.
    pub(crate) async fn gone(&self) -> String {
        let mut whys = self.why.subscribe();
        // The sender is held by self.
        whys.wait_for(|why| !why.is_empty()).await.ok();
        self.told()
    }

    /// Why an attempt that has not started is handed back at once, if so.
    pub(crate) fn refuses(&self, has_started: bool) -> Option<String> {
        (!has_started && !self.why.borrow().is_empty()).then(|| self.told())
    }

    pub(crate) fn told(&self) -> String {
        format!("its machine is not available: {}", self.why())
    }

    /// Waits until nothing is frozen.
    pub(crate) async fn thawed(&self) {
        // The sender is held by self.
        self.frozen.subscribe().wait_for(|frozen| !frozen).await.ok();
    }

    /// Waits until something may be started. Nothing is frozen for as long as what it returns lives.
    pub(crate) async fn may_start(&self) -> RwLockReadGuard<'_, ()> {
        loop {
            let starting = self.starts.read().await;
            if !*self.frozen.borrow() {
                return starting;
            }
            drop(starting);
            self.thawed().await;
        }
    }

    /// For how long what was started then stood still.
    pub(crate) fn frozen_since(&self, started: Timestamp) -> Duration {
        self.stretches.within(started, Timestamp::now())
    }

    /// Has it be not available for this reason, or available again.
    pub(crate) fn note(&self, why: String) {
        let is_news = self.why.send_if_modified(|known| {
            let is_news = *known != why;
            *known = why;
            is_news
        });
        if is_news {
            self.news.notify_one();
        }
    }
}
