//! `btctl results get`: fetches results and proves that they are what was published.

use std::fs::Permissions;
use std::io::{IsTerminal, stderr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bt_model::layout::job_dir;
use bt_model::state::AttemptState;
use bt_proto::v1;
use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};
use tokio::fs;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter};

use super::partial::{Which, keep_apart, tell};
use super::{File, files};
use crate::client::Client;
use crate::error::Error;
use crate::output::{say, words};
use crate::settings::Settings;
use crate::target::Target;

/// Files that are fetched at once.
const AT_ONCE: usize = 4;
/// Bytes of a file that are hashed at once.
const PIECE: usize = 256 << 10;

const EXAMPLES: &str = "\
Examples:
  btctl results get sma-cross -d results         # results/00/stats.pkl, results/01/stats.pkl, ...
  btctl results get sma-cross/17 -d results
  btctl results get sma-cross --partial -d unfinished         # what attempts have stored that are not published
  btctl results get sma-cross/17 --partial --attempt 1 -d lost
Files that are there already, with the right SHA-256, are not fetched again.";

/// Fetch published results into DIR/<job>/; each file's SHA-256 is verified before it gets its name. With --partial,
/// fetch what attempts that are not published have stored; of that only the size can be verified.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Get {
    #[arg(value_name = "SWEEP[/JOB]")]
    target: Target,
    /// Directory to fetch into; made if it is missing.
    #[arg(short, long, value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    which: Which,
}

impl Get {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        tokio::select! {
            fetched = self.fetch(settings) => fetched,
            pressed = tokio::signal::ctrl_c() => match pressed {
                Ok(()) => Err(Error::Interrupted),
                Err(error) => Err(Error::Failed(format!("Ctrl-C can't be heard: {error}"))),
            },
        }
    }

    async fn fetch(&self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        let shown = client.show(&self.target.sweep).await?;
        // By its id from now on: a newer sweep may take the name meanwhile.
        let target = Target { sweep: shown.sweep.id.clone(), job: self.target.job };
        let files = files(&client, &target, &self.which).await?;
        if files.is_empty() {
            let what = match target.job {
                Some(job) => format!("job {job} of sweep {}", shown.sweep.name),
                None => format!("sweep {}", shown.sweep.name),
            };
            return Err(Error::NotFound(format!(
                "{what} {}; btctl show {} tells how it is",
                self.which.none(),
                shown.sweep.name
            )));
        }
        let jobs = words::total(&shown.counts);
        keep_apart(&self.dir, &target.sweep, jobs, &files).await?;
        let fetch = Fetch { client: &client, sweep: &target.sweep, dir: &self.dir, jobs };
        let bar = progress(&files);
        let fetched: Vec<bool> = stream::iter(&files)
            .map(|file| fetch.file(file, &bar))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        bar.finish_and_clear();
        let new = fetched.iter().filter(|new| **new).count();
        let bytes: u64 = files.iter().map(|file| file.size).sum();
        let kept = match files.len() - new {
            0 => String::new(),
            kept => format!(" ({kept} were there already)"),
        };
        say(&format!("{} files, {}, in {}{kept}", files.len(), words::size(bytes), self.dir.display()));
        if self.which.partial {
            tell(&files);
        } else if target.job.is_none() && shown.counts.queued + shown.counts.running > 0 {
            let left = shown.counts.queued + shown.counts.running;
            say(&format!("{left} of {jobs} jobs have not ended yet; run this again to fetch the rest"));
        }
        Ok(())
    }
}

fn progress(files: &[File]) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(files.iter().map(|file| file.size).sum());
    let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

struct Fetch<'a> {
    client: &'a Client,
    sweep: &'a str,
    dir: &'a Path,
    /// How many jobs the sweep has.
    jobs: u32,
}

impl Fetch<'_> {
    /// Fetches one file; false if it was there already.
    async fn file(&self, file: &File, bar: &ProgressBar) -> Result<bool, Error> {
        let target = self.place(file)?;
        if let Some(sha256) = &file.sha256
            && is_there(&target, file.size, sha256).await
        {
            bar.inc(file.size);
            return Ok(false);
        }
        let failed = |error: std::io::Error| Error::Failed(format!("{}: {error}", target.display()));
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).await.map_err(failed)?;
        }
        // Removed by itself whatever becomes of the download; only a whole file gets the name.
        let part = tempfile::Builder::new()
            .prefix(".btctl-part-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(self.dir)
            .map_err(failed)?;
        let (out, part) = part.into_parts();
        self.write(file, fs::File::from_std(out), bar).await?;
        part.persist(&target).map_err(|error| failed(error.error))?;
        Ok(true)
    }

    async fn write(&self, file: &File, out: fs::File, bar: &ProgressBar) -> Result<(), Error> {
        let failed = |error: std::io::Error| {
            Error::Failed(format!("{} in {} can't be written: {error}", file.path, self.dir.display()))
        };
        let attempt = if file.sha256.is_some() { 0 } else { file.attempt };
        let (sweep, path) = (self.sweep.to_owned(), file.path.clone());
        let request = v1::DownloadRequest { sweep, job: file.job, path, attempt };
        let mut pieces = self.client.download(request).await?;
        let mut out = BufWriter::new(out);
        let (mut hash, mut size) = (Sha256::new(), 0);
        while let Some(piece) = pieces.next().await {
            let data = piece?.data;
            hash.update(&data);
            size += data.len() as u64;
            out.write_all(&data).await.map_err(failed)?;
            bar.inc(data.len() as u64);
        }
        out.flush().await.map_err(failed)?;
        let sha256 = words::hex(&hash.finalize());
        match &file.sha256 {
            Some(published) if size != file.size || sha256 != *published => {
                return Err(Error::Failed(format!(
                    "job {}: {} is damaged in the store: {size} bytes with SHA-256 {sha256}, where {} bytes with \
                     {published} were published",
                    file.job, file.path, file.size
                )));
            }
            // A running job may have stored it anew since it was listed.
            None if size != file.size && !file.state.is_some_and(AttemptState::is_live) => {
                return Err(Error::Failed(format!(
                    "job {}: {} came with {size} of its {} bytes; fetch it again",
                    file.job, file.path, file.size
                )));
            }
            _ => {}
        }
        out.into_inner().sync_all().await.map_err(failed)
    }

    fn place(&self, file: &File) -> Result<PathBuf, Error> {
        let climbs = |part: &str| part.is_empty() || part == "." || part == "..";
        if file.path.split('/').any(climbs) {
            return Err(Error::Failed(format!("job {}: {:?} is no path of an output", file.job, file.path)));
        }
        Ok(self.dir.join(job_dir(file.job, self.jobs)).join(&file.path))
    }
}

/// True if the file is there with its size and SHA-256.
async fn is_there(path: &Path, size: u64, sha256: &str) -> bool {
    let Ok(mut there) = fs::File::open(path).await else { return false };
    if !there.metadata().await.is_ok_and(|metadata| metadata.is_file() && metadata.len() == size) {
        return false;
    }
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        match there.read(&mut piece).await {
            Ok(0) => return words::hex(&hash.finalize()) == sha256,
            Ok(read) => hash.update(&piece[..read]),
            Err(_) => return false,
        }
    }
}
