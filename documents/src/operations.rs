//! What commands for those who run a cluster print: checks, migrations, backups.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Ok,
    /// It works, but may not for long, or not as well as it could.
    Warning,
    /// It does not work.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// Something that was looked at, and what was found.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Finding {
    /// What was looked at, such as postgres, store, certificate.
    pub about: String,
    pub level: Level,
    pub found: String,
    /// What to do; null if nothing needs to be done.
    pub remedy: Option<String>,
}

impl Finding {
    pub fn ok(about: &str, found: impl Into<String>) -> Self {
        Self { about: about.to_owned(), level: Level::Ok, found: found.into(), remedy: None }
    }

    pub fn warning(about: &str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        let remedy = Some(remedy.into());
        Self { about: about.to_owned(), level: Level::Warning, found: found.into(), remedy }
    }

    /// Of what says itself what to do there is no further remedy.
    pub fn error(about: &str, found: impl Into<String>, remedy: Option<String>) -> Self {
        Self { about: about.to_owned(), level: Level::Error, found: found.into(), remedy }
    }
}

/// A migration of the database's schema.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Migration {
    pub version: i64,
    pub name: String,
}

/// What brought a database up to date, or would.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MigratedSchema {
    /// The newest migration that the database had; null if it was empty.
    pub from: Option<i64>,
    /// The newest migration that this btctl knows.
    pub to: i64,
    /// True with --dry-run: nothing was changed.
    pub dry_run: bool,
    /// In their order; empty if there was nothing to do.
    pub migrations: Vec<Migration>,
}

/// What a backup holds: its file `backup.json`, and what `btctl backup` prints.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BackupRecord {
    /// The form of the backup; 1.
    pub format: u32,
    /// The version of the btctl that made it.
    pub btctl: String,
    /// The newest migration of the database.
    pub migration: i64,
    /// The versions of the Postgres server and of the pg_dump that read it.
    pub postgres: String,
    pub pg_dump: String,
    /// The moment that it holds, by Postgres's clock.
    pub taken: Timestamp,
    /// Null if no coordinator has said yet where results go.
    pub store: Option<BackedUpStore>,
    pub counts: BackupCounts,
    /// The other files of the backup.
    pub files: Vec<BackupFile>,
}

/// The store that the results are in. A backup has the list of its files, not the files.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BackedUpStore {
    pub id: String,
    pub location: String,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BackupCounts {
    pub sweeps: u64,
    pub jobs: u64,
    pub results: u64,
    /// Files in the store that these results name.
    pub files: u64,
    /// Bytes of these files in the store.
    pub bytes: u64,
    pub running: u64,
    pub queued: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BackupFile {
    pub name: String,
    pub size: u64,
    pub sha256: String,
}

/// A line of a backup's `store.jsonl.zst`: a file in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreLine {
    /// From the store's root.
    pub path: String,
    /// Bytes in the store.
    pub size: u64,
    /// Of the file as the job wrote it, before it was compressed.
    pub sha256: String,
    /// How it is compressed in the store; nothing if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
}

/// What was restored.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RestoredBackup {
    pub taken: Timestamp,
    pub counts: BackupCounts,
    /// Migrations that brought the schema up to date afterwards.
    pub migrations: Vec<Migration>,
    pub store: Option<ComparedStore>,
    /// True if the next coordinator must be started once with --adopt-store; null if the store was not looked at.
    pub adopt_store: Option<bool>,
}

/// How the store compares with a backup's list.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct ComparedStore {
    pub location: String,
    /// Files that were looked at.
    pub files: u64,
    pub missing: u64,
    /// Files of another size or content.
    pub different: u64,
    /// True if each file was read.
    pub verified: bool,
    /// The first of those that are missing or different, 1,000 at most.
    pub faults: Vec<StoreFault>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct StoreFault {
    pub path: String,
    pub fault: String,
}
