//! How far a large output has come into a bucket.

use bt_store::Progress;
use serde::{Deserialize, Serialize};

/// An upload that was begun and may be finished after a restart.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct UnfinishedUpload {
    /// The output's place in the store.
    pub(crate) place: String,
    pub(crate) progress: Progress,
}
