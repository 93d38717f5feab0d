//! Files of a directory get their names here, many at a time, so that they share the syncs: what came while one batch was
//! on its way is the next one.
//!
//! Each batch is written under other names and synced; then its files get their names, and that is synced. So a name stands
//! for whole content at any time, and after a power cut too, and whoever asked is answered when all of it is on the disk.
//! A sync is one `syncfs` where the file system is known to keep that promise. It writes whatever else is waiting to be
//! written there, so small batches do without, and all do for a while after one that took long: then each file and each
//! directory is synced by itself.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tracing::warn;

use crate::directory::{StagedFile, sync_dir};

/// Files of one batch at most: each is open until it has its name.
const BATCH: usize = 256;
/// Up to so many files are synced one by one.
const FEW: usize = 4;
/// A `syncfs` that takes longer has much of others' to write, and none is tried again for a while.
const SLOW: Duration = Duration::from_secs(1);
const AFTER_SLOW: Duration = Duration::from_secs(60);
/// File systems whose `syncfs` leaves all that was written before on the disk (statfs(2)): ext2 to ext4, XFS, Btrfs, F2FS,
/// and tmpfs, which has none.
#[cfg(target_os = "linux")]
const SYNCFS: [u64; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994];
/// From this version on Linux tells of errors by `syncfs`.
#[cfg(target_os = "linux")]
const TELLS_ERRORS: (u32, u32) = (5, 8);

/// What is to be named.
pub(crate) enum Content {
    /// All of it, to be written under a name that begins so.
    Small { base: PathBuf, pieces: Vec<Bytes> },
    /// It is written already.
    Staged(StagedFile),
}

/// What became of a file that was to be named.
pub(crate) enum Naming {
    Done,
    /// Another file has this name.
    Taken(StagedFile),
}

/// Whether a file may take the place of another one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Free,
    Any,
}

struct Order {
    content: Content,
    name: PathBuf,
    place: Place,
    answer: oneshot::Sender<io::Result<Naming>>,
}

/// Where files of one store are handed in. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Batches(Arc<Shared>);

struct Shared {
    root: PathBuf,
    orders: Mutex<Orders>,
    disk: Mutex<Disk>,
}

#[derive(Default)]
struct Orders {
    waiting: Vec<Order>,
    /// A batch is on its way; when it is done it is looked here again.
    is_working: bool,
}

/// What is known of the disk.
#[derive(Default)]
struct Disk {
    /// The device whose `syncfs` is trusted, once that was looked at; none if it is not.
    device: Option<Option<u64>>,
    slow_until: Option<Instant>,
    #[cfg(test)]
    syncs: Syncs,
}

/// How often it was waited for the disk.
#[cfg(test)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Syncs {
    whole: usize,
    single: usize,
}

impl Batches {
    pub(crate) fn new(root: &Path) -> Self {
        let (orders, disk) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Shared { root: root.to_owned(), orders, disk }))
    }

    /// Gives content its name; it is on the disk with it when this returns.
    pub(crate) async fn name(&self, content: Content, name: PathBuf, place: Place) -> io::Result<Naming> {
        let (answer, receiver) = oneshot::channel();
        let begin = {
            let mut orders = lock(&self.0.orders);
            orders.waiting.push(Order { content, name, place, answer });
            !std::mem::replace(&mut orders.is_working, true)
        };
        if begin {
            let shared = self.0.clone();
            spawn_blocking(move || shared.work());
        }
        receiver.await.map_err(io::Error::other)?
    }
}

impl Shared {
    fn work(&self) {
        let mut disk = lock(&self.disk);
        loop {
            let batch = {
                let mut orders = lock(&self.orders);
                if orders.waiting.is_empty() {
                    orders.is_working = false;
                    return;
                }
                let most = orders.waiting.len().min(BATCH);
                orders.waiting.drain(..most).collect()
            };
            self.name_all(batch, &mut disk);
        }
    }

    fn name_all(&self, batch: Vec<Order>, disk: &mut Disk) {
        let mut dirs = BTreeSet::new();
        let mut staged = Vec::with_capacity(batch.len());
        for Order { content, name, place, answer } in batch {
            match stage(content, &mut dirs) {
                Ok(file) => staged.push((file, name, place, answer)),
                Err(error) => drop(answer.send(Err(error))),
            }
        }
        let files: Vec<_> = staged.iter().map(|(file, ..)| file.file()).collect();
        if let Err(error) = disk.sync(&self.root, &files, &dirs) {
            for (.., answer) in staged {
                drop(answer.send(Err(again(&error))));
            }
            return;
        }
        let mut named = Vec::with_capacity(staged.len());
        let mut dirs = BTreeSet::new();
        for (mut file, name, place, answer) in staged {
            match file.give_name(&name, place == Place::Any) {
                Ok(true) => {
                    dirs.extend(name.parent().map(Path::to_owned));
                    named.push((file, answer));
                }
                Ok(false) => drop(answer.send(Ok(Naming::Taken(file)))),
                Err(error) => drop(answer.send(Err(error))),
            }
        }
        // Nothing is left to write of the files themselves; they tell which devices were written to.
        let files: Vec<_> = named.iter().map(|(file, _)| file.file()).collect();
        let synced = disk.sync_names(&self.root, &files, &dirs);
        for (_, answer) in named {
            let answered = synced.as_ref().map(|()| Naming::Done).map_err(again);
            drop(answer.send(answered));
        }
    }
}

impl Disk {
    fn sync(&mut self, root: &Path, files: &[&File], dirs: &BTreeSet<PathBuf>) -> io::Result<()> {
        if self.sync_whole(root, files)? {
            return Ok(());
        }
        #[cfg(test)]
        {
            self.syncs.single += files.len();
        }
        files.iter().try_for_each(|file| file.sync_all())?;
        self.sync_dirs(dirs)
    }

    fn sync_names(&mut self, root: &Path, files: &[&File], dirs: &BTreeSet<PathBuf>) -> io::Result<()> {
        match self.sync_whole(root, files)? {
            true => Ok(()),
            false => self.sync_dirs(dirs),
        }
    }

    fn sync_dirs(&mut self, dirs: &BTreeSet<PathBuf>) -> io::Result<()> {
        #[cfg(test)]
        {
            self.syncs.single += dirs.len();
        }
        dirs.iter().try_for_each(|dir| sync_dir(dir))
    }

    /// Syncs the whole file system if that is worth it and enough for these files.
    fn sync_whole(&mut self, root: &Path, files: &[&File]) -> io::Result<bool> {
        if files.len() <= FEW || self.slow_until.is_some_and(|until| Instant::now() < until) {
            return Ok(false);
        }
        let Some(device) = *self.device.get_or_insert_with(|| trusted_device(root)) else { return Ok(false) };
        // Something else may be mounted, or linked to, below the store.
        for file in files {
            if file.metadata()?.dev() != device {
                return Ok(false);
            }
        }
        let began = Instant::now();
        sync_file_system(files[0])?;
        #[cfg(test)]
        {
            self.syncs.whole += 1;
        }
        if began.elapsed() > SLOW {
            warn!(
                store = %root.display(),
                "syncing the store's file system took {:?}, since others write to it; files are synced one by one for {AFTER_SLOW:?}",
                began.elapsed()
            );
            self.slow_until = Some(Instant::now() + AFTER_SLOW);
        }
        Ok(true)
    }
}

fn stage(content: Content, dirs: &mut BTreeSet<PathBuf>) -> io::Result<StagedFile> {
    let mut file = match content {
        Content::Staged(file) => file,
        Content::Small { base, pieces } => {
            let mut file = StagedFile::begin(&base)?;
            file.write(&pieces)?;
            file
        }
    };
    dirs.extend(file.take_grown_dirs());
    Ok(file)
}

#[cfg(target_os = "linux")]
fn sync_file_system(file: &File) -> io::Result<()> {
    Ok(rustix::fs::syncfs(file)?)
}

/// No device is trusted there, so that this is never called.
#[cfg(not(target_os = "linux"))]
fn sync_file_system(file: &File) -> io::Result<()> {
    file.sync_all()
}

#[cfg(not(target_os = "linux"))]
fn trusted_device(_: &Path) -> Option<u64> {
    None
}

/// The device of the store, if its file system and the kernel keep the promise of `syncfs`.
#[cfg(target_os = "linux")]
fn trusted_device(root: &Path) -> Option<u64> {
    let kind = rustix::fs::statfs(root).ok()?.f_type;
    let is_known = u64::try_from(kind).is_ok_and(|kind| SYNCFS.contains(&(kind & 0xffff_ffff)));
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse().ok());
    let version: (u32, u32) = (numbers.next()?, numbers.next()?);
    (is_known && version >= TELLS_ERRORS)
        .then(|| std::fs::metadata(root).map(|root| root.dev()).ok())
        .flatten()
}

/// The same error for somebody else.
fn again(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn small(root: &Path, name: &str, text: &'static str) -> (Content, PathBuf) {
        let name = root.join(name);
        (Content::Small { base: name.clone(), pieces: vec![Bytes::from_static(text.as_bytes())] }, name)
    }

    /// While one batch is on its way, a hundred files are handed in: they share two syncs, one before they get their names
    /// and one after.
    #[tokio::test]
    async fn files_share_their_syncs() {
        let dir = tempfile::tempdir().unwrap();
        let batches = Batches::new(dir.path());
        let (shared, disk) = (batches.0.clone(), batches.0.clone());
        // The disk stalls until it is told to go on.
        let (go_on, told) = std::sync::mpsc::channel::<()>();
        let (stalls, stalled) = std::sync::mpsc::channel();
        let stalling = std::thread::spawn(move || {
            let _disk = lock(&disk.disk);
            stalls.send(()).unwrap();
            told.recv().ok();
        });
        stalled.recv().unwrap();
        let mut naming = tokio::task::JoinSet::new();
        for number in 0..100 {
            let (content, name) = small(dir.path(), &format!("s/{number}/1/x.json"), "{}");
            let batches = batches.clone();
            naming.spawn(async move { batches.name(content, name, Place::Free).await });
        }
        while lock(&shared.orders).waiting.len() < 100 {
            tokio::task::yield_now().await;
        }
        drop(go_on);
        stalling.join().unwrap();
        for named in naming.join_all().await {
            assert!(matches!(named.unwrap(), Naming::Done));
        }
        let syncs = lock(&shared.disk).syncs;
        match trusted_device(dir.path()) {
            Some(_) => assert_eq!(syncs, Syncs { whole: 2, single: 0 }),
            // Each file, the directory that each is in, and those above that are new.
            None => assert!(syncs.whole == 0 && syncs.single >= 200, "{syncs:?}"),
        }
        for number in 0..100 {
            let at = dir.path().join(format!("s/{number}/1"));
            assert_eq!(fs::read_to_string(at.join("x.json")).unwrap(), "{}");
            assert_eq!(fs::read_dir(at).unwrap().count(), 1, "nothing else is left");
        }
    }

    #[tokio::test]
    async fn one_that_fails_fails_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let batches = Batches::new(dir.path());
        let orders = ["a/x", "file/x", "b/x", "b/x"].map(|name| small(dir.path(), name, "new"));
        let naming = orders.map(|(content, name)| batches.name(content, name, Place::Free));
        let named = futures_util::future::join_all(naming).await;
        assert!(matches!(named[..], [Ok(Naming::Done), Err(_), Ok(_), Ok(_)]));
        let taken = named.iter().filter(|named| matches!(named, Ok(Naming::Taken(_))));
        assert_eq!(taken.count(), 1, "of two with one name one has it");
        drop(named);
        assert_eq!(fs::read_dir(dir.path().join("b")).unwrap().count(), 1, "what has no name is removed");
    }

    #[tokio::test]
    async fn only_what_may_be_replaced_is() {
        let dir = tempfile::tempdir().unwrap();
        let batches = Batches::new(dir.path());
        for (text, place, then) in [("1", Place::Any, "1"), ("2", Place::Free, "1"), ("3", Place::Any, "3")] {
            let (content, name) = small(dir.path(), "a/result.json", text);
            batches.name(content, name.clone(), place).await.unwrap();
            assert_eq!(fs::read_to_string(name).unwrap(), then);
        }
    }

    /// The same promise by other calls: each file and each directory that has grown.
    #[tokio::test]
    async fn a_slow_disk_is_synced_file_by_file() {
        let dir = tempfile::tempdir().unwrap();
        let batches = Batches::new(dir.path());
        lock(&batches.0.disk).slow_until = Some(Instant::now() + AFTER_SLOW);
        let naming = (0..10).map(|number| {
            let (content, name) = small(dir.path(), &format!("s/{number}/x"), "x");
            batches.name(content, name, Place::Free)
        });
        for named in futures_util::future::join_all(naming).await {
            assert!(matches!(named, Ok(Naming::Done)));
        }
        let syncs = lock(&batches.0.disk).syncs;
        // Ten files, ten directories with a name each, and the two that those directories and `s` were made in.
        assert!(syncs.whole == 0 && syncs.single >= 22, "{syncs:?}");
    }
}
