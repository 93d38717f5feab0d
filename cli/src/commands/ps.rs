//! `btctl ps`: the jobs that run now, over all sweeps.

use bt_documents as documents;
use bt_proto::v1;

use crate::client::Client;
use crate::error::Error;
use crate::output::{Cell, Column, Json, ListArgs, Row, View, say};
use crate::settings::Settings;

/// List the jobs that agents work on now, over all sweeps, the oldest first.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  btctl ps\n  btctl ps -o name | xargs -n 1 btctl logs")]
pub(crate) struct Ps {
    #[command(flatten)]
    output: ListArgs,
}

impl Ps {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let reply = Client::connect(settings).await?.running(None).await?;
        if reply.jobs.is_empty() {
            say("no job runs now; `btctl ls` lists the sweeps that are queued");
        }
        if reply.cut {
            say(&format!("only the oldest {} are listed", reply.jobs.len()));
        }
        let columns = vec![
            Column::always("job").rank(0),
            Column::always("state").rank(1),
            Column::always("agent").rank(1),
            Column::always("attempt"),
            Column::always("started").headed("running").rank(2),
            Column::always("progress").optional().rank(1),
            Column::always("owner"),
            Column::always("note").optional().rank(3),
            Column::wide("leased"),
            Column::wide("sweep_id"),
        ];
        let rows = reply.jobs.into_iter().map(row).collect::<Result<_, _>>()?;
        View { columns, rows }.print(&self.output)
    }
}

/// What it waits for, or what it says itself of how far it is.
fn note(job: &v1::RunningJob) -> &str {
    match (job.note.as_str(), &job.progress) {
        ("", Some(said)) => said.note(),
        (note, _) => note,
    }
}

fn row(job: v1::RunningJob) -> Result<Row, Error> {
    let document = documents::RunningJob::try_from(&job)?;
    let cells = vec![
        Cell::text(format!("{}/{}", job.sweep_name, job.job)),
        Cell::text(document.state),
        Cell::text(&job.agent),
        Cell::number(job.attempt),
        Cell::ago(document.started),
        Cell::part(job.progress.as_ref().and_then(|said| said.fraction)),
        Cell::text(&job.owner),
        Cell::text(note(&job)),
        Cell::time(document.leased),
        Cell::text(&job.sweep),
    ];
    // By the sweep's id: a newer sweep may have the name.
    Ok(Row { cells, json: Json::of(&document)?, name: format!("{}/{}", job.sweep, job.job) })
}
