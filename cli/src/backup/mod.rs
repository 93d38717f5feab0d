//! Backups. A backup is a directory with three files: the queue as `pg_dump` writes it, the list of the files that the store
//! must hold, and a description of both. The description is written last.

mod postgres_programs;
mod stage;
mod stored;

pub(crate) use postgres_programs::Program;
pub(crate) use stage::Stage;
pub(crate) use stored::StoredBackup;

/// The queue, in pg_dump's custom format.
pub(crate) const DUMP: &str = "state.dump";
/// The list of the store's files, a JSON object a line, compressed.
pub(crate) const LIST: &str = "store.jsonl.zst";
/// What is in the backup. Without it there is no backup.
pub(crate) const RECORD: &str = "backup.json";
/// The form of backups that this program writes, and the newest that it reads.
pub(crate) const FORMAT: u32 = 1;
