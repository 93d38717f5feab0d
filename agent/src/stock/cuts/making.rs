//! The making of one copy: under another name, which it loses when it is whole.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bt_engine::collect;
use bt_model::manifest::Holdout;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use super::copy::{self, Written};
use super::cut::{Cut, NotCut};
use super::tree::Tree;

/// In a copy's directory: the copy, and what is to be known of it.
pub(super) const DATA: &str = "data";
const FACTS: &str = "facts.json";

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) bytes: u64,
    pub(super) left_out: Option<String>,
    /// For the machine's owner.
    volume: PathBuf,
    before: Date,
}

/// A copy that is being made, whoever waits for it.
pub(super) struct Making {
    pub(super) root: PathBuf,
    pub(super) holdout: Holdout,
    pub(super) dir: PathBuf,
    pub(super) name: String,
    pub(super) room: u64,
    pub(super) end: CancellationToken,
    /// It goes on when nobody waits for it any more, and is still the only one.
    pub(super) _turn: Arc<tokio::sync::OwnedMutexGuard<()>>,
}

impl Making {
    /// False if the volume has changed meanwhile.
    pub(super) async fn make(self, tree: Tree) -> Result<bool, (String, NotCut)> {
        let making = spawn_blocking(move || self.write(&tree));
        making.await.unwrap_or_else(|error| {
            Err(("a file".to_owned(), NotCut::Data(format!("it can't be read: {error}"))))
        })
    }

    fn write(&self, tree: &Tree) -> Result<bool, (String, NotCut)> {
        let unwritable = |error: io::Error| (self.dir.display().to_string(), NotCut::Unwritable(error));
        let part = self.dir.join(format!(".{}", Uuid::new_v4()));
        // Whatever happens, no half of a copy stays.
        let _removed = Removed(part.clone());
        private_dir(&part).map_err(unwritable)?;
        let from = self.holdout.from.to_zoned(jiff::tz::TimeZone::UTC);
        let from = from.map_or(i64::MIN, |from| from.timestamp().as_second());
        let cut = Cut { from, date: self.holdout.date.as_deref(), end: &self.end };
        let Written { bytes, left_out } = copy::copy(&self.root, tree, &part.join(DATA), &cut, self.room)?;
        if Tree::look(&self.root).map_or(true, |now| now.version() != tree.version()) {
            return Ok(false);
        }
        let facts = Facts { bytes, left_out, volume: self.root.clone(), before: self.holdout.from };
        let whole = || -> io::Result<()> {
            fs::write(part.join(FACTS), serde_json::to_vec(&facts)?)?;
            rustix::fs::syncfs(File::open(&part)?)?;
            let place = self.dir.join(&self.name);
            if place.exists() {
                // Its facts can't be read.
                collect::remove_tree(&place);
            }
            fs::rename(&part, place)?;
            File::open(&self.dir)?.sync_all()
        };
        whole().map_err(unwritable)?;
        Ok(true)
    }
}

/// A directory that is removed in the end, if it is still there.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        if self.0.exists() {
            collect::remove_tree(&self.0);
        }
    }
}

/// What is known of a copy that is whole.
pub(super) fn facts(place: &Path) -> Option<Facts> {
    let facts = serde_json::from_slice(&fs::read(place.join(FACTS)).ok()?);
    match facts {
        Ok(facts) => Some(facts),
        Err(error) => {
            warn!(%error, "the copy of a volume at {} is not used", place.display());
            None
        }
    }
}

fn private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}
