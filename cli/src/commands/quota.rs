//! `btctl quota`: what owners may have and do.

use bt_documents as documents;
use bt_proto::bearer::Line;
use bt_proto::v1;
use bt_proto::v1::access_client::AccessClient;

use crate::client::Client;
use crate::error::Error;

use crate::output::{Cell, Column, Json, ListArgs, Row, View, say};
use crate::settings::Settings;
use crate::values;

/// What takes a quota away.
const NONE: &str = "none";
/// What the coordinator reads as that.
const UNLIMITED: u64 = i64::MAX as u64;

/// Show and set how much each owner of sweeps may queue, run and keep.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Quota {
    /// List the quotas, and how much of them is used: of all owners for operators, else your own.
    Ls(Ls),
    /// Set quotas of an owner, or of all who have none of their own. What is not given stays, and so do jobs that are queued or
    /// run.
    #[command(after_help = "\
Examples:
  btctl quota set --default --queued 100000 --running 200 --submits-per-minute 30
  btctl quota set ann --cpus 64 --bytes 500GiB
  btctl quota set nightly --running none")]
    Set(Set),
    /// Remove the quotas of an owner, so that those of all others hold; or with --default those of all others.
    Rm(Rm),
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Ls {
    #[command(flatten)]
    output: ListArgs,
}

/// Whose quota.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Whose {
    /// Owner of sweeps, as `btctl ls` shows it.
    owner: Option<String>,
    /// All owners who have no quota of their own for it.
    #[arg(long)]
    default: bool,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Set {
    #[command(flatten)]
    whose: Whose,
    /// Most jobs that are queued at once; none for any number.
    #[arg(long, value_name = "N|none", value_parser = count)]
    queued: Option<u64>,
    /// Most jobs that run at once; none for any number.
    #[arg(long, value_name = "N|none", value_parser = count)]
    running: Option<u64>,
    /// Most cpus that running jobs have together; none for any number.
    #[arg(long, value_name = "N|none", value_parser = cpu_millis)]
    cpus: Option<u64>,
    /// Most sweeps that are submitted in any minute; none for any number.
    #[arg(long, value_name = "N|none", value_parser = count)]
    submits_per_minute: Option<u64>,
    /// Most that results take in the store, e.g. 500GiB; none for any size. At that, nothing more is submitted.
    #[arg(long, value_name = "SIZE|none", value_parser = size)]
    bytes: Option<u64>,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Rm {
    #[command(flatten)]
    whose: Whose,
}

fn count(text: &str) -> Result<u64, String> {
    match text {
        NONE => Ok(UNLIMITED),
        _ => text
            .parse::<u64>()
            .ok()
            .filter(|n| *n < UNLIMITED)
            .ok_or_else(|| "write a whole number, or none".to_owned()),
    }
}

fn cpu_millis(text: &str) -> Result<u64, String> {
    match text {
        NONE => Ok(UNLIMITED),
        _ => values::cpu_millis(text),
    }
}

fn size(text: &str) -> Result<u64, String> {
    match text {
        NONE => Ok(UNLIMITED),
        _ => values::size(text),
    }
}

impl Whose {
    fn shown(&self) -> &str {
        self.owner.as_deref().unwrap_or("everybody else")
    }
}

impl Quota {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        match self {
            Self::Ls(ls) => ls.run(&client).await,
            Self::Set(set) => set.run(&client).await,
            Self::Rm(Rm { whose }) => {
                let request = v1::RemoveQuotaRequest { owner: whose.owner.clone() };
                // Asked once: the second time it would not be there.
                let asking = async { client.line.access().remove_quota(request).await };
                client.line.told_if_slow(asking).await?;
                say(&format!("{}: removed", whose.shown()));
                Ok(())
            }
        }
    }
}

impl Set {
    async fn run(self, client: &Client) -> Result<(), Error> {
        let quota = v1::Quota {
            queued: self.queued,
            running: self.running,
            cpu_millis: self.cpus,
            submits_per_minute: self.submits_per_minute,
            bytes: self.bytes,
        };
        let request = v1::SetQuotaRequest { owner: self.whose.owner.clone(), quota: Some(quota) };
        let ask = |mut access: AccessClient<Line>| {
            let request = request.clone();
            async move { Ok(access.set_quota(request).await?.into_inner()) }
        };
        let reply = client.line.ask_access(ask).await?;
        let quota = documents::Quota::from(reply.quota.unwrap_or_default());
        let part = |name: &str, cell: Cell| match cell {
            Cell::None => None,
            cell => Some(format!("{name} {}", cell.people())),
        };
        let parts = [
            part("queued", quota.queued.map_or(Cell::None, Cell::number)),
            part("running", quota.running.map_or(Cell::None, Cell::number)),
            part("cpus", quota.cpus.map_or(Cell::None, Cell::number)),
            part("submits a minute", quota.submits_per_minute.map_or(Cell::None, Cell::number)),
            part("bytes", Cell::bytes(quota.bytes)),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        let told = if parts.is_empty() { "no quota".to_owned() } else { parts.join(", ") };
        say(&format!("{}: {told}", self.whose.shown()));
        Ok(())
    }
}

impl Ls {
    async fn run(self, client: &Client) -> Result<(), Error> {
        let ask = |mut access: AccessClient<Line>| async move {
            Ok(access.list_quotas(v1::ListQuotasRequest {}).await?.into_inner())
        };
        let quotas = client.line.ask_access(ask).await?.quotas;
        let columns = [
            "owner",
            "queued",
            "most_queued",
            "running",
            "most_running",
            "cpus",
            "most_cpus",
            "submits",
            "most_submits",
            "bytes",
            "most_bytes",
        ];
        let columns = columns.map(Column::always).into();
        let rows = quotas.into_iter().map(row).collect::<Result<_, _>>()?;
        View { columns, rows }.print(&self.output)
    }
}

fn row(quota: v1::OwnerQuota) -> Result<Row, Error> {
    let quota = documents::Quota::from(quota);
    let name = quota.owner.clone().unwrap_or_else(|| "(others)".to_owned());
    let is_one = quota.owner.is_some();
    let used = |cell: Cell| if is_one { cell } else { Cell::None };
    let most = |cell: Option<Cell>| cell.unwrap_or(Cell::Remark("any"));
    let cells = vec![
        Cell::text(&name),
        used(Cell::number(quota.used.queued)),
        most(quota.queued.map(Cell::number)),
        used(Cell::number(quota.used.running)),
        most(quota.running.map(Cell::number)),
        used(Cell::number(quota.used.cpus)),
        most(quota.cpus.map(Cell::number)),
        used(Cell::number(quota.used.submits)),
        most(quota.submits_per_minute.map(Cell::number)),
        used(Cell::bytes(quota.used.bytes)),
        most(quota.bytes.map(Cell::bytes)),
    ];
    Ok(Row { cells, json: Json::of(&quota)?, name })
}
