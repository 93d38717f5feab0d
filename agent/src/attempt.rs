//! The life of one attempt on this machine, from its assignment to the acknowledged report:
//!
//! ```text
//! wait for capacity ─▶ prepare ─▶ run ─▶ publish ─▶ ending.json ─▶ report, remove the container ─▶ forget
//! ```
//!
//! Every step can be taken again after a restart of the agent: what was done is found on disk or at the engine.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bt_model::manifest::OnDisconnect;
use bt_model::metrics;
use bt_model::reason::Reason;
use bt_proto::v1::agents_client::AgentsClient;
use bt_proto::v1::{self, report};
use bytes::Bytes;
use futures_util::StreamExt;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{info, warn};

use crate::agent::Agent;
use crate::collect;
use crate::container::{Job, LOG_LIMIT};
use crate::ending::{Ending, Halt, Outcome, StoredOutput, outcome};
use crate::engine::{self, Exit, FoundState};
use crate::holdings::Held;
use crate::logfile::LogFile;
use crate::outbox::Attached;
use crate::upload::{Failure, What, upload};

/// How long a container may run on without a word from any coordinator.
const DISCONNECT_LIMIT: Duration = Duration::from_secs(3600);
/// A job that asked for `on_disconnect: stop` is stopped this long before its lease can have passed, besides the time
/// that stopping takes.
const DISCONNECT_MARGIN: Duration = Duration::from_secs(5);
/// How often the results directory is measured against the disk limit.
const MEASURE: Duration = Duration::from_secs(2);
/// How long the log may go on after the container has ended.
const LOG_END: Duration = Duration::from_secs(30);
/// How long the log of an attempt that nobody waits for may take to reach the store.
const LAST_LOG: Duration = Duration::from_secs(10);
/// The largest output or log that travels with the report of the attempt's end, and the most of them together: a call of
/// its own would cost more than it.
const SMALL: u64 = 64 << 10;
const SMALL_TOGETHER: u64 = 1 << 20;
/// The largest metrics file that is read.
const LARGEST_METRICS: u64 = 1 << 20;

/// A step that did not succeed.
enum Stop {
    Halted(Halt),
    Failed(Reason),
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self::Failed(reason)
    }
}

impl From<engine::Error> for Stop {
    fn from(error: engine::Error) -> Self {
        Self::Failed(error.reason())
    }
}

/// Lives an attempt to its end.
pub(crate) async fn live(agent: Arc<Agent>, held: Arc<Held>) {
    let outcome = match held.dir.ending() {
        Ok(Some(ending)) => Outcome::End(ending),
        Ok(None) => match work(&agent, &held).await {
            Ok(outcome) => outcome,
            Err(Stop::Failed(reason)) => Outcome::End(Ending::failed(&reason)),
            Err(Stop::Halted(halt)) => halted(halt),
        },
        Err(error) => Outcome::End(Ending::failed(&Reason::Agent(format!("{error:#}")))),
    };
    match outcome {
        Outcome::End(mut ending) => {
            if let Ending::Released { preempted, .. } = &mut ending {
                // Work that had not begun is handed back at no cost all the same.
                *preempted = agent.preempted.load(Ordering::Relaxed) && held.dir.started().is_some();
            }
            let log = small_log(&held);
            if log.is_none() {
                send_log(&agent, &held).await;
            }
            let (ending, files) = match small_outputs(&held, &ending) {
                Ok(files) => (ending, files),
                Err(reason) => (Ending::failed(&reason), Vec::new()),
            };
            if let Err(error) = held.dir.write_ending(&ending) {
                // It is reported all the same; only a restart before the acknowledgement would lose it.
                warn!(attempt.id = %held.id(), error = format!("{error:#}"), "the ending is not on disk");
            }
            held.hush();
            let attached = Attached { files, log: log.unwrap_or_default(), image_id: held.image_id() };
            let acknowledged = agent.outbox.end(held.id(), ending.report(), attached);
            let (_, ()) = tokio::join!(
                async {
                    tokio::select! {
                        _ = acknowledged => {}
                        () = held.taken_away() => {}
                    }
                },
                remove_container(&agent, &held),
            );
        }
        Outcome::Discard | Outcome::Publish => {
            remove_container(&agent, &held).await;
            send_log(&agent, &held).await;
        }
    }
    agent.outbox.forget(held.id());
    held.dir.remove();
    agent.holdings.remove(held.id());
    info!(attempt.id = %held.id(), "the attempt is over");
}

fn halted(halt: Halt) -> Outcome {
    let stopped = Exit { code: 143, oom: false, error: String::new() };
    outcome(&stopped, Some(&halt))
}

/// Does the work of an attempt: a container from its start to its outputs in the store.
async fn work(agent: &Agent, held: &Held) -> Result<Outcome, Stop> {
    let job = Job::read(&held.assignment, &agent.manifests)?;
    held.note("waiting for other containers on this machine to end");
    let _share = tokio::select! {
        biased;
        share = agent.capacity.take(job.manifest.resources()) => share,
        halt = held.halted() => return Err(Stop::Halted(halt)),
        () = agent.draining.cancelled() => {
            return Err(Stop::Halted(Halt::Release("the agent drains".into())));
        }
    };
    held.note("");
    if !runs_already(agent, held).await? {
        let prepared = unless_halted(held, prepare(agent, held, &job)).await;
        if let Err(stop) = prepared {
            // It may have been halted while it was being started.
            agent.engine.stop(held.id(), agent.options.stop_grace).await?;
            return Err(stop);
        }
    }
    let (exit, halt) = run(agent, held, &job).await?;
    match outcome(&exit, halt.as_ref()) {
        Outcome::Publish => publish(agent, held, &job).await,
        other => Ok(other),
    }
}

async fn unless_halted<T>(held: &Held, step: impl Future<Output = Result<T, Stop>>) -> Result<T, Stop> {
    tokio::select! {
        halt = held.halted() => Err(Stop::Halted(halt)),
        done = step => done,
    }
}

/// True if an earlier run of this agent has started the container. One that has ended is not started again.
async fn runs_already(agent: &Agent, held: &Held) -> Result<bool, Stop> {
    if !held.taken_back {
        return Ok(false);
    }
    let found = agent.engine.list(agent.identity.agent).await?;
    let found = found.iter().find(|found| found.attempt == Some(held.id()));
    match (found.map(|found| found.state), held.dir.started()) {
        (Some(FoundState::Running | FoundState::Exited), _) => {
            // The earlier run may have died before this was heard.
            report_running(agent, held, found.map(|found| found.image_id.clone()).unwrap_or_default());
            Ok(true)
        }
        (Some(FoundState::Created), _) | (None, None) => Ok(false),
        (None, Some(_)) => {
            let told = "its container is gone, removed by somebody else".to_owned();
            Err(Reason::Agent(told).into())
        }
    }
}

/// Gets the image, and creates and starts the container.
async fn prepare(agent: &Agent, held: &Held, job: &Job) -> Result<(), Stop> {
    let preparing = report::Kind::Preparing(v1::Preparing {});
    agent.outbox.step(held.id(), preparing);
    let image = &job.manifest.image;
    held.note(format!("getting the image {image}"));
    let pin = match &held.assignment.image_pin {
        Some(pin) => pin.clone(),
        None => {
            let resolved = agent.engine.resolve_image(image).await?;
            pin_image(agent, held, resolved).await
        }
    };
    let image_id = agent.engine.ensure_image(&pin).await?;
    held.note("");
    let user = job.user(agent.identity);
    let agents_fault = |error: String| Stop::Failed(Reason::Agent(error));
    let owner = user.filter(|ids| *ids != agent.identity.ids);
    collect::make_results_dir(&held.dir.results(), owner)
        .map_err(|error| agents_fault(format!("the results directory can't be made: {error}")))?;
    held.dir.write_input(&job.input()).map_err(|error| agents_fault(format!("{error:#}")))?;
    let spec = job.container(&held.assignment, pin, agent.identity, &agent.offer, &held.dir)?;
    agent.engine.create(&spec).await?;
    agent.engine.start(held.id()).await?;
    held.dir.write_started(Timestamp::now()).map_err(|error| agents_fault(format!("{error:#}")))?;
    report_running(agent, held, image_id);
    Ok(())
}

fn report_running(agent: &Agent, held: &Held, image_id: String) {
    held.note_image(&image_id);
    agent.outbox.step(held.id(), report::Kind::Running(v1::Running { image_id }));
}

/// Asks until a coordinator has answered which image the sweep runs. An attempt that was taken away is halted meanwhile.
async fn pin_image(agent: &Agent, held: &Held, image: String) -> String {
    loop {
        let connection = agent.link.connection().await;
        let request = v1::PinImageRequest {
            agent_id: agent.identity.agent.to_string(),
            session: connection.session,
            attempt: held.id().to_string(),
            image: image.clone(),
        };
        match AgentsClient::new(connection.channel).pin_image(request).await {
            Ok(reply) => return reply.into_inner().image,
            Err(error) => {
                held.note(format!("asking which image the sweep runs: {}", error.message()));
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Waits for the container's end and keeps its log; stops it if it must be stopped.
async fn run(agent: &Agent, held: &Held, job: &Job) -> Result<(Exit, Option<Halt>), Stop> {
    let logging = keep_log(agent, held);
    let waiting = async {
        tokio::select! {
            exit = agent.engine.wait(held.id()) => Ok::<_, Stop>((exit?, None)),
            halt = must_stop(agent, held, job) => {
                info!(attempt.id = %held.id(), "stopping the container: {halt:?}");
                agent.engine.stop(held.id(), agent.options.stop_grace).await?;
                Ok((agent.engine.wait(held.id()).await?, Some(halt)))
            }
        }
    };
    tokio::pin!(logging, waiting);
    // The attempt ends only after its log has reached its end.
    let ended = tokio::select! {
        ended = &mut waiting => {
            if timeout(LOG_END, &mut logging).await.is_err() {
                warn!(attempt.id = %held.id(), "the log has no end; its last lines may be missing");
            }
            ended
        }
        () = &mut logging => waiting.await,
    };
    ended
}

async fn must_stop(agent: &Agent, held: &Held, job: &Job) -> Halt {
    tokio::select! {
        halt = held.halted() => halt,
        () = timed_out(held, job) => Halt::Timeout,
        limit = disk_exceeded(held, job) => Halt::Disk(limit),
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

async fn disk_exceeded(held: &Held, job: &Job) -> u64 {
    let Some(limit) = job.manifest.needs.disk_bytes else {
        return std::future::pending().await;
    };
    let mut ticks = interval(MEASURE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let results = held.dir.results();
        let used = tokio::task::spawn_blocking(move || collect::size_on_disk(&results)).await;
        if used.is_ok_and(|used| used > limit) {
            return limit;
        }
    }
}

async fn disconnected(agent: &Agent, job: &Job) {
    let limit = match job.manifest.on_disconnect {
        OnDisconnect::Keep => DISCONNECT_LIMIT,
        OnDisconnect::Stop => {
            let stopping = agent.options.stop_grace + DISCONNECT_MARGIN;
            agent.link.lease().saturating_sub(stopping)
        }
    };
    agent.link.silent(limit).await;
}

/// Copies what the container prints into the attempt's log, from where an earlier run of the agent left off.
async fn keep_log(agent: &Agent, held: &Held) {
    let (mut file, since) = match LogFile::open(&held.dir.log(), LOG_LIMIT) {
        Ok(opened) => opened,
        Err(error) => {
            warn!(attempt.id = %held.id(), error = %error, "the log can't be kept");
            return;
        }
    };
    let lines = agent.engine.logs(held.id(), since);
    tokio::pin!(lines);
    while let Some(line) = lines.next().await {
        let kept = line.map_err(|error| error.to_string());
        let kept = kept.and_then(|line| file.append(&line).map_err(|error| error.to_string()));
        if let Err(error) = kept {
            warn!(attempt.id = %held.id(), error, "the rest of the log is not kept");
            break;
        }
    }
    if let Err(error) = file.finish() {
        warn!(attempt.id = %held.id(), error = %error, "the log may lack its end");
    }
}

/// Puts the outputs into the store.
async fn publish(agent: &Agent, held: &Held, job: &Job) -> Result<Outcome, Stop> {
    agent.outbox.step(held.id(), report::Kind::Publishing(v1::Publishing {}));
    let root = held.dir.results();
    let outputs_reason = |error: collect::Error| Reason::Outputs(error.to_string());
    let metrics = read_metrics(&root, &job.manifest.metrics)?;
    let listing = collect::list(&root).map_err(outputs_reason)?;
    for skipped in &listing.skipped {
        warn!(attempt.id = %held.id(), "output {} is left out: {}", skipped.path, skipped.why);
    }
    let mut stored: Vec<StoredOutput> = Vec::with_capacity(listing.outputs.len());
    let mut room = SMALL_TOGETHER;
    for output in listing.outputs {
        let open = || collect::open(&root, &output.path).map_err(outputs_reason);
        if let Some(data) =
            read_small(open()?, room.min(SMALL)).map_err(|error| unreadable(&output.path, &error))?
        {
            room -= data.len() as u64;
            let (size, sha256) = (data.len() as u64, Sha256::digest(&data).to_vec());
            stored.push(StoredOutput { path: output.path, size, sha256, small: true });
            continue;
        }
        match upload(agent, held, What::Output(output.path.clone()), open).await {
            Ok(output) => stored.push(output),
            Err(Failure::TakenAway) => return Ok(Outcome::Discard),
            Err(Failure::Refused(reason)) => return Err(Stop::Failed(reason)),
        }
    }
    Ok(Outcome::End(Ending::Succeeded { outputs: stored, metrics }))
}

/// The metrics as a JSON object; nothing if the job wrote none.
fn read_metrics(root: &std::path::Path, name: &str) -> Result<String, Reason> {
    let file = match collect::open(root, name) {
        Ok(file) => file,
        Err(collect::Error::NotFound { .. }) => return Ok(String::new()),
        Err(error) => return Err(Reason::Outputs(error.to_string())),
    };
    let mut text = Vec::new();
    let read = file.take(LARGEST_METRICS + 1).read_to_end(&mut text);
    read.map_err(|error| Reason::Outputs(format!("{name}: {error}")))?;
    let metrics = metrics::parse(&text);
    let metrics = metrics.map_err(|error| Reason::Outputs(format!("{name}: {error}")))?;
    Ok(serde_json::Value::Object(metrics).to_string())
}

/// All of a file, if it has no more bytes than this.
fn read_small(file: File, most: u64) -> std::io::Result<Option<Vec<u8>>> {
    if file.metadata()?.len() > most {
        return Ok(None);
    }
    let mut data = Vec::new();
    file.take(most + 1).read_to_end(&mut data)?;
    Ok((data.len() as u64 <= most).then_some(data))
}

fn unreadable(path: &str, error: &std::io::Error) -> Reason {
    Reason::Outputs(format!("{path}: {error}"))
}

/// The outputs that travel with the report, as they were when they were listed.
fn small_outputs(held: &Held, ending: &Ending) -> Result<Vec<(String, Bytes)>, Reason> {
    let Ending::Succeeded { outputs, .. } = ending else { return Ok(Vec::new()) };
    let mut files = Vec::new();
    for output in outputs.iter().filter(|output| output.small) {
        let path = &output.path;
        let file = collect::open(&held.dir.results(), path);
        let file = file.map_err(|error| Reason::Outputs(error.to_string()))?;
        let data = read_small(file, SMALL).map_err(|error| unreadable(path, &error))?;
        match data.filter(|data| Sha256::digest(data)[..] == output.sha256[..]) {
            Some(data) => files.push((path.clone(), data.into())),
            None => return Err(Reason::Outputs(format!("{path} has changed after the job had ended"))),
        }
    }
    Ok(files)
}

/// The whole log, if it is small; empty if there is none.
fn small_log(held: &Held) -> Option<Bytes> {
    match File::open(held.dir.log()) {
        Ok(file) => read_small(file, SMALL).ok().flatten().map(Bytes::from),
        Err(_) => Some(Bytes::new()),
    }
}

/// Puts the log into the store, unless there is none. That of an attempt that was taken away is wanted too, but not at
/// any price.
async fn send_log(agent: &Agent, held: &Held) {
    let path = held.dir.log();
    if !path.exists() {
        return;
    }
    let open = || std::fs::File::open(&path).map_err(|error| Reason::Agent(error.to_string()));
    let given_up = async {
        held.taken_away().await;
        sleep(LAST_LOG).await;
    };
    tokio::select! {
        sent = upload(agent, held, What::Log, open) => if let Err(Failure::Refused(reason)) = sent {
            warn!(attempt.id = %held.id(), "the log is not stored: {reason}");
        },
        () = given_up => {
            warn!(attempt.id = %held.id(), "the log of an attempt that was taken away is not stored");
        }
    }
}

/// Removes the container. One that the engine won't let go of now is removed by a later pass of the reconciler.
async fn remove_container(agent: &Agent, held: &Held) {
    if let Err(error) = agent.engine.remove(held.id()).await {
        warn!(attempt.id = %held.id(), error = %error, "the container is left to a later pass");
    }
}
