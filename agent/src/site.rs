//! The machine and the agent's place on it: who it is, what it offers, its engine, its directory, and how it is.

pub(crate) mod guests;
pub(crate) mod health;
pub(crate) mod identity;
pub(crate) mod offer;
mod rights;
pub(crate) mod secrets;
mod tenancy;
pub(crate) mod workdir;

use std::sync::Arc;

use anyhow::{Context, ensure};
use bt_engine::Engine;
use bt_engine::capacity::Capacity;
use bt_model::manifest::parse_size;
use bt_model::resources::ByteSize;
use guests::Guests;
use health::Health;
use identity::Identity;
use offer::Offer;
use secrets::SecretsRoom;
use tokio_util::task::TaskTracker;
use workdir::StateDir;

use crate::config::Options;

/// What jobs never take of the disk, if nothing else is said: a part of it, and no more than so much.
const DISK_RESERVE_PART: u64 = 20;
const DISK_RESERVE_MOST: u64 = 5 << 30;

/// The machine, as all parts of the agent see it.
pub(crate) struct Site {
    pub(crate) options: Options,
    pub(crate) identity: Identity,
    pub(crate) offer: Offer,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) engine_version: String,
    pub(crate) state: StateDir,
    pub(crate) secrets: SecretsRoom,
    pub(crate) capacity: Capacity,
    /// Containers that are no attempt's.
    pub(crate) guests: Guests,
    pub(crate) health: Health,
    /// What runs beside the session, and is waited for at the end.
    pub(crate) tasks: TaskTracker,
}

impl Site {
    pub(crate) fn new(
        options: Options,
        identity: Identity,
        offer: Offer,
        engine: (Arc<dyn Engine>, String),
        state: StateDir,
    ) -> anyhow::Result<Self> {
        let disk_reserve = match &options.disk_reserve {
            None => (state.disk_bytes()? / DISK_RESERVE_PART).min(DISK_RESERVE_MOST),
            Some(text) => parse_size(text).context("read --disk-reserve")?,
        };
        Ok(Self {
            secrets: SecretsRoom::find(options.secrets_dir.as_deref(), identity.agent, &offer.shared)?,
            capacity: Capacity::with_cores(offer.capacity, &offer.cores),
            guests: Guests::default(),
            health: Health::new(disk_reserve),
            tasks: TaskTracker::new(),
            options,
            identity,
            offer,
            engine: engine.0,
            engine_version: engine.1,
            state,
        })
    }

    /// Looks at the disk that results directories are made on, and whether a job could be taken there.
    pub(crate) fn look_at_disk_and_state(&self) {
        self.health.look_at_disk(&self.state);
        self.health.look_at_state(&self.state);
    }

    /// True when the disk is so full that what is kept in reserve is touched.
    pub(crate) fn disk_is_short(&self) -> bool {
        self.state.free_bytes().is_ok_and(|free| free < self.health.disk_reserve)
    }

    /// Fails if a file of this size would touch what is kept in reserve.
    pub(crate) fn has_room_for(&self, bytes: u64) -> anyhow::Result<()> {
        let free = self.state.free_bytes()?.saturating_sub(self.health.disk_reserve);
        ensure!(
            bytes <= free,
            "the result has a file of {}, and the agent's disk has room for {}",
            ByteSize(bytes),
            ByteSize(free)
        );
        Ok(())
    }
}
