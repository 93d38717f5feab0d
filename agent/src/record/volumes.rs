//! What the volumes of an attempt held when it began.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Reported for a volume that changed while the attempt ran.
const CHANGED: &str = "changed";

/// By the name of each volume: its fingerprint, and its version, which changes with any file. Unreadable volumes have
/// neither.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VolumesSeen(BTreeMap<String, Option<(String, String)>>);

impl VolumesSeen {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn add(&mut self, name: &str, words: Option<(String, String)>) {
        self.0.insert(name.to_owned(), words);
    }

    /// What to report of an attempt that began with this and ended with `after`. Unreadable volumes are left out.
    pub(crate) fn told(&self, after: &Self) -> BTreeMap<String, String> {
        let told = self.0.iter().filter_map(|(name, before)| {
            let (fingerprint, _) = before.as_ref()?;
            let stayed = after.0.get(name) == Some(before);
            let word = if stayed { fingerprint.clone() } else { CHANGED.to_owned() };
            Some((name.clone(), word))
        });
        told.collect()
    }
}
