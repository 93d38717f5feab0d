//! Sweeps that wait for others (`after`). What becomes of one is decided once: when all that it waits for have ended as they
//! should, it starts, whatever is done to these later.

use bt_model::id::SweepId;
use sqlx::query_file;
use tracing::info;
use uuid::Uuid;

use super::connections::Connection;
use super::{Error, Queue, READY, notify};

/// The sweeps that one waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct After {
    pub(crate) all: Vec<SweepId>,
    /// Those of them that may end in any way.
    pub(crate) any_end: Vec<SweepId>,
}

impl After {
    pub(super) fn uuids(&self) -> (Vec<Uuid>, Vec<Uuid>) {
        let uuids = |sweeps: &[SweepId]| sweeps.iter().map(|sweep| sweep.uuid()).collect();
        (uuids(&self.all), uuids(&self.any_end))
    }
}

/// How a sweep stands that another one waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Other {
    id: Uuid,
    name: String,
    ended: bool,
    any_end: bool,
    failed: i64,
    cancelled: i64,
}

/// What follows for the one that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Waits,
    Passes,
    /// It will never start, for what has become of this one.
    Fails(Uuid, String),
}

/// All of them have to end. The first that failed or was cancelled decides at once.
fn judge(others: &[Other]) -> Verdict {
    if let Some((other, why)) = others.iter().find_map(|other| Some((other.id, failure(other)?))) {
        return Verdict::Fails(other, why);
    }
    match others.iter().all(|other| other.ended) {
        true => Verdict::Passes,
        false => Verdict::Waits,
    }
}

/// What is said of one that did not succeed.
fn failure(other: &Other) -> Option<String> {
    let Other { name, ended: true, any_end: false, failed, cancelled, .. } = other else { return None };
    let jobs = |count: i64| if count == 1 { "1 job".to_owned() } else { format!("{count} jobs") };
    let what = match (failed, cancelled) {
        (0, 0) => return None,
        (0, cancelled) => format!("was cancelled: {} did not run to the end", jobs(*cancelled)),
        (failed, _) => format!("has failed: {} failed", jobs(*failed)),
    };
    Some(format!("sweep {name}, which it waits for, {what}"))
}

async fn others(connection: &mut Connection, all: &[Uuid], any_end: &[Uuid]) -> Result<Vec<Other>, Error> {
    let rows = query_file!("queries/after/others.sql", all, any_end).fetch_all(connection).await?;
    Ok(rows
        .into_iter()
        .map(|row| Other {
            id: row.id,
            name: row.name,
            ended: row.ended,
            any_end: row.any_end,
            failed: row.failed,
            cancelled: row.cancelled,
        })
        .collect())
}

/// Refuses what would only be cancelled again.
pub(super) async fn check_retry(tx: &mut Connection, sweep: SweepId) -> Result<(), Error> {
    let waits =
        query_file!("queries/after/waits_of_sweep.sql", sweep.uuid()).fetch_optional(&mut *tx).await?;
    let Some(waits) = waits else { return Ok(()) };
    match judge(&others(tx, &waits.after, &waits.after_any).await?) {
        Verdict::Fails(_, why) => Err(Error::Refused(format!(
            "{why}; retry that one first, or submit this one again without it (btctl submit --like)"
        ))),
        Verdict::Waits | Verdict::Passes => Ok(()),
    }
}

impl Queue {
    /// Why a sweep that is to be submitted would never start for what it waits for; none if it may.
    pub(crate) async fn waits_in_vain(&self, after: &After) -> Result<Option<String>, Error> {
        if after.all.is_empty() {
            return Ok(None);
        }
        let (all, any_end) = after.uuids();
        let mut tx = self.by_key.begin().await?;
        let others = others(&mut tx, &all, &any_end).await?;
        tx.commit().await?;
        Ok(match judge(&others) {
            Verdict::Fails(_, why) => Some(why),
            Verdict::Waits | Verdict::Passes => None,
        })
    }

    /// Lets sweeps start whose others have ended as they should, and cancels those of which one has not.
    pub(crate) async fn judge_after(&self) -> Result<(), Error> {
        let mut outcome = Ok(());
        for row in query_file!("queries/after/waiting.sql").fetch_all(&self.by_key).await? {
            outcome = outcome.and(self.judge_one(row.id, &row.name, &row.after, &row.after_any).await);
        }
        outcome
    }

    async fn judge_one(&self, sweep: Uuid, name: &str, all: &[Uuid], any_end: &[Uuid]) -> Result<(), Error> {
        let mut tx = self.by_key.begin().await?;
        match judge(&others(&mut tx, all, any_end).await?) {
            Verdict::Passes => {
                query_file!("queries/after/pass.sql", sweep).execute(&mut *tx).await?;
                notify(&mut tx, READY).await?;
            }
            Verdict::Fails(other, why) => {
                let cancelled =
                    query_file!("queries/after/cancel.sql", sweep, other, why).execute(&mut *tx).await?;
                if cancelled.rows_affected() > 0 {
                    info!(sweep.id = %sweep, "sweep {name} is cancelled: {why}");
                }
            }
            Verdict::Waits => {}
        }
        Ok(tx.commit().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(ended: bool, failed: i64, cancelled: i64) -> Other {
        Other { id: Uuid::nil(), name: "prices".to_owned(), ended, any_end: false, failed, cancelled }
    }

    #[test]
    fn all_must_succeed_and_one_that_has_not_decides() {
        assert_eq!(judge(&[other(true, 0, 0), other(true, 0, 0)]), Verdict::Passes);
        assert_eq!(judge(&[other(true, 0, 0), other(false, 0, 0)]), Verdict::Waits);
        // A failed job may be tried again until its sweep has ended.
        assert_eq!(judge(&[other(false, 3, 0)]), Verdict::Waits);
        let told = |others: &[Other]| match judge(others) {
            Verdict::Fails(_, why) => why,
            verdict => panic!("{verdict:?}"),
        };
        let failed = told(&[other(false, 0, 0), other(true, 1, 4)]);
        assert_eq!(failed, "sweep prices, which it waits for, has failed: 1 job failed");
        assert!(told(&[other(true, 0, 2)]).ends_with("was cancelled: 2 jobs did not run to the end"));
        let any_end = |ended| Other { any_end: true, ..other(ended, 3, 2) };
        assert_eq!(judge(&[any_end(true)]), Verdict::Passes);
        assert_eq!(judge(&[any_end(false)]), Verdict::Waits);
    }
}
