//! `btctl secrets`: values that jobs get and no manifest, log or database shows.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use bt_documents as documents;
use bt_model::manifest::check_secret_name;
use bt_model::secret_value::{LARGEST_SECRET, SecretBytes};
use bt_proto::bearer::{self, Line};
use bt_proto::v1;
use bt_proto::v1::secrets_client::SecretsClient;

use crate::client::Client;
use crate::error::Error;
use crate::files;
use crate::output::{Cell, Column, Json, ListArgs, Row, View, say};
use crate::settings::Settings;

/// Store, list, remove and rotate secrets: values that jobs get by naming them (`secrets: [NAME]`).
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Secrets {
    /// Store a secret, or replace its value. The value comes from a file or through a pipe.
    #[command(after_help = "\
Examples:
  btctl secrets set BROKER_KEY --file broker.key --for ann,desk
  vault read -field=key secret/broker | btctl secrets set BROKER_KEY
  btctl secrets set DATA_TOKEN --for '*' < token

The newline that ends a value of one line is no part of it.")]
    Set(Set),
    /// List the secrets that you may name: whose sweeps may name each, who set it, when it was used last. No value is shown.
    Ls(Ls),
    /// Remove secrets: no further job gets them. Jobs that run keep what they have.
    Rm(Rm),
    /// Encrypt all secrets by the key that the coordinator has now. All of them or none; it can be done again.
    #[command(after_help = "\
To change the key of a coordinator that has --secrets-key-file KEY --secrets-old-key-file OLD:
  mv KEY OLD; (umask 077; openssl rand -hex 32 > KEY); btctl secrets rotate

Both files are read at each use, so that jobs go on meanwhile. OLD can go once this has succeeded.")]
    Rotate(Rotate),
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Set {
    /// Name: letters, digits and `_`.
    name: String,
    /// File with the value; standard input if not given.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Owner whose sweeps may name it, or '*' for everybody's; may be repeated. If not given, it stays as it was; a new one
    /// can be named in sweeps that operators submit.
    #[arg(long = "for", value_name = "OWNER,...", value_delimiter = ',')]
    owners: Vec<String>,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Ls {
    #[command(flatten)]
    output: ListArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Rm {
    /// Names of secrets, as `btctl secrets ls` shows them.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Rotate {}

impl Secrets {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        match self {
            Self::Set(set) => set.run(settings).await,
            Self::Ls(ls) => ls.run(&Client::connect(settings).await?).await,
            Self::Rm(rm) => rm.run(&Client::connect(settings).await?).await,
            Self::Rotate(_) => rotate(&Client::connect(settings).await?).await,
        }
    }
}

impl Set {
    /// Nothing is sent before all that can be wrong was looked at.
    async fn run(self, settings: &Settings) -> Result<(), Error> {
        let Self { name, file, owners } = self;
        check_secret_name(&name).map_err(Error::Usage)?;
        let in_clear = bearer::in_clear(&settings.coordinators()?).join(", ");
        if !in_clear.is_empty() {
            return Err(Error::Refused(format!(
                "the line to {in_clear} is not encrypted, and no secret is sent over it; use TLS (btctl coordinator init), or \
                 call from the coordinator's machine"
            )));
        }
        let value = read_value(file)?;
        value.check().map_err(|why| Error::Usage(format!("the value of {name}: {why}")))?;
        let client = Client::connect(settings).await?;
        let ask = |mut secrets: SecretsClient<Line>| {
            let secret = v1::SecretValue { name: name.clone(), value: value.bytes().to_vec() };
            let names = owners.clone();
            let owners = (!names.is_empty()).then_some(v1::SecretOwners { names });
            let request = v1::SetSecretRequest { secret: Some(secret), owners };
            async move { Ok(secrets.set_secret(request).await?.into_inner()) }
        };
        let reply = client.line.ask_secrets(ask).await?;
        let owners = reply.secret.unwrap_or_default().owners;
        let what = if reply.replaced { "has another value" } else { "is stored" };
        say(&format!("secret {name} {what}; {} may name it", by_whom(&owners)));
        Ok(())
    }
}

fn by_whom(owners: &[String]) -> String {
    match owners {
        [] => "sweeps that operators submit".to_owned(),
        owners if owners.iter().any(|owner| owner == "*") => "every sweep".to_owned(),
        owners => format!("sweeps of {}", owners.join(", ")),
    }
}

fn read_value(file: Option<PathBuf>) -> Result<SecretBytes, Error> {
    let most = LARGEST_SECRET as u64 + 2;
    let mut value = Vec::new();
    let (read, from) = match &file {
        Some(path) => (files::open(path)?.take(most).read_to_end(&mut value), files::called(path)),
        None if std::io::stdin().is_terminal() => {
            return Err(Error::Usage(
                "a value that is typed here would be seen; give it with --file FILE, or through a pipe"
                    .to_owned(),
            ));
        }
        None => (std::io::stdin().take(most).read_to_end(&mut value), "standard input".to_owned()),
    };
    read.map_err(|error| Error::Failed(format!("{from} can't be read: {error}")))?;
    Ok(SecretBytes::of_text(value))
}

impl Ls {
    async fn run(self, client: &Client) -> Result<(), Error> {
        let ask = |mut secrets: SecretsClient<Line>| async move {
            Ok(secrets.list_secrets(v1::ListSecretsRequest {}).await?.into_inner())
        };
        let secrets = client.line.ask_secrets(ask).await?.secrets;
        if secrets.is_empty() {
            say("there are no secrets that you may name; an operator stores one: btctl secrets set NAME");
        }
        let columns = vec![
            Column::always("name").rank(0),
            Column::always("for").rank(1),
            Column::always("set_by").rank(2),
            Column::always("set").rank(2),
            Column::always("last_used").rank(1),
            Column::wide("key"),
        ];
        let rows = secrets.iter().map(row).collect::<Result<_, _>>()?;
        View { columns, rows }.print(&self.output)
    }
}

fn row(secret: &v1::Secret) -> Result<Row, Error> {
    let document = documents::Secret::try_from(secret)?;
    let owners = match document.owners.is_empty() {
        true => Cell::Remark("operators"),
        false => Cell::text(document.owners.join(",")),
    };
    let cells = vec![
        Cell::text(&document.name),
        owners,
        Cell::text(&document.set_by),
        Cell::time(document.set),
        document.last_used.map_or(Cell::Remark("never"), Cell::Ago),
        Cell::text(&document.key),
    ];
    Ok(Row { cells, name: document.name.clone(), json: Json::of(&document)? })
}

impl Rm {
    async fn run(self, client: &Client) -> Result<(), Error> {
        let mut batch = crate::batch::BatchOutcome::of_named(self.names.len());
        for name in &self.names {
            let ask = |mut secrets: SecretsClient<Line>| {
                let request = v1::RemoveSecretRequest { name: name.clone() };
                async move { Ok(secrets.remove_secret(request).await?.into_inner()) }
            };
            if batch.note(name, client.line.ask_secrets(ask).await)?.is_some() {
                say(&format!("secret {name}: removed"));
            }
        }
        batch.finish()
    }
}

async fn rotate(client: &Client) -> Result<(), Error> {
    let ask = |mut secrets: SecretsClient<Line>| async move {
        Ok(secrets.rotate_secrets(v1::RotateSecretsRequest {}).await?.into_inner())
    };
    let reply = client.line.ask_secrets(ask).await?;
    let v1::RotateSecretsReply { rotated, unchanged, key } = reply;
    say(&format!("{rotated} secrets are encrypted anew, by the key {key}; {unchanged} were before"));
    Ok(())
}
