//! The queue of a `btctl up`, for commands that work on its database.

use std::path::Path;

use super::lock::{self, Lock};
use super::postgres::{self, Postgres, Server};
use super::remembered::RememberedArguments;
use crate::error::Error;
use crate::state_dir::UpDir;

/// The database of the `btctl up` that runs in this directory.
pub(crate) fn running_database(state_dir: &UpDir) -> Result<String, Error> {
    if let Some(server) = RememberedArguments::read(state_dir)?.server() {
        return Err(Error::Usage(format!(
            "the queue of {} is in the Postgres server {server}; name it with --database-url or BTCTL_DATABASE_URL",
            state_dir.dir().display()
        )));
    }
    match lock::holder(state_dir)? {
        Some(_) => Ok(postgres::url_in(&state_dir.postgres_dir())),
        None => Err(Error::Usage(format!(
            "no database is named with --database-url or BTCTL_DATABASE_URL, and no `btctl up` runs in {}",
            state_dir.dir().display()
        ))),
    }
}

/// The private Postgres of a directory in which no `btctl up` runs.
#[derive(Debug)]
pub(crate) struct HeldPostgres {
    postgres: Postgres,
    _lock: Lock,
}

impl HeldPostgres {
    /// Starts it, and makes it if there is none yet.
    pub(crate) async fn start(state_dir: &UpDir, bin: Option<&Path>) -> Result<Self, Error> {
        state_dir.create()?;
        let lock = Lock::take(state_dir)?;
        let server = Server::find(bin, state_dir)?;
        Ok(Self { postgres: Postgres::start(server).await?, _lock: lock })
    }

    pub(crate) fn url(&self) -> String {
        self.postgres.url()
    }

    pub(crate) async fn stop(self) {
        self.postgres.stop().await;
    }
}
