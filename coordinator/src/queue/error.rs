//! What can go wrong with the queue, by what a caller does about it.

use bt_model::id::{AgentId, AttemptId, SweepId};
use sqlx::error::ErrorKind;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the database URL can't be read: {0}; it looks like postgres://user@host/database")]
    Url(#[source] sqlx::Error),
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
    #[error("sweep {sweep} has no job {job}; its jobs are 0 to {highest}")]
    NoJob { sweep: String, job: u32, highest: u32 },
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
    #[error("the schema can't be brought up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    #[error("Postgres holds what can't be read: {0}")]
    Corrupt(String),
    #[error("Postgres can't be reached: {0}")]
    Unreachable(#[source] sqlx::Error),
    #[error("Postgres refused: {0}")]
    Database(#[source] sqlx::Error),
}

fn from(place: &str) -> String {
    if place.is_empty() { String::new() } else { format!(" from {place}") }
}

impl Error {
    /// True where the same call may succeed later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Database(error) => error.as_database_error().is_some_and(|error| {
                // Serialization failure, deadlock, and all of "operator intervention" and "insufficient resources".
                error.code().is_some_and(|code| {
                    code == "40001" || code == "40P01" || code.starts_with("57") || code.starts_with("53")
                })
            }),
            _ => false,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unreachable(error),
            sqlx::Error::Database(inner)
                if inner.kind() == ErrorKind::Other
                    && inner.code().is_some_and(|code| code.starts_with("57P")) =>
            {
                Self::Unreachable(error)
            }
            _ => Self::Database(error),
        }
    }
}
