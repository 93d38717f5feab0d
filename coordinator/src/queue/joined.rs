//! Agents that have a certificate of their own, and how they come by it. An agent's id belongs to one key.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bt_model::id::AgentId;
use sqlx::query_file;
use sqlx::types::chrono::{DateTime, Utc};

use super::row::{from_json, sha256};
use super::{Error, Key, Queue};

/// Labels that an agent has by what it came with, whatever it says itself.
pub(crate) type GivenLabels = BTreeMap<String, String>;

/// An agent with a certificate.
#[derive(Clone, Debug)]
pub(crate) struct JoinedRow {
    pub(crate) name: String,
    pub(crate) key: Key,
    pub(crate) labels: GivenLabels,
    pub(crate) expired: bool,
    pub(crate) revoked: bool,
}

/// What becomes of an agent that asks for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joining {
    Joined,
    /// The token lets no more agents in.
    UsedUp,
    /// The id is another key's, or this key was revoked.
    Refused,
}

impl Queue {
    /// Lets an agent with this key join by a token, which counts it.
    pub(crate) async fn join_agent(
        &self,
        token: &str,
        agent: AgentId,
        name: &str,
        key: &Key,
        expires: SystemTime,
    ) -> Result<Joining, Error> {
        let mut tx = self.by_key.begin().await?;
        query_file!("queries/joined/forget_expired.sql").execute(&mut *tx).await?;
        let counted = query_file!("queries/tokens/admit_agent.sql", token, agent.uuid());
        if counted.fetch_optional(&mut *tx).await?.is_none() {
            return Ok(Joining::UsedUp);
        }
        let expires = DateTime::<Utc>::from(expires);
        let joined =
            query_file!("queries/joined/join_agent.sql", agent.uuid(), name, &key[..], token, expires);
        if joined.fetch_optional(&mut *tx).await?.is_none() {
            return Ok(Joining::Refused);
        }
        tx.commit().await?;
        Ok(Joining::Joined)
    }

    /// False if the agent's certificates hold no more.
    pub(crate) async fn renew_agent(
        &self,
        agent: AgentId,
        name: &str,
        key: &Key,
        expires: SystemTime,
    ) -> Result<bool, Error> {
        let expires = DateTime::<Utc>::from(expires);
        let renewed = query_file!("queries/joined/renew_agent.sql", agent.uuid(), name, &key[..], expires);
        Ok(renewed.execute(&self.by_key).await?.rows_affected() > 0)
    }

    pub(crate) async fn joined_agent(&self, agent: AgentId) -> Result<Option<JoinedRow>, Error> {
        let row = query_file!("queries/joined/joined_agent.sql", agent.uuid());
        let Some(row) = row.fetch_optional(&self.by_key).await? else { return Ok(None) };
        Ok(Some(JoinedRow {
            name: row.name,
            key: sha256(&row.key_hash)?,
            labels: from_json("the labels of an agent", row.labels)?,
            expired: row.expired,
            revoked: row.revoked,
        }))
    }

    /// Those of these agents whose certificates still hold.
    pub(crate) async fn joined_agents_that_hold(&self, agents: &[AgentId]) -> Result<Vec<AgentId>, Error> {
        let ids: Vec<_> = agents.iter().map(|agent| agent.uuid()).collect();
        let rows = query_file!("queries/joined/joined_agents_that_hold.sql", &ids);
        let rows = rows.fetch_all(&self.by_key).await?;
        Ok(rows.into_iter().map(|row| AgentId::from_uuid(row.agent_id)).collect())
    }

    /// The agent's name, if its certificates held until now.
    pub(crate) async fn revoke_agent(&self, agent: AgentId) -> Result<Option<String>, Error> {
        let revoked = query_file!("queries/joined/revoke_agent.sql", agent.uuid());
        Ok(revoked.fetch_optional(&self.by_key).await?.map(|row| row.name))
    }
}
