//! Secrets of jobs, as they are kept: encrypted. What they are encrypted by is not here, and no value is.

use bt_model::id::{AgentId, AttemptId};
use jiff::Timestamp;
use sqlx::query_file;

use super::connections::Transaction;
use super::row::{signed, time, unsigned};
use super::{Error, Queue, READY, notify};

/// A secret as it is listed.
#[derive(Clone, Debug)]
pub(crate) struct SecretRow {
    pub(crate) name: String,
    /// Whose sweeps may name it; `*`: everybody's.
    pub(crate) owners: Vec<String>,
    pub(crate) key: String,
    pub(crate) set_by: String,
    pub(crate) set: Timestamp,
    pub(crate) last_used: Option<Timestamp>,
}

/// A secret as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct SealedSecret {
    pub(crate) name: String,
    pub(crate) owners: Vec<String>,
    pub(crate) sealed: Sealed,
}

/// A value that only the key of this id opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) key: String,
    pub(crate) nonce: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
}

/// The secrets that an attempt may have.
#[derive(Clone, Debug, Default)]
pub(crate) struct SecretsOfAttempt {
    pub(crate) owner: String,
    pub(crate) granted: Vec<SealedSecret>,
    /// Names of those that its sweep may not name any more.
    pub(crate) denied: Vec<String>,
}

/// What is known of a name that a sweep uses.
#[derive(Clone, Debug)]
pub(crate) struct KnownSecret {
    pub(crate) name: String,
    /// Whether the sweep's owner may name it; none: there is none of the name here.
    pub(crate) may: Option<bool>,
    /// An agent holds one.
    pub(crate) is_held: bool,
}

/// Secrets while they are being changed, by one at a time. Nothing is changed if it is dropped.
pub(crate) struct SecretsChange {
    tx: Transaction,
}

impl Queue {
    /// Those that sweeps of these owners may name; all if nobody is named.
    pub(crate) async fn secrets(&self, owners: Option<&[String]>) -> Result<Vec<SecretRow>, Error> {
        let rows = query_file!("queries/secrets/list_secrets.sql", owners).fetch_all(&self.pool).await?;
        rows.into_iter()
            .map(|row| {
                Ok(SecretRow {
                    name: row.name,
                    owners: row.owners,
                    key: row.key_id,
                    set_by: row.set_by,
                    set: time(row.set_at)?,
                    last_used: row.last_used_at.map(time).transpose()?,
                })
            })
            .collect()
    }

    /// Begins a change of secrets.
    pub(crate) async fn change_secrets(&self) -> Result<SecretsChange, Error> {
        let mut tx = self.pool.begin().await?;
        query_file!("queries/secrets/lock_secrets.sql").execute(&mut *tx).await?;
        Ok(SecretsChange { tx })
    }

    /// None if the attempt is not live, or not this session's.
    pub(crate) async fn secrets_of(
        &self,
        agent: AgentId,
        session: u64,
        attempt: AttemptId,
    ) -> Result<Option<SecretsOfAttempt>, Error> {
        let session = signed::<i64>(session)?;
        let rows =
            query_file!("queries/secrets/secrets_of_attempt.sql", attempt.uuid(), agent.uuid(), session);
        let rows = rows.fetch_all(&self.by_key).await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let mut found = SecretsOfAttempt { owner: first.owner.clone(), ..SecretsOfAttempt::default() };
        for row in rows {
            let (Some(name), Some(owners)) = (row.name, row.owners) else { continue };
            if !row.may {
                found.denied.push(name);
                continue;
            }
            if let (Some(key), Some(nonce), Some(bytes)) = (row.key_id, row.nonce, row.sealed) {
                found.granted.push(SealedSecret { name, owners, sealed: Sealed { key, nonce, bytes } });
            }
        }
        Ok(Some(found))
    }

    pub(crate) async fn note_secret_use(&self, names: &[String]) -> Result<(), Error> {
        query_file!("queries/secrets/note_secret_use.sql", names).execute(&self.by_key).await?;
        Ok(())
    }

    /// What is known of the names that a sweep of this owner uses.
    pub(crate) async fn known_secrets(
        &self,
        names: &[String],
        owner: &str,
    ) -> Result<Vec<KnownSecret>, Error> {
        let rows =
            query_file!("queries/secrets/known_secrets.sql", names, owner).fetch_all(&self.pool).await?;
        let known =
            rows.into_iter().map(|row| KnownSecret { name: row.name, may: row.may, is_held: row.is_held });
        Ok(known.collect())
    }

    /// By which keys secrets are encrypted, and how many by each.
    pub(crate) async fn secret_keys(&self) -> Result<Vec<(String, u32)>, Error> {
        let rows = query_file!("queries/secrets/secret_keys.sql").fetch_all(&self.pool).await?;
        rows.into_iter().map(|row| Ok((row.key_id, unsigned(row.secrets)?))).collect()
    }
}

impl SecretsChange {
    pub(crate) async fn all(&mut self) -> Result<Vec<SealedSecret>, Error> {
        let rows = query_file!("queries/secrets/sealed_secrets.sql").fetch_all(&mut *self.tx).await?;
        let secret = rows.into_iter().map(|row| SealedSecret {
            name: row.name,
            owners: row.owners,
            sealed: Sealed { key: row.key_id, nonce: row.nonce, bytes: row.sealed },
        });
        Ok(secret.collect())
    }

    /// Whose sweeps may name this one; none if there is none.
    pub(crate) async fn owners_of(&mut self, name: &str) -> Result<Option<Vec<String>>, Error> {
        let row = query_file!("queries/secrets/owners_of_secret.sql", name);
        Ok(row.fetch_optional(&mut *self.tx).await?.map(|row| row.owners))
    }

    /// Stores one, instead of another of its name.
    pub(crate) async fn put(&mut self, secret: &SealedSecret, set_by: &str) -> Result<(), Error> {
        let SealedSecret { name, owners, sealed: Sealed { key, nonce, bytes } } = secret;
        query_file!("queries/secrets/put_secret.sql", name, owners, key, nonce, bytes, set_by)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// The same value, by another key.
    pub(crate) async fn reseal(&mut self, name: &str, sealed: &Sealed) -> Result<(), Error> {
        let Sealed { key, nonce, bytes } = sealed;
        query_file!("queries/secrets/reseal_secret.sql", name, key, nonce, bytes)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// False if there was none.
    pub(crate) async fn remove(&mut self, name: &str) -> Result<bool, Error> {
        let removed = query_file!("queries/secrets/remove_secret.sql", name).execute(&mut *self.tx).await?;
        Ok(removed.rows_affected() > 0)
    }

    /// Commits it. Jobs may start that waited for it.
    pub(crate) async fn finish(mut self) -> Result<(), Error> {
        notify(&mut self.tx, READY).await?;
        self.tx.commit().await?;
        Ok(())
    }
}
