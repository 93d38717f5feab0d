//! Fetches one file after the other into a directory, so that nothing half ever bears a file's name: a file grows beside
//! its place, from where an earlier run left off, and gets its name when its SHA-256 is right.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use backon::BackoffBuilder;
use bt_model::layout::job_dir;
use bt_model::state::AttemptState;
use bt_proto::v1;
use indicatif::ProgressBar;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use tokio::fs;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufWriter};

use super::File;
use super::content::{DownloadError, FileContent};
use crate::client::{Client, waits};
use crate::error::{Error, is_broken_off};
use crate::output::words;

/// Bytes that are read, and written, at once.
const PIECE: usize = 256 << 10;
/// How often a file is asked for again that has come no further.
const TRIES: usize = 8;
/// Where files grow, in the directory that they are fetched into.
const PARTS: &str = ".btctl-parts";

/// What stands at a file's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occupant {
    Nothing,
    /// The file itself.
    Same,
    /// Something else.
    Other,
}

/// A directory that files are fetched into; no other run fetches into it meanwhile.
#[derive(Debug)]
pub(super) struct FetchDir {
    dir: PathBuf,
    /// How many jobs the sweep has.
    jobs: u32,
    /// Held for the lock that is on it.
    _lock: std::fs::File,
}

impl FetchDir {
    pub(super) fn open(dir: &Path, jobs: u32) -> Result<Self, Error> {
        let parts = dir.join(PARTS);
        std::fs::create_dir_all(&parts).map_err(|error| failed(&parts, &error))?;
        let lock = std::fs::File::open(&parts).map_err(|error| failed(&parts, &error))?;
        // Some network file systems know no locks.
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            return Err(Error::Refused(format!(
                "another `btctl results get` is fetching into {}",
                dir.display()
            )));
        }
        Ok(Self { dir: dir.to_owned(), jobs, _lock: lock })
    }

    pub(super) fn of(&self, file: &File) -> Result<PathBuf, Error> {
        let climbs = |part: &str| part.is_empty() || part == "." || part == "..";
        if file.path.split('/').any(climbs) {
            return Err(Error::Failed(format!(
                "job {}: {:?} is not a path of an output",
                file.job, file.path
            )));
        }
        Ok(self.dir.join(job_dir(file.job, self.jobs)).join(&file.path))
    }

    /// Looks at what stands where the file belongs. What is not published is fetched again: its job may write it anew.
    pub(super) async fn look(&self, file: &File) -> Result<Occupant, Error> {
        let path = self.of(file)?;
        let Some(sha256) = &file.sha256 else { return Ok(Occupant::Nothing) };
        let there = match fs::symlink_metadata(&path).await {
            Ok(metadata) if metadata.is_file() && metadata.len() == file.size => fs::File::open(&path).await,
            Ok(_) => return Ok(Occupant::Other),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Occupant::Nothing),
            // A part of its path is a file.
            Err(error) if error.kind() == ErrorKind::NotADirectory => return Ok(Occupant::Other),
            Err(error) => return Err(failed(&path, &error)),
        };
        let mut there = there.map_err(|error| failed(&path, &error))?;
        let (_, hash) = hash(&mut there).await.map_err(|error| failed(&path, &error))?;
        Ok(if words::hex(&hash.finalize()) == *sha256 { Occupant::Same } else { Occupant::Other })
    }

    /// True if the file system takes two names for one that differ only in case.
    pub(super) fn folds_case(&self) -> Result<bool, Error> {
        let (one, other) = (self.dir.join(PARTS).join("Case"), self.dir.join(PARTS).join("cASE"));
        std::fs::write(&one, "").map_err(|error| failed(&one, &error))?;
        let folds = other.exists();
        std::fs::remove_file(&one).map_err(|error| failed(&one, &error))?;
        Ok(folds)
    }

    /// Room that is left for files, if the file system tells.
    pub(super) fn room(&self) -> Option<u64> {
        let stat = rustix::fs::statvfs(&self.dir).ok()?;
        stat.f_bavail.checked_mul(stat.f_frsize)
    }

    /// Where the file grows: the same place whenever it is fetched, and no other file's.
    pub(super) fn part(&self, file: &File) -> PathBuf {
        let name = words::hex(&Sha256::digest(&file.path)[..8]);
        let content = file.sha256.as_deref().and_then(|hash| hash.get(..16)).unwrap_or("unpublished");
        self.dir.join(PARTS).join(format!("{}-{name}-{content}", file.job))
    }

    /// The disk gets what was written. If all files are there, the parts are removed; else they stay for the next run.
    pub(super) fn finish(self, all: bool) -> Result<(), Error> {
        let parts = self.dir.join(PARTS);
        if all {
            for part in std::fs::read_dir(&parts).map_err(|error| failed(&parts, &error))?.flatten() {
                std::fs::remove_file(part.path()).map_err(|error| failed(&part.path(), &error))?;
            }
        }
        match std::fs::remove_dir(&parts) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
            removed => removed.map_err(|error| failed(&parts, &error))?,
        }
        sync_all(&self.dir).map_err(|error| failed(&self.dir, &error))
    }
}

/// Has the disk take all that was written to this directory's file system.
#[cfg(target_os = "linux")]
fn sync_all(dir: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(std::fs::File::open(dir)?)?)
}

/// Has all disks take what was written: there is no call for one of them.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "as on Linux")]
fn sync_all(_: &Path) -> io::Result<()> {
    rustix::fs::sync();
    Ok(())
}

/// Fetches files of one sweep.
pub(super) struct Fetch<'a> {
    pub(super) client: &'a Client,
    /// Its id.
    pub(super) sweep: &'a str,
    pub(super) place: &'a FetchDir,
    pub(super) bar: &'a ProgressBar,
}

/// A file that has come so far.
struct PartialFile {
    path: PathBuf,
    out: BufWriter<fs::File>,
    size: u64,
    hash: Sha256,
}

impl Fetch<'_> {
    /// Fetches a file, whatever stands in its place.
    pub(super) async fn file(&self, file: &File) -> Result<(), Error> {
        let target = self.place.of(file)?;
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).await.map_err(|error| failed(parent, &error))?;
        }
        let path = self.place.part(file);
        let mut part = PartialFile::open(path).await?;
        if part.size > file.size || file.sha256.is_none() {
            part.begin_anew().await?;
        }
        let resumed = part.size > 0;
        self.bar.inc(part.size);
        self.fill(file, &mut part).await?;
        if resumed && !part.is(file) {
            // What was there was no part of it.
            part.begin_anew().await?;
            self.fill(file, &mut part).await?;
        }
        if let Some(published) = &file.sha256
            && !part.is(file)
        {
            let (size, sha256) = (part.size, words::hex(&part.hash.clone().finalize()));
            fs::remove_file(&part.path).await.map_err(|error| failed(&part.path, &error))?;
            return Err(Error::Failed(format!(
                "job {}: {} is damaged in the store: {size} bytes with SHA-256 {sha256}, where {} bytes with \
                 {published} were published",
                file.job, file.path, file.size
            )));
        }
        // A running job may have stored it anew since it was listed. A compressed one that is cut off is noticed anyway.
        let is_fixed =
            file.sha256.is_none() && !file.compressed && !file.state.is_some_and(AttemptState::is_live);
        if is_fixed && part.size != file.size {
            return Err(Error::Failed(format!(
                "job {}: {} came with {} of its {} bytes; fetch it again",
                file.job, file.path, part.size, file.size
            )));
        }
        fs::rename(&part.path, &target).await.map_err(|error| failed(&target, &error))
    }

    /// Fetches what is missing, and asks again when the connection breaks off.
    async fn fill(&self, file: &File, part: &mut PartialFile) -> Result<(), Error> {
        let rise = || waits(TRIES).build();
        let mut pauses = rise();
        loop {
            let before = part.size;
            let asked = self.client.asked();
            let came = self.pieces(file, part).await;
            // What has come is kept, whatever became of the rest.
            part.out.flush().await.map_err(|error| failed(&part.path, &error))?;
            match came {
                Ok(()) => return Ok(()),
                Err(DownloadError::Disk(error)) => return Err(error),
                Err(DownloadError::Coordinator(status)) if is_broken_off(&status) => {
                    self.client.leave(asked);
                    if part.size > before {
                        pauses = rise();
                    }
                    let Some(pause) = pauses.next() else { return Err((*status).into()) };
                    tokio::time::sleep(pause).await;
                    if file.sha256.is_none() {
                        // It may be another file by now, and the difference would not be noticed.
                        part.begin_anew().await?;
                    }
                }
                Err(DownloadError::Coordinator(status)) => return Err((*status).into()),
            }
        }
    }

    async fn pieces(&self, file: &File, part: &mut PartialFile) -> Result<(), DownloadError> {
        let request = v1::DownloadRequest {
            sweep: self.sweep.to_owned(),
            job: file.job,
            path: file.path.clone(),
            attempt: file.sha256.is_none().then_some(file.attempt),
            offset: part.size,
        };
        let name = format!("job {}: {}", file.job, file.path);
        let mut content = FileContent::new(name, self.client.download(request).await?);
        // Some files can only be sent from their beginning.
        let mut known = None;
        while let Some(data) = content.next().await? {
            let known = known.get_or_insert(part.size.saturating_sub(content.offset()));
            let skipped = (*known).min(data.len() as u64);
            *known -= skipped;
            part.write(&data[skipped as usize..]).await?;
            self.bar.inc(data.len() as u64 - skipped);
        }
        Ok(())
    }
}

impl PartialFile {
    /// Takes up what an earlier run has left.
    async fn open(path: PathBuf) -> Result<Self, Error> {
        let file =
            fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).await;
        let mut file = file.map_err(|error| failed(&path, &error))?;
        let (size, hash) = hash(&mut file).await.map_err(|error| failed(&path, &error))?;
        Ok(Self { path, out: BufWriter::with_capacity(PIECE, file), size, hash })
    }

    async fn begin_anew(&mut self) -> Result<(), Error> {
        let begun = async {
            self.out.seek(io::SeekFrom::Start(0)).await?;
            self.out.get_ref().set_len(0).await
        };
        begun.await.map_err(|error| failed(&self.path, &error))?;
        (self.size, self.hash) = (0, Sha256::new());
        Ok(())
    }

    async fn write(&mut self, data: &[u8]) -> Result<(), Error> {
        self.out.write_all(data).await.map_err(|error| failed(&self.path, &error))?;
        self.hash.update(data);
        self.size += data.len() as u64;
        Ok(())
    }

    fn is(&self, file: &File) -> bool {
        let sha256 = words::hex(&self.hash.clone().finalize());
        self.size == file.size && file.sha256.as_ref() == Some(&sha256)
    }
}

/// How many bytes a file has from here on, and their hash.
async fn hash(file: &mut fs::File) -> io::Result<(u64, Sha256)> {
    let (mut size, mut hash) = (0, Sha256::new());
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece).await? {
            0 => return Ok((size, hash)),
            read => {
                hash.update(&piece[..read]);
                size += read as u64;
            }
        }
    }
}

fn failed(path: &Path, error: &io::Error) -> Error {
    let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded].contains(&error.kind());
    match full {
        true => Error::NoRoom(format!(
            "{} can't be written: {error}. Make room and run this again: it goes on where it was",
            path.display()
        )),
        false => Error::Failed(format!("{}: {error}", path.display())),
    }
}
