//! Files of attempts that are not published: how they are asked for, and how they are kept apart from results.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bt_model::layout::job_dir;
use bt_model::state::AttemptState;
use tokio::fs;

use super::File;
use crate::error::Error;
use crate::output::say;

/// Which files are meant.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Which {
    /// Files of unfinished, failed and lost attempts instead of results: for each job without a result, the
    /// latest attempt that stored any.
    #[arg(long)]
    pub(super) partial: bool,
    /// Files of the attempts with this number, even if another attempt is the result.
    #[arg(long, value_name = "N", requires = "partial", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) attempt: Option<u32>,
}

impl Which {
    /// What is said where there are none.
    pub(super) fn none(&self) -> &'static str {
        match self.partial {
            true => "has no stored files that are not published",
            false => "has no published files",
        }
    }
}

/// Says that these are no results, and whose files they are.
pub(super) fn tell(files: &[File]) {
    let mut attempts: BTreeMap<&str, u32> = BTreeMap::new();
    let mut last = None;
    for file in files {
        if last.replace(file.job) != Some(file.job) {
            *attempts.entry(file.state.map_or("", AttemptState::name)).or_default() += 1;
        }
    }
    if attempts.is_empty() {
        return;
    }
    let attempts: Vec<_> = attempts.into_iter().map(|(state, count)| format!("{count} {state}")).collect();
    say(&format!(
        "these files are not published, and may be incomplete; attempts that have stored them so far: {}",
        attempts.join(", ")
    ));
}

/// Sees to it that the directories of these files' jobs hold nothing else, and marks those that get unpublished files.
/// `files` are in the order of their jobs.
pub(super) async fn keep_apart(dir: &Path, sweep: &str, jobs: u32, files: &[File]) -> Result<(), Error> {
    let mut firsts: Vec<&File> = Vec::new();
    for file in files {
        if firsts.last().is_none_or(|last| last.job != file.job) {
            firsts.push(file);
        }
    }
    for file in &firsts {
        let place = dir.join(job_dir(file.job, jobs));
        let mark = mark(dir, file.job, jobs);
        let is_empty = match fs::read_dir(&place).await {
            Ok(mut entries) => entries.next_entry().await.ok().flatten().is_none(),
            Err(_) => true,
        };
        let marked = fs::read_to_string(&mark).await.unwrap_or_default();
        let other = match (is_empty, marked.as_str(), file.sha256.is_some()) {
            (true, _, _) | (false, "", true) => continue,
            (false, marked, true) => marked,
            (false, marked, false) if marked == told(sweep, file) => continue,
            (false, "", false) => "other files",
            (false, marked, false) => marked,
        };
        return Err(Error::Refused(format!(
            "{} holds {}; published and unpublished files don't mix: fetch into another directory, or remove it",
            place.display(),
            other.trim_end()
        )));
    }
    for file in firsts {
        let mark = mark(dir, file.job, jobs);
        let failed = |error: std::io::Error| Error::Failed(format!("{}: {error}", mark.display()));
        match file.sha256 {
            Some(_) => match fs::remove_file(&mark).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            },
            None => {
                fs::create_dir_all(dir).await.map_err(failed)?;
                fs::write(&mark, told(sweep, file)).await.map_err(failed)?;
            }
        }
    }
    Ok(())
}

/// The file that marks a job's directory; it stands beside it, where no output can be.
fn mark(dir: &Path, job: u32, jobs: u32) -> PathBuf {
    dir.join(format!(".btctl-unpublished-{}", job_dir(job, jobs)))
}

fn told(sweep: &str, file: &File) -> String {
    format!("unpublished files of attempt {} of job {} of sweep {sweep}\n", file.attempt, file.job)
}
