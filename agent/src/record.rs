//! Facts about an attempt, kept on disk: its assignment, what it used, how it ended. Plain data and the
//! pure rules about it; nothing here sees the engine or a coordinator.

pub(crate) mod assignment;
pub(crate) mod ending;
pub(crate) mod hints;
pub(crate) mod masks;
pub(crate) mod threads;
pub(crate) mod upload;
pub(crate) mod usage;
pub(crate) mod volumes;
