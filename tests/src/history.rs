//! Random histories: workloads and faults from a seed, everything that was seen, and the proof from outside that what
//! must hold held.

mod check;
mod driver;
mod peers;
mod random;

pub use check::{Stakes, check};
pub use driver::{Driver, Plan};

use std::collections::BTreeMap;

/// What the driver saw. Times are microseconds since the epoch, by this machine's clock, which is Postgres's as well.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Every submit that was acknowledged: its key, the sweep's id, and its jobs.
    pub submits: Vec<(String, String, u32)>,
    /// It went on for so long that everything must have been at stake.
    pub is_long: bool,
    /// When which agent could not be expected to keep its leases: from the fault until it was back.
    pub faults: BTreeMap<String, Vec<(u64, u64)>>,
    /// When a coordinator or Postgres was not there, or did not move.
    pub outages: Vec<(u64, u64)>,
    pub coordinator_kills: u32,
    pub postgres_kills: u32,
    pub agent_kills: u32,
    pub agent_stops: u32,
    pub cuts: u32,
    /// Machines that began once more on a copy of their state.
    pub copies: u32,
    pub connections_cut: u32,
    pub coordinators_frozen: u32,
    pub backends_frozen: u32,
    pub read_only_spells: u32,
    /// Clients that fell silent in the middle of a submit.
    pub silent_clients: u32,
    /// Clients that asked for a list and read nothing of it.
    pub stopped_readers: u32,
}

impl Seen {
    /// How often each fault was done, by its name.
    pub fn faults_done(&self) -> [(&'static str, u32); 12] {
        [
            ("agents killed", self.agent_kills),
            ("agents stopped", self.agent_stops),
            ("lines cut", self.cuts),
            ("agents copied", self.copies),
            ("coordinators killed", self.coordinator_kills),
            ("coordinators frozen", self.coordinators_frozen),
            ("Postgres killed", self.postgres_kills),
            ("connections to Postgres cut", self.connections_cut),
            ("backends of Postgres frozen", self.backends_frozen),
            ("read-only spells", self.read_only_spells),
            ("clients fallen silent", self.silent_clients),
            ("readers stopped", self.stopped_readers),
        ]
    }
}

/// The present, in microseconds since the epoch.
pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64)
}
