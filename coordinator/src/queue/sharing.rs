//! How the jobs of a sweep that asks for warm containers can run, as its agents have found.

use std::collections::BTreeMap;

use bt_model::manifest::Containers;

/// What agents have found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sharing {
    /// How its jobs run, if not warm.
    pub(crate) containers: Option<Containers>,
    /// Why they don't run warm.
    pub(crate) why: String,
    /// Modules that jobs don't find imported, each with why.
    pub(crate) left_out: BTreeMap<String, String>,
}

/// As it is kept; the table checks the words.
pub(super) fn containers(kept: Option<String>) -> Option<Containers> {
    kept.and_then(|word| word.parse().ok())
}
