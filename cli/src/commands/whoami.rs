//! `btctl whoami`: who the coordinator takes one for.

use bt_documents as documents;
use bt_proto::v1;

use crate::client::Client;
use crate::error::Error;
use crate::output::{Cell, Json, OutputArgs, print_facts};
use crate::settings::Settings;

/// Show who the coordinator takes you for: name, role, owners, and when the token expires.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Whoami {
    #[command(flatten)]
    output: OutputArgs,
}

/// By what the coordinator knows it.
fn by(document: &documents::Whoami) -> Cell {
    match (&document.issuer, &document.token) {
        (Some(issuer), _) => Cell::text(format!("signed in with {issuer}")),
        (None, Some(_)) => Cell::Remark("a token that an administrator made"),
        (None, None) if document.name == "root" => {
            Cell::Remark("the administrator's token of the coordinator's file")
        }
        (None, None) => Cell::Remark("what the machine or a proxy says"),
    }
}

impl Whoami {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        let ask = |mut access: bt_proto::v1::access_client::AccessClient<_>| async move {
            Ok(access.who_am_i(v1::WhoAmIRequest {}).await?.into_inner())
        };
        let reply = client.line.ask_access(ask).await?;
        let document = documents::Whoami::try_from(&reply)?;
        let facts = match document.authenticated {
            false => vec![("name", Cell::Remark("anybody: this coordinator asks nobody who they are"))],
            true => vec![
                ("name", Cell::text(&document.name)),
                ("role", Cell::text(&document.role)),
                ("owners", Cell::text(document.owners.join(", "))),
                ("expires", document.expires.map_or(Cell::Remark("never"), Cell::Time)),
                ("token", Cell::text(document.token.clone().unwrap_or_default())),
                ("by", by(&document)),
            ],
        };
        print_facts(facts.into_iter(), &Json::of(&document)?, self.output.output)
    }
}
