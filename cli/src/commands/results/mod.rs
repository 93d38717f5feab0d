//! `btctl results`: what the jobs left.

mod get;
mod partial;
mod show;
mod verify;

use bt_model::state::AttemptState;
use bt_proto::v1;
use partial::Which;
use serde_json::json;
use tokio_stream::StreamExt;

use crate::client::Client;
use crate::error::Error;
use crate::output::{Column, OutputArgs, Row, View, words};
use crate::settings::Settings;
use crate::target::Target;

/// List, fetch or verify published results.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Results {
    Ls(Ls),
    Get(get::Get),
    Show(show::Show),
    Verify(verify::Verify),
}

const EXAMPLES: &str = "\
Examples:
  btctl results ls sma-cross
  btctl results ls sma-cross/17 -o json
  btctl results ls sma-cross --partial                  # what attempts have stored that are not published
  btctl results ls sma-cross/17 --partial --attempt 1   # those of one attempt";

/// List the published files with their sizes and SHA-256.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Ls {
    #[arg(value_name = "SWEEP[/JOB]")]
    target: Target,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    output: OutputArgs,
}

impl Results {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        match self {
            Self::Ls(ls) => ls.run(settings).await,
            Self::Get(get) => get.run(settings).await,
            Self::Show(show) => show.run(settings).await,
            Self::Verify(verify) => verify.run(settings).await,
        }
    }
}

impl Ls {
    async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        let mut columns = vec![Column::always("job"), Column::always("path"), Column::always("size")];
        columns.extend(match self.which.partial {
            false => [Column::wide("sha256"), Column::wide("attempt")],
            true => [Column::always("attempt"), Column::always("state")],
        });
        let files = files(&client, &self.target, &self.which).await?;
        if self.which.partial {
            partial::tell(&files);
        }
        let rows = files.into_iter().map(|file| {
            let File { job, attempt, path, size, sha256, state } = file;
            let mut json =
                json!({ "job": job, "path": path, "size": size, "sha256": sha256, "attempt": attempt });
            let mut cells = vec![job.to_string(), path.clone(), size.to_string()];
            match sha256 {
                Some(sha256) => cells.extend([sha256, attempt.to_string()]),
                None => {
                    let state = state.map_or("", AttemptState::name);
                    json["state"] = state.into();
                    cells.extend([attempt.to_string(), state.to_owned()]);
                }
            }
            Row { json, cells, name: format!("{job}/{path}") }
        });
        View { columns, rows: rows.collect() }.print(self.output.output)
    }
}

/// A stored file.
#[derive(Clone, Debug)]
struct File {
    job: u32,
    attempt: u32,
    path: String,
    size: u64,
    /// In hexadecimal digits; none if it is not published.
    sha256: Option<String>,
    /// Of its attempt, if it is not published.
    state: Option<AttemptState>,
}

async fn files(client: &Client, target: &Target, which: &Which) -> Result<Vec<File>, Error> {
    let request = v1::ListOutputsRequest {
        sweep: target.sweep.clone(),
        job: target.job,
        partial: which.partial,
        attempt: which.attempt.unwrap_or(0),
    };
    let mut listed = client.outputs(request).await?;
    let mut files = Vec::new();
    while let Some(output) = listed.next().await {
        let output = output?;
        let state = which.partial.then(|| AttemptState::try_from(output.attempt_state())).transpose()?;
        let file = output.file.unwrap_or_default();
        files.push(File {
            job: output.job,
            attempt: output.attempt,
            path: file.path,
            size: file.size,
            sha256: (!which.partial).then(|| words::hex(&file.sha256)),
            state,
        });
    }
    Ok(files)
}
