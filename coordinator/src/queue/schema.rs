//! The version of the schema: which migrations a database has, and which it lacks.

use std::time::Duration;

use super::connections::{self, Connections};
use super::{Error, MIGRATOR};

/// What is done about a schema that is older than the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SchemaRule {
    BringUpToDate,
    /// Its owner wants to do that by `btctl migrate`.
    MustBeCurrent,
}

/// A migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaStep {
    pub version: i64,
    pub name: String,
}

/// What brings a schema up to date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaChange {
    /// The newest migration that the database had; none if it was empty.
    pub from: Option<i64>,
    /// In their order; none if there was nothing to do.
    pub steps: Vec<SchemaStep>,
}

/// How long somebody else's transaction may stand still before a migration; as for a coordinator's usual lease.
const LEASE: Duration = Duration::from_secs(60);

/// The newest migration that this program knows.
pub(crate) fn newest() -> i64 {
    MIGRATOR.iter().map(|known| known.version).max().unwrap_or_default()
}

/// Connections for work beside coordinators.
pub(super) fn beside(url: &str) -> Result<Connections, Error> {
    let options = connections::read_url(url).map_err(Error::NoStart)?;
    Ok(Connections::new(options, LEASE))
}

/// Brings a database up to date, or with `dry` only finds out what that would take.
pub(crate) async fn migrate(url: &str, dry: bool) -> Result<SchemaChange, Error> {
    let pool = beside(url)?;
    let mut own = pool.open("btctl migrate").await?;
    let change = match dry {
        true => pool.pending(&mut own, &MIGRATOR).await?,
        false => pool.migrate(&mut own, &MIGRATOR).await?,
    };
    connections::close(own).await;
    Ok(change)
}
