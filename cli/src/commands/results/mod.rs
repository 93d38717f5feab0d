//! `btctl results`: what the jobs left.

mod choice;
mod content;
mod fetch;
mod get;
mod inspect;
mod many;
mod open;
mod partial;
mod show;
mod verify;

pub(crate) use choice::globs;
#[cfg(target_os = "linux")]
pub(crate) use show::pairs;
pub(crate) use show::record;

use std::fmt;

use backon::Retryable;
use bt_documents::Output;
use bt_model::state::AttemptState;
use bt_proto::v1;
use partial::Which;
use tokio_stream::StreamExt;
use tonic::{Code, Streaming};

use self::content::DownloadError;
use self::content::FileContent;
use crate::batch::BatchOutcome;
use crate::client::{Client, waits};
use crate::error::{Error, is_broken_off};
use crate::output::{Cell, Column, Json, ListArgs, Printer, Row, View, words};
use crate::settings::Settings;
use crate::target::Target;

/// How often a list that has broken off is asked for again.
const RETRIES: usize = 5;

/// List, fetch or verify published results.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Results {
    Ls(Ls),
    Get(get::Get),
    Show(show::Show),
    Open(open::Open),
    Inspect(inspect::Inspect),
    Verify(verify::Verify),
}

const EXAMPLES: &str = "\
Examples:
  btctl results ls sma-cross
  btctl results ls sma-cross/17 -o json
  btctl results ls sma-cross --partial                  # files of unpublished attempts
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
    output: ListArgs,
}

impl Results {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        match self {
            Self::Ls(ls) => ls.run(settings).await,
            Self::Get(get) => get.run(settings).await,
            Self::Show(show) => show.run(settings).await,
            Self::Open(open) => open.run(settings).await,
            Self::Inspect(inspect) => inspect.run(settings).await,
            Self::Verify(verify) => verify.run(settings).await,
        }
    }
}

impl Ls {
    async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        let mut columns = vec![Column::always("job").rank(0), Column::always("path").rank(1)];
        columns.push(Column::always("size").rank(2));
        match self.which.partial {
            false => columns.extend(["sha256", "attempt"].map(Column::wide)),
            true => {
                columns.push(Column::always("stored_size").headed("compressed").optional());
                columns.extend(["attempt", "state"].map(Column::always));
            }
        }
        if self.which.partial {
            let FileList { files, unlisted } = files(&client, &self.target, &self.which).await?;
            partial::tell(&files);
            let rows = files.into_iter().map(row).collect::<Result<_, _>>()?;
            View { columns, rows }.print(&self.output)?;
            let mut batch = BatchOutcome::of_found(unlisted.len());
            for (attempt, error) in unlisted {
                batch.note(&attempt, Err::<(), _>(error))?;
            }
            return batch.finish();
        }
        let mut listed = list(&client, &self.target, &self.which).await?;
        let mut printer = Printer::new(columns, &self.output)?;
        while let Some(output) = listed.next().await {
            printer.row(row(File::of(output.map_err(Error::broken_off)?, &self.which)?)?)?;
        }
        printer.finish()
    }
}

fn row(file: File) -> Result<Row, Error> {
    let File { job, attempt, path, size, compressed, sha256, state } = file;
    let mut cells = vec![Cell::number(job), Cell::text(&path)];
    let plain = (!compressed).then_some(size);
    cells.push(Cell::bytes(plain));
    let stored_size = compressed.then_some(size);
    let state_name = sha256.is_none().then(|| state.map_or("", AttemptState::name));
    let json = Json::of(&Output {
        job,
        path: path.clone(),
        size: plain,
        stored_size,
        sha256: sha256.clone(),
        attempt,
        state: state_name,
    })?;
    match sha256 {
        Some(sha256) => cells.extend([Cell::Text(sha256), Cell::number(attempt)]),
        None => {
            cells.push(Cell::bytes(stored_size));
            cells.extend([Cell::number(attempt), Cell::text(state_name.unwrap_or_default())]);
        }
    }
    Ok(Row { json, cells, name: format!("{job}/{path}") })
}

/// A stored file.
#[derive(Clone, Debug)]
struct File {
    job: u32,
    attempt: u32,
    path: String,
    /// Bytes. If the file is compressed and not published, its size in the store: its uncompressed size is unknown.
    size: u64,
    compressed: bool,
    /// In hexadecimal digits; none if it is not published.
    sha256: Option<String>,
    /// Of its attempt, if it is not published.
    state: Option<AttemptState>,
}

/// A file's job and path, which identify it.
type FileKey<'f> = (u32, &'f str);

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job {}: {}", self.job, self.path)
    }
}

impl File {
    /// An empty one, for tests that look at names.
    #[cfg(test)]
    fn called(job: u32, path: &str) -> Self {
        Self { job, attempt: 1, path: path.to_owned(), size: 0, compressed: false, sha256: None, state: None }
    }

    fn key(&self) -> FileKey<'_> {
        (self.job, &self.path)
    }

    fn of(output: v1::JobOutput, which: &Which) -> Result<Self, Error> {
        let state = which.partial.then(|| AttemptState::try_from(output.attempt_state())).transpose()?;
        let file = output.file.unwrap_or_default();
        let compressed = which.partial && file.encoding() != v1::Encoding::None;
        Ok(Self {
            job: output.job,
            attempt: output.attempt,
            size: if compressed { file.stored_size() } else { file.size },
            path: file.path,
            compressed,
            sha256: (!which.partial).then(|| words::hex(&file.sha256)),
            state,
        })
    }
}

async fn list(client: &Client, target: &Target, which: &Which) -> Result<Streaming<v1::JobOutput>, Error> {
    let request = v1::ListOutputsRequest {
        sweep: target.sweep.clone(),
        job: target.job,
        partial: which.partial,
        attempt: which.attempt,
    };
    client.outputs(request).await
}

/// Files, and the attempts whose files can't be listed, each with the reason.
#[derive(Debug, Default)]
struct FileList {
    files: Vec<File>,
    unlisted: Vec<(String, Error)>,
}

/// All files; asked for again if the list breaks off.
async fn files(client: &Client, target: &Target, which: &Which) -> Result<FileList, Error> {
    let all = || async {
        let mut outputs = list(client, target, which).await?;
        let mut listed = FileList::default();
        while let Some(output) = outputs.next().await {
            let output = output.map_err(Error::broken_off)?;
            if let Some(fault) = output.fault {
                let attempt = format!("job {}, attempt {}", output.job, output.attempt);
                let error = Error::Failed(format!("its files can't be listed: {fault}"));
                listed.unlisted.push((attempt, error));
            } else {
                listed.files.push(File::of(output, which)?);
            }
        }
        Ok(listed)
    };
    all.retry(waits(RETRIES)).when(Error::may_pass).await
}

/// All of a small output; no more than one piece beyond `most` bytes of it is read. None if there is no such output.
pub(super) async fn content(
    client: &Client,
    request: v1::DownloadRequest,
    most: usize,
) -> Result<Option<Vec<u8>>, Error> {
    let name = format!("job {}: {}", request.job, request.path);
    let read = || async {
        let mut content = FileContent::new(name.clone(), client.download(request.clone()).await?);
        let mut all = Vec::new();
        while all.len() <= most
            && let Some(data) = content.next().await?
        {
            all.extend_from_slice(&data);
        }
        Ok(all)
    };
    let may_pass = |broken: &DownloadError| matches!(broken, DownloadError::Coordinator(status) if is_broken_off(status));
    match read.retry(waits(RETRIES)).when(may_pass).await {
        Ok(all) => Ok(Some(all)),
        Err(DownloadError::Coordinator(status)) if status.code() == Code::NotFound => Ok(None),
        Err(DownloadError::Coordinator(status)) => Err((*status).into()),
        Err(DownloadError::Disk(error)) => Err(error),
    }
}
