//! `btctl restore`: brings a backup back into an empty database.

use std::path::PathBuf;
use std::process::Stdio;

use bt_coordinator::LibpqTarget;
use bt_coordinator::backup::{self, EmptyDatabase, StoreMismatch};
use bt_documents::{BackupCounts, ComparedStore, RestoredBackup};
use bt_store::Location;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::migrate::listed;
use crate::backup::{Program, StoredBackup};
use crate::error::Error;
use crate::files;
use crate::output::{Cell, Json, OutputArgs, print_facts, say};
use crate::signals::Signals;
use crate::state_dir::UpDir;
use crate::up::HeldPostgres;

/// Files at fault that are named to people.
const NAMED: usize = 20;
/// Bytes of a dump that are sent at once.
const PIECE: usize = 1 << 17;

const EXAMPLES: &str = "\
Examples:
  createdb -h db btctl && BTCTL_DATABASE_URL=postgres://btctl@db/btctl btctl restore /backups/today
  btctl restore /backups/today --state-dir /data/btctl    # for `btctl up --state-dir /data/btctl`
  btctl restore /backups/today --database-url \"$URL\" --store /srv/results --verify

All of the backup is restored, or nothing. Then the schema is brought up to date, and the store is compared with the backup's \
list. It exits with 1 if files are missing there.";

/// Restore a backup into an empty database.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Restore {
    /// Directory that `btctl backup` wrote.
    #[arg(value_name = "DIR", value_parser = files::directory)]
    dir: PathBuf,
    /// Empty database to restore into.
    #[arg(long, env = "BTCTL_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// Directory of a new `btctl up`, whose own Postgres is made, restored into and stopped. Not used with --database-url.
    #[arg(long, env = "BTCTL_STATE_DIR", value_name = "DIR", value_parser = files::directory)]
    state_dir: Option<PathBuf>,
    /// Where the results are [default: where they were when the backup was made].
    #[arg(long, env = "BTCTL_STORE", value_name = "DIR|URL")]
    store: Option<Location>,
    /// Read every file of the results in the store, and compare its SHA-256.
    #[arg(long)]
    verify: bool,
    /// Directory of pg_restore; looked for in the usual places if not given.
    #[arg(long, env = "BTCTL_POSTGRES_BIN", value_name = "DIR")]
    postgres_bin: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

impl Restore {
    pub(crate) async fn run(self) -> Result<(), Error> {
        let stored = StoredBackup::open(&self.dir)?;
        stored.check()?;
        let mut signals = Signals::listen()?;
        match (&self.database_url, self.state_dir.clone()) {
            (Some(url), _) => self.restore_and_show(&stored, url, &mut signals).await,
            (None, Some(dir)) => {
                let state_dir = UpDir::of(Some(dir))?;
                let held = HeldPostgres::start(&state_dir, self.postgres_bin.as_deref()).await?;
                let restored = self.restore_and_show(&stored, &held.url(), &mut signals).await;
                held.stop().await;
                restored
            }
            (None, None) => Err(Error::Usage(
                "say where to restore to: --database-url (or BTCTL_DATABASE_URL) names an empty database, --state-dir the \
                 directory of a new `btctl up`"
                    .to_owned(),
            )),
        }
    }

    async fn restore_and_show(
        &self,
        stored: &StoredBackup,
        url: &str,
        signals: &mut Signals,
    ) -> Result<(), Error> {
        let restoring = self.restore(stored, url);
        let restored = tokio::select! {
            restored = restoring => restored?,
            () = signals.next() => return Err(Error::Interrupted),
        };
        self.show(&restored)
    }

    async fn restore(&self, stored: &StoredBackup, url: &str) -> Result<Restored, Error> {
        let record = &stored.record;
        let empty = EmptyDatabase::hold(url).await?;
        let from = leading_number(&record.postgres);
        if empty.postgres_major < from {
            return Err(Error::Failed(format!(
                "the backup is of Postgres {}, and this server is Postgres {}: restore into Postgres {from} or newer",
                record.postgres, empty.postgres_major
            )));
        }
        let least = leading_number(&record.pg_dump).max(from);
        let bin = self.postgres_bin.as_deref();
        let pg_restore = Program::find("pg_restore", bin, least, empty.postgres_major).await?;
        let target = LibpqTarget::of(url).map_err(Error::Usage)?;
        load(stored, &pg_restore, &target).await?;
        let (change, counts) = empty.finish().await?;
        let location = match (&self.store, &record.store) {
            (Some(given), _) => Some(given.clone()),
            (None, Some(store)) => store.location.parse().ok(),
            (None, None) => None,
        };
        let (mut compared, mut mismatch, mut why_not) = (None, None, None);
        if let Some(location) = &location {
            // The restore itself is done: what is wrong with the store is a remark.
            match backup::compare_store(location, stored.store_lines()?, self.verify).await {
                Ok(found) => compared = Some(found),
                Err(error) => why_not = Some(format!("{error:#}")),
            }
            if why_not.is_none() {
                mismatch = Some(backup::look_at_store(url, location).await?.err());
            }
        }
        let document = RestoredBackup {
            taken: record.taken,
            counts: BackupCounts { files: record.counts.files, bytes: record.counts.bytes, ..counts.into() },
            migrations: listed(change.steps),
            store: compared,
            adopt_store: mismatch.as_ref().map(|found| found.as_ref().is_some_and(|found| found.can_adopt)),
        };
        Ok(Restored { document, mismatch: mismatch.flatten(), why_not })
    }

    fn show(&self, restored: &Restored) -> Result<(), Error> {
        let RestoredBackup { taken, counts, migrations, store, .. } = &restored.document;
        let facts = [
            ("restored", Cell::text(self.dir.display().to_string())),
            ("taken", Cell::Time(*taken)),
            ("sweeps", Cell::number(counts.sweeps)),
            ("jobs", Cell::number(counts.jobs)),
            ("running", Cell::number(counts.running)),
            ("queued", Cell::number(counts.queued)),
            ("results", Cell::number(counts.results)),
            ("migrations", Cell::number(migrations.len())),
            ("store", store.as_ref().map_or(Cell::None, |store| Cell::text(&store.location))),
            ("store_files", store.as_ref().map_or(Cell::None, |store| Cell::number(store.files))),
        ];
        print_facts(facts.into_iter(), &Json::of(&restored.document)?, self.output.output)?;
        if counts.running > 0 {
            say(&format!(
                "{} jobs were running: those whose agents still run them go on; the others run again when their leases have \
                 ended",
                counts.running
            ));
        }
        if let Some(StoreMismatch { why, can_adopt }) = &restored.mismatch {
            say(&format!("the store: {why}"));
            if *can_adopt {
                say("start one coordinator once with --adopt-store");
            }
        }
        if let Some(why) = &restored.why_not {
            say(&format!("the store was not compared: {why}; name it with --store"));
        }
        say(
            "not in a backup: the key of secrets, certificates, tokens' files. Put them where the coordinator looks for them",
        );
        match store {
            Some(store) if store.missing + store.different > 0 => Err(faults(store)),
            _ => Ok(()),
        }
    }
}

struct Restored {
    document: RestoredBackup,
    mismatch: Option<StoreMismatch>,
    /// Why the store was not looked at.
    why_not: Option<String>,
}

/// Has pg_restore write the database, in one transaction. It gets the dump through this process, so that it fails if this one
/// is killed.
async fn load(stored: &StoredBackup, pg_restore: &Program, target: &LibpqTarget) -> Result<(), Error> {
    let mut command = pg_restore.on(target);
    command.args(["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = pg_restore.spawn(&mut command)?;
    let (Some(mut input), Some(mut errors)) = (child.stdin.take(), child.stderr.take()) else {
        return Err(Error::Failed("pg_restore can't be written to".to_owned()));
    };
    let mut dump = tokio::fs::File::from_std(stored.dump()?);
    let sending = async move {
        let mut piece = vec![0; PIECE];
        loop {
            match dump.read(&mut piece).await {
                Ok(0) => return Ok(()),
                Ok(read) => {
                    // If it has ended, its exit code says why.
                    if input.write_all(&piece[..read]).await.is_err() {
                        return Ok(());
                    }
                }
                Err(error) => return Err(Error::Failed(format!("the backup can't be read: {error}"))),
            }
        }
    };
    let mut said = String::new();
    let (sent, _) = tokio::join!(sending, errors.read_to_string(&mut said));
    let ended = child.wait().await.map_err(|error| Error::Failed(format!("pg_restore: {error}")))?;
    sent?;
    match ended.success() {
        true => Ok(()),
        false => Err(Error::Failed(format!("pg_restore failed, and nothing was restored: {}", said.trim()))),
    }
}

fn leading_number(version: &str) -> u32 {
    version.split(|c: char| !c.is_ascii_digit()).next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn faults(store: &ComparedStore) -> Error {
    for fault in store.faults.iter().take(NAMED) {
        say(&format!("{} {}", fault.path, fault.fault));
    }
    let all = store.missing + store.different;
    if all > NAMED as u64 {
        say(&format!("and {} more; -o json names 1,000", all - NAMED as u64));
    }
    Error::Failed(format!(
        "the queue is restored, but of {} files in the store {} are missing and {} differ: copy them back from a backup of the \
         store, or run their jobs again (`btctl results verify SWEEP` names them)",
        store.files, store.missing, store.different
    ))
}
