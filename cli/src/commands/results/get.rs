//! `btctl results get`: fetches results and proves that they are what was published.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};

use super::choice::{Patterns, ResultPath, choose};
use super::fetch::{Fetch, FetchDir, Occupant};
use super::many;
use super::partial::{Which, keep_apart, tell};
use super::{File, FileKey, FileList, files};
use crate::batch::BatchOutcome;
use crate::client::Client;
use crate::error::Error;
use crate::files;
use crate::output::{say, terminal, words};
use crate::settings::Settings;
use crate::target::Target;

/// Files that are fetched at once.
const AT_ONCE: usize = 4;
/// Files that an error names.
const NAMED: usize = 5;

const EXAMPLES: &str = "\
Examples:
  btctl results get sma-cross -d results         # results/00/stats.pkl, results/01/stats.pkl, ...
  btctl results get sma-cross/17 -d results
  btctl results get sma-cross/17/stats.pkl -d results         # one file
  btctl results get sma-cross --include '*.csv' -d results    # --exclude leaves files out
  btctl results get sma-cross --partial -d unfinished         # files of unpublished attempts
  btctl results get sma-cross/17 --partial --attempt 1 -d lost
Files that already exist with the right SHA-256 are not fetched again, and an interrupted fetch continues where it \
stopped. If a file is missing or damaged in the store, it is listed, all others are fetched, and the exit code is 1. \
If a file already exists with other content, nothing is written, unless --overwrite is given.";

/// Fetch published results into DIR/JOB/; each file's SHA-256 is verified before it gets its name. With --partial,
/// fetch files that unpublished attempts have stored; these have no SHA-256, only a size, and none if they are
/// compressed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Get {
    /// Sweep, job, or a file or directory of a job.
    #[arg(value_name = "SWEEP[/JOB[/PATH]]")]
    wanted: ResultPath,
    /// Directory to fetch into; made if it is missing.
    #[arg(short, long, value_name = "DIR", value_parser = files::directory)]
    dir: PathBuf,
    #[command(flatten)]
    patterns: Patterns,
    /// Replace existing files that have other content.
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    which: Which,
}

impl Get {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        tokio::select! {
            fetched = self.fetch(settings) => fetched,
            pressed = tokio::signal::ctrl_c() => match pressed {
                Ok(()) => {
                    say("interrupted; the same command goes on where this was");
                    Err(Error::Interrupted)
                }
                Err(error) => Err(Error::Failed(format!("Ctrl-C can't be heard: {error}"))),
            },
        }
    }

    async fn fetch(&self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        let shown = client.show(&self.wanted.target.sweep).await?;
        // By its id from now on: a newer sweep may take the name meanwhile.
        let target = Target { sweep: shown.sweep.id.clone(), job: self.wanted.target.job };
        let FileList { files, unlisted } = files(&client, &target, &self.which).await?;
        if files.is_empty() && unlisted.is_empty() {
            let what = match target.job {
                Some(job) => format!("job {job} of sweep {}", shown.sweep.name),
                None => format!("sweep {}", shown.sweep.name),
            };
            return Err(Error::NotFound(format!(
                "{what} {}; btctl show {} tells how it is",
                self.which.none(),
                words::address(&shown.sweep)
            )));
        }
        let files = choose(files, self.wanted.path.as_deref(), &self.patterns, &shown.sweep.name)?;
        let jobs = words::total(&shown.counts);
        // Names do not change while an open sweep grows.
        let room = client.resolve(&target.sweep).await?.room.max(jobs);
        keep_apart(&self.dir, &target.sweep, room, &files).await?;
        let place = FetchDir::open(&self.dir, room)?;
        self.check_names(&place, &files)?;
        let mut batch = BatchOutcome::of_found(files.len() + unlisted.len());
        for (attempt, error) in unlisted {
            batch.note(&attempt, Err::<(), _>(error))?;
        }
        let mut lost = HashSet::new();
        let missing = self.missing(&place, &files, &mut batch, &mut lost).await?;
        let kept = files.len() - missing.len() - lost.len();
        let bytes: u64 = missing.iter().map(|file| file.size).sum();
        if let Some(room) = place.room().filter(|room| *room < bytes) {
            say(&format!(
                "{} are to be fetched, and {} has room for {}",
                words::size(bytes),
                self.dir.display(),
                words::size(room)
            ));
        }
        let bar = progress(bytes);
        let fetch = Fetch { client: &client, sweep: &target.sweep, place: &place, bar: &bar };
        let (requests, mut alone) = many::split(&missing);
        let mut left =
            stream::iter(requests).map(async |request| fetch.many(request).await).buffer_unordered(AT_ONCE);
        while let Some(left) = left.next().await {
            alone.extend(left);
        }
        drop(left);
        let fetched = stream::iter(&alone).map(async |file| (*file, fetch.file(file).await));
        let mut fetched = Box::pin(fetched.buffer_unordered(AT_ONCE));
        while let Some((file, outcome)) = fetched.next().await {
            if bar.suspend(|| batch.note(&file.to_string(), outcome))?.is_none() {
                lost.insert(file.key());
            }
        }
        drop(fetched);
        place.finish(batch.is_good())?;
        bar.finish_and_clear();
        let there = || files.iter().filter(|file| !lost.contains(&file.key()));
        let kept = match kept {
            0 => String::new(),
            kept => format!(" ({kept} were there already)"),
        };
        let bytes: u64 = there().map(|file| file.size).sum();
        let size = match there().any(|file| file.compressed) {
            true => format!("{} in the store", words::size(bytes)),
            false => words::size(bytes),
        };
        say(&format!("{} files, {size}, in {}{kept}", there().count(), self.dir.display()));
        if self.which.partial {
            tell(&files);
        } else if target.job.is_none() && shown.counts.queued + shown.counts.running > 0 {
            let left = shown.counts.queued + shown.counts.running;
            say(&format!("{left} of {jobs} jobs have not finished yet; run this again to fetch the rest"));
        }
        batch.finish()
    }

    /// The files that are not there yet. Files that are there with another content are refused before anything is
    /// written; those whose place can't be read are lost.
    async fn missing<'f>(
        &self,
        place: &FetchDir,
        files: &'f [File],
        batch: &mut BatchOutcome,
        lost: &mut HashSet<FileKey<'f>>,
    ) -> Result<Vec<&'f File>, Error> {
        let mut looked = stream::iter(files).map(async |file| (file, place.look(file).await));
        let mut looked = std::pin::pin!(looked.by_ref().buffered(AT_ONCE));
        let (mut missing, mut other) = (Vec::new(), Vec::new());
        while let Some((file, there)) = looked.next().await {
            match batch.note(&file.to_string(), there)? {
                Some(Occupant::Same) => {}
                Some(Occupant::Nothing) => missing.push(file),
                Some(Occupant::Other) => {
                    missing.push(file);
                    other.push(file);
                }
                None => {
                    lost.insert(file.key());
                }
            }
        }
        if !other.is_empty() && !self.overwrite {
            let named = other.iter().take(NAMED).map(|file| Ok(place.of(file)?.display().to_string()));
            let named = named.collect::<Result<Vec<_>, Error>>()?.join(", ");
            let more = if other.len() > NAMED { ", ..." } else { "" };
            return Err(Error::Refused(format!(
                "{} files are there with another content: {named}{more}; nothing was written. --overwrite replaces \
                 them, --dir takes another directory",
                other.len()
            )));
        }
        Ok(missing)
    }

    /// Refuses names that the file system can't tell apart.
    fn check_names(&self, place: &FetchDir, files: &[File]) -> Result<(), Error> {
        let Some((one, other)) = differ_in_case(files) else { return Ok(()) };
        match place.folds_case()? {
            false => Ok(()),
            true => Err(Error::Refused(format!(
                "job {}: {} takes {} and {} for one file; fetch into a directory on a file system that tells upper from \
                 lower case. Nothing was written",
                one.job,
                self.dir.display(),
                one.path,
                other.path
            ))),
        }
    }
}

/// Two files of a job whose paths differ in case and in nothing else.
fn differ_in_case(files: &[File]) -> Option<(&File, &File)> {
    let mut lower = HashMap::with_capacity(files.len());
    files.iter().find_map(|file| {
        let other: Option<&File> = lower.insert((file.job, file.path.to_lowercase()), file);
        other.map(|other| (other, file))
    })
}

fn progress(bytes: u64) -> ProgressBar {
    if !terminal::is_stderr() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(bytes);
    let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_case_are_found_within_a_job() {
        let file = File::called;
        let files = [file(0, "a/X.csv"), file(1, "a/x.csv"), file(1, "b"), file(1, "A/x.csv")];
        let (one, other) = differ_in_case(&files).unwrap();
        assert_eq!((one.path.as_str(), other.path.as_str()), ("a/x.csv", "A/x.csv"));
        assert!(differ_in_case(&files[..3]).is_none());
    }
}
