//! The start: the database URL is read, the server is tried, and the schema is brought up to date. What only a person can
//! put right is said once, with the remedy.

use std::io::ErrorKind;

use sqlx::error::DatabaseError;
use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection as _, query_file};
use tokio::time::timeout;

use super::{ACQUIRE, Connections, reason};
use crate::queue::Error;
use crate::queue::schema::{SchemaChange, SchemaRule, SchemaStep};

/// What sessions of coordinators are called in Postgres.
pub(in crate::queue) const NAME: &str = "btctl";
/// Where it is noted which migrations were applied.
const MIGRATIONS: &str = "_sqlx_migrations";

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
    /// Finds out whether this server can be worked with, and what its schema needs.
    pub(in crate::queue) async fn prepare(&self, migrator: &Migrator, rule: SchemaRule) -> Result<(), Error> {
        let mut own = self.open(NAME).await?;
        match rule {
            SchemaRule::BringUpToDate => drop(self.migrate(&mut own, migrator).await?),
            SchemaRule::MustBeCurrent => {
                let change = self.pending(&mut own, migrator).await?;
                if let Some(newest) = change.steps.last() {
                    return Err(Error::NoStart(format!(
                        "the schema of database {} is {}, this btctl needs migration {}, and --no-migrate forbids to \
                         change it: run `btctl migrate` with the same database URL first",
                        database(self.options()),
                        change.from.map_or_else(|| "empty".to_owned(), |from| format!("at migration {from}")),
                        newest.version
                    )));
                }
            }
        }
        close(own).await;
        Ok(())
    }

    /// A session that is nobody else's, set up for work that takes long and waits for others. Says why this server can't be
    /// worked with.
    pub(in crate::queue) async fn open(&self, name: &str) -> Result<PgConnection, Error> {
        let unusable = |error| explain(error, self.options());
        // First on a session of its own: its error is the cause, where a pool would try on.
        let options = self.options().clone().application_name(name);
        let mut own = match timeout(ACQUIRE, options.connect()).await {
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
        self.set_up_again(&mut own).await?;
        Ok(own)
    }

    /// Sets such a session up, also for tables that are there by now.
    pub(in crate::queue) async fn set_up_again(&self, own: &mut PgConnection) -> Result<(), Error> {
        let unusable = |error| explain(error, self.options());
        let session = query_file!("queries/connections/set_up_session.sql", self.hold_millis());
        session.fetch_all(&mut *own).await.map_err(unusable)?;
        let migration = query_file!("queries/connections/set_up_migration.sql");
        migration.fetch_all(&mut *own).await.map_err(unusable)?;
        Ok(())
    }

    /// Brings the schema up to date, and returns what that took. Whoever else does so at once waits.
    pub(in crate::queue) async fn migrate(
        &self,
        own: &mut PgConnection,
        migrator: &Migrator,
    ) -> Result<SchemaChange, Error> {
        let failed = |error| self.no_migration(error);
        // Postgres counts how often a session takes the lock; the migrator takes and returns it once more.
        own.lock().await.map_err(failed)?;
        let change = self.pending(own, migrator).await?;
        migrator.run(&mut *own).await.map_err(failed)?;
        own.unlock().await.map_err(failed)?;
        Ok(change)
    }

    /// What would bring the schema up to date. Changes nothing.
    pub(in crate::queue) async fn pending(
        &self,
        own: &mut PgConnection,
        migrator: &Migrator,
    ) -> Result<SchemaChange, Error> {
        let there = query_file!("queries/schema/has_migrations.sql").fetch_one(&mut *own).await;
        let applied = match there.map_err(|error| explain(error, self.options()))?.there {
            false => Vec::new(),
            true => {
                let failed = |error| self.no_migration(error);
                if let Some(version) = own.dirty_version(MIGRATIONS).await.map_err(failed)? {
                    return Err(self.no_migration(MigrateError::Dirty(version)));
                }
                own.list_applied_migrations(MIGRATIONS).await.map_err(failed)?
            }
        };
        for done in &applied {
            match migrator.iter().find(|known| known.version == done.version) {
                None => return Err(self.no_migration(MigrateError::VersionMissing(done.version))),
                Some(known) if known.checksum != done.checksum => {
                    return Err(self.no_migration(MigrateError::VersionMismatch(done.version)));
                }
                Some(_) => {}
            }
        }
        let is_done = |version| applied.iter().any(|done| done.version == version);
        let steps = migrator.iter().filter(|known| !is_done(known.version));
        let steps =
            steps.map(|known| SchemaStep { version: known.version, name: known.description.to_string() });
        Ok(SchemaChange { from: applied.iter().map(|done| done.version).max(), steps: steps.collect() })
    }

    fn no_migration(&self, error: MigrateError) -> Error {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                explain(error, self.options())
            }
            MigrateError::VersionMissing(version) => Error::NoStart(format!(
                "the database {} was brought up to date by a newer btctl (migration {version}); use that version, or a \
                 newer one",
                database(self.options())
            )),
            MigrateError::VersionMismatch(version) => Error::NoStart(format!(
                "migration {version} of the database {} is another than this btctl's, so that another program made it, or a \
                 build that was never released; use the btctl that made it, or another database",
                database(self.options())
            )),
            error => Error::NoStart(format!("the schema can't be brought up to date: {error}")),
        }
    }
}

/// Ends a session in an orderly way.
pub(in crate::queue) async fn close(own: PgConnection) {
    if let Err(error) = own.close().await {
        tracing::debug!(error = %error, "a session is not closed in an orderly way");
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
