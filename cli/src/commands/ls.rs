//! `btctl ls`: the sweeps.

use std::collections::HashSet;

use bt_proto::v1;
use serde_json::json;

use crate::client::Client;
use crate::error::Error;
use crate::output::{Cell, Column, ListArgs, Row, View, say, words};
use crate::settings::Settings;

/// List sweeps, the newest first.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  btctl ls\n  btctl ls --all -o json")]
pub(crate) struct Ls {
    /// The ended ones as well.
    #[arg(short, long)]
    all: bool,
    /// How many to list.
    #[arg(short = 'n', long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    #[command(flatten)]
    output: ListArgs,
}

impl Ls {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let sweeps = Client::connect(settings).await?.sweeps(self.all, self.limit).await?;
        let columns = vec![
            Column::always("name"),
            Column::always("id"),
            Column::always("state"),
            Column::always("jobs"),
            Column::always("queued"),
            Column::always("running"),
            Column::always("succeeded"),
            Column::always("failed"),
            Column::always("cancelled"),
            Column::always("created").headed("age"),
            Column::wide("owner"),
            Column::wide("priority"),
            Column::wide("image"),
        ];
        let mut names = HashSet::new();
        let mut rows = Vec::with_capacity(sweeps.len());
        for sweep in sweeps {
            // A name means the newest of its sweeps; an older one is addressed by its id.
            let name = if names.insert(sweep.name.clone()) { &sweep.name } else { &sweep.id }.clone();
            rows.push(row(sweep, name)?);
        }
        if rows.is_empty() && !self.all {
            say("no sweep is queued or running; `btctl ls --all` lists those that have ended");
        }
        View { columns, rows }.print(&self.output)
    }
}

fn row(sweep: v1::Sweep, name: String) -> Result<Row, Error> {
    let counts = sweep.counts.unwrap_or_default();
    let v1::Counts { queued, running, succeeded, failed, cancelled } = counts;
    let cells = vec![
        Cell::text(&sweep.name),
        Cell::text(sweep.id.chars().take(8).collect::<String>()),
        Cell::text(words::sweep_state(&sweep)),
        Cell::number(words::total(&counts)),
        Cell::number(queued),
        Cell::number(running),
        Cell::number(succeeded),
        Cell::number(failed),
        Cell::number(cancelled),
        Cell::ago(words::instant(sweep.created.as_ref())?),
        Cell::text(&sweep.owner),
        Cell::number(sweep.priority),
        Cell::text(&sweep.image),
    ];
    Ok(Row { cells, json: json(&sweep)?, name })
}

/// A sweep as JSON, in `ls` and in `show`.
pub(super) fn json(sweep: &v1::Sweep) -> Result<serde_json::Value, Error> {
    let counts = sweep.counts.unwrap_or_default();
    let v1::Counts { queued, running, succeeded, failed, cancelled } = counts;
    let pin = Some(&sweep.image_pin).filter(|pin| !pin.is_empty());
    Ok(json!({
        "id": sweep.id,
        "name": sweep.name,
        "state": words::sweep_state(sweep),
        "image": sweep.image,
        "image_pin": pin,
        "owner": sweep.owner,
        "priority": sweep.priority,
        "counts": {
            "queued": queued,
            "running": running,
            "succeeded": succeeded,
            "failed": failed,
            "cancelled": cancelled,
        },
        "created": words::time(sweep.created.as_ref())?,
        "finished": words::time(sweep.finished.as_ref())?,
    }))
}
