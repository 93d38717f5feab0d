//! What can go wrong with the queue, by what a caller does about it.

use bt_model::id::{AgentId, AttemptId, SweepId};
use sqlx::error::DatabaseError;

use super::connections::{Trouble, is_about_session, reason};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nothing but a change by a person can make this start.
    #[error("{0}")]
    NoStart(String),
    /// A sentence: which, and what may have been meant.
    #[error("{0}")]
    NoSweep(String),
    /// A sentence: which, and what may have been meant.
    #[error("{0}")]
    NoAgent(String),
    /// A sentence: what may have been meant.
    #[error("{0}")]
    Ambiguous(String),
    /// A sentence: why a change can't be made now, and what would help.
    #[error("{0}")]
    Refused(String),
    /// A sentence: what the owner may have, has, and what would be right; and in how many seconds the same may be done.
    #[error("{why}")]
    OverQuota { why: String, wait: Option<u64> },
    #[error("sweep {sweep} has no job {job}; {}", jobs_to(*highest))]
    NoJob { sweep: String, job: u32, highest: Option<u32> },
    #[error("sweep {sweep} belongs to {owner}; you may change sweeps of {owners} only")]
    NotYours { sweep: String, owner: String, owners: String },
    #[error("the results of sweep {name} have expired; submit it anew with `btctl submit --like {sweep}`")]
    Expired { name: String, sweep: SweepId },
    #[error("the idempotency key {0:?} was used for another sweep; choose another key")]
    KeyReused(String),
    #[error("agent {0} has opened a newer session; two agents may be using copies of one state directory")]
    Superseded(AgentId),
    #[error(
        "agent {name} ({agent}) is connected already{}; two agents have copies of one state directory: remove the file \
         agent-id from the copy, or give it a directory of its own with --state-dir",
        from(place)
    )]
    Contested { agent: AgentId, name: String, place: String },
    #[error("attempt {0} is not an attempt of this agent")]
    NoAttempt(AttemptId),
    #[error("Postgres holds what can't be read: {0}")]
    Corrupt(String),
    #[error("Postgres can't be reached: {0}")]
    Unreachable(String),
    #[error("Postgres is read-only: {0}")]
    ReadOnly(String),
    /// A lock, a time limit, a shortage: the same may succeed in a moment.
    #[error("Postgres is busy: {0}")]
    Busy(String),
    #[error("Postgres refused: {0}")]
    Database(String),
}

fn jobs_to(highest: Option<u32>) -> String {
    highest.map_or_else(|| "it has no jobs yet".to_owned(), |highest| format!("its jobs are 0 to {highest}"))
}

fn from(place: &str) -> String {
    if place.is_empty() { String::new() } else { format!(" from {place}") }
}

impl Error {
    /// True where a batch may have failed for one of its items alone.
    pub(crate) fn is_one_items(&self) -> bool {
        !matches!(self, Self::Unreachable(_) | Self::ReadOnly(_))
    }

    /// True where the same call may succeed later.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::ReadOnly(_) | Self::Busy(_))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let reason = reason(&error);
        if let sqlx::Error::Configuration(inner) = &error
            && let Some(Trouble::ReadOnly(_)) = inner.downcast_ref()
        {
            return Self::ReadOnly(reason);
        }
        let Some(code) = error.as_database_error().and_then(DatabaseError::code) else {
            return match error {
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::Configuration(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed => Self::Unreachable(reason),
                _ => Self::Database(reason),
            };
        };
        match &*code {
            "25006" => Self::ReadOnly(reason),
            // Serialization failure, deadlock, a lock that was not to be had in time.
            "40001" | "40P01" | "55P03" => Self::Busy(reason),
            // All of "insufficient resources", and a statement that took too long.
            code if code.starts_with("53") || code == "57014" => Self::Busy(reason),
            code if code.starts_with("57") || code.starts_with("08") => Self::Unreachable(reason),
            _ if is_about_session(&error) => Self::Unreachable(reason),
            _ => Self::Database(reason),
        }
    }
}
