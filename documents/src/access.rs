//! Who may do what, and what was done.

use std::collections::HashMap;

use bt_proto::convert::Malformed;
use bt_proto::v1;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Unreadable, instant};

/// Who the coordinator takes the caller for.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Whoami {
    /// Empty where the coordinator asks nobody who they are.
    pub name: String,
    /// viewer, submitter, operator, admin or agent.
    pub role: String,
    /// In whose name sweeps can be submitted; empty: in any.
    pub owners: Vec<String>,
    /// Null if the token does not expire.
    pub expires: Option<Timestamp>,
    /// The token's id; null if there is none.
    pub token: Option<String>,
    /// False where the coordinator asks nobody who they are.
    pub authenticated: bool,
    /// The issuer that one signed in with; null where a token was made by somebody, or there is none.
    pub issuer: Option<String>,
}

/// A token, without its secret.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Token {
    pub id: String,
    pub name: String,
    /// viewer, submitter, operator, admin or agent.
    pub role: String,
    /// In whose name sweeps can be submitted.
    pub owners: Vec<String>,
    /// holds, expired or revoked.
    pub state: &'static str,
    pub labels: HashMap<String, String>,
    /// How many more agents it lets in; null: any number.
    pub uses_left: Option<u32>,
    pub created_by: String,
    pub created: Option<Timestamp>,
    /// Null if it does not expire.
    pub expires: Option<Timestamp>,
    /// To the minute; null if it was never used.
    pub last_used: Option<Timestamp>,
    /// Null if it was not revoked.
    pub revoked: Option<Timestamp>,
    /// The issuer that somebody signed in with for it; null if somebody made it.
    pub issuer: Option<String>,
}

/// A secret, without its value.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Secret {
    pub name: String,
    /// Whose sweeps may name it; `*`: everybody's; none: those that operators submit.
    pub owners: Vec<String>,
    pub set_by: String,
    pub set: Option<Timestamp>,
    /// To the minute; null if no job has had it.
    pub last_used: Option<Timestamp>,
    /// The id of the key that it is encrypted by.
    pub key: String,
}

/// A token that was made now.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CreatedToken {
    /// The token itself. It is shown this once.
    pub token: String,
    #[serde(flatten)]
    pub created: Token,
}

/// What somebody changed, or was refused.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AuditEntry {
    /// From 1 on, without gaps.
    pub number: u64,
    pub at: Option<Timestamp>,
    pub who: String,
    /// Null where nobody is asked, and of callers who are not known.
    pub role: Option<String>,
    /// The address that the call came from.
    pub from: String,
    /// The call.
    pub what: String,
    /// What it was about; empty: nothing that has a name.
    pub target: String,
    /// As it was before; null where it is not noted.
    pub before: serde_json::Value,
    /// As it is now; null where it is not noted.
    pub after: serde_json::Value,
    /// `done`, or why not.
    pub outcome: String,
    /// SHA-256 over the entry and the hash of the one before it, in hexadecimal digits.
    pub hash: String,
}

/// What walking the audit log's chain has found.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AuditChain {
    /// True if every entry is as it was written.
    pub sound: bool,
    /// Entries that are as they were written, from the first on.
    pub entries: u64,
    /// The number of the first that is not; null if all are.
    pub broken: Option<u64>,
    /// What is wrong with it.
    pub why: Option<String>,
    /// The hash of the last sound entry.
    pub hash: String,
}

fn role(role: v1::Role) -> Result<String, Malformed> {
    bt_model::role::Role::try_from(role).map(|role| role.name().to_owned())
}

impl TryFrom<&v1::WhoAmIReply> for Whoami {
    type Error = Unreadable;

    fn try_from(reply: &v1::WhoAmIReply) -> Result<Self, Unreadable> {
        Ok(Self {
            name: reply.name.clone(),
            role: role(reply.role())?,
            owners: reply.owners.clone(),
            expires: instant(reply.expires.as_ref())?,
            token: reply.token.clone(),
            authenticated: reply.authenticated,
            issuer: reply.issuer.clone(),
        })
    }
}

impl TryFrom<&v1::Secret> for Secret {
    type Error = Unreadable;

    fn try_from(secret: &v1::Secret) -> Result<Self, Unreadable> {
        Ok(Self {
            name: secret.name.clone(),
            owners: secret.owners.clone(),
            set_by: secret.set_by.clone(),
            set: instant(secret.set.as_ref())?,
            last_used: instant(secret.last_used.as_ref())?,
            key: secret.key.clone(),
        })
    }
}

impl TryFrom<&v1::Token> for Token {
    type Error = Unreadable;

    fn try_from(token: &v1::Token) -> Result<Self, Unreadable> {
        let (expires, revoked) = (instant(token.expires.as_ref())?, instant(token.revoked.as_ref())?);
        let state = match expires {
            _ if revoked.is_some() => "revoked",
            Some(expires) if expires <= Timestamp::now() => "expired",
            _ => "holds",
        };
        Ok(Self {
            id: token.id.clone(),
            name: token.name.clone(),
            role: role(token.role())?,
            owners: token.owners.clone(),
            state,
            labels: token.labels.clone(),
            uses_left: token.uses_left,
            created_by: token.created_by.clone(),
            created: instant(token.created.as_ref())?,
            expires,
            last_used: instant(token.last_used.as_ref())?,
            revoked,
            issuer: token.issuer.clone(),
        })
    }
}

impl TryFrom<&v1::AuditEntry> for AuditEntry {
    type Error = Unreadable;

    fn try_from(entry: &v1::AuditEntry) -> Result<Self, Unreadable> {
        let noted = |text: &str| serde_json::from_str(text).unwrap_or_default();
        Ok(Self {
            number: entry.number,
            at: instant(entry.at.as_ref())?,
            who: entry.who.clone(),
            role: Some(entry.role.clone()).filter(|role| !role.is_empty()),
            from: entry.from.clone(),
            what: entry.what.clone(),
            target: entry.target.clone(),
            before: noted(&entry.before),
            after: noted(&entry.after),
            outcome: entry.outcome.clone(),
            hash: bt_model::hex::hex(&entry.hash),
        })
    }
}

impl From<&v1::VerifyAuditReply> for AuditChain {
    fn from(reply: &v1::VerifyAuditReply) -> Self {
        Self {
            sound: reply.broken.is_none(),
            entries: reply.entries,
            broken: reply.broken,
            why: reply.broken.map(|_| reply.why.clone()),
            hash: bt_model::hex::hex(&reply.hash),
        }
    }
}
