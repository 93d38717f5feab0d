//! What all parts of a running agent share.

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::assignment::Manifests;
use crate::capacity::Capacity;
use crate::config::Options;
use crate::container::Identity;
use crate::engine::Engine;
use crate::holdings::Holdings;
use crate::link::Link;
use crate::offer::Offer;
use crate::outbox::Outbox;
use crate::workdir::StateDir;

/// A running agent.
pub(crate) struct Agent {
    pub(crate) options: Options,
    pub(crate) identity: Identity,
    pub(crate) offer: Offer,
    pub(crate) engine: Engine,
    pub(crate) engine_version: String,
    pub(crate) state: StateDir,
    pub(crate) manifests: Manifests,
    pub(crate) capacity: Capacity,
    pub(crate) holdings: Holdings,
    pub(crate) outbox: Outbox,
    pub(crate) link: Link,
    pub(crate) tasks: TaskTracker,
    /// No new work is wanted.
    pub(crate) draining: CancellationToken,
    /// The machine is being taken back by its owner.
    pub(crate) preempted: AtomicBool,
    unhealthy: Mutex<String>,
}

impl Agent {
    pub(crate) fn new(
        options: Options,
        identity: Identity,
        offer: Offer,
        engine: (Engine, String),
        state: StateDir,
        draining: CancellationToken,
    ) -> Self {
        Self {
            capacity: Capacity::new(offer.capacity),
            manifests: Manifests::default(),
            options,
            identity,
            offer,
            engine: engine.0,
            engine_version: engine.1,
            state,
            holdings: Holdings::default(),
            outbox: Outbox::default(),
            link: Link::new(),
            tasks: TaskTracker::new(),
            draining,
            preempted: AtomicBool::new(false),
            unhealthy: Mutex::default(),
        }
    }

    /// Why the engine can't run containers now; empty when it can.
    pub(crate) fn unhealthy(&self) -> String {
        self.unhealthy.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn note_health(&self, why: String) {
        *self.unhealthy.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
}
