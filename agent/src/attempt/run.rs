//! While the container runs: its log is kept, its use is measured, and it is stopped when it must be.

use std::io;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use bt_engine::logfile::{self, LogFile};
use bt_engine::{Error, Sample};
use bt_model::log::LogLine;
use bt_model::manifest::Manifest;
use bt_model::reason::Reason;
use futures_util::{Stream, StreamExt};
use jiff::Timestamp;
use tracing::warn;

use super::limits::must_stop;
use super::secrets;
use super::start::without_shell;
use super::state::Stop;
use crate::agent::Agent;
use crate::job::container::Job;
use crate::job::holdings::Held;
use crate::record::ending::{Ending, disk_is_short};
use crate::record::hints;
use crate::runner::{Finished, Meter, Running, keep_lines};

/// How often it is looked at what a container uses; with more containers than this less often, so that looking stays a
/// small part of the work.
const LOOK: Duration = Duration::from_millis(250);
const LOOKED_AT: usize = 50;
/// Bytes at the end of a log in which a failed job says why.
const LAST_WORDS: u64 = 16 << 10;
/// What libraries say when they may start no more processes or threads.
const OUT_OF_PROCESSES: [&str; 9] = [
    // The init of a container, which starts the command.
    "fork failed: Resource temporarily unavailable",
    "pthread_create failed",
    "can't start new thread",
    "can't fork",
    "Cannot fork",
    "fork: Resource temporarily unavailable",
    "fork: retry",
    "unable to create new native thread",
    "unable to create native thread",
];

/// Waits for the container's end and keeps its log; stops it if it must be stopped.
pub(super) async fn run(agent: &Agent, held: &Held, job: &Job) -> Result<Finished, Stop> {
    let (running, results) = (Running::Container(held.id()), held.dir.results());
    let keeping = async {
        if let Err(error) = keep_all(agent, held, job).await {
            warn!(attempt.id = %held.id(), error = %error, "the log can't be kept");
        }
    };
    let ran = to_its_end(agent, held, job, &running, keeping, &results, Sample::default()).await;
    ran.map_err(|error| without_shell(job, error.into()))
}

/// Keeps all that the container prints. There is no log before the first line, unless an earlier run of the agent began it:
/// many jobs print nothing.
async fn keep_all(agent: &Agent, held: &Held, job: &Job) -> io::Result<()> {
    let limit = job.manifest.sandbox.log_limit();
    let masks = secrets::masks(agent, job, held.id());
    if held.dir.log().exists() {
        let (file, since) = held.dir.open_log(limit)?;
        keep_log(held, file, masks.mask(agent.site.engine.logs(held.id(), since))).await;
        return Ok(());
    }
    let mut lines = pin!(masks.mask(agent.site.engine.logs(held.id(), None)).peekable());
    if lines.as_mut().peek().await.is_some() {
        let (file, _) = held.dir.open_log(limit)?;
        keep_log(held, file, lines).await;
    }
    Ok(())
}

/// Runs what was started, within the limits of its job.
pub(super) async fn to_its_end(
    agent: &Agent,
    held: &Held,
    job: &Job,
    running: &Running,
    keeping: impl Future<Output = ()>,
    results: &Path,
    before: Sample,
) -> Result<Finished, Error> {
    let engine = &*agent.site.engine;
    let meter = Meter {
        limits: job.limits(&agent.site.offer),
        began: held.dir.started().unwrap_or_else(Timestamp::now),
        before,
    };
    let measuring = meter.measure(engine, running.container(), || pause(agent), |used| held.used(used));
    let halt = must_stop(agent, held, job, results);
    let _telling = held.tells(results.to_owned(), job.manifest.progress.clone());
    running.to_its_end(engine, keeping, measuring, halt, job.stop_grace(agent.site.options.stop_grace)).await
}

/// How long after a look at what a container uses the next one follows.
pub(super) fn pause(agent: &Agent) -> Duration {
    LOOK * (agent.holdings.count() / LOOKED_AT + 1) as u32
}

/// Keeps what is printed in the attempt's log.
pub(super) async fn keep_log(
    held: &Held,
    mut file: LogFile,
    lines: impl Stream<Item = Result<LogLine, Error>>,
) {
    if let Err(error) = keep_lines(lines, |line| file.append(&line)).await {
        warn!(attempt.id = %held.id(), error, "the rest of the log is not kept");
    }
    if let Err(error) = file.finish() {
        warn!(attempt.id = %held.id(), error = %error, "the log may lack its end");
    }
}

/// A job that failed while the machine's disk was at its end failed of that: the one that had written most by its own
/// doing, the others by the machine's.
pub(super) fn out_of_disk(agent: &Agent, held: &Held, ending: Ending) -> Ending {
    if !matches!(ending.reason(), Some(Reason::Exit(_))) || !agent.site.disk_is_short() {
        return ending;
    }
    match agent.holdings.writes_most(held.id()) {
        true => Ending::failed(&disk_is_short(held.disk())),
        false => Ending::hindered(&Reason::Agent("the machine's disk was full".to_owned())),
    }
}

/// A job that failed and whose last words are that it could start no process or thread failed of that. What other last
/// words mean is said beside the reason.
pub(super) fn explained(held: &Held, manifest: &Manifest, ending: Ending) -> Ending {
    let Some(reason) = ending.reason() else { return ending };
    let words = logfile::last_words(&held.dir.log(), LAST_WORDS);
    if is_out_of_processes(&reason, &words) {
        return Ending::failed(&Reason::Nproc);
    }
    if let Some(hint) = hints::hint(&reason, &words, manifest) {
        held.remark(hint);
    }
    ending
}

/// True if a job that ended by itself said last that it could start no process or thread.
pub(crate) fn is_out_of_processes(reason: &Reason, last_words: &str) -> bool {
    matches!(reason, Reason::Exit(_) | Reason::Signal(_))
        && OUT_OF_PROCESSES.iter().any(|complaint| last_words.contains(complaint))
}
