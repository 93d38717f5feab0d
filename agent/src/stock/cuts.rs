//! Copies of volumes without the rows from a day on (`holdout` in the manifest): what jobs are to see of data whose end is
//! kept from them.
//!
//! A copy is made once for what a volume holds, and shared by all jobs. It is written under another name and renamed when it
//! is whole. One that no container has mounted goes when others need the room.

mod copy;
mod csv;
mod cut;
pub(crate) mod dates;
mod making;
mod parquet;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bt_engine::collect;
use bt_engine::volumes::MountSource;
use bt_model::hex::hex;
use bt_model::manifest::Holdout;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::info;
use uuid::Uuid;

use crate::job::container::Job;
use crate::job::mountpoints::Mounted;
use crate::site::Site;
use crate::site::workdir::StateDir;
use cut::NotCut;
use making::{DATA, Making, facts};
use tree::Tree;

/// Rises when copies are made otherwise, so that earlier ones are not used.
const FORM: u32 = 1;
/// All copies take at most this part of the disk.
const DISK_PART: u64 = 4;
/// A file that was changed so shortly ago may change once more without its times telling.
const SETTLES: Duration = Duration::from_secs(2);
/// How often a copy is begun anew because the volume has changed meanwhile.
const TRIES: u32 = 5;
/// How many volumes that can't be cut are remembered.
const MOST_FAULTS: usize = 256;

/// Why a job can't have its data cut.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Its data can't be cut, here or elsewhere.
    #[error("{0}")]
    Data(String),
    /// Another machine may do it. The sentence goes on after the agent's name.
    #[error("{0}")]
    Machine(String),
}

/// The copies on this machine.
#[derive(Debug)]
pub(crate) struct Cuts {
    dir: PathBuf,
    /// Held by who makes one: several at once would only be in each other's way.
    making: Arc<tokio::sync::Mutex<()>>,
    uses: Arc<Mutex<Uses>>,
    faults: Mutex<HashMap<String, String>>,
    /// Bytes of all copies.
    most: u64,
    end: CancellationToken,
}

/// Who uses copies, by their names.
#[derive(Debug, Default)]
struct Uses {
    /// So many are about to mount each.
    counts: HashMap<String, usize>,
    /// About to be removed: nobody begins to use them.
    going: HashSet<String>,
}

/// A copy that is not removed for as long as this is held. A container that has mounted it keeps it too.
#[derive(Debug)]
pub(crate) struct CutCopy {
    path: PathBuf,
    /// A sentence on what is not in it.
    pub(crate) left_out: Option<String>,
    name: String,
    uses: Arc<Mutex<Uses>>,
}

impl Drop for CutCopy {
    fn drop(&mut self) {
        let mut uses = lock(&self.uses);
        if let Some(count) = uses.counts.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                uses.counts.remove(&self.name);
            }
        }
    }
}

/// A volume that is to be cut.
struct Wanted<'w> {
    /// As the manifest names it.
    volume: &'w str,
    root: &'w Path,
    holdout: &'w Holdout,
}

/// Has the job's volumes cut, as its manifest asks. The copies are to be held until the container is made.
pub(crate) async fn cut_volumes(
    site: &Site,
    cuts: &Cuts,
    job: &Job,
    volumes: &mut [Mounted],
    note: &(dyn Fn(String) + Sync),
) -> Result<Vec<CutCopy>, Error> {
    let mut copies = Vec::new();
    let Some(holdout) = &job.manifest.judged.holdout else { return Ok(copies) };
    if !site.engine.mounts_files() {
        return Ok(copies);
    }
    for mounted in volumes.iter_mut().filter(|mounted| holdout.cuts(&mounted.volume)) {
        let volume = mounted.volume.as_str();
        let Some(root) = &mounted.place else {
            return Err(Error::Machine(format!("can't cut the volume {volume}: it can't see what is in it")));
        };
        let copy = cuts.copy_of(site, &Wanted { volume, root, holdout }, note).await?;
        mounted.bind.source = MountSource::Path(copy.path.clone());
        mounted.bind.read_only = true;
        mounted.place = Some(copy.path.clone());
        copies.push(copy);
    }
    Ok(copies)
}

impl Cuts {
    /// What an earlier run of the agent left unfinished is removed.
    pub(crate) fn new(state: &StateDir) -> Self {
        let dir = state.cuts();
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                collect::remove_tree(&entry.path());
            }
        }
        Self {
            dir,
            making: Arc::default(),
            uses: Arc::default(),
            faults: Mutex::default(),
            most: state.disk_bytes().unwrap_or(0) / DISK_PART,
            end: CancellationToken::new(),
        }
    }

    /// Breaks off what is being made.
    pub(crate) fn stop(&self) {
        self.end.cancel();
    }

    async fn copy_of(
        &self,
        site: &Site,
        wanted: &Wanted<'_>,
        note: &(dyn Fn(String) + Sync),
    ) -> Result<CutCopy, Error> {
        let tree = look(wanted).await?;
        let name = wanted.name(&tree);
        if let Some(known) = self.known(&name) {
            return known;
        }
        let (volume, from) = (wanted.volume, wanted.holdout.from);
        note(format!("cutting the volume {volume} before {from}"));
        let turn = Arc::new(self.making.clone().lock_owned().await);
        if let Some(known) = self.known(&name) {
            note(String::new());
            return known;
        }
        for _ in 0..TRIES {
            let tree = settled(wanted).await?;
            let name = wanted.name(&tree);
            if let Some(known) = self.known(&name) {
                note(String::new());
                return known;
            }
            let room = self.make_room(site, &tree).await?;
            let making = Making {
                root: wanted.root.to_owned(),
                holdout: wanted.holdout.clone(),
                dir: self.dir.clone(),
                name: name.clone(),
                room,
                end: self.end.clone(),
                _turn: turn.clone(),
            };
            match making.make(tree).await {
                Ok(true) => {
                    note(String::new());
                    info!("the volume {volume} was copied without its rows from {from} on");
                    let gone = || Error::Machine(format!("has lost the copy of the volume {volume}"));
                    return self.known(&name).unwrap_or_else(|| Err(gone()));
                }
                Ok(false) => {}
                Err((file, error)) => return Err(self.told(wanted, name, &file, &error)),
            }
        }
        Err(Error::Machine(format!("can't cut the volume {volume}, because it is being changed")))
    }

    /// A copy that is there, or why there can't be one.
    fn known(&self, name: &str) -> Option<Result<CutCopy, Error>> {
        if let Some(fault) = lock(&self.faults).get(name) {
            return Some(Err(Error::Data(fault.clone())));
        }
        let mut uses = lock(&self.uses);
        if uses.going.contains(name) {
            return None;
        }
        let place = self.dir.join(name);
        let facts = facts(&place)?;
        *uses.counts.entry(name.to_owned()).or_insert(0) += 1;
        // By this it is known which copy was used last.
        let used = File::open(&place).and_then(|dir| dir.set_modified(SystemTime::now()));
        drop(used);
        let uses = self.uses.clone();
        let (path, name) = (place.join(DATA), name.to_owned());
        Some(Ok(CutCopy { path, left_out: facts.left_out, name, uses }))
    }

    /// Bytes that a new copy may take, once others have gone that nobody uses.
    async fn make_room(&self, site: &Site, tree: &Tree) -> Result<u64, Error> {
        let unknown =
            |error: anyhow::Error| Error::Machine(format!("can't tell how full its disk is: {error:#}"));
        // A copy is smaller than what it is made of, but for tables that are written anew in a less compact form.
        let asked: u64 = tree.files.values().map(std::fs::Metadata::len).sum();
        let mut kept = self.kept();
        let mut total: u64 = kept.iter().map(|copy| copy.bytes).sum();
        loop {
            let free = site.state.free_bytes().map_err(unknown)?.saturating_sub(site.health.disk_reserve);
            let room = self.most.saturating_sub(total).min(free);
            if room >= asked || kept.is_empty() {
                return Ok(room);
            }
            let copy = kept.remove(0);
            if self.remove(site, &copy.name).await? {
                info!("the copy {} of a volume was removed, because others need the room", copy.name);
                total -= copy.bytes;
            }
        }
    }

    /// All copies, the one first that was used longest ago.
    fn kept(&self) -> Vec<KeptCopy> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let (Ok(name), Ok(found)) = (entry.file_name().into_string(), entry.metadata()) else { continue };
            let bytes = facts(&entry.path()).map_or(0, |facts| facts.bytes);
            kept.push(KeptCopy { used: found.modified().unwrap_or(SystemTime::UNIX_EPOCH), name, bytes });
        }
        kept.retain(|copy| !copy.name.starts_with('.'));
        kept.sort_by_key(|copy| copy.used);
        kept
    }

    /// Removes a copy that nobody uses. False if somebody does.
    async fn remove(&self, site: &Site, name: &str) -> Result<bool, Error> {
        {
            let mut uses = lock(&self.uses);
            if uses.counts.contains_key(name) {
                return Ok(false);
            }
            uses.going.insert(name.to_owned());
        }
        // Whoever has held it before has made a container with it, or has given up.
        let listed = site.engine.list(site.identity.agent).await;
        let place = self.dir.join(name);
        let is_mounted = listed
            .as_ref()
            .map(|found| found.iter().flat_map(|one| &one.mounts).any(|mount| mount.starts_with(&place)));
        let removed = match is_mounted {
            Ok(true) => Ok(false),
            Ok(false) => {
                // Not one any more, from the first step on.
                let doomed = self.dir.join(format!(".{}", Uuid::new_v4()));
                let renamed = fs::rename(&place, &doomed);
                spawn_blocking(move || collect::remove_tree(&doomed)).await.ok();
                Ok(renamed.is_ok())
            }
            Err(error) => {
                Err(Error::Machine(format!("can't tell which copies of volumes are in use: {error}")))
            }
        };
        lock(&self.uses).going.remove(name);
        removed
    }

    /// What went wrong, for the job's owner.
    fn told(&self, wanted: &Wanted<'_>, name: String, file: &str, error: &NotCut) -> Error {
        let Wanted { volume, holdout, .. } = wanted;
        let from = holdout.from;
        match error {
            NotCut::Data(why) => {
                let fault = format!("volume {volume}: {file} can't be cut before {from} (`holdout`): {why}");
                let mut faults = lock(&self.faults);
                if faults.len() >= MOST_FAULTS {
                    faults.clear();
                }
                faults.insert(name, fault.clone());
                Error::Data(fault)
            }
            NotCut::Unwritable(error)
                if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
            {
                Error::Machine(format!(
                    "has no room for a copy of the volume {volume} that is cut before {from}: copies get 1/{DISK_PART} of its disk at \
                 most, and nothing of what it keeps in reserve"
                ))
            }
            NotCut::Unreadable(_) | NotCut::Unwritable(_) => {
                Error::Machine(format!("can't cut the volume {volume}: {file}: {error}"))
            }
            NotCut::Ended => Error::Machine("stops".to_owned()),
        }
    }
}

struct KeptCopy {
    name: String,
    bytes: u64,
    used: SystemTime,
}

impl Wanted<'_> {
    /// The name of the copy: another one for each content of the volume, day and column.
    fn name(&self, tree: &Tree) -> String {
        let Holdout { from, date, .. } = self.holdout;
        let mut name = Sha256::new();
        name.update(format!("{FORM} {from} {date:?} {:?} ", self.root));
        name.update(tree.version());
        hex(&name.finalize()[..16])
    }
}

async fn look(wanted: &Wanted<'_>) -> Result<Tree, Error> {
    let root = wanted.root.to_owned();
    let looked =
        spawn_blocking(move || Tree::look(&root)).await.unwrap_or_else(|error| Err(error.to_string()));
    looked.map_err(|why| Error::Machine(format!("can't cut the volume {}: {why}", wanted.volume)))
}

/// The volume when no file of it was changed a moment ago.
async fn settled(wanted: &Wanted<'_>) -> Result<Tree, Error> {
    for _ in 0..TRIES {
        let tree = look(wanted).await?;
        match SETTLES.checked_sub(tree.age()) {
            None => return Ok(tree),
            Some(time) => sleep(time).await,
        }
    }
    Err(Error::Machine(format!("can't cut the volume {}, because it is being changed", wanted.volume)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
