//! What the jobs of a family see no data of, and the looks that were spent all the same. A holdout is set once and never
//! changed; looks are never forgotten.

use bt_model::id::SweepId;
use bt_model::manifest::Holdout;
use jiff::Timestamp;
use sqlx::query_file;

use super::connections::Connection;
use super::row::{signed, time, unsigned};
use super::{Error, Queue, Submission};

/// The holdout of a family.
#[derive(Clone, Debug)]
pub(crate) struct HoldoutRow {
    pub(crate) holdout: Holdout,
    /// Looks that are spent.
    pub(crate) spent: u32,
    /// The sweep that set it, its owner, and when.
    pub(crate) sweep: SweepId,
    pub(crate) owner: String,
    pub(crate) set: Timestamp,
}

/// A look that was spent.
#[derive(Clone, Debug)]
pub(crate) struct LookRow {
    pub(crate) number: u32,
    pub(crate) sweep: SweepId,
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) why: String,
    pub(crate) spent: Timestamp,
    pub(crate) removed: bool,
}

/// Which look of its family a sweep is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpentLook {
    pub(crate) number: u32,
    /// So many has the family in all.
    pub(crate) of: u32,
}

/// What a sweep that is submitted has to do with the holdout of its family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeldOut {
    /// The family's, as it was found, or as it is set by this sweep; none: it has none.
    pub(crate) holdout: Option<Holdout>,
    /// Why its jobs are to see all data: it spends a look.
    pub(crate) look: Option<String>,
}

impl From<LookRow> for bt_documents::FamilyLook {
    fn from(look: LookRow) -> Self {
        let LookRow { number, sweep, name, owner, why, spent, removed } = look;
        Self { number, owner, why, at: spent, sweep: sweep.to_string(), name, removed }
    }
}

impl From<SpentLook> for bt_proto::v1::SpentLook {
    fn from(look: SpentLook) -> Self {
        let SpentLook { number, of } = look;
        Self { number, of }
    }
}

impl HeldOut {
    /// The first day that its jobs do not see.
    pub(crate) fn cut_before(&self) -> Option<String> {
        self.holdout.as_ref().filter(|_| self.look.is_none()).map(|holdout| holdout.from.to_string())
    }
}

impl Queue {
    /// The holdout of a family, if it has one.
    pub(crate) async fn holdout(&self, family: &str) -> Result<Option<HoldoutRow>, Error> {
        let mut connection = self.by_key.acquire().await?;
        of_family(&mut connection, family).await
    }

    /// The looks that a family has spent.
    pub(crate) async fn looks(&self, family: &str) -> Result<Vec<LookRow>, Error> {
        let rows = query_file!("queries/holdouts/looks.sql", family).fetch_all(&self.by_key).await?;
        let looks = rows.into_iter().map(|row| {
            Ok(LookRow {
                number: unsigned(row.number)?,
                sweep: SweepId::from_uuid(row.sweep_id),
                name: row.name,
                owner: row.owner,
                why: row.why,
                spent: time(row.spent_at)?,
                removed: row.removed,
            })
        });
        looks.collect()
    }

    /// The look that a sweep has spent.
    pub(crate) async fn look_of(&self, sweep: SweepId) -> Result<Option<SpentLook>, Error> {
        let row = query_file!("queries/holdouts/look_of_sweep.sql", sweep.uuid());
        let row = row.fetch_optional(&self.by_key).await?;
        row.map(|row| Ok(SpentLook { number: unsigned(row.number)?, of: unsigned(row.looks)? })).transpose()
    }
}

async fn of_family(connection: &mut Connection, family: &str) -> Result<Option<HoldoutRow>, Error> {
    let row = query_file!("queries/holdouts/of_family.sql", family).fetch_optional(connection).await?;
    row.map(|row| {
        let from = row.from_date.parse();
        let from = from.map_err(|error| Error::Corrupt(format!("the holdout of {family:?}: {error}")))?;
        let (looks, date, volumes) = (unsigned(row.looks)?, row.date_column, row.volumes);
        Ok(HoldoutRow {
            holdout: Holdout { from, looks, date, volumes },
            spent: unsigned(row.spent)?,
            sweep: SweepId::from_uuid(row.sweep_id),
            owner: row.owner,
            set: time(row.set_at)?,
        })
    })
    .transpose()
}

/// Sets the family's holdout or finds it as it was before, and spends the look that a sweep asks for: the last step before
/// the sweep is committed.
pub(super) async fn settle(
    tx: &mut Connection,
    id: SweepId,
    sweep: &Submission,
) -> Result<Option<SpentLook>, Error> {
    let Submission { family, owner, held_out: HeldOut { holdout, look }, .. } = sweep;
    if let Some(Holdout { from, looks, date, volumes }) = holdout {
        query_file!(
            "queries/holdouts/set.sql",
            family,
            from.to_string(),
            signed::<i32>(*looks)?,
            date.as_deref(),
            volumes.as_deref(),
            id.uuid(),
            owner
        )
        .execute(&mut *tx)
        .await?;
    }
    let found = of_family(&mut *tx, family).await?.map(|row| row.holdout);
    if found != *holdout {
        let now = found.map_or_else(|| "none".to_owned(), |found| found.written());
        return Err(Error::Refused(format!(
            "the family {family:?} has got another holdout meanwhile, {now}; submit the sweep again"
        )));
    }
    let Some(why) = look else { return Ok(None) };
    let held = query_file!("queries/holdouts/hold.sql", family).fetch_one(&mut *tx).await?;
    let of = unsigned(held.looks)?;
    let spent = query_file!("queries/holdouts/spend.sql", family, id.uuid(), owner, why);
    match spent.fetch_optional(&mut *tx).await? {
        Some(row) => Ok(Some(SpentLook { number: unsigned(row.number)?, of })),
        None => Err(Error::Refused(format!(
            "the family {family:?} has no look left: {of} of {of} are spent; btctl trials lists them"
        ))),
    }
}
