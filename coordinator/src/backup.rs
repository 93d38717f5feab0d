//! Backups of a queue, as far as they are no business of `pg_dump`: their moment, the list of what the store must hold, and
//! what is done after a restore.

use std::time::Duration;

use anyhow::{Context, bail};
use bt_documents::{BackupCounts, ComparedStore, StoreFault, StoreLine};
use bt_model::encoding::Encoding;
use bt_model::hex::hex;
use bt_store::{Error, Location, Store};
use futures_util::{StreamExt, stream};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};

use crate::decoded::{self, decoded};
use crate::queue::{self, BackupSession, Queue, RestoreSession};
use crate::storage;

pub use crate::queue::{Counts, SchemaChange, SchemaStep, SnapshotFacts};

/// How long a migration is waited for that somebody else is at, and the wait between two tries.
const WAIT: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(1);
/// Files of the store that are looked at, and read, at once.
const LOOKS: usize = 32;
const READS: usize = 4;
/// Faults that are named.
const NAMED: usize = 1_000;

/// The newest migration that this program knows.
pub fn newest_migration() -> i64 {
    queue::newest_migration()
}

/// Brings a database up to date, or with `dry` only says what that would take. Safe beside coordinators and others that do
/// the same.
pub async fn migrate(url: &str, dry: bool) -> anyhow::Result<SchemaChange> {
    let began = Instant::now();
    loop {
        match queue::migrate(url, dry).await {
            Err(error) if error.is_transient() && began.elapsed() < WAIT => sleep(AGAIN).await,
            changed => return Ok(changed?),
        }
    }
}

/// A queue at one moment, to be written to a backup.
#[derive(Debug)]
pub struct Snapshot {
    session: BackupSession,
    pub facts: SnapshotFacts,
}

impl Snapshot {
    pub async fn begin(url: &str) -> anyhow::Result<Self> {
        let (session, facts) = BackupSession::begin(url).await?;
        Ok(Self { session, facts })
    }

    /// Hands on each file that the store must hold. Returns how many there are, and their bytes.
    pub async fn stored_files<E>(
        &mut self,
        mut write: impl FnMut(&StoreLine) -> Result<(), E>,
    ) -> anyhow::Result<Result<(u64, u64), E>> {
        let mut files = self.session.stored_files();
        let (mut count, mut bytes) = (0, 0);
        while let Some(file) = files.next().await {
            let file = file.context("list the store's files")?;
            let encoding = (file.encoding != Encoding::None).then(|| file.encoding.name().to_owned());
            let line = StoreLine { path: file.place, size: file.size, sha256: hex(&file.sha256), encoding };
            if let Err(error) = write(&line) {
                return Ok(Err(error));
            }
            count += 1;
            bytes += line.size;
        }
        Ok(Ok((count, bytes)))
    }

    pub async fn end(self) {
        self.session.end().await;
    }
}

/// An empty database that nobody else makes tables in, until it is let go.
#[derive(Debug)]
pub struct EmptyDatabase {
    session: RestoreSession,
    /// The first number of the server's version.
    pub postgres_major: u32,
}

impl EmptyDatabase {
    /// Refuses one that holds anything.
    pub async fn hold(url: &str) -> anyhow::Result<Self> {
        let (session, postgres_major) = RestoreSession::begin(url).await?;
        Ok(Self { session, postgres_major })
    }

    /// Brings what was restored up to date.
    pub async fn finish(self) -> anyhow::Result<(SchemaChange, Counts)> {
        Ok(self.session.finish().await?)
    }
}

impl From<Counts> for BackupCounts {
    fn from(counts: Counts) -> Self {
        let Counts { sweeps, jobs, results, running, queued } = counts;
        Self { sweeps, jobs, results, files: 0, bytes: 0, running, queued }
    }
}

/// Why a queue can't use a store.
#[derive(Clone, Debug)]
pub struct StoreMismatch {
    pub why: String,
    /// A coordinator that is started once with `--adopt-store` uses it all the same.
    pub can_adopt: bool,
}

/// Whether a restored queue and a store still belong together.
pub async fn look_at_store(url: &str, location: &Location) -> anyhow::Result<Result<(), StoreMismatch>> {
    let Some(known) = Queue::store_at(url).await? else { return Ok(Ok(())) };
    let looked = storage::look(location, Some(&known)).await;
    Ok(looked
        .map(drop)
        .map_err(|error| StoreMismatch { why: error.to_string(), can_adopt: error.can_adopt() }))
}

/// Compares the store with the list of a backup. `read` has each file read, too.
pub async fn compare_store(
    location: &Location,
    lines: impl Iterator<Item = anyhow::Result<StoreLine>>,
    read: bool,
) -> anyhow::Result<ComparedStore> {
    let store = Store::open_existing(location)?;
    let mut compared =
        ComparedStore { location: location.to_string(), verified: read, ..ComparedStore::default() };
    let checks = stream::iter(lines).map(|line| {
        let store = store.clone();
        async move {
            let line = line?;
            let fault = fault_of(&store, &line, read).await?;
            anyhow::Ok((line.path, fault))
        }
    });
    let mut checks = std::pin::pin!(checks.buffered(if read { READS } else { LOOKS }));
    while let Some(checked) = checks.next().await {
        let (path, fault) = checked?;
        compared.files += 1;
        let Some(fault) = fault else { continue };
        match fault.as_str() {
            MISSING => compared.missing += 1,
            _ => compared.different += 1,
        }
        if compared.faults.len() < NAMED {
            compared.faults.push(StoreFault { path, fault });
        }
    }
    Ok(compared)
}

const MISSING: &str = "is missing";

/// What is wrong with a file; none if nothing is. An error is the whole store's.
async fn fault_of(store: &Store, line: &StoreLine, read: bool) -> anyhow::Result<Option<String>> {
    let size = match store.size(&line.path).await {
        Ok(size) => size,
        Err(error) if error.is_one_files() => return Ok(Some(format!("can't be read: {error}"))),
        Err(error) => return Err(error.into()),
    };
    match size {
        None => return Ok(Some(MISSING.to_owned())),
        Some(size) if size != line.size => {
            return Ok(Some(format!("has {size} bytes, where {} were published", line.size)));
        }
        Some(_) if !read => return Ok(None),
        Some(_) => {}
    }
    let encoding = match line.encoding.as_deref().map(str::parse::<Encoding>) {
        None => Encoding::None,
        Some(Ok(encoding)) => encoding,
        Some(Err(_)) => {
            bail!("the backup's list names an encoding that this btctl does not know: use a newer one")
        }
    };
    let pieces = match store.read(&line.path).await {
        Ok(pieces) => pieces,
        Err(Error::NotFound { .. }) => return Ok(Some(MISSING.to_owned())),
        Err(error) if error.is_one_files() => return Ok(Some(format!("can't be read: {error}"))),
        Err(error) => return Err(error.into()),
    };
    let mut hash = Sha256::new();
    let mut pieces = decoded(pieces, encoding);
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => hash.update(&piece),
            Err(decoded::Error::Store(error)) if !error.is_one_files() => return Err(error.into()),
            Err(error) => return Ok(Some(format!("can't be read: {error}"))),
        }
    }
    let same = hex(&hash.finalize()) == line.sha256;
    Ok((!same).then(|| "has another content than was published".to_owned()))
}
