//! The store: the shared storage that results are published to.
//!
//! It is a directory (local or mounted) or a bucket. A file appears whole or not at all, and is on disk when a call
//! returns. What stands under a name is never written over: other content gets another name, and its writer hears which.
//! Only `result.json` is replaced. What counts is decided elsewhere: a file that no `result.json` names is not part of any
//! result.

mod batch;
mod bucket;
mod codec;
mod create;
mod directory;
mod document;
mod error;
mod generation;
mod half_written;
mod location;
mod marker;
mod measured;
pub mod overlay;
mod upload;

use std::future::ready;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use object_store::local::LocalFileSystem;
use object_store::multipart::MultipartStore;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutPayload};

pub use bucket::install_tls;
pub use codec::{Decoder, Encoder, compress};
pub use document::{
    DevMountEntry, FileEntry, GivenEntry, MachineEntry, ResultDocument, ReusedEntry, StoredEntry, UsageEntry,
    VersionsEntry, VolumeEntry, WarmEntry,
};
pub use error::Error;
pub use generation::Generation;
pub use half_written::HalfWritten;
pub use location::{Cloud, Location, Unreadable};
pub use upload::{Progress, Receipt, Upload};

use measured::measured;

/// Bytes of a file's name in a bucket, the bucket's prefix included.
const LONGEST_KEY: usize = 1024;
/// Bytes of a file in a bucket that are asked for at once, and how many such pieces.
const RANGE: u64 = 8 << 20;
const RANGES: usize = 2;

/// Where results are published. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    location: Location,
    objects: Arc<dyn ObjectStore>,
    /// Of a bucket: how files get there in parts that are known by name.
    parts: Option<Arc<dyn MultipartStore>>,
    /// Of a directory: where files get their names.
    batches: Option<batch::Batches>,
    /// Of a directory that is known to be the store: what must be there for it to be so.
    marker: Option<marker::Marker>,
    /// Of a bucket that was tried: it refuses to write over an object where it is asked to.
    keeps_conditions: bool,
}

impl Store {
    /// The store at a location. A directory is made if it is missing; a bucket is not asked for anything yet.
    pub fn open(location: &Location) -> Result<Self, Error> {
        if let Location::Directory(dir) = location {
            std::fs::create_dir_all(dir).map_err(|error| root(dir, &error))?;
        }
        Self::open_existing(location)
    }

    /// As [`open`](Self::open), and a directory that is missing is an error.
    pub fn open_existing(location: &Location) -> Result<Self, Error> {
        let batches = match location {
            Location::Directory(dir) => Some(batch::Batches::new(dir)),
            Location::Bucket { .. } => None,
        };
        let opened = |objects, parts| Self {
            location: location.clone(),
            objects,
            parts,
            batches,
            marker: None,
            keeps_conditions: false,
        };
        match location {
            Location::Directory(dir) => {
                std::fs::read_dir(dir).map_err(|error| root(dir, &error))?;
                let files = LocalFileSystem::new_with_prefix(dir).map_err(|error| root(dir, &error))?;
                Ok(opened(Arc::new(files.with_fsync(true).with_automatic_cleanup(true)), None))
            }
            Location::Bucket { cloud, bucket, prefix } => {
                let found = bucket::open(*cloud, bucket, prefix).map_err(|error| Error::Settings {
                    location: location.to_string(),
                    why: error.to_string(),
                })?;
                Ok(opened(found.objects, Some(found.parts)))
            }
        }
    }

    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Begins a file, of so many bytes if that is known. It appears when the upload is finished, which says under which
    /// name: under this one, unless other content stands there.
    pub async fn upload(&self, path: &str, expected: Option<u64>) -> Result<Upload, Error> {
        let at = self.parse(path)?;
        self.guard().await?;
        Ok(Upload::new(self.clone(), path, at, expected))
    }

    /// Goes on with a file that was begun in a bucket: it is written from its beginning, and what is there is not sent.
    pub async fn resume(&self, path: &str, progress: Progress) -> Result<Upload, Error> {
        Ok(self.upload(path, None).await?.resume(progress))
    }

    /// Removes a file. Fine if it is gone.
    pub async fn remove(&self, path: &str) -> Result<(), Error> {
        let at = self.parse(path)?;
        let removing = async {
            match self.objects.delete(&at).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(self.error(path, error)),
            }
        };
        measured("remove", removing).await
    }

    /// The size of a file in bytes, or none if there is no such file.
    pub async fn size(&self, path: &str) -> Result<Option<u64>, Error> {
        Ok(measured("look", self.tag(path)).await?.map(|(_, size)| size))
    }

    /// The tag that a bucket gives to a file's content, and its size in bytes; none if there is no such file.
    async fn tag(&self, path: &str) -> Result<Option<(Option<String>, u64)>, Error> {
        let at = self.parse(path)?;
        self.guard().await?;
        let error = match self.objects.head(&at).await {
            Ok(meta) => return Ok(Some((meta.e_tag, meta.size))),
            Err(error) => error,
        };
        let error = match (error, &self.parts) {
            // An answer without a body does not tell a missing file from a missing bucket.
            (object_store::Error::NotFound { .. }, Some(_)) => {
                let first = GetOptions { range: Some(GetRange::Bounded(0..1)), ..GetOptions::default() };
                match self.objects.get_opts(&at, first).await {
                    Ok(found) => return Ok(Some((found.meta.e_tag, found.meta.size))),
                    Err(error) => error,
                }
            }
            (error, _) => error,
        };
        match self.error(path, error) {
            Error::NotFound { .. } => Ok(None),
            error => Err(error),
        }
    }

    /// Reads a file in pieces.
    pub async fn read(
        &self,
        path: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + use<>, Error> {
        self.read_from(path, 0).await
    }

    /// Reads a file in pieces, from an offset on; nothing if the file is no longer than that.
    pub async fn read_from(
        &self,
        path: &str,
        offset: u64,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + use<>, Error> {
        let at = self.parse(path)?;
        let failed = {
            let (store, name) = (self.clone(), path.to_owned());
            move |error| store.error(&name, error)
        };
        if self.parts.is_none() && offset == 0 {
            let opening = async {
                match self.objects.get(&at).await {
                    Ok(found) => Ok(found),
                    Err(error) => {
                        // A directory that is not mounted has no file either.
                        self.guard().await?;
                        Err(failed(error))
                    }
                }
            };
            let found = measured("read", opening).await?;
            let pieces = found.into_stream();
            return Ok(pieces.map(move |piece| piece.map_err(&failed)).left_stream());
        }
        // In ranges, so that no request lasts as long as a slow reader takes for all of it.
        let size = self.size(path).await?.ok_or_else(|| Error::NotFound { path: path.to_owned() })?;
        let objects = self.objects.clone();
        let pieces = stream::iter(ranges(offset, size)).map(move |range| {
            let (objects, at) = (objects.clone(), at.clone());
            let failed = failed.clone();
            measured("read", async move { objects.get_range(&at, range).await.map_err(failed) })
        });
        Ok(pieces.buffered(RANGES).right_stream())
    }

    /// These bytes of a file. An error if it does not have them all.
    pub async fn read_range(&self, path: &str, range: Range<u64>) -> Result<Bytes, Error> {
        let at = self.parse(path)?;
        let wanted = range.end.saturating_sub(range.start);
        if wanted == 0 {
            return Ok(Bytes::new());
        }
        let reading = async {
            match self.objects.get_range(&at, range).await {
                Ok(bytes) if bytes.len() as u64 == wanted => Ok(bytes),
                Ok(_) => Err(Error::NotFound { path: path.to_owned() }),
                Err(error) => {
                    // A directory that is not mounted has no file either.
                    self.guard().await?;
                    Err(self.error(path, error))
                }
            }
        };
        measured("read", reading).await
    }

    /// All of a file that has no more bytes than these; none if it has.
    pub async fn read_small(&self, path: &str, most: u64) -> Result<Option<Bytes>, Error> {
        let at = self.parse(path)?;
        let reading = async {
            let found = match self.objects.get(&at).await {
                Ok(found) => found,
                Err(error) => {
                    // A directory that is not mounted has no file either.
                    self.guard().await?;
                    return Err(self.error(path, error));
                }
            };
            match found.meta.size <= most {
                true => found.bytes().await.map(Some).map_err(|error| self.error(path, error)),
                false => Ok(None),
            }
        };
        measured("read", reading).await
    }

    /// All files below a directory, with their sizes, as the store names them: in no order, and none that is still being
    /// written. A directory that is not there has none.
    pub fn list(&self, dir: &str) -> impl Stream<Item = Result<Stored, Error>> + Send + 'static {
        let listed = match dir {
            "" => Ok(self.objects.list(None)),
            dir => self.parse(dir).map(|prefix| self.objects.list(Some(&prefix))),
        };
        let (store, name) = (self.clone(), dir.to_owned());
        let failed = move |error| store.error(&name, error);
        let stored = |meta: object_store::ObjectMeta| Stored {
            path: meta.location.into(),
            size: meta.size,
            modified: meta.last_modified.into(),
        };
        match listed {
            Ok(files) => files
                .map(move |file| file.map(stored).map_err(&failed))
                .filter(|file| ready(!file.as_ref().is_ok_and(Stored::is_own)))
                .left_stream(),
            Err(error) => stream::once(ready(Err(error))).right_stream(),
        }
    }

    /// Writes the document that makes a published result known to readers without Postgres. The only file that may be
    /// replaced: Postgres says what is in it, and a writer that was late is found out there.
    pub async fn write_result(&self, path: &str, document: &ResultDocument) -> Result<(), Error> {
        let at = self.parse(path)?;
        let writing = async {
            self.guard().await?;
            if self.batches.is_some() {
                return self.replace(path, document.to_json().into()).await;
            }
            let written = self.objects.put(&at, PutPayload::from(document.to_json())).await;
            written.map(drop).map_err(|e| self.error(path, e))
        };
        measured("write_result", writing).await
    }

    /// Removes the parts in a bucket of an upload that was given up.
    pub async fn abandon(&self, path: &str, progress: Progress) -> Result<(), Error> {
        self.resume(path, progress).await?.abort().await
    }

    fn error(&self, path: &str, error: object_store::Error) -> Error {
        Error::of(&self.location, path, error)
    }

    /// Names are kept as they are or refused: `Path::parse` changes nothing.
    fn parse(&self, path: &str) -> Result<object_store::path::Path, Error> {
        let refused = |why: String| Error::Name { path: path.to_owned(), why };
        if path.is_empty() || path.starts_with('/') || path.ends_with('/') {
            return Err(refused("it must be relative and name a file".into()));
        }
        if let Location::Bucket { prefix, .. } = &self.location
            && prefix.len() + path.len() >= LONGEST_KEY
        {
            return Err(refused(format!("with the store's prefix it is longer than {LONGEST_KEY} bytes")));
        }
        let name = path.rsplit('/').next().unwrap_or_default();
        let number = name.split_once('#').map_or("", |(_, rest)| rest);
        if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refused("`#` and a number at the end stand for a file that is being written".into()));
        }
        object_store::path::Path::parse(path).map_err(|error| refused(error.to_string()))
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.location)
    }
}

fn root(dir: &Path, error: &dyn std::error::Error) -> Error {
    Error::Root { dir: dir.display().to_string(), why: error.to_string() }
}

fn ranges(from: u64, size: u64) -> impl Iterator<Item = Range<u64>> {
    let starts = std::iter::successors(Some(from), |start| Some(start + RANGE));
    starts.take_while(move |start| *start < size).map(move |start| start..size.min(start + RANGE))
}

/// A file that is in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// From the store's root.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// By the clock of the machine that holds the store.
    pub modified: SystemTime,
}

impl Stored {
    /// True for what a store keeps for itself.
    fn is_own(&self) -> bool {
        self.path == marker::MARKER
            || self.path.starts_with(marker::PROBE)
            || self.path.split('/').next() == Some(generation::GENERATIONS)
    }
}

#[cfg(test)]
mod tests;
