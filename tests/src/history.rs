//! Random histories: workloads and faults from a seed, everything that was seen, and the proof from outside that what
//! must hold held.

mod check;
mod driver;
mod random;

pub use check::{Stakes, check};
pub use driver::{Driver, Plan};

use std::collections::BTreeMap;

/// What the driver saw. Times are microseconds since the epoch, by this machine's clock, which is Postgres's as well.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Every submit that was acknowledged: its key, the sweep's id, and its jobs.
    pub submits: Vec<(String, String, u32)>,
    /// When which agent could not be expected to keep its leases: from the fault until it was back.
    pub faults: BTreeMap<String, Vec<(u64, u64)>>,
    /// When a coordinator or Postgres was not there.
    pub outages: Vec<(u64, u64)>,
    pub coordinator_kills: u32,
    pub postgres_kills: u32,
    pub agent_kills: u32,
    pub agent_stops: u32,
    pub cuts: u32,
    pub connections_cut: u32,
}

/// The present, in microseconds since the epoch.
pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64)
}
