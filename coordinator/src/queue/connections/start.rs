//! The start: the database URL is read, the server is tried, and the schema is brought up to date. What only a person can
//! put right is said once, with the remedy.

use std::io::ErrorKind;

use sqlx::error::DatabaseError;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection as _, query_file};
use tokio::time::timeout;

use super::{ACQUIRE, Connections, reason};
use crate::queue::Error;

const FORM: &str = "it must look like postgres://user:password@host:5432/database";
const ESCAPING: &str =
    "in a user name or a password write @ as %40, / as %2F, # as %23, ? as %3F, : as %3A and % as %25";

/// Reads a database URL. A character that should have been escaped never makes it another server's.
pub(in crate::queue) fn read_url(url: &str) -> Result<PgConnectOptions, String> {
    let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
    let Some(rest) = rest else {
        return Err(format!("the database URL can't be read: {FORM}"));
    };
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let after = &rest[authority.len()..];
    // The names of parameters; their values may hold anything but `&`.
    let outside_values = after.split('&').map(|part| part.split('=').next().unwrap_or_default());
    let strays = authority.matches('@').count() > 1 || after.contains('#');
    if strays || outside_values.into_iter().any(|part| part.contains('@')) {
        return Err(format!("the database URL has characters that must be escaped: {ESCAPING}"));
    }
    let wrong = |error: sqlx::Error| {
        format!("the database URL can't be read ({}): {FORM}; {ESCAPING}", reason(&error))
    };
    url.parse().map_err(wrong)
}

impl Connections {
    /// Finds out whether this server can be worked with, and brings the schema up to date.
    pub(in crate::queue) async fn prepare(&self, migrator: &Migrator) -> Result<(), Error> {
        let unusable = |error| explain(error, self.options());
        // First on a session of its own: its error is the cause, where a pool would try on.
        let opened = timeout(ACQUIRE, self.options().connect()).await;
        let mut own = match opened {
            Ok(opened) => opened.map_err(unusable)?,
            Err(_) => return Err(Error::Unreachable(format!("{} does not answer", server(self.options())))),
        };
        if self.are_shared().await.map_err(unusable)? {
            return Err(Error::NoStart(format!(
                "{} is a pooler that gives each transaction another session, such as PgBouncer with pool_mode = \
                 transaction: notifications and settings of sessions do not work through it. Point the database URL at \
                 Postgres itself, or set pool_mode = session for this database",
                server(self.options())
            )));
        }
        query_file!("queries/connections/set_up_session.sql", self.hold_millis())
            .fetch_all(&mut own)
            .await
            .map_err(unusable)?;
        query_file!("queries/connections/set_up_migration.sql")
            .fetch_all(&mut own)
            .await
            .map_err(unusable)?;
        match migrator.run(&mut own).await {
            Ok(()) => {}
            Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => {
                return Err(unusable(error));
            }
            Err(MigrateError::VersionMissing(version)) => {
                return Err(Error::NoStart(format!(
                    "the database {} was brought up to date by a newer btctl (migration {version}); start that \
                     version, or a newer one",
                    database(self.options())
                )));
            }
            Err(error) => {
                return Err(Error::NoStart(format!("the schema can't be brought up to date: {error}")));
            }
        }
        if let Err(error) = own.close().await {
            tracing::debug!(error = %error, "the session of the start is not closed in an orderly way");
        }
        Ok(())
    }
}

fn server(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(socket) => format!("the server at {}", socket.display()),
        None => format!("the server at {}:{}", options.get_host(), options.get_port()),
    }
}

fn database(options: &PgConnectOptions) -> &str {
    options.get_database().unwrap_or_else(|| options.get_username())
}

/// What an error means for a start: the cause once, with the remedy, and whether it may pass by itself.
pub(in crate::queue) fn explain(error: sqlx::Error, options: &PgConnectOptions) -> Error {
    let (user, server) = (options.get_username(), server(options));
    let cause = reason(&error);
    let Some(code) = error.as_database_error().and_then(DatabaseError::code) else {
        return match &error {
            sqlx::Error::Tls(_) => Error::NoStart(certificate(&server, &cause)),
            sqlx::Error::Io(io) if io.kind() == ErrorKind::InvalidData => {
                Error::NoStart(certificate(&server, &cause))
            }
            sqlx::Error::Io(io) if io.kind() == ErrorKind::PermissionDenied => {
                Error::NoStart(format!("{server} can't be connected to: {cause}"))
            }
            sqlx::Error::Io(io) if io.kind() == ErrorKind::ConnectionRefused => {
                Error::Unreachable(format!("{server} refuses connections; is Postgres running there?"))
            }
            sqlx::Error::Io(_) => Error::Unreachable(format!("{server}: {cause}")),
            _ => error.into(),
        };
    };
    match &*code {
        "28P01" => Error::NoStart(format!(
            "{server} refuses the password of user {user}: check the user and the password in the database URL \
             ({ESCAPING})"
        )),
        "28000" => Error::NoStart(format!("{server} refuses user {user}: {cause}")),
        "3D000" => Error::NoStart(format!(
            "{server} has no database {0}: make it with `createdb -O {user} {0}`, or correct the database URL",
            database(options)
        )),
        "42501" => Error::NoStart(format!(
            "user {user} may not make btctl's tables in database {0} ({cause}). As its owner or a superuser, connected to \
             {0}, run: GRANT CREATE ON DATABASE \"{0}\" TO \"{user}\"; GRANT USAGE, CREATE ON SCHEMA public TO \
             \"{user}\";",
            database(options)
        )),
        "08P01" => Error::NoStart(format!(
            "{server} refuses the connection ({cause}). If it is PgBouncer, point the database URL at Postgres itself, or \
             set pool_mode = session and ignore_startup_parameters = extra_float_digits"
        )),
        _ => error.into(),
    }
}

fn certificate(server: &str, cause: &str) -> String {
    format!(
        "the connection to {server} can't be encrypted as the database URL asks: {cause}. sslmode=verify-full and \
         verify-ca need sslrootcert=FILE with the certificate of the authority that signed the server's; a server's own \
         certificate can't stand for one; sslmode=require encrypts without a check"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_must_be_escaped_are_told() {
        for url in [
            "postgres://ann:p@ss/w#d@db/btctl",
            "postgres://ann:p@ss@db/btctl",
            "postgres://ann:12/3@db/btctl",
            "postgres://ann:12?3@db/btctl",
            "postgres://ann:a/b@db/btctl",
            "postgres://ann:a?b@db/btctl",
            "postgres://ann:a#b@db/btctl",
        ] {
            let told = read_url(url).expect_err(url);
            assert!(told.contains("%40") && !told.contains("ann"), "{url}: {told}");
        }
        for url in ["db", "host=db user=ann", "mysql://db/btctl", ""] {
            let told = read_url(url).expect_err(url);
            assert!(told.contains("postgres://user:password@host"), "{url}: {told}");
        }
        let read = read_url("postgres://ann:p%40ss%2Fw%23d@db:6543/btctl?sslmode=require").unwrap();
        assert_eq!((read.get_host(), read.get_port(), read.get_username()), ("db", 6543, "ann"));
        let read = read_url("postgres://btctl@localhost/btctl?host=/run/x@y").unwrap();
        assert!(read.get_socket().is_some());
    }
}
