//! Which database a command of an operator works on.

use std::path::PathBuf;

use crate::error::Error;
use crate::files;
use crate::state_dir::UpDir;
use crate::up;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DatabaseArgs {
    /// Postgres that the queue is in [default: that of the `btctl up` that runs in the state directory].
    #[arg(long, env = "BTCTL_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// State directory of a `btctl up` [default: $XDG_STATE_HOME/btctl, as root /var/lib/btctl].
    #[arg(long, env = "BTCTL_STATE_DIR", value_name = "DIR", value_parser = files::directory)]
    state_dir: Option<PathBuf>,
}

impl DatabaseArgs {
    /// The database that was named, or that of a running `btctl up`.
    pub(crate) fn running(&self) -> Result<String, Error> {
        match &self.database_url {
            Some(url) => Ok(url.clone()),
            None => up::running_database(&UpDir::of(self.state_dir.clone())?),
        }
    }
}
