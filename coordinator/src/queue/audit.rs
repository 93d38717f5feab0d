//! The audit log: a chain of entries, each with a SHA-256 over itself and over the one before it, so that whoever changes or
//! removes one leaves a break. Triggers let it only grow.

use bt_model::role::Role;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use sqlx::query_file;

use super::row::{Pg, offset, sha256, signed, time, unsigned};
use super::{Error, Queue};

/// What the first entry's hash is over, where others have the hash before.
const BEGINNING: [u8; 32] = [0; 32];
/// Entries that are read at once.
const PAGE: i64 = 1_000;

/// What somebody did, or was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deed {
    pub(crate) who: String,
    pub(crate) role: Option<Role>,
    /// The address that the call came from.
    pub(crate) from: String,
    pub(crate) what: String,
    pub(crate) target: String,
    /// JSON; empty where it was not noted.
    pub(crate) before: String,
    pub(crate) after: String,
    pub(crate) outcome: String,
}

/// An entry of the log.
#[derive(Clone, Debug)]
pub(crate) struct AuditRow {
    pub(crate) number: u64,
    pub(crate) at: Timestamp,
    pub(crate) deed: Deed,
    pub(crate) hash: [u8; 32],
}

/// What walking the chain has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Walked {
    /// Entries that are as they were written.
    pub(crate) sound: u64,
    /// The first that is not, and why.
    pub(crate) broken: Option<(u64, &'static str)>,
    /// Of the last sound one.
    pub(crate) hash: [u8; 32],
}

/// The hash of an entry: over the hash before it, its number, its time in microseconds, and each of its texts with its
/// length before it. Numbers have eight bytes, the highest first.
fn hash(before: &[u8; 32], number: u64, at: Timestamp, deed: &Deed) -> [u8; 32] {
    let Deed { who, role, from, what, target, before: old, after, outcome } = deed;
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(number.to_be_bytes());
    hash.update(at.as_microsecond().to_be_bytes());
    let role = role.map_or("", Role::name);
    for text in [who, role, from, what, target, old, after, outcome] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    hash.finalize().into()
}

impl Queue {
    /// Adds to the chain, all or nothing.
    pub(crate) async fn write_audit(&self, deeds: &[Deed]) -> Result<Vec<AuditRow>, Error> {
        let mut tx = self.by_key.patient().begin().await?;
        query_file!("queries/audit/lock_audit.sql").fetch_one(&mut *tx).await?;
        let last = query_file!("queries/audit/last_entry.sql").fetch_one(&mut *tx).await?;
        let at = time(last.now)?;
        let mut number: u64 = last.number.map(unsigned).transpose()?.unwrap_or_default();
        let mut before = last.hash.as_deref().map(sha256).transpose()?.unwrap_or(BEGINNING);
        let mut rows = Vec::with_capacity(deeds.len());
        for deed in deeds {
            number += 1;
            before = hash(&before, number, at, deed);
            rows.push(AuditRow { number, at, deed: deed.clone(), hash: before });
        }
        let numbers = rows.iter().map(|row| signed::<i64>(row.number)).collect::<Result<Vec<_>, _>>()?;
        let times = rows.iter().map(|row| offset(&row.at)).collect::<Result<Vec<_>, _>>()?;
        let texts =
            |of: fn(&Deed) -> &String| rows.iter().map(|row| of(&row.deed).clone()).collect::<Vec<_>>();
        let roles: Vec<_> = rows.iter().map(|row| row.deed.role.map(Pg)).collect();
        let hashes: Vec<_> = rows.iter().map(|row| row.hash.to_vec()).collect();
        query_file!(
            "queries/audit/insert_entries.sql",
            &numbers,
            &times,
            &texts(|deed| &deed.who),
            &roles as _,
            &texts(|deed| &deed.from),
            &texts(|deed| &deed.what),
            &texts(|deed| &deed.target),
            &texts(|deed| &deed.before),
            &texts(|deed| &deed.after),
            &texts(|deed| &deed.outcome),
            &hashes
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(rows)
    }

    /// Entries behind a number, the oldest first; none when there are no more.
    pub(crate) async fn audit(
        &self,
        after: u64,
        since: Option<Timestamp>,
        who: Option<&str>,
    ) -> Result<Vec<AuditRow>, Error> {
        let since = since.as_ref().map(offset).transpose()?;
        let rows =
            query_file!("queries/audit/entries_after.sql", signed::<i64>(after)?, since as _, who as _, PAGE);
        let rows = rows.fetch_all(&self.pool).await?.into_iter().map(|row| {
            let deed = Deed {
                who: row.who,
                role: row.role.map(|role| role.0),
                from: row.from_address,
                what: row.what,
                target: row.target,
                before: row.before,
                after: row.after,
                outcome: row.outcome,
            };
            Ok(AuditRow { number: unsigned(row.number)?, at: time(row.at)?, deed, hash: sha256(&row.hash)? })
        });
        rows.collect()
    }

    /// Walks the chain from its beginning to the first entry that is not as it was written.
    pub(crate) async fn walk_audit(&self) -> Result<Walked, Error> {
        let mut walked = Walked { sound: 0, broken: None, hash: BEGINNING };
        loop {
            let page = self.audit(walked.sound, None, None).await?;
            if page.is_empty() {
                return Ok(walked);
            }
            for row in page {
                let expected = walked.sound + 1;
                if row.number != expected {
                    walked.broken = Some((expected, "it is missing"));
                    return Ok(walked);
                }
                if row.hash != hash(&walked.hash, row.number, row.at, &row.deed) {
                    walked.broken = Some((expected, "it, or one before it, was changed"));
                    return Ok(walked);
                }
                walked.sound = expected;
                walked.hash = row.hash;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_an_entry_is_in_its_hash() {
        let deed = Deed { who: "ann".into(), what: "Sweeps/Cancel".into(), ..Deed::default() };
        let own = hash(&BEGINNING, 1, Timestamp::UNIX_EPOCH, &deed);
        let others = [
            hash(&[1; 32], 1, Timestamp::UNIX_EPOCH, &deed),
            hash(&BEGINNING, 2, Timestamp::UNIX_EPOCH, &deed),
            hash(&BEGINNING, 1, Timestamp::from_microsecond(1).unwrap(), &deed),
            // A letter that goes from one text to the next.
            hash(
                &BEGINNING,
                1,
                Timestamp::UNIX_EPOCH,
                &Deed { who: "an".into(), from: "n".into(), ..deed.clone() },
            ),
            hash(&BEGINNING, 1, Timestamp::UNIX_EPOCH, &Deed { role: Some(Role::Admin), ..deed.clone() }),
            hash(&BEGINNING, 1, Timestamp::UNIX_EPOCH, &Deed { outcome: "done".into(), ..deed }),
        ];
        assert!(others.iter().all(|other| *other != own));
    }
}
