//! The table of the manifest's keys, one row for each. Reader, merge of flags, writer, recipe and JSON Schema go by it.

mod jobs;
mod judged;
mod key;
mod needs;
mod oom;
mod policy;
mod program;
mod sandbox;
mod surroundings;

pub(super) use key::{ManifestKey, Parts, Recipe};
pub use needs::ALL_GPUS;
pub(super) use needs::read_needs;

/// All keys. The recipe has its parts in this order, so a row that the recipe contains keeps its place.
pub(super) fn all() -> impl Iterator<Item = &'static ManifestKey> + Clone {
    [program::KEYS, jobs::KEYS, needs::KEYS, sandbox::KEYS, surroundings::KEYS, policy::KEYS, judged::KEYS]
        .into_iter()
        .flatten()
}

/// The key of this name or alias.
pub(super) fn find(name: &str) -> Option<&'static ManifestKey> {
    all().find(|key| key.name == name || key.alias == Some(name))
}
