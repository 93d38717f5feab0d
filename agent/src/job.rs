//! One job of a sweep on this machine: the container that runs it, what it mounts, and the attempts that the agent holds.

pub(crate) mod blame;
pub(crate) mod caches;
pub(crate) mod container;
pub(crate) mod holdings;
pub(crate) mod inside;
pub(crate) mod mountpoints;
pub(crate) mod secrets;
