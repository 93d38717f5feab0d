//! Aliases of images, and all that each has stood for. An alias is locked while it changes, so its changes have one order.

use bt_model::alias::{ChangeKind, Past, Target, back_to};
use bt_model::id::SweepId;
use jiff::Timestamp;
use sqlx::query_file;

use super::connections::Transaction;
use super::row::{Pg, signed, time, unsigned};
use super::{Error, Queue};

/// Aliases at most.
const MOST: i64 = 1_000;
/// Changes of an alias that are kept.
const KEPT: i32 = 1_000;

/// What an alias stands for since one of its changes.
#[derive(Clone, Debug)]
pub(crate) struct AliasRow {
    pub(crate) alias: String,
    pub(crate) number: u32,
    pub(crate) kind: ChangeKind,
    /// As it was named, and what that stood for then.
    pub(crate) image: String,
    pub(crate) pin: String,
    /// The promotion whose image it is.
    pub(crate) promotion: u32,
    /// The sweep that tested it.
    pub(crate) gate: Option<(SweepId, String)>,
    pub(crate) by: String,
    pub(crate) at: Timestamp,
}

/// An image that an alias is to stand for.
#[derive(Clone, Debug)]
pub(crate) struct PromotedImage {
    pub(crate) image: String,
    pub(crate) pin: String,
    pub(crate) gate: Option<(SweepId, String)>,
}

/// An alias after a change, and before it.
#[derive(Clone, Debug)]
pub(crate) struct AliasSet {
    pub(crate) now: AliasRow,
    pub(crate) before: Option<AliasRow>,
    /// False: it stood for that image before.
    pub(crate) changed: bool,
}

impl AliasRow {
    fn past(&self) -> Past<'_> {
        Past { number: self.number, promotion: self.promotion, pin: &self.pin }
    }
}

macro_rules! alias_row {
    ($row:expr) => {{
        let row = $row;
        Ok::<_, Error>(AliasRow {
            alias: row.alias,
            number: unsigned(row.number)?,
            kind: row.kind.0,
            image: row.image,
            pin: row.pin,
            promotion: unsigned(row.promotion)?,
            gate: row.gate_sweep.map(SweepId::from_uuid).zip(row.gate_name),
            by: row.changed_by,
            at: time(row.created_at)?,
        })
    }};
}

impl Queue {
    /// What each alias stands for.
    pub(crate) async fn aliases(&self) -> Result<Vec<AliasRow>, Error> {
        let all: Option<&str> = None;
        let rows = query_file!("queries/aliases/aliases.sql", all).fetch_all(&self.pool).await?;
        rows.into_iter().map(|row| alias_row!(row)).collect()
    }

    /// What an alias stands for; none if there is no such alias.
    pub(crate) async fn alias(&self, alias: &str) -> Result<Option<AliasRow>, Error> {
        let row =
            query_file!("queries/aliases/aliases.sql", Some(alias)).fetch_optional(&self.by_key).await?;
        row.map(|row| alias_row!(row)).transpose()
    }

    /// All that an alias has stood for, the first one first; none if there is no such alias.
    pub(crate) async fn alias_changes(&self, alias: &str) -> Result<Vec<AliasRow>, Error> {
        let rows = query_file!("queries/aliases/changes.sql", alias).fetch_all(&self.by_key).await?;
        rows.into_iter().map(|row| alias_row!(row)).collect()
    }

    /// Has an alias stand for an image from now on. It is made if there is none.
    pub(crate) async fn promote(
        &self,
        alias: &str,
        promoted: &PromotedImage,
        by: &str,
    ) -> Result<AliasSet, Error> {
        let mut tx = self.pool.begin().await?;
        query_file!("queries/aliases/insert_alias.sql", alias, MOST).execute(&mut *tx).await?;
        let Some(changes) = locked(&mut tx, alias).await? else {
            return Err(Error::Refused(format!("there are {MOST} aliases, which is the most")));
        };
        let before = changes.into_iter().last();
        let PromotedImage { image, pin, gate } = promoted;
        if let Some(now) = before.clone().filter(|now| now.image == *image && now.pin == *pin) {
            return Ok(AliasSet { before: Some(now.clone()), now, changed: false });
        }
        let number = before.as_ref().map_or(0, |before| before.number) + 1;
        let mut now = AliasRow {
            alias: alias.to_owned(),
            number,
            kind: ChangeKind::Promote,
            image: image.clone(),
            pin: pin.clone(),
            promotion: number,
            gate: gate.clone(),
            by: by.to_owned(),
            // Postgres says when.
            at: Timestamp::UNIX_EPOCH,
        };
        insert(&mut tx, &mut now).await?;
        tx.commit().await?;
        Ok(AliasSet { now, before, changed: true })
    }

    /// Has an alias stand for an image that it stood for before. None if there is no such alias. `may` refuses an image.
    pub(crate) async fn roll_back(
        &self,
        alias: &str,
        target: &Target,
        by: &str,
        dry_run: bool,
        may: impl Fn(&AliasRow) -> Result<(), String> + Send,
    ) -> Result<Option<AliasSet>, Error> {
        let mut tx = self.pool.begin().await?;
        let Some(changes) = locked(&mut tx, alias).await? else { return Ok(None) };
        let pasts: Vec<_> = changes.iter().map(AliasRow::past).collect();
        let refused = |why: String| Error::Refused(format!("the alias {alias} can't go back: {why}"));
        let promotion = back_to(&pasts, target).map_err(refused)?;
        let found = changes.iter().find(|row| row.promotion == promotion);
        let found =
            found.ok_or_else(|| Error::Corrupt(format!("the alias {alias} lacks change {promotion}")))?;
        may(found).map_err(refused)?;
        let before = changes.last().cloned();
        let mut now = AliasRow {
            number: before.as_ref().map_or(0, |before| before.number) + 1,
            kind: ChangeKind::Rollback,
            by: by.to_owned(),
            ..found.clone()
        };
        if !dry_run {
            insert(&mut tx, &mut now).await?;
            tx.commit().await?;
        }
        Ok(Some(AliasSet { now, before, changed: true }))
    }

    /// Forgets an alias and all that it has stood for. False if there is no such alias.
    pub(crate) async fn remove_alias(&self, alias: &str) -> Result<bool, Error> {
        let removed = query_file!("queries/aliases/remove_alias.sql", alias).execute(&self.pool).await?;
        Ok(removed.rows_affected() == 1)
    }
}

/// Locks an alias, and reads all that it has stood for, the first one first. None if there is no such alias.
async fn locked(tx: &mut Transaction, alias: &str) -> Result<Option<Vec<AliasRow>>, Error> {
    let found = query_file!("queries/aliases/lock_alias.sql", alias).fetch_optional(&mut **tx).await?;
    if found.is_none() {
        return Ok(None);
    }
    let rows = query_file!("queries/aliases/changes.sql", alias).fetch_all(&mut **tx).await?;
    rows.into_iter().map(|row| alias_row!(row)).collect::<Result<_, _>>().map(Some)
}

/// Writes a change of a locked alias, with the time of it, and forgets the oldest ones.
async fn insert(tx: &mut Transaction, row: &mut AliasRow) -> Result<(), Error> {
    let written = query_file!(
        "queries/aliases/insert_change.sql",
        row.alias,
        signed::<i32>(row.number)?,
        Pg(row.kind) as _,
        row.image,
        row.pin,
        signed::<i32>(row.promotion)?,
        row.gate.as_ref().map(|(sweep, _)| sweep.uuid()),
        row.gate.as_ref().map(|(_, name)| name),
        row.by
    );
    row.at = time(written.fetch_one(&mut **tx).await?.created_at)?;
    query_file!("queries/aliases/prune_changes.sql", row.alias, KEPT).execute(&mut **tx).await?;
    Ok(())
}
