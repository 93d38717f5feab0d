//! Tokens, and the browsers that logged in with one. No secret is here: tokens are kept as hashes that are slow to guess,
//! cookies as SHA-256.

use std::collections::BTreeMap;
use std::time::Duration;

use bt_model::id::AgentId;
use bt_model::role::Role;
use jiff::Timestamp;
use sqlx::query_file;

use super::claim::interval;
use super::row::{Pg, from_json, sha256, signed, time, unsigned};
use super::{Error, GivenLabels, Queue};

/// The SHA-256 of a secret.
pub(crate) type Key = [u8; 32];

/// A token to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewToken {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) owners: Vec<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) uses: Option<u32>,
    /// A PHC string.
    pub(crate) hash: String,
    pub(crate) holds: Option<Duration>,
    pub(crate) created_by: String,
    /// With which issuer somebody signed in for it; None: it was made by somebody.
    pub(crate) issuer: Option<String>,
    /// It is for the page, and ends when its browser logs out.
    pub(crate) of_page: bool,
}

/// A token as it is listed.
#[derive(Clone, Debug)]
pub(crate) struct TokenRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) owners: Vec<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) uses_left: Option<u32>,
    pub(crate) created_by: String,
    pub(crate) created: Timestamp,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) last_used: Option<Timestamp>,
    pub(crate) revoked: Option<Timestamp>,
    pub(crate) issuer: Option<String>,
}

/// What a token that somebody shows is compared with.
#[derive(Clone, Debug)]
pub(crate) struct TokenProof {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) owners: Vec<String>,
    pub(crate) hash: String,
    pub(crate) issuer: Option<String>,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) expired: bool,
    pub(crate) revoked: bool,
}

/// What a browser logged in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LoggedInWith {
    /// A token's id.
    Token(String),
    /// The administrator's token of a file, by its SHA-256.
    Root(Key),
}

macro_rules! token {
    ($row:expr) => {{
        let row = $row;
        Ok::<_, Error>(TokenRow {
            id: row.id,
            name: row.name,
            role: row.role.0,
            owners: row.owners,
            labels: from_json("the labels of a token", row.labels)?,
            uses_left: row.uses_left.map(unsigned).transpose()?,
            created_by: row.created_by,
            created: time(row.created_at)?,
            expires: row.expires_at.map(time).transpose()?,
            last_used: row.last_used_at.map(time).transpose()?,
            revoked: row.revoked_at.map(time).transpose()?,
            issuer: row.issuer,
        })
    }};
}

impl Queue {
    pub(crate) async fn add_token(&self, token: &NewToken) -> Result<(), Error> {
        query_file!(
            "queries/tokens/insert_token.sql",
            token.id,
            token.name,
            Pg(token.role) as _,
            &token.owners,
            serde_json::json!(token.labels),
            token.uses.map(signed::<i32>).transpose()?,
            token.hash,
            token.holds.map(interval).transpose()? as _,
            token.created_by,
            token.issuer,
            token.of_page
        )
        .execute(&self.by_key)
        .await?;
        Ok(())
    }

    /// All tokens, the oldest first; those that were revoked among them.
    pub(crate) async fn tokens(&self) -> Result<Vec<TokenRow>, Error> {
        let rows = query_file!("queries/tokens/list_tokens.sql").fetch_all(&self.pool).await?;
        rows.into_iter().map(|row| token!(row)).collect()
    }

    pub(crate) async fn token(&self, id: &str) -> Result<Option<TokenRow>, Error> {
        let row = query_file!("queries/tokens/show_token.sql", id).fetch_optional(&self.by_key).await?;
        row.map(|row| token!(row)).transpose()
    }

    pub(crate) async fn token_to_prove(&self, id: &str) -> Result<Option<TokenProof>, Error> {
        let row = query_file!("queries/tokens/token_to_prove.sql", id).fetch_optional(&self.by_key).await?;
        row.map(|row| {
            Ok(TokenProof {
                name: row.name,
                role: row.role.0,
                owners: row.owners,
                hash: row.hash,
                issuer: row.issuer,
                expires: row.expires_at.map(time).transpose()?,
                expired: row.expired,
                revoked: row.revoked,
            })
        })
        .transpose()
    }

    /// Those of these tokens that were not revoked and have not expired.
    pub(crate) async fn tokens_that_hold(&self, ids: &[String]) -> Result<Vec<String>, Error> {
        let rows = query_file!("queries/tokens/tokens_that_hold.sql", ids).fetch_all(&self.by_key).await?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    pub(crate) async fn note_use(&self, ids: &[String]) -> Result<(), Error> {
        query_file!("queries/tokens/note_use.sql", ids).execute(&self.by_key).await?;
        Ok(())
    }

    /// False if it did not hold any more.
    pub(crate) async fn revoke_token(&self, id: &str) -> Result<bool, Error> {
        let revoked = query_file!("queries/tokens/revoke_token.sql", id).execute(&self.by_key).await?;
        Ok(revoked.rows_affected() > 0)
    }

    /// Counts an agent that comes with a token, and gives the labels of the token. None if the token lets no more agents in.
    pub(crate) async fn admit_agent(
        &self,
        token: &str,
        agent: AgentId,
    ) -> Result<Option<GivenLabels>, Error> {
        let row = query_file!("queries/tokens/admit_agent.sql", token, agent.uuid());
        let row = row.fetch_optional(&self.by_key).await?;
        row.map(|row| from_json("the labels of a token", row.labels)).transpose()
    }

    pub(crate) async fn open_page_session(
        &self,
        key: &Key,
        with: &LoggedInWith,
        holds: Duration,
    ) -> Result<(), Error> {
        query_file!("queries/tokens/forget_page_sessions.sql").execute(&self.by_key).await?;
        let (token, root) = match with {
            LoggedInWith::Token(id) => (Some(id.as_str()), None),
            LoggedInWith::Root(key) => (None, Some(&key[..])),
        };
        query_file!("queries/tokens/open_page_session.sql", &key[..], token, root, interval(holds)? as _)
            .execute(&self.by_key)
            .await?;
        Ok(())
    }

    pub(crate) async fn page_session(&self, key: &Key) -> Result<Option<LoggedInWith>, Error> {
        let row = query_file!("queries/tokens/page_session.sql", &key[..]);
        let Some(row) = row.fetch_optional(&self.by_key).await? else { return Ok(None) };
        match (row.token_id, row.root_key) {
            (Some(id), None) => Ok(Some(LoggedInWith::Token(id))),
            (None, Some(key)) => Ok(Some(LoggedInWith::Root(sha256(&key)?))),
            _ => Err(Error::Corrupt("a page's session of nobody".to_owned())),
        }
    }

    pub(crate) async fn page_sessions_that_hold(&self, keys: &[Vec<u8>]) -> Result<Vec<Key>, Error> {
        let rows = query_file!("queries/tokens/page_sessions_that_hold.sql", keys);
        rows.fetch_all(&self.by_key).await?.into_iter().map(|row| sha256(&row.key)).collect()
    }

    /// Revokes the token that somebody signed in to the page with, if it is one. Its id.
    pub(crate) async fn sign_out_of_page(&self, key: &Key) -> Result<Option<String>, Error> {
        let row = query_file!("queries/tokens/sign_out_of_page.sql", &key[..]);
        Ok(row.fetch_optional(&self.by_key).await?.map(|row| row.id))
    }

    /// Forgets tokens of sign-ins that ended long ago.
    pub(crate) async fn forget_sign_ins(&self) -> Result<(), Error> {
        query_file!("queries/tokens/forget_sign_ins.sql").execute(&self.by_key).await?;
        Ok(())
    }

    pub(crate) async fn close_page_session(&self, key: &Key) -> Result<(), Error> {
        query_file!("queries/tokens/close_page_session.sql", &key[..]).execute(&self.by_key).await?;
        Ok(())
    }
}
