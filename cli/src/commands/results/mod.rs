//! `btctl results`: what the jobs left.

mod get;
mod verify;

use bt_proto::v1;
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
    Verify(verify::Verify),
}

/// List the published files with their sizes and SHA-256.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  btctl results ls sma-cross\n  btctl results ls sma-cross/17 -o json")]
pub(crate) struct Ls {
    #[arg(value_name = "SWEEP[/JOB]")]
    target: Target,
    #[command(flatten)]
    output: OutputArgs,
}

impl Results {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        match self {
            Self::Ls(ls) => ls.run(settings).await,
            Self::Get(get) => get.run(settings).await,
            Self::Verify(verify) => verify.run(settings).await,
        }
    }
}

impl Ls {
    async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        let columns = vec![
            Column::always("job"),
            Column::always("path"),
            Column::always("size"),
            Column::wide("sha256"),
            Column::wide("attempt"),
        ];
        let rows = files(&client, &self.target).await?.into_iter().map(|file| {
            let File { job, attempt, path, size, sha256 } = file;
            Row {
                json: json!({ "job": job, "path": path, "size": size, "sha256": sha256, "attempt": attempt }),
                cells: vec![job.to_string(), path.clone(), size.to_string(), sha256, attempt.to_string()],
                name: format!("{job}/{path}"),
            }
        });
        View { columns, rows: rows.collect() }.print(self.output.output)
    }
}

/// A published file.
#[derive(Clone, Debug)]
struct File {
    job: u32,
    attempt: u32,
    path: String,
    size: u64,
    /// In hexadecimal digits.
    sha256: String,
}

async fn files(client: &Client, target: &Target) -> Result<Vec<File>, Error> {
    let request = v1::ListOutputsRequest { sweep: target.sweep.clone(), job: target.job };
    let mut listed = client.outputs(request).await?;
    let mut files = Vec::new();
    while let Some(output) = listed.next().await {
        let output = output?;
        let file = output.file.unwrap_or_default();
        files.push(File {
            job: output.job,
            attempt: output.attempt,
            path: file.path,
            size: file.size,
            sha256: words::hex(&file.sha256),
        });
    }
    Ok(files)
}
