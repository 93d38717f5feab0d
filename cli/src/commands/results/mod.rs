//! `btctl results`: what the jobs left.

mod fetch;
mod get;
mod verify;

use backon::Retryable;
use bt_proto::v1;
use serde_json::json;
use tokio_stream::StreamExt;
use tonic::Streaming;

use crate::client::{Client, waits};
use crate::error::Error;
use crate::output::{Column, OutputArgs, Printer, Row, words};
use crate::settings::Settings;
use crate::target::Target;

/// How often a list that has broken off is asked for again.
const RETRIES: usize = 5;

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
        let mut listed = list(&client, &self.target).await?;
        let mut printer = Printer::new(columns, self.output.output)?;
        while let Some(output) = listed.next().await {
            let File { job, attempt, path, size, sha256 } = File::of(output?);
            printer.row(Row {
                json: json!({ "job": job, "path": path, "size": size, "sha256": sha256, "attempt": attempt }),
                cells: vec![job.to_string(), path.clone(), size.to_string(), sha256, attempt.to_string()],
                name: format!("{job}/{path}"),
            })?;
        }
        printer.finish()
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

impl File {
    fn of(output: v1::JobOutput) -> Self {
        let file = output.file.unwrap_or_default();
        Self {
            job: output.job,
            attempt: output.attempt,
            path: file.path,
            size: file.size,
            sha256: words::hex(&file.sha256),
        }
    }
}

async fn list(client: &Client, target: &Target) -> Result<Streaming<v1::JobOutput>, Error> {
    let request = v1::ListOutputsRequest { sweep: target.sweep.clone(), job: target.job };
    client.outputs(request).await
}

/// All files; asked for again if the list breaks off.
async fn files(client: &Client, target: &Target) -> Result<Vec<File>, Error> {
    let all = || async {
        let mut listed = list(client, target).await?;
        let mut files = Vec::new();
        while let Some(output) = listed.next().await {
            files.push(File::of(output.map_err(Error::broken_off)?));
        }
        Ok(files)
    };
    all.retry(waits(RETRIES)).when(Error::may_pass).await
}
