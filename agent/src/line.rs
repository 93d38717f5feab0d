//! What goes between the agent and coordinators or the store: the connection, reports, outputs and logs.

pub(crate) mod fetched;
pub(crate) mod link;
pub(crate) mod outbox;
mod pace;
pub(crate) mod progress;
pub(crate) mod push_log;
pub(crate) mod reach;
pub(crate) mod shipping;
pub(crate) mod upload;

use std::sync::Arc;

use link::Link;
use outbox::Outbox;
use pace::Pace;
use progress::ProgressBox;
use reach::Reach;
use tokio::sync::Semaphore;

use crate::site::Site;
use crate::store_choice::StoreChoice;

/// Files that all attempts of an agent send at once while their jobs run.
const SHIPPED_AT_ONCE: usize = 2;

/// The lines that lead from the machine.
pub(crate) struct Line {
    pub(crate) site: Arc<Site>,
    pub(crate) link: Link,
    pub(crate) outbox: Outbox,
    pub(crate) progress: ProgressBox,
    /// How outputs get into the store.
    pub(crate) reach: Reach,
    /// Turns of outputs that are sent at once, and how fast all of them together.
    uploads: Semaphore,
    pace: Pace,
    /// Turns of files that are sent while their jobs run.
    shipping: Semaphore,
}

impl Line {
    pub(crate) fn new(site: Arc<Site>, store: StoreChoice) -> Self {
        Self {
            link: Link::new(),
            outbox: Outbox::default(),
            progress: ProgressBox::default(),
            reach: Reach::new(store),
            uploads: Semaphore::new(site.options.uploads_at_once as usize),
            pace: Pace::new(site.options.upload_rate),
            shipping: Semaphore::new(SHIPPED_AT_ONCE),
            site,
        }
    }
}
