//! While the container runs: its log is kept, its use is measured, and it is stopped when it must be.

use std::path::Path;
use std::time::Duration;

use bt_engine::collect;
use bt_engine::logfile::{self, LogFile};
use bt_engine::{Error, Exit, Sample};
use bt_model::log::LogLine;
use bt_model::manifest::{Manifest, OnDisconnect};
use bt_model::reason::Reason;
use futures_util::{Stream, StreamExt};
use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::Stop;
use super::measure::measure;
use crate::agent::Agent;
use crate::job::caches;
use crate::job::container::Job;
use crate::job::holdings::Held;
use crate::record::ending::{Ending, Halt, disk_is_short};
use crate::record::hints;

/// How long a container may run on without a word from any coordinator.
const DISCONNECT_LIMIT: Duration = Duration::from_secs(3600);
/// A job that asked for `on_disconnect: stop` is stopped this long before its lease can have passed, besides the time
/// that stopping takes.
const DISCONNECT_MARGIN: Duration = Duration::from_secs(5);
/// How often the results directory is measured against the disk limit, and the disk against the agent's reserve; less
/// often where measuring takes long, so that it stays a tenth of the time.
const MEASURE: Duration = Duration::from_millis(250);
const MEASURING_PART: u32 = 10;
/// How often the cache is measured that a sweep shares.
const MEASURE_CACHE: Duration = Duration::from_secs(2);
/// How long the log may go on after the container has ended.
const LOG_END: Duration = Duration::from_secs(30);
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
pub(super) async fn run(agent: &Agent, held: &Held, job: &Job) -> Result<(Exit, Option<Halt>), Stop> {
    let logging = keep_log(agent, held, job);
    let results = held.dir.results();
    let waiting = async {
        tokio::select! {
            exit = agent.site.engine.wait(held.id()) => Ok::<_, Stop>((exit?, None)),
            halt = must_stop(agent, held, job, &results) => {
                info!(attempt.id = %held.id(), "stopping the container: {halt:?}");
                agent.site.engine.stop(held.id(), job.stop_grace(agent.site.options.stop_grace)).await?;
                Ok((agent.site.engine.wait(held.id()).await?, Some(halt)))
            }
            () = measure(agent, held, held.id(), job.limits(&agent.site.offer), Sample::default()) => unreachable!("measuring has no end"),
        }
    };
    tokio::pin!(logging, waiting);
    // The attempt ends only after its log has reached its end.
    tokio::select! {
        ended = &mut waiting => {
            if timeout(LOG_END, &mut logging).await.is_err() {
                warn!(attempt.id = %held.id(), "the log has no end; its last lines may be missing");
            }
            ended
        }
        () = &mut logging => waiting.await,
    }
}

/// Waits until the results directory of a job that is tried on its own holds more than it may.
pub(crate) async fn results_exceeded(job: &Job, results: &Path) -> Halt {
    let mut pause = MEASURE;
    loop {
        sleep(pause).await;
        let began = Instant::now();
        if let Some(halt) = left_too_much(job, results).await {
            return halt;
        }
        pause = MEASURE.max(began.elapsed() * MEASURING_PART);
    }
}

/// Waits until the cache that the job's sweep shares here is full.
async fn cache_exceeded(agent: &Agent, held: &Held, job: &Job) -> Halt {
    if job.manifest.sandbox.cache.is_some() {
        return std::future::pending().await;
    }
    let (uid, gid) = job.user(agent.site.identity).unwrap_or(agent.site.identity.ids);
    let cache = agent.site.state.shared_cache_dir(held.assignment.sweep, uid, gid);
    loop {
        sleep(MEASURE_CACHE).await;
        let cache = cache.clone();
        let used = tokio::task::spawn_blocking(move || collect::size_on_disk(&cache)).await;
        if used.is_ok_and(|used| used > caches::MOST) {
            return Halt::Cache(caches::MOST);
        }
    }
}

/// Why a job that ended by itself must count as stopped: it left more than it may, faster than it was measured.
pub(crate) async fn left_too_much(job: &Job, results: &Path) -> Option<Halt> {
    let limit = job.manifest.needs.disk_bytes?;
    let results = results.to_owned();
    let used = tokio::task::spawn_blocking(move || collect::size_on_disk(&results)).await;
    used.is_ok_and(|used| used > limit).then_some(Halt::Disk(limit))
}

/// What lies in the results directory was written, whatever part of it the engine has seen reach a disk.
pub(super) async fn measure_results(held: &Held, job: &Job) {
    let results = held.dir.results();
    let size = tokio::task::spawn_blocking(move || collect::size_of_files(&results)).await;
    if let Ok(written_bytes @ 1..) = size {
        if job.manifest.needs.disk_bytes.is_none() {
            held.note_disk(written_bytes);
        }
        held.used(&Sample { written_bytes, ..Sample::default() });
    }
}

/// Waits until the job must be stopped. `results` is the results directory of its container.
pub(super) async fn must_stop(agent: &Agent, held: &Held, job: &Job, results: &Path) -> Halt {
    tokio::select! {
        halt = held.halted() => halt,
        () = timed_out(held, job) => Halt::Timeout,
        halt = disk_exceeded(agent, held, job, results) => halt,
        halt = cache_exceeded(agent, held, job) => halt,
        () = disconnected(agent, job) => {
            Halt::Release("no coordinator was heard of for too long".into())
        }
    }
}

async fn timed_out(held: &Held, job: &Job) {
    let Some(limit) = job.manifest.timeout else {
        return std::future::pending().await;
    };
    let started = held.dir.started().unwrap_or_else(Timestamp::now);
    let ran = Timestamp::now().duration_since(started);
    let ran = Duration::try_from(ran).unwrap_or(Duration::ZERO);
    sleep(limit.saturating_sub(ran)).await;
}

/// Waits until the results directory holds more than the job may write, or more than its share of what is left when the
/// agent's own reserve is reached.
async fn disk_exceeded(agent: &Agent, held: &Held, job: &Job, results: &Path) -> Halt {
    let limit = job.manifest.needs.disk_bytes;
    let mut pause = MEASURE;
    loop {
        sleep(pause).await;
        let short = agent.site.disk_is_short();
        if limit.is_none() && !short {
            continue;
        }
        let results = results.to_owned();
        let began = Instant::now();
        let used = tokio::task::spawn_blocking(move || collect::size_on_disk(&results)).await;
        pause = MEASURE.max(began.elapsed() * MEASURING_PART);
        let Ok(used) = used else { continue };
        if let Some(limit) = limit.filter(|limit| used > *limit) {
            return Halt::Disk(limit);
        }
        if limit.is_none() {
            held.note_disk(used);
        }
        // The one that has written most without having asked for the room gives way.
        if short && limit.is_none() && agent.holdings.writes_most(held.id()) {
            return Halt::DiskShort(used);
        }
    }
}

async fn disconnected(agent: &Agent, job: &Job) {
    let limit = match job.manifest.on_disconnect {
        OnDisconnect::Keep => DISCONNECT_LIMIT,
        OnDisconnect::Stop => {
            let stopping = job.stop_grace(agent.site.options.stop_grace) + DISCONNECT_MARGIN;
            agent.line.link.lease().saturating_sub(stopping)
        }
    };
    agent.line.link.silent(limit).await;
}

/// Copies what the container prints into the attempt's log, from where an earlier run of the agent left off.
async fn keep_log(agent: &Agent, held: &Held, job: &Job) {
    let (mut file, since) = match LogFile::open(&held.dir.log(), job.manifest.sandbox.log_limit()) {
        Ok(opened) => opened,
        Err(error) => {
            warn!(attempt.id = %held.id(), error = %error, "the log can't be kept");
            return;
        }
    };
    copy_lines(held, &mut file, agent.site.engine.logs(held.id(), since)).await;
    finish_log(held, file);
}

/// Keeps lines as they come, until there are no more or one can't be kept.
pub(super) async fn copy_lines(
    held: &Held,
    file: &mut LogFile,
    lines: impl Stream<Item = Result<LogLine, Error>>,
) {
    tokio::pin!(lines);
    while let Some(line) = lines.next().await {
        // A job that prints without end must not keep its own end, and its timeout, from being heard.
        tokio::task::consume_budget().await;
        let kept = line.map_err(|error| error.to_string());
        let kept = kept.and_then(|line| file.append(&line).map_err(|error| error.to_string()));
        if let Err(error) = kept {
            warn!(attempt.id = %held.id(), error, "the rest of the log is not kept");
            break;
        }
    }
}

pub(super) fn finish_log(held: &Held, file: LogFile) {
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
