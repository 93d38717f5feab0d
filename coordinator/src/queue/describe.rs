//! What users write on sweeps, and sweeps that they remove. A removed sweep is marked in one transaction; what it left in
//! the store is collected afterwards, as that of an expired one, by whoever comes first.

use bt_model::id::SweepId;
use bt_model::tag::MOST_TAGS;
use sqlx::query_file;

use super::connections::Connection;
use super::row::unsigned;
use super::{Changeable, Error, Found, Queue, progress};

/// Sweeps that an error names.
const NAMED: i64 = 6;

/// What goes with a sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Removal {
    pub(crate) files: u64,
    /// Bytes in the store.
    pub(crate) bytes: u64,
}

/// What users wrote on a sweep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) tags: Vec<String>,
    pub(crate) note: String,
}

impl Queue {
    /// Removes a finished sweep whose results no other one needs, or only says what would go.
    pub(crate) async fn remove_sweep(
        &self,
        changed: impl Into<Changeable>,
        sweep: &Found,
        dry_run: bool,
    ) -> Result<Removal, Error> {
        let mut tx = self.pool.begin().await?;
        let id = changed.into().id().uuid();
        let row =
            query_file!("queries/describe/lock_sweep_to_remove.sql", id).fetch_optional(&mut *tx).await?;
        let row = row.ok_or_else(|| Error::NoSweep(format!("sweep {} was removed before", sweep.name)))?;
        let address = sweep.address();
        if !row.ended {
            return Err(Error::Refused(format!(
                "sweep {} has not finished; btctl cancel {address} stops it, btctl wait {address} waits for its end",
                sweep.name
            )));
        }
        let users =
            query_file!("queries/describe/sweeps_that_use.sql", id, NAMED).fetch_all(&mut *tx).await?;
        if !users.is_empty() {
            let users: Vec<_> = users.iter().map(|user| format!("{} ({})", user.name, user.id)).collect();
            return Err(Error::Refused(format!(
                "other sweeps use results of sweep {}: {}; remove them first",
                sweep.name,
                users.join(", ")
            )));
        }
        let size = query_file!("queries/describe/size_of_results.sql", id).fetch_one(&mut *tx).await?;
        let removal = Removal { files: unsigned(size.files)?, bytes: unsigned(size.bytes)? };
        if dry_run {
            tx.rollback().await?;
            return Ok(removal);
        }
        query_file!("queries/describe/remove_sweep.sql", id).execute(&mut *tx).await?;
        progress::forget_sweep(&mut tx, sweep.id).await?;
        tx.commit().await?;
        Ok(removal)
    }

    /// Adds and takes away tags, and replaces the note if one is given.
    pub(crate) async fn describe_sweep(
        &self,
        changed: Changeable,
        sweep: &Found,
        add: &[String],
        remove: &[String],
        note: Option<&str>,
    ) -> Result<Description, Error> {
        let mut tx = self.pool.begin().await?;
        let described = describe(&mut tx, changed.id(), add, remove, note).await?;
        let gone = || Error::NoSweep(format!("sweep {} was removed before", sweep.name));
        let described = described.ok_or_else(gone)?;
        if described.tags.len() > MOST_TAGS {
            let tags = described.tags.len();
            return Err(Error::Refused(format!(
                "sweep {} would have {tags} tags; {MOST_TAGS} are the most",
                sweep.name
            )));
        }
        tx.commit().await?;
        Ok(described)
    }
}

/// The same within a transaction; nothing if the sweep is not there.
pub(super) async fn describe(
    connection: &mut Connection,
    sweep: SweepId,
    add: &[String],
    remove: &[String],
    note: Option<&str>,
) -> Result<Option<Description>, Error> {
    let row = query_file!("queries/describe/describe_sweep.sql", sweep.uuid(), add, remove, note);
    let row = row.fetch_optional(connection).await?;
    Ok(row.map(|row| Description { tags: row.tags, note: row.note }))
}
