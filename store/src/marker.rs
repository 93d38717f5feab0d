//! How a store is known again: a file in its root that holds an id. Whoever finds that id there has found the same store,
//! by whatever path; and a directory without it is not the store, but perhaps the place where it is not mounted.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use object_store::{ObjectStoreExt, PutMode, PutOptions, PutPayload};
use uuid::Uuid;

use crate::location::Location;
use crate::{Error, Store, bucket};

/// The file's name.
pub(crate) const MARKER: &str = ".btctl-store";
/// What files are called that only prove that the store can be written to; an id follows.
pub(crate) const PROBE: &str = ".btctl-probe-";

/// How long it holds that the marker was seen: less than an unmount and what follows take, and long enough that many
/// small files do not look one by one.
const SEEN: Duration = Duration::from_millis(50);

/// The marker of a directory that is known to be the store. All copies of a store share what they have seen.
#[derive(Clone)]
pub(crate) struct Marker {
    path: PathBuf,
    seen: Arc<Mutex<Option<Instant>>>,
}

impl Marker {
    fn of(dir: &Path) -> Self {
        Self { path: dir.join(MARKER), seen: Arc::default() }
    }

    fn was_seen(&self) -> bool {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.is_some_and(|seen| seen.elapsed() < SEEN)
    }

    fn note(&self, looked: Instant) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(looked);
    }
}

impl Store {
    /// Looks where the store really is: earlier versions of btctl wrote percent signs into the keys of a bucket whose
    /// prefix has letters such as a space. A store that was made so stays where it is.
    pub async fn find(&mut self) -> Result<(), Error> {
        let Location::Bucket { cloud, bucket, prefix } = &self.location else { return Ok(()) };
        let Some(earlier) = bucket::earlier_prefix(prefix) else { return Ok(()) };
        if self.id().await?.is_some() {
            return Ok(());
        }
        let location = Location::Bucket { cloud: *cloud, bucket: bucket.clone(), prefix: earlier };
        let there = Self::open_existing(&location)?;
        if there.id().await?.is_some() {
            (self.objects, self.parts) = (there.objects, there.parts);
        }
        Ok(())
    }

    /// The store's id, made if it has none yet.
    pub async fn claim(&mut self) -> Result<Uuid, Error> {
        let id = match self.id().await? {
            Some(id) => id,
            None => self.make_id().await?,
        };
        self.watch_marker();
        Ok(id)
    }

    /// Looks whether this is the store with that id, which it is from then on held to.
    pub async fn recognise(&mut self, id: Uuid) -> Result<bool, Error> {
        let same = self.id().await? == Some(id);
        if same {
            self.watch_marker();
        }
        Ok(same)
    }

    /// The store's id, if it has one.
    pub async fn id(&self) -> Result<Option<Uuid>, Error> {
        let marker = object_store::path::Path::from(MARKER);
        let found = match self.objects.get(&marker).await {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        let data = match found {
            Ok(data) => data,
            Err(error) => {
                return match self.error(MARKER, error) {
                    Error::NotFound { .. } => Ok(None),
                    error => Err(error),
                };
            }
        };
        let text = String::from_utf8_lossy(&data);
        let id = text.trim().parse().map_err(|_| Error::Access {
            path: MARKER.to_owned(),
            why: "it holds no store's id; remove it if it is not btctl's".to_owned(),
        })?;
        Ok(Some(id))
    }

    /// Makes the marker. Of two that do so at once one wins, and both return its id.
    async fn make_id(&self) -> Result<Uuid, Error> {
        let marker = object_store::path::Path::from(MARKER);
        let id = Uuid::new_v4();
        let payload = PutPayload::from(format!("{id}\n"));
        let created = PutOptions::from(PutMode::Create);
        let made = match self.objects.put_opts(&marker, payload.clone(), created).await {
            // A server that knows no conditions: the id that is read back is the one that holds.
            Err(object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }) => {
                self.objects.put(&marker, payload).await.map(drop)
            }
            Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            made => made.map(drop),
        };
        made.map_err(|error| self.error(MARKER, error))?;
        let known = self.id().await?;
        known.ok_or_else(|| Error::NotFound { path: MARKER.to_owned() })
    }

    /// Proves that files can be written and removed, and finds out what a bucket can do.
    pub async fn prove_writable(&mut self) -> Result<(), Error> {
        self.probe(|_, _| Ok(())).await
    }

    /// Proves that as well, and that whoever made the store can use what is written: in a directory what one user makes
    /// is not another's to complete.
    pub async fn prove_shared(&mut self) -> Result<(), Error> {
        self.probe(|location, name| match location {
            Location::Directory(dir) => same_owner(location, dir, name),
            Location::Bucket { .. } => Ok(()),
        })
        .await
    }

    async fn probe(&mut self, look: impl Fn(&Location, &str) -> Result<(), Error>) -> Result<(), Error> {
        let name = format!("{PROBE}{}", Uuid::new_v4());
        self.create(&name, Bytes::from_static(b"btctl writes this to see that it can\n")).await?;
        let seen = look(&self.location, &name);
        let tried = self.try_conditions(&name).await;
        self.remove(&name).await?;
        seen.and(tried)
    }

    fn watch_marker(&mut self) {
        if let Location::Directory(dir) = &self.location {
            self.marker = Some(Marker::of(dir));
        }
    }

    /// Looks whether a directory is still the store: one that has lost its marker may be the place where the store was
    /// mounted.
    pub(crate) async fn guard(&self) -> Result<(), Error> {
        let Some(marker) = self.marker.clone().filter(|marker| !marker.was_seen()) else { return Ok(()) };
        let location = self.location.to_string();
        let look = move || {
            let looked = Instant::now();
            is_there(&location, &marker.path).inspect(|()| marker.note(looked))
        };
        self.blocking(look).await
    }

    /// A directory that is mounted from elsewhere may hang, and must not hold up more than who asks.
    async fn blocking(&self, call: impl FnOnce() -> Result<(), Error> + Send + 'static) -> Result<(), Error> {
        let called = tokio::task::spawn_blocking(call).await;
        called.map_err(|error| Error::Access { path: self.location.to_string(), why: error.to_string() })?
    }
}

fn is_there(location: &str, marker: &Path) -> Result<(), Error> {
    match marker.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::Gone {
            location: location.to_owned(),
            why: format!("{} is missing; is the directory mounted?", marker.display()),
        }),
        // Whatever else is wrong, what is done next finds it too, and says more.
        _ => Ok(()),
    }
}

/// Root can use whatever it finds, and everybody what is his own.
fn same_owner(location: &Location, dir: &Path, probe: &str) -> Result<(), Error> {
    let owner = |name: &str| dir.join(name).symlink_metadata().map(|file| file.uid());
    let (Ok(store), Ok(own)) = (owner(MARKER), owner(probe)) else { return Ok(()) };
    if store == 0 || store == own {
        return Ok(());
    }
    Err(Error::Denied {
        location: location.to_string(),
        why: format!("it belongs to uid {store}, and what is written from here to uid {own}"),
        remedy: "run both as the same user".to_owned(),
    })
}
