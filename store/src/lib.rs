//! The store: the shared storage that results are published to.
//!
//! A file appears whole or not at all, and is on disk when a call returns. What counts is decided elsewhere: a file
//! that no `result.json` names is not part of any result.

mod document;
mod error;
mod upload;

use std::future::ready;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use sha2::{Digest, Sha256};

pub use document::{
    FileEntry, GivenEntry, MachineEntry, ResultDocument, ReusedEntry, UsageEntry, VersionsEntry, VolumeEntry,
};
pub use error::Error;
pub use upload::{Receipt, Upload};

/// Bytes of a file's name in a directory.
const LONGEST_NAME: usize = 255;
/// What the name that a file has while it is written may be longer by: `#` and a number.
const WRITING: usize = 8;

/// A directory that results are published in.
#[derive(Clone, Debug)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
}

impl Store {
    /// The store in a directory, which is made if it is missing.
    pub fn directory(dir: &Path) -> Result<Self, Error> {
        let root = |source| Error::Root { dir: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(|error| root(error.into()))?;
        let files = LocalFileSystem::new_with_prefix(dir).map_err(|error| root(error.into()))?;
        Ok(Self { objects: Arc::new(files.with_fsync(true).with_automatic_cleanup(true)) })
    }

    /// Begins a file. It appears under its name when the upload is finished; an older one of that name is replaced.
    pub async fn upload(&self, path: &str) -> Result<Upload, Error> {
        let at = parse(path)?;
        let aside = aside(&at);
        let parts = self.objects.put_multipart(aside.as_ref().unwrap_or(&at)).await;
        let parts = parts.map_err(|e| Error::of(path, e))?;
        let rename = aside.map(|from| Rename { objects: self.objects.clone(), from, to: at });
        Ok(Upload::new(path, parts, rename))
    }

    /// Writes a small file. It appears under its name when this returns; an older one of that name is replaced.
    pub async fn put(&self, path: &str, data: Bytes) -> Result<(), Error> {
        let at = parse(path)?;
        let aside = aside(&at);
        let written = self.objects.put(aside.as_ref().unwrap_or(&at), PutPayload::from(data)).await;
        written.map_err(|e| Error::of(path, e))?;
        let rename = aside.map(|from| Rename { objects: self.objects.clone(), from, to: at });
        match rename {
            Some(rename) => rename.run().await.map_err(|e| Error::of(path, e)),
            None => Ok(()),
        }
    }

    /// Removes a file. Fine if it is gone.
    pub async fn remove(&self, path: &str) -> Result<(), Error> {
        match self.objects.delete(&parse(path)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(Error::of(path, error)),
        }
    }

    /// The size of a file in bytes, or none if there is no such file.
    pub async fn size(&self, path: &str) -> Result<Option<u64>, Error> {
        match self.objects.head(&parse(path)?).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(Error::of(path, error)),
        }
    }

    /// Reads a file in pieces.
    pub async fn read(
        &self,
        path: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + use<>, Error> {
        let found = self.objects.get(&parse(path)?).await;
        let name = path.to_owned();
        let pieces = found.map_err(|e| Error::of(path, e))?.into_stream();
        Ok(pieces.map(move |piece| piece.map_err(|e| Error::of(&name, e))))
    }

    /// All files below a directory, with their sizes, as the store names them: in no order, and none that is still being
    /// written. A directory that is not there has none.
    pub fn list(&self, dir: &str) -> impl Stream<Item = Result<Stored, Error>> + Send + 'static {
        let name = dir.to_owned();
        let listed = match dir {
            "" => Ok(self.objects.list(None)),
            dir => parse(dir).map(|prefix| self.objects.list(Some(&prefix))),
        };
        let failed = move |error| Error::of(&name, error);
        let stored = |meta: object_store::ObjectMeta| Stored {
            path: meta.location.into(),
            size: meta.size,
            modified: meta.last_modified.into(),
        };
        match listed {
            Ok(files) => files.map(move |file| file.map(stored).map_err(&failed)).left_stream(),
            Err(error) => stream::once(ready(Err(error))).right_stream(),
        }
    }

    /// Writes the document that makes a published result known to readers without Postgres.
    pub async fn write_result(&self, path: &str, document: &ResultDocument) -> Result<(), Error> {
        self.put(path, document.to_json().into()).await
    }
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

/// The last step of writing a file whose own name leaves no room for that of a file being written.
struct Rename {
    objects: Arc<dyn ObjectStore>,
    from: object_store::path::Path,
    to: object_store::path::Path,
}

impl Rename {
    async fn run(&self) -> object_store::Result<()> {
        self.objects.rename(&self.from, &self.to).await
    }
}

/// Where a file with such a long name is written: beside its place, so that it can be renamed, and always at the same, so
/// that another try replaces what an earlier one left.
fn aside(path: &object_store::path::Path) -> Option<object_store::path::Path> {
    let name = path.filename().filter(|name| name.len() > LONGEST_NAME - WRITING)?;
    let dir = path.as_ref().strip_suffix(name)?;
    let digest = Sha256::digest(name.as_bytes());
    let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    object_store::path::Path::parse(format!("{dir}.btctl-{digest}")).ok()
}

/// Names are kept as they are or refused: `Path::parse` changes nothing.
fn parse(path: &str) -> Result<object_store::path::Path, Error> {
    let refused = |why: String| Error::Name { path: path.to_owned(), why };
    if path.starts_with('/') || path.ends_with('/') {
        return Err(refused("it must be relative and name a file".into()));
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    let number = name.split_once('#').map_or("", |(_, rest)| rest);
    if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(refused("`#` and a number at the end stand for a file that is being written".into()));
    }
    object_store::path::Path::parse(path).map_err(|error| refused(error.to_string()))
}

#[cfg(test)]
mod tests;
