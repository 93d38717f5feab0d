//! `btctl backup`: writes the state of a cluster to a directory, and checks such directories.

use std::path::PathBuf;

use bt_coordinator::LibpqTarget;
use bt_coordinator::backup::{Snapshot, SnapshotFacts};
use bt_documents::{BackedUpStore, BackupCounts, BackupFile, BackupRecord};
use bt_store::Encoder;
use tokio::io::AsyncReadExt;

use crate::backup::{DUMP, FORMAT, LIST, Program, RECORD, Stage, StoredBackup};
use crate::database::DatabaseArgs;
use crate::error::Error;
use crate::files;
use crate::output::{Cell, Json, OutputArgs, OutputFormat, print_facts};
use crate::signals::Signals;

const EXAMPLES: &str = "\
Examples:
  BTCTL_DATABASE_URL=postgres://btctl@db/btctl btctl backup /backups/$(date +%F)
  btctl backup /backups/today                  # of the `btctl up` that runs on this machine
  btctl backup verify /backups/today

A backup has what is in Postgres, and a list of the results' files in the store with their sizes and SHA-256. It does not \
have these files, nor the key of secrets, nor certificates and tokens' files: copy those too. `btctl restore` brings it back.";

/// Write the state of a cluster to a new directory, while it runs.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Backup {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// New directory for the backup.
    #[arg(required = true, value_name = "DIR", value_parser = files::directory)]
    dir: Option<PathBuf>,
    #[command(flatten)]
    database: DatabaseArgs,
    /// Directory of pg_dump; looked for in the usual places if not given.
    #[arg(long, env = "BTCTL_POSTGRES_BIN", value_name = "DIR")]
    postgres_bin: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    /// Check that a backup is whole: each of its files is read and compared with its SHA-256.
    Verify(Verify),
}

#[derive(Clone, Debug, clap::Args)]
struct Verify {
    /// Directory of the backup.
    #[arg(value_name = "DIR", value_parser = files::directory)]
    dir: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

impl Backup {
    pub(crate) async fn run(self) -> Result<(), Error> {
        if let Some(Verb::Verify(verify)) = self.verb {
            let backup = StoredBackup::open(&verify.dir)?;
            backup.check()?;
            return show(&verify.dir, &backup.record, verify.output.output);
        }
        let Some(dir) = self.dir else { return Err(Error::Usage("name a directory".to_owned())) };
        let url = self.database.running()?;
        let mut signals = Signals::listen()?;
        let stage = Stage::begin(&dir)?;
        let record = tokio::select! {
            written = write(&stage, &url, self.postgres_bin) => written?,
            () = signals.next() => return Err(Error::Interrupted),
        };
        stage.finish()?;
        show(&dir, &record, self.output.output)
    }
}

async fn write(stage: &Stage, url: &str, bin: Option<PathBuf>) -> Result<BackupRecord, Error> {
    let mut snapshot = Snapshot::begin(url).await?;
    let SnapshotFacts { snapshot: moment, postgres_major, .. } = snapshot.facts.clone();
    let pg_dump = Program::find("pg_dump", bin.as_deref(), postgres_major, postgres_major).await?;
    let target = LibpqTarget::of(url).map_err(Error::Usage)?;
    let dumping = dump(stage, &pg_dump, &target, &moment);
    let (dumped, (listed, files, bytes)) = tokio::try_join!(dumping, list(stage, &mut snapshot))?;
    let facts = snapshot.facts.clone();
    snapshot.end().await;
    let record = BackupRecord {
        format: FORMAT,
        btctl: env!("CARGO_PKG_VERSION").to_owned(),
        migration: facts.migration,
        postgres: facts.postgres,
        pg_dump: pg_dump.version,
        taken: facts.taken,
        store: facts.store.map(|store| BackedUpStore { id: store.id.to_string(), location: store.location }),
        counts: BackupCounts { files, bytes, ..facts.counts.into() },
        files: vec![dumped, listed],
    };
    let text = serde_json::to_vec_pretty(&record)
        .map_err(|error| Error::Failed(format!("{RECORD} can't be written: {error}")))?;
    let mut file = stage.create(RECORD)?;
    file.write(&text)?;
    file.write(b"\n")?;
    file.finish()?;
    Ok(record)
}

/// Has pg_dump read the database. What it writes goes through this process, so that it ends with it.
async fn dump(
    stage: &Stage,
    pg_dump: &Program,
    target: &LibpqTarget,
    moment: &str,
) -> Result<BackupFile, Error> {
    let mut command = pg_dump.on(target);
    command.arg("--format=custom").arg(format!("--snapshot={moment}")).arg("--lock-wait-timeout=60000");
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
    let mut child = pg_dump.spawn(&mut command)?;
    let (Some(mut out), Some(mut errors)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(Error::Failed("pg_dump can't be read".to_owned()));
    };
    let mut file = stage.create(DUMP)?;
    let reading = async {
        let mut piece = vec![0; 1 << 17];
        loop {
            let read = out.read(&mut piece).await;
            match read.map_err(|error| Error::Failed(format!("pg_dump can't be read: {error}")))? {
                0 => return Ok::<(), Error>(()),
                read => file.write(&piece[..read])?,
            }
        }
    };
    let mut said = String::new();
    let hearing = async {
        // What it says is of use only if it fails.
        errors.read_to_string(&mut said).await.ok();
        Ok(())
    };
    // A full disk must not wait for pg_dump, which waits for its output to be read.
    tokio::try_join!(reading, hearing)?;
    let ended = child.wait().await.map_err(|error| Error::Failed(format!("pg_dump: {error}")))?;
    match ended.success() {
        true => file.finish(),
        false => Err(Error::Failed(format!("pg_dump failed: {}", said.trim()))),
    }
}

/// Lists what the store must hold. Returns how many files that are, and their bytes.
async fn list(stage: &Stage, snapshot: &mut Snapshot) -> Result<(BackupFile, u64, u64), Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Failed(format!("{LIST} can't be written: {error}"));
    let mut file = stage.create(LIST)?;
    let mut encoder = Encoder::new().map_err(|error| failed(&error))?;
    let written = snapshot.stored_files(|line| {
        let mut text = serde_json::to_vec(line).map_err(|error| failed(&error))?;
        text.push(b'\n');
        let piece = encoder.encode(&text).map_err(|error| failed(&error))?;
        file.write(&piece)
    });
    let (files, bytes) = written.await??;
    let rest = encoder.finish().map_err(|error| failed(&error))?;
    file.write(&rest)?;
    Ok((file.finish()?, files, bytes))
}

fn show(dir: &std::path::Path, record: &BackupRecord, format: OutputFormat) -> Result<(), Error> {
    let counts = &record.counts;
    let size = record.files.iter().map(|file| file.size).sum();
    let facts = [
        ("backup", Cell::text(dir.display().to_string())),
        ("taken", Cell::Time(record.taken)),
        ("size_bytes", Cell::Bytes(size)),
        ("btctl", Cell::text(format!("{}, migration {}", record.btctl, record.migration))),
        ("postgres", Cell::text(&record.postgres)),
        ("sweeps", Cell::number(counts.sweeps)),
        ("jobs", Cell::number(counts.jobs)),
        ("running", Cell::number(counts.running)),
        ("queued", Cell::number(counts.queued)),
        ("results", Cell::number(counts.results)),
        ("store", record.store.as_ref().map_or(Cell::None, |store| Cell::text(&store.location))),
        ("store_files", Cell::number(counts.files)),
        ("store_size_bytes", Cell::Bytes(counts.bytes)),
    ];
    print_facts(facts.into_iter(), &Json::of(record)?, format)
}
