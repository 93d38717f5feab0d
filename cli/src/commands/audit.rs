//! `btctl audit`: who changed what, and who was refused.

use bt_documents as documents;
use bt_proto::bearer::Line;
use bt_proto::v1::access_client::AccessClient;
use bt_proto::{convert, v1};
use jiff::Timestamp;

use crate::client::Client;
use crate::error::Error;
use crate::output::{Cell, Column, Json, ListArgs, Row, View, print, print_json, say};
use crate::settings::Settings;

/// Show who changed what, and who was refused, the oldest first.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  btctl audit --since 1d --who ann\n  btctl audit --verify")]
pub(crate) struct Audit {
    /// Only what was done since: an age such as 2d, a day, or a time.
    #[arg(long, value_name = "TIME", value_parser = super::ls::since)]
    since: Option<Timestamp>,
    /// Only what this person, service or agent did.
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
    /// Walk the chain of all entries instead, and say whether each is as it was written.
    #[arg(long, conflicts_with_all = ["since", "who"])]
    verify: bool,
    #[command(flatten)]
    output: ListArgs,
}

impl Audit {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        if self.verify {
            return self.verify(&client).await;
        }
        let request =
            v1::ListAuditRequest { since: self.since.map(convert::timestamp), who: self.who.clone() };
        let ask = |mut access: AccessClient<Line>| {
            let request = request.clone();
            async move { Ok(access.list_audit(request).await?.into_inner()) }
        };
        let mut entries = client.line.ask_access(ask).await?;
        let mut rows = Vec::new();
        while let Some(entry) = entries.message().await.map_err(Error::broken_off)? {
            rows.push(row(&entry)?);
        }
        if rows.is_empty() {
            say("nothing was changed");
        }
        let columns = vec![
            Column::always("number").rank(3),
            Column::always("at").rank(1),
            Column::always("who").rank(0),
            Column::always("role").optional().rank(4),
            Column::always("from").rank(4),
            Column::always("what").rank(0),
            Column::always("target").rank(2),
            Column::always("outcome").rank(1),
            Column::wide("before"),
            Column::wide("after"),
            Column::wide("hash"),
        ];
        View { columns, rows }.print(&self.output)
    }

    async fn verify(&self, client: &Client) -> Result<(), Error> {
        let ask = |mut access: AccessClient<Line>| async move {
            Ok(access.verify_audit(v1::VerifyAuditRequest {}).await?.into_inner())
        };
        let chain = documents::AuditChain::from(&client.line.ask_access(ask).await?);
        match self.output.format().is_for_people() {
            false => print_json(&Json::of(&chain)?)?,
            true if chain.sound => print(&format!(
                "all {} entries are as they were written; the last has the hash {}",
                chain.entries, chain.hash
            ))?,
            true => {}
        }
        match chain.broken {
            None => Ok(()),
            Some(number) => Err(Error::Failed(format!(
                "entry {number} of the audit log is not as it was written: {}; the {} before it are",
                chain.why.unwrap_or_default(),
                chain.entries
            ))),
        }
    }
}

fn row(entry: &v1::AuditEntry) -> Result<Row, Error> {
    let document = documents::AuditEntry::try_from(entry)?;
    let cells = vec![
        Cell::number(document.number),
        Cell::time(document.at),
        Cell::text(&document.who),
        Cell::text(document.role.clone().unwrap_or_default()),
        Cell::text(&document.from),
        Cell::text(&document.what),
        Cell::text(&document.target),
        Cell::text(&document.outcome),
        Cell::text(&entry.before),
        Cell::text(&entry.after),
        Cell::text(&document.hash),
    ];
    Ok(Row { cells, name: document.number.to_string(), json: Json::of(&document)? })
}
