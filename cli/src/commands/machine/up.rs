//! `btctl up`: everything on one machine.

use std::net::SocketAddr;
use std::path::PathBuf;

use bt_model::encoding::Encoding;
use bt_store::Location;

use crate::error::Error;
use crate::files;
use crate::logging::{self, LogFormat};
use crate::measures;
use crate::state_dir::UpDir;
use crate::up::{self, UpPlan};

const EXAMPLES: &str = "\
Examples:
  btctl up --volume prices=/srv/prices:ro
  btctl up --detach --state-dir /data/btctl
  btctl up --listen 0.0.0.0:7600   # lets agents on other machines join, by TLS and tokens

After a first Ctrl-C or SIGTERM, running jobs have the drain timeout to finish, and then go back to the queue; after a \
second, they go back at once. The queue and the results are kept.";

/// Run everything on this machine: a private Postgres, a coordinator and an agent.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Up {
    /// Directory for everything that is kept [default: $XDG_STATE_HOME/btctl, as root /var/lib/btctl].
    #[arg(long, env = "BTCTL_STATE_DIR", value_name = "DIR", value_parser = files::directory)]
    state_dir: Option<PathBuf>,
    /// Return once everything runs, and keep it running in the background.
    #[arg(short, long)]
    detach: bool,
    /// Start no agent.
    #[arg(long)]
    no_agent: bool,
    /// Use this Postgres instead of a private one.
    #[arg(long, env = "BTCTL_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// Directory of the Postgres server's programs; looked for in the usual places if not given.
    #[arg(long, env = "BTCTL_POSTGRES_BIN", value_name = "DIR")]
    postgres_bin: Option<PathBuf>,
    /// Where results are published: a directory, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix [default:
    /// STATE/store].
    #[arg(long, env = "BTCTL_STORE", value_name = "DIR|URL")]
    store: Option<Location>,
    /// Use this store from now on, even if the queue's results are in another store, the store belongs to another
    /// queue, or one of them was restored from a backup. Give it once only.
    #[arg(long)]
    adopt_store: bool,
    /// Do not use the store, the volumes and the Postgres server that were given at earlier starts in this state
    /// directory.
    #[arg(long)]
    forget: bool,
    /// How outputs are sent and stored: uncompressed (none), or compressed (zstd).
    #[arg(long, env = "BTCTL_COMPRESS", default_value = "none", value_name = "none|zstd")]
    compress: Encoding,
    /// Address that clients and agents connect to [default: 127.0.0.1:7600, or a free port].
    #[arg(long, env = "BTCTL_LISTEN", value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Ask nobody who they are, and speak no TLS: whoever reaches the address may do everything, other users of this machine
    /// too.
    #[arg(long, env = "BTCTL_INSECURE")]
    insecure: bool,
    #[command(flatten)]
    secrets: bt_coordinator::SecretKeys,
    #[command(flatten)]
    keeping: bt_coordinator::Keeping,
    #[command(flatten)]
    telling: bt_coordinator::Telling,
    #[command(flatten)]
    images: bt_coordinator::ImageRules,
    #[command(flatten)]
    agent: bt_agent::Options,
    #[command(flatten)]
    log: LogFormat,
}

impl Up {
    pub(crate) async fn run(self) -> Result<(), Error> {
        let state_dir = UpDir::of(self.state_dir)?;
        if up::is_background() {
            up::leave_terminal()?;
        } else if self.detach {
            return up::detach(&state_dir, self.listen).await;
        }
        let _log = logging::start(&self.log)?;
        measures::record();
        let plan = UpPlan {
            state_dir,
            images: self.images,
            allow_images: self.agent.allow_images.clone(),
            agent: (!self.no_agent).then_some(self.agent),
            database_url: self.database_url,
            postgres_bin: self.postgres_bin,
            store: self.store,
            adopt_store: self.adopt_store,
            forget: self.forget,
            compress: self.compress,
            listen: self.listen,
            insecure: self.insecure,
            secrets: self.secrets,
            keeping: self.keeping,
            telling: self.telling,
        };
        up::run(plan).await
    }
}
