//! `btctl down`: ends what `btctl up` started.

use std::path::PathBuf;

use crate::error::Error;
use crate::files;
use crate::state_dir::UpDir;
use crate::up;

/// Stop what `btctl up` started; the queue and the results are kept.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  btctl down\n  btctl down --now --state-dir /data/btctl")]
pub(crate) struct Down {
    /// Directory that was given to `btctl up`.
    #[arg(long, env = "BTCTL_STATE_DIR", value_name = "DIR", value_parser = files::directory)]
    state_dir: Option<PathBuf>,
    /// Stop running jobs at once; they go back to the queue.
    #[arg(long)]
    now: bool,
}

impl Down {
    pub(crate) async fn run(self) -> Result<(), Error> {
        up::down(&UpDir::of(self.state_dir)?, self.now).await
    }
}
