//! How files get their names: each name once. Content that finds its name taken by other content gets another one,
//! `<name>~<8 digits>`; content that is there already is not stored twice.

use std::path::{Path, PathBuf};

use bt_model::hex::hex;
use bt_model::layout::other_name;
use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::{ObjectStoreExt, PutMode, PutOptions, PutPayload};
use sha2::{Digest, Sha256};
use tracing::warn;
use uuid::Uuid;

use crate::batch::{Content, Naming, Place};
use crate::directory::{self, StagedFile};
use crate::upload::Receipt;
use crate::{Error, Location, Store};

/// Bytes of a file's name in a directory.
const LONGEST_NAME: usize = 255;
/// What the name that a file has while it is written may be longer by: `#` and a number.
const WRITING: usize = 8;
/// Begins the name that a file with such a long name has meanwhile.
pub(crate) const ASIDE: &str = ".btctl-";
/// Names that are tried for one file; each is taken by chance once in four thousand millions.
const NAMES: usize = 5;

/// What is to be stored, and has no name yet.
pub(crate) enum UnnamedContent {
    /// For a directory.
    Small(Vec<Bytes>),
    /// In a directory, written already.
    Staged(StagedFile),
    /// For a bucket.
    Object(PutPayload),
}

impl Store {
    /// Writes a small file. It appears when this returns; the receipt says under which name.
    pub async fn create(&self, path: &str, data: Bytes) -> Result<Receipt, Error> {
        let mut upload = self.upload(path, Some(data.len() as u64)).await?;
        upload.write(data).await?;
        upload.finish().await
    }

    /// Lets a file be found by its first name too, instead of what has that: people look for a result's files by their
    /// names. Only for a name that is no published file's. Where it can't be had, nothing has that name.
    pub async fn also_as(&self, path: &str, first: &str) -> Result<(), Error> {
        let (from, to) = (self.parse(path)?, self.parse(first)?);
        self.guard().await?;
        // In a directory it is the same file with a second name.
        match self.objects.copy(&from, &to).await {
            Ok(()) => Ok(()),
            Err(error) => {
                warn!(error = %self.error(path, error), "{path} can't be found as {first} too");
                self.remove(first).await
            }
        }
    }

    /// Gives content its name, or another one if other content has that. Says which it was.
    pub(crate) async fn name(
        &self,
        path: &str,
        content: UnnamedContent,
        size: u64,
        sha256: &[u8; 32],
    ) -> Result<String, Error> {
        let Some(mut content) = self.name_once(path, content).await? else { return Ok(path.to_owned()) };
        if self.holds(path, size, sha256).await? {
            self.settle(path).await?;
            return Ok(path.to_owned());
        }
        for _ in 0..NAMES {
            let other = self.another(path)?;
            match self.name_once(&other, content).await? {
                None => return Ok(other),
                Some(left) => content = left,
            }
        }
        Err(Error::Access { path: path.to_owned(), why: "no name is free for it".to_owned() })
    }

    /// A name that nothing has, but for a chance in four thousand millions.
    pub(crate) fn another(&self, path: &str) -> Result<String, Error> {
        let digits = Uuid::new_v4().simple().to_string();
        let other = other_name(path, &digits[..8]);
        self.parse(&other).map(|_| other)
    }

    /// The content again, if something has the name.
    async fn name_once(&self, path: &str, content: UnnamedContent) -> Result<Option<UnnamedContent>, Error> {
        let content = match content {
            UnnamedContent::Small(pieces) => Content::Small { base: self.staging(path)?, pieces },
            UnnamedContent::Staged(staged) => Content::Staged(staged),
            UnnamedContent::Object(payload) => {
                let created = self.create_object(path, payload.clone()).await?;
                return Ok((!created).then_some(UnnamedContent::Object(payload)));
            }
        };
        Ok(match self.place_content(path, content, Place::Free).await? {
            Naming::Done => None,
            Naming::Taken(staged) => Some(UnnamedContent::Staged(staged)),
        })
    }

    async fn place_content(&self, path: &str, content: Content, place: Place) -> Result<Naming, Error> {
        let to = self.place(path)?;
        let Some(batches) = &self.batches else { return Err(self.no_directory(path)) };
        batches.name(content, to, place).await.map_err(|error| self.disk_error(path, error))
    }

    /// Writes a file of a directory in the place of what has its name.
    pub(crate) async fn replace(&self, path: &str, data: Bytes) -> Result<(), Error> {
        let content = Content::Small { base: self.staging(path)?, pieces: vec![data] };
        self.place_content(path, content, Place::Any).await.map(drop)
    }

    /// Waits until a file that somebody else has written is on the disk: its writer may have died before it was.
    async fn settle(&self, path: &str) -> Result<(), Error> {
        if self.batches.is_none() {
            return Ok(());
        }
        let (root, at) = (self.root().to_owned(), self.place(path)?);
        self.on_disk(path, move || directory::sync_file(&root, &at)).await
    }

    fn no_directory(&self, path: &str) -> Error {
        Error::Access { path: path.to_owned(), why: format!("{} is no directory", self.location) }
    }

    /// False if an object has the name. A server that knows no conditions is asked beforehand whether one has.
    async fn create_object(&self, path: &str, payload: PutPayload) -> Result<bool, Error> {
        let at = self.parse(path)?;
        if !self.keeps_conditions && self.size(path).await?.is_some() {
            return Ok(false);
        }
        let created = PutOptions::from(PutMode::Create);
        match self.objects.put_opts(&at, payload.clone(), created).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(false)
            }
            Err(object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }) => {
                let put = self.objects.put(&at, payload).await;
                put.map(|_| true).map_err(|error| self.error(path, error))
            }
            Err(error) => Err(self.error(path, error)),
        }
    }

    /// True if this very content stands under the name.
    pub(crate) async fn holds(&self, path: &str, size: u64, sha256: &[u8; 32]) -> Result<bool, Error> {
        if self.size(path).await? != Some(size) {
            return Ok(false);
        }
        let mut pieces = std::pin::pin!(self.read(path).await?);
        let mut hash = Sha256::new();
        while let Some(piece) = pieces.try_next().await? {
            hash.update(&piece);
        }
        Ok(hash.finalize()[..] == sha256[..])
    }

    /// Tries whether a bucket refuses to write over an object, by an object that is there.
    pub(crate) async fn try_conditions(&mut self, there: &str) -> Result<(), Error> {
        if self.parts.is_some() {
            let at = self.parse(there)?;
            let created = PutOptions::from(PutMode::Create);
            let again = self.objects.put_opts(&at, PutPayload::from_static(b"again\n"), created).await;
            self.keeps_conditions = matches!(
                again,
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. })
            );
        }
        Ok(())
    }

    /// Begins a file in a directory.
    pub(crate) async fn stage(&self, path: &str) -> Result<StagedFile, Error> {
        let base = self.staging(path)?;
        self.on_disk(path, move || StagedFile::begin(&base)).await
    }

    /// Removes what a writer of a file left that was killed. Only for files that are not being written by others: what
    /// they have written would be lost.
    pub async fn clear(&self, path: &str) -> Result<(), Error> {
        if self.parts.is_some() {
            return Ok(());
        }
        let base = self.staging(path)?;
        self.on_disk(path, move || {
            directory::clear(&base);
            Ok(())
        })
        .await
    }

    /// Where in the directory a file stands.
    fn place(&self, path: &str) -> Result<PathBuf, Error> {
        self.parse(path)?;
        Ok(self.root().join(path))
    }

    /// What the names of a file begin with while it is written: its own, or one beside it where that leaves no room.
    fn staging(&self, path: &str) -> Result<PathBuf, Error> {
        let place = self.place(path)?;
        let name = path.rsplit('/').next().unwrap_or(path);
        if name.len() <= LONGEST_NAME - WRITING {
            return Ok(place);
        }
        Ok(place.with_file_name(format!("{ASIDE}{}", hex(&Sha256::digest(name.as_bytes())[..8]))))
    }

    fn root(&self) -> &Path {
        match &self.location {
            Location::Directory(root) => root,
            Location::Bucket { .. } => Path::new(""),
        }
    }

    /// Does something with a directory, which may hang where it is mounted from elsewhere.
    pub(crate) async fn on_disk<T: Send + 'static>(
        &self,
        path: &str,
        call: impl FnOnce() -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let called = tokio::task::spawn_blocking(call).await;
        let called =
            called.map_err(|error| Error::Access { path: path.to_owned(), why: error.to_string() })?;
        called.map_err(|error| self.disk_error(path, error))
    }

    fn disk_error(&self, path: &str, error: std::io::Error) -> Error {
        self.error(path, object_store::Error::Generic { store: "directory", source: Box::new(error) })
    }
}
