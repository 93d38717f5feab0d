//! What ends a running job from outside: its timeout, its disk, the cache of its sweep, a coordinator that stays silent, or
//! being asked to stop.

use std::path::Path;
use std::time::Duration;

use bt_engine::{Sample, collect};
use bt_model::manifest::OnDisconnect;
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use crate::agent::Agent;
use crate::job::caches;
use crate::job::container::Job;
use crate::job::holdings::Held;
use crate::record::ending::Halt;

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
    if !results.exists() {
        return;
    }
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
    let started = held.dir.started().unwrap_or_else(Timestamp::now);
    tokio::select! {
        halt = held.halted() => halt,
        halt = exceeded(agent, held, job, results, started) => halt,
    }
}

/// Waits until a container that was started then must be stopped, whatever is asked of its attempt.
pub(super) async fn exceeded(
    agent: &Agent,
    held: &Held,
    job: &Job,
    results: &Path,
    started: Timestamp,
) -> Halt {
    tokio::select! {
        () = timed_out_here(agent, job, started) => Halt::Timeout,
        halt = disk_exceeded(agent, held, job, results) => halt,
        halt = cache_exceeded(agent, held, job) => halt,
        () = disconnected(agent, job) => {
            Halt::Release("no coordinator was heard of for too long".into())
        }
    }
}

/// Waits until a job that was started then has run for as long as it may.
pub(crate) async fn timed_out(job: &Job, started: Timestamp) {
    let Some(limit) = job.manifest.timeout else {
        return std::future::pending().await;
    };
    sleep(limit.saturating_sub(since(started))).await;
}

/// None where the clock was set back.
fn since(started: Timestamp) -> Duration {
    Duration::try_from(Timestamp::now().duration_since(started)).unwrap_or(Duration::ZERO)
}

/// The same of a container that may be frozen in between: it does not run then.
pub(super) async fn timed_out_here(agent: &Agent, job: &Job, started: Timestamp) {
    let Some(limit) = job.manifest.timeout else {
        return std::future::pending().await;
    };
    let before = since(started);
    let here = Instant::now();
    loop {
        agent.away.thawed().await;
        let ran = before + here.elapsed();
        let left = limit.saturating_sub(ran.saturating_sub(agent.away.frozen_since(started)));
        if left.is_zero() {
            return;
        }
        sleep(left).await;
    }
}

/// Waits until the results directory is larger than the job's limit. A job without a limit is stopped when the disk reaches
/// the agent's reserve and this job has written most.
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
