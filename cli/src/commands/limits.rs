//! `btctl limits`: capacities that jobs of all sweeps share.

use bt_documents as documents;
use bt_proto::v1;

use crate::client::Client;
use crate::error::Error;
use crate::output::{Cell, Column, Json, ListArgs, Row, View, say};
use crate::settings::Settings;

/// Show and set limits that jobs of all sweeps share, such as readers of one file server.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Limits {
    /// List the limits, and how much of them running jobs use.
    Ls(Ls),
    /// Set a limit. Running jobs continue, even if they use more.
    #[command(after_help = "Example:\n  btctl limits set nas-io 4")]
    Set(Set),
    /// Remove a limit; jobs that need it wait until it is set again.
    Rm(Rm),
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Ls {
    #[command(flatten)]
    output: ListArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Set {
    name: String,
    /// How much of it running jobs may use together.
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    capacity: u32,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Rm {
    name: String,
}

impl Limits {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        match self {
            Self::Ls(ls) => ls.run(&client).await,
            Self::Set(Set { name, capacity }) => {
                client.set_limit(v1::SetLimitRequest { name: name.clone(), capacity }).await?;
                say(&format!("{name}: {capacity}"));
                Ok(())
            }
            Self::Rm(Rm { name }) => {
                client.remove_limit(v1::RemoveLimitRequest { name: name.clone() }).await?;
                say(&format!("{name}: removed"));
                Ok(())
            }
        }
    }
}

impl Ls {
    async fn run(self, client: &Client) -> Result<(), Error> {
        let limits = client.limits().await?;
        if limits.is_empty() {
            say("there are no limits; btctl limits set NAME CAPACITY makes one");
        }
        let row = |limit: v1::Limit| {
            let capacity = if limit.set { Cell::number(limit.capacity) } else { Cell::Remark("not set") };
            let name = limit.name.clone();
            let cells = vec![Cell::text(&name), capacity, Cell::number(limit.used)];
            Ok::<_, Error>(Row { cells, json: Json::of(&documents::Limit::from(limit))?, name })
        };
        let columns = ["name", "capacity", "used"].map(Column::always).into();
        View { columns, rows: limits.into_iter().map(row).collect::<Result<_, _>>()? }.print(&self.output)
    }
}
