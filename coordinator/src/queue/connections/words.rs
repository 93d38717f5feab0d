//! What Postgres's errors mean: in words, and for the session that met them.

use std::error::Error as StdError;

use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

/// Why no session can be used, where that is not an error of a statement. It travels inside an [`sqlx::Error`].
#[derive(Clone, Debug, thiserror::Error)]
pub(in crate::queue) enum Trouble {
    #[error("{0}")]
    Away(String),
    #[error("{0}")]
    ReadOnly(&'static str),
}

impl Trouble {
    pub(super) fn read_only(standby: bool) -> Self {
        Self::ReadOnly(match standby {
            true => "the server is a standby; point the database URL at the primary, or promote this one",
            false => {
                "default_transaction_read_only is on for the server, the database or the role; it must be off"
            }
        })
    }
}

impl From<Trouble> for sqlx::Error {
    fn from(trouble: Trouble) -> Self {
        Self::Configuration(Box::new(trouble))
    }
}

/// True where every further statement of the session would fail as well: it is closed, and a new one is opened.
pub(in crate::queue) fn is_about_session(error: &sqlx::Error) -> bool {
    let Some(code) = error.as_database_error().and_then(DatabaseError::code) else {
        return matches!(
            error,
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed
        );
    };
    match &*code {
        // Read-only: the session was opened while the server was, or the server was demoted.
        "25006" => true,
        // Idle for too long in a transaction or outside; a transaction that took too long.
        "25P03" | "25P04" | "57P05" => true,
        // A prepared statement that is not there, or is there already: somebody else uses this session too.
        "26000" | "42P05" => true,
        // Connection failures, shutdowns and failovers, internal errors.
        code => code.starts_with("08") || code.starts_with("57P") || code.starts_with("XX"),
    }
}

/// The innermost cause, once, with Postgres's own detail and hint.
pub(in crate::queue) fn reason(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => {
            let mut text = error.message().to_owned();
            if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
                for more in [error.detail(), error.hint()].into_iter().flatten() {
                    text = format!("{text} ({})", more.trim_end_matches('.'));
                }
            }
            text
        }
        sqlx::Error::Configuration(error) => match error.downcast_ref::<Trouble>() {
            Some(trouble) => trouble.to_string(),
            None => innermost(error.as_ref()),
        },
        error => innermost(error),
    }
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
