//! `btctl token`: what people, services and agents show to say who they are.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use bt_documents as documents;
use bt_model::role::Role;
use bt_proto::bearer::Line;
use bt_proto::v1;
use bt_proto::v1::access_client::AccessClient;

use crate::client::Client;
use crate::error::Error;
use crate::exposed;
use crate::output::{
    Cell, Column, Json, ListArgs, OutputArgs, OutputFormat, Row, View, print, print_json, say,
};
use crate::settings::Settings;
use crate::values::label;

/// Make, list and revoke tokens, by which people, services and agents say who they are.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Token {
    /// Make a token. It is printed once, and kept nowhere.
    #[command(after_help = "\
Examples:
  btctl token create ann --role submitter --ttl 90d > ann.token
  btctl token create nightly --role submitter --owners desk,research
  btctl token create pool --role agent --ttl 1h --uses 5")]
    Create(Create),
    /// List the tokens: whose each is, what it may do, when it was used last.
    Ls(Ls),
    /// Revoke tokens: calls with them are refused, and open calls end within a heartbeat.
    Revoke(Revoke),
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Create {
    /// Name of the person, the service or the agents.
    name: String,
    /// What it may do: viewer, submitter, operator, admin or agent.
    #[arg(long)]
    role: Role,
    /// How long it holds, e.g. 90d; for ever if not given.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    ttl: Option<Duration>,
    /// In whose name it may submit, and whose sweeps it may change; its own name if not given.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    owners: Vec<String>,
    /// How many agents it lets in; any number if not given. Only with --role agent.
    #[arg(long, value_name = "N")]
    uses: Option<u32>,
    /// Labels of the agents that it lets in. Only with --role agent.
    #[arg(long, value_name = "KEY=VALUE,...", value_delimiter = ',', value_parser = label)]
    labels: Vec<(String, String)>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Ls {
    #[command(flatten)]
    output: ListArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Revoke {
    /// Ids of tokens, as `btctl token ls` shows them.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

impl Token {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        match self {
            Self::Create(create) => create.run(&client, settings).await,
            Self::Ls(ls) => ls.run(&client).await,
            Self::Revoke(revoke) => revoke.run(&client).await,
        }
    }
}

impl Create {
    /// Asked once: the second time it would make another one.
    async fn run(self, client: &Client, settings: &Settings) -> Result<(), Error> {
        let request = v1::CreateTokenRequest {
            name: self.name,
            role: v1::Role::from(self.role).into(),
            ttl_seconds: self.ttl.map(|ttl| ttl.as_secs()),
            owners: self.owners,
            uses: self.uses,
            labels: self.labels.into_iter().collect::<HashMap<_, _>>(),
        };
        let asking = async { client.line.access().create_token(request).await };
        let reply = client.line.told_if_slow(asking).await?.into_inner();
        let created = documents::Token::try_from(&reply.created.unwrap_or_default())?;
        match self.output.output {
            OutputFormat::Json => {
                print_json(&Json::of(&documents::CreatedToken { token: reply.token, created })?)
            }
            _ => {
                let until = match created.expires {
                    Some(expires) => format!("until {}", Cell::Time(expires).people()),
                    None => "until it is revoked".to_owned(),
                };
                say(&format!(
                    "token {} of {} ({}) holds {until}; it is shown this once",
                    created.id, created.name, created.role
                ));
                if self.role == Role::Agent {
                    say(&how_to_join(settings)?);
                }
                print(&reply.token)
            }
        }
    }
}

/// What comes next on the machines that a token is for, ready to paste.
fn how_to_join(settings: &Settings) -> Result<String, Error> {
    let addresses = settings.coordinators()?;
    let hosts: Vec<_> =
        addresses.iter().filter_map(|address| address.strip_prefix("https://")).map(for_others).collect();
    let command = match settings.trust()?.pin {
        Some(pin) if !hosts.is_empty() => {
            format!("btctl agent --join {} --token-file FILE --ca-pin {pin}", hosts.join(","))
        }
        _ => format!("btctl agent --coordinator {} --token-file FILE", addresses.join(",")),
    };
    Ok(format!("on each machine, with the token in a file that its user alone can read:\n  {command}"))
}

/// Where other machines reach a coordinator of this one.
fn for_others(host: &str) -> String {
    match host.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => {
            exposed::for_others(SocketAddr::from(([0, 0, 0, 0], address.port())))
        }
        _ => host.to_owned(),
    }
}

impl Ls {
    async fn run(self, client: &Client) -> Result<(), Error> {
        let ask = |mut access: AccessClient<Line>| async move {
            Ok(access.list_tokens(v1::ListTokensRequest {}).await?.into_inner())
        };
        let tokens = client.line.ask_access(ask).await?.tokens;
        if tokens.is_empty() {
            say("there are no tokens; btctl token create NAME --role ROLE makes one");
        }
        let columns = vec![
            Column::always("id").rank(0),
            Column::always("name").rank(0),
            Column::always("role").rank(1),
            Column::always("state").rank(1),
            Column::always("expires").rank(2),
            Column::always("last_used"),
            Column::always("owners").optional(),
            Column::always("uses_left").optional(),
            Column::always("labels").optional(),
            Column::wide("created_by"),
            Column::wide("created"),
            Column::wide("revoked"),
        ];
        let rows = tokens.iter().map(row).collect::<Result<_, _>>()?;
        View { columns, rows }.print(&self.output)
    }
}

fn row(token: &v1::Token) -> Result<Row, Error> {
    let document = documents::Token::try_from(token)?;
    let mut labels: Vec<_> = token.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    labels.sort_unstable();
    let others = document.owners.as_slice() != std::slice::from_ref(&document.name);
    let cells = vec![
        Cell::text(&document.id),
        Cell::text(&document.name),
        Cell::text(&document.role),
        Cell::text(document.state),
        document.expires.map_or(Cell::Remark("never"), Cell::Time),
        document.last_used.map_or(Cell::Remark("never"), Cell::Ago),
        Cell::text(if others { document.owners.join(",") } else { String::new() }),
        document.uses_left.map_or(Cell::None, Cell::number),
        Cell::text(labels.join(",")),
        Cell::text(&document.created_by),
        Cell::time(document.created),
        Cell::time(document.revoked),
    ];
    Ok(Row { cells, name: document.id.clone(), json: Json::of(&document)? })
}

impl Revoke {
    async fn run(self, client: &Client) -> Result<(), Error> {
        let mut batch = crate::batch::BatchOutcome::of_named(self.ids.len());
        for id in &self.ids {
            let ask = |mut access: AccessClient<Line>| {
                let request = v1::RevokeTokenRequest { id: id.clone() };
                async move { Ok(access.revoke_token(request).await?.into_inner()) }
            };
            let shown: String = id.chars().take(12).collect();
            let Some(reply) = batch.note(&shown, client.line.ask_access(ask).await)? else { continue };
            let name = reply.token.unwrap_or_default().name;
            match reply.changed {
                true => say(&format!("token {shown} of {name}: revoked")),
                false => say(&format!("token {shown} of {name}: it was revoked before")),
            }
        }
        batch.finish()
    }
}
