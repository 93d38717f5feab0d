//! `btctl image promote`, `rollback`, `history` and `aliases`: names that stand for one image after the other.

use std::path::Path;

use bt_documents::{AliasChange, ChangedAlias};
use bt_model::alias::{Target, check_name, digest};
use bt_model::manifest::Manifest;
use bt_proto::bearer::Line;
use bt_proto::submit::messages;
use bt_proto::v1;
use bt_proto::v1::aliases_client::AliasesClient;
use uuid::Uuid;

use crate::client::Client;
use crate::commands::submit;
use crate::error::Error;
use crate::output::{
    Cell, Channel, Column, Json, ListArgs, OutputArgs, OutputFormat, Row, Ticker, View, print, print_json,
    say,
};
use crate::progress;
use crate::settings::Settings;

pub(super) const EXAMPLES: &str = "\
Examples:
  btctl image promote prod/strategy registry.firm.example/strategy:1.4 --gate tests.yaml
  btctl image promote prod/strategy registry.firm.example/strategy:1.4 --gate nightly-tests
  btctl image promote prod/strategy registry.firm.example/strategy@sha256:... --dry-run";

/// Endings of files that are manifests, and not names of sweeps.
const MANIFESTS: [&str; 4] = ["yaml", "yml", "toml", "json"];

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Promote {
    /// Name of the alias, such as prod/strategy.
    #[arg(value_name = "NAME", value_parser = alias)]
    alias: String,
    /// Image that it is to stand for. A tag stands for what it means now: an agent looks.
    image: String,
    /// Sweep that has tested the image, or a manifest (.yaml, .toml, .json) to run with that very image first, whatever image it
    /// names. Unless all its jobs have succeeded, nothing is promoted.
    #[arg(long, value_name = "SWEEP|FILE")]
    gate: Option<String>,
    /// Show what would be promoted, and change nothing. A manifest's gate is not run.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Rollback {
    /// Name of the alias.
    #[arg(value_name = "NAME", value_parser = alias)]
    alias: String,
    /// Number of a change (btctl image history NAME), or the first digits of a digest.
    #[arg(long, value_name = "N|DIGEST", value_parser = target)]
    to: Option<String>,
    /// Show where it would go back to, and change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct History {
    /// Name of the alias.
    #[arg(value_name = "NAME", value_parser = alias)]
    alias: String,
    #[command(flatten)]
    output: ListArgs,
}

fn alias(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned())
}

fn target(text: &str) -> Result<String, String> {
    Target::of(text).map(|_| text.to_owned())
}

fn is_manifest(gate: &str) -> bool {
    let ending = Path::new(gate).extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| MANIFESTS.contains(&ending))
}

impl Promote {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let file = self.gate.as_deref().filter(|gate| is_manifest(gate));
        // What is wrong in it is said before anybody is asked.
        let manifest = match file {
            Some(path) => {
                let manifest = submit::manifest_for_image(settings, path, &self.image).await?;
                manifest.expand()?;
                manifest.admit_holdout()?;
                Some(manifest)
            }
            None => None,
        };
        let client = Client::connect(settings).await?;
        let mut request = v1::PromoteImageRequest {
            alias: self.alias.clone(),
            image: self.image.clone(),
            gate: self.gate.clone().filter(|_| file.is_none()),
            dry_run: self.dry_run || file.is_some(),
            ..v1::PromoteImageRequest::default()
        };
        let mut reply = promote(&client, request.clone()).await?;
        if let (Some(manifest), false) = (manifest, self.dry_run) {
            let pin = reply.now.unwrap_or_default().pin;
            let gate = run_gate(&client, settings, &manifest, &pin).await?;
            request.pin = Some(pin);
            request.gate = Some(gate);
            request.dry_run = false;
            reply = promote(&client, request).await?;
        }
        let set = ChangedAlias::try_from(&reply)?;
        let now = &set.now;
        let image = format!("{} ({})", now.image, digest(&now.pin));
        say(&match (set.changed, self.dry_run) {
            (_, true) => format!("{} would stand for {image}; nothing is changed (--dry-run)", now.alias),
            (false, false) => format!("{} stands for {image} already", now.alias),
            (true, false) => {
                let gate = now.gate_name.as_ref().map(|gate| format!(", which has passed {gate}"));
                format!("{} stands for {image} now{}", now.alias, gate.unwrap_or_default())
            }
        });
        if let (Some(before), true) = (&set.before, set.changed) {
            say(&format!(
                "before: {} ({}); btctl image rollback {} goes back to it",
                before.image,
                digest(&before.pin),
                now.alias
            ));
        }
        print_change(&set, self.output.output)
    }
}

async fn promote(client: &Client, request: v1::PromoteImageRequest) -> Result<v1::ChangeAliasReply, Error> {
    let asking = Ticker::start(format!("asking an agent what {} stands for", request.image));
    // Asked once: the second time it would say that nothing was changed.
    let reply = client.line.aliases().promote_image(request).await;
    drop(asking);
    Ok(reply?.into_inner())
}

/// Runs a gate's manifest with the image, and waits until it has succeeded. The id of its sweep.
async fn run_gate(
    client: &Client,
    settings: &Settings,
    manifest: &Manifest,
    pin: &str,
) -> Result<String, Error> {
    let header = v1::SubmitHeader {
        idempotency_key: Uuid::new_v4().to_string(),
        owner: settings.asked_owner(),
        image_pin: Some(pin.to_owned()),
        tags: vec!["gate".to_owned()],
        ..v1::SubmitHeader::default()
    };
    let submitted = client.submit(messages(manifest, header)).await?;
    submit::tell(&submitted);
    let watched = progress::watch(client, &submitted.id, &submitted.name, Channel::Stderr).await;
    if let Err(error) = watched {
        say("nothing is promoted: the gate has not succeeded");
        return Err(error);
    }
    Ok(submitted.id)
}

impl Rollback {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        let request = v1::RollBackAliasRequest { alias: self.alias, to: self.to, dry_run: self.dry_run };
        // Asked once: the second time it would go back further.
        let asking = async { client.line.aliases().roll_back_alias(request).await };
        let set = ChangedAlias::try_from(&client.line.told_if_slow(asking).await?.into_inner())?;
        let now = &set.now;
        let image = format!("{} ({}), as by change {}", now.image, digest(&now.pin), now.promotion);
        say(&match self.dry_run {
            true => format!("{} would stand for {image}; nothing is changed (--dry-run)", now.alias),
            false => format!(
                "{} stands for {image}; sweeps that are queued keep the image that they have",
                now.alias
            ),
        });
        print_change(&set, self.output.output)
    }
}

/// Prints what a script wants to know; people have read it already.
fn print_change(set: &ChangedAlias, format: OutputFormat) -> Result<(), Error> {
    match format {
        OutputFormat::Table | OutputFormat::Wide => Ok(()),
        OutputFormat::Json => print_json(&Json::of(set)?),
        OutputFormat::Name | OutputFormat::Csv => print(&set.now.pin),
    }
}

/// Columns of both lists, for [`shared_cells`].
fn shared_columns() -> [Column; 5] {
    [("image", 0), ("digest", 1), ("gate", 2), ("by", 2), ("at", 1)]
        .map(|(name, rank)| Column::always(name).rank(rank))
}

fn shared_cells(change: &AliasChange) -> [Cell; 5] {
    [
        Cell::text(&change.image),
        Cell::text(digest(&change.pin)),
        change.gate_name.as_ref().map_or(Cell::None, Cell::text),
        Cell::text(&change.by),
        Cell::time(change.at),
    ]
}

impl History {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        let ask = |mut aliases: AliasesClient<Line>| {
            let request = v1::ShowAliasRequest { alias: self.alias.clone() };
            async move { Ok(aliases.show_alias(request).await?.into_inner()) }
        };
        let changes = client.line.ask_aliases(ask).await?.changes;
        let columns = [Column::always("number").rank(0), Column::always("kind").rank(1)];
        let columns =
            columns.into_iter().chain(shared_columns()).chain([Column::wide("promotion")]).collect();
        let row = |change: &v1::AliasChange| {
            let change = AliasChange::try_from(change)?;
            let cells = [Cell::number(change.number), Cell::text(&change.kind)];
            let cells = cells.into_iter().chain(shared_cells(&change));
            let cells = cells.chain([Cell::number(change.promotion)]).collect();
            Ok::<_, Error>(Row { cells, name: change.pin.clone(), json: Json::of(&change)? })
        };
        View { columns, rows: changes.iter().map(row).collect::<Result<_, _>>()? }.print(&self.output)
    }
}

pub(super) async fn list(settings: &Settings, output: &ListArgs) -> Result<(), Error> {
    let client = Client::connect(settings).await?;
    let ask = |mut aliases: AliasesClient<Line>| async move {
        Ok(aliases.list_aliases(v1::ListAliasesRequest {}).await?.into_inner())
    };
    let aliases = client.line.ask_aliases(ask).await?.aliases;
    if aliases.is_empty() {
        say("there are no aliases; btctl image promote NAME IMAGE makes one");
    }
    let columns = [Column::always("alias").rank(0)];
    let columns = columns.into_iter().chain(shared_columns()).chain([Column::wide("number")]).collect();
    let row = |change: &v1::AliasChange| {
        let change = AliasChange::try_from(change)?;
        let cells = [Cell::text(&change.alias)].into_iter().chain(shared_cells(&change));
        let cells = cells.chain([Cell::number(change.number)]).collect();
        Ok::<_, Error>(Row { cells, name: change.alias.clone(), json: Json::of(&change)? })
    };
    View { columns, rows: aliases.iter().map(row).collect::<Result<_, _>>()? }.print(output)
}

pub(super) async fn remove(client: &Client, alias: &str) -> Result<(), Error> {
    let ask = |mut aliases: AliasesClient<Line>| {
        let request = v1::RemoveAliasRequest { alias: alias.to_owned() };
        async move { Ok(aliases.remove_alias(request).await?.into_inner()) }
    };
    client.line.ask_aliases(ask).await.map(|_| ())
}
