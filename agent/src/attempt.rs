//! The life of one attempt on this machine, from its assignment to the acknowledged report:
//!
//! ```text
//! wait for capacity ─▶ prepare ─▶ run ─▶ publish ─▶ ending.json ─▶ report, remove the container ─▶ forget
//!                                 └ ship what was closed
//! ```
//!
//! Every step can be taken again after a restart of the agent: what was done is found on disk or at the engine.

mod measure;
mod prepare;
mod publish;
mod reuse;
mod run;
mod volumes;

pub(crate) use prepare::prepare_debug;
pub(crate) use publish::read_metrics;
pub(crate) use run::{is_out_of_processes, left_too_much, results_exceeded};

use std::fs::File;
use std::io::Read;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bt_model::id::SweepId;
use bt_model::reason::Reason;
use bt_model::resources::Resources;
use bt_proto::v1;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::agent::Agent;
use crate::job::container::Job;
use crate::job::holdings::Held;
use crate::line::outbox::Attached;
use crate::line::shipping::{self, Journal};
use crate::line::upload::{self, Failure, What};
use crate::record::ending::{Ended, Ending, Halt, Outcome, outcome};
use crate::slots::Slot;
use bt_engine::Exit;
use bt_engine::capacity::Share;
use bt_engine::collect;

/// How long the log of an attempt that nobody waits for may take to reach the store.
const LAST_LOG: Duration = Duration::from_secs(10);
/// The largest output or log that travels with the report of the attempt's end: a call of its own would cost more than
/// it.
const SMALL: u64 = 64 << 10;

/// A step that did not succeed.
enum Stop {
    Halted(Halt),
    Failed(Reason),
    /// What the job needs can't be had now; later, or on another machine, it may.
    Hindered(Reason),
    /// This machine can't start jobs of this sweep; others may.
    Refused(String),
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self::Failed(reason)
    }
}

impl From<bt_engine::Error> for Stop {
    fn from(error: bt_engine::Error) -> Self {
        match error.is_transient() {
            true => Self::Hindered(error.reason()),
            false => Self::Failed(error.reason()),
        }
    }
}

/// Lives an attempt to its end.
pub(crate) async fn live(agent: Arc<Agent>, held: Arc<Held>) {
    let outcome = match held.dir.ended() {
        Ok(Some(ended)) => {
            if !ended.remark.is_empty() {
                held.remark(ended.remark);
            }
            Outcome::End(ended.ending)
        }
        Ok(None) => match work(&agent, &held).await {
            Ok(outcome) => outcome,
            Err(stop) => match stopped(stop) {
                Outcome::End(ending) if held.dir.has_started() => {
                    let shipped = async { Journal::open(held.dir.stored()) };
                    shipping::rest(&agent.line, &held, &ending, shipped).await;
                    Outcome::End(ending)
                }
                outcome => outcome,
            },
        },
        Err(error) => Outcome::End(Ending::failed(&Reason::Agent(format!("{error:#}")))),
    };
    match outcome {
        Outcome::End(ending) => end(&agent, &held, ending).await,
        Outcome::Discard | Outcome::Publish => {
            remove_container(&agent, &held).await;
            send_log(&agent, &held).await;
        }
    }
    upload::abandon(&agent.line, &held).await;
    agent.line.outbox.forget(held.id());
    // A job may have left a million files.
    let dir = held.dir.clone();
    if let Err(error) = tokio::task::spawn_blocking(move || dir.remove()).await {
        warn!(attempt.id = %held.id(), %error, "the attempt's directory is left behind");
    }
    agent.holdings.remove(held.id());
    info!(attempt.id = %held.id(), "the attempt is over");
}

/// Writes the ending down, reports it until it is acknowledged, and removes the container.
async fn end(agent: &Agent, held: &Held, mut ending: Ending) {
    if let Ending::Released { preempted, .. } = &mut ending {
        // Work that had not begun is handed back at no cost all the same.
        *preempted = agent.leaving.is_preempted() && held.dir.has_started();
    }
    let log = small_log(held);
    if log.is_none() {
        send_log(agent, held).await;
    }
    let (ending, files) = match small_outputs(held, &ending) {
        Ok(files) => (ending, files),
        Err(reason) => (Ending::failed(&reason), Vec::new()),
    };
    let ended = Ended { ending, usage: held.usage(), remark: held.remarks() };
    if let Err(error) = held.dir.write_ended(&ended) {
        // It is reported all the same; only a restart before the acknowledgement would lose it.
        warn!(attempt.id = %held.id(), error = format!("{error:#}"), "the ending is not on disk");
    }
    held.hush();
    let attached = Attached {
        files,
        log: log.unwrap_or_default(),
        image_id: held.image_id(),
        usage: ended.usage.to_wire(),
        volumes: held.dir.volumes_told(),
        given: given(agent, held),
        remark: ended.remark.clone(),
    };
    let acknowledged = agent.line.outbox.end(held.id(), ended.ending.report(), attached);
    let answered = async {
        tokio::select! {
            _ = acknowledged => {}
            () = held.taken_away() => {}
        }
    };
    let ((), ()) = tokio::join!(answered, remove_container(agent, held));
}

/// What its container was given, if one was started.
fn given(agent: &Agent, held: &Held) -> Option<v1::Given> {
    if !held.dir.has_started() {
        return None;
    }
    let job = Job::read(&held.assignment, &agent.manifests).ok()?;
    let image_env = agent.stock.looks.env_of(&held.image_id());
    Some(job.given(agent.site.identity, &agent.site.offer, &agent.site.engine_version, &image_env))
}

fn stopped(stop: Stop) -> Outcome {
    match stop {
        Stop::Failed(reason) => Outcome::End(Ending::failed(&reason)),
        Stop::Hindered(reason) => Outcome::End(Ending::hindered(&reason)),
        Stop::Refused(why) => Outcome::End(Ending::Released { why, preempted: false, refused: true }),
        Stop::Halted(halt) => {
            let stopped = Exit { code: 143, oom: false, error: String::new(), interrupted: false, ran: None };
            outcome(&stopped, Some(&halt))
        }
    }
}

/// Does the work of an attempt: a container from its start to its outputs in the store.
async fn work(agent: &Agent, held: &Held) -> Result<Outcome, Stop> {
    let job = Job::read(&held.assignment, &agent.manifests)?;
    held.note("waiting for other containers on this machine to end");
    let needs = job.resources(&agent.site.offer);
    // A container that waits for a job of the sweep has its memory already.
    let mut idle = Idle::of(agent, held, &job);
    let mut share = tokio::select! {
        biased;
        share = agent.site.capacity.take(needs.less(&idle.taken()), held.dir.gpus()) => share,
        halt = held.halted() => return Err(Stop::Halted(halt)),
        () = agent.leaving.draining.cancelled() => {
            return Err(Stop::Halted(Halt::Release("the agent drains".into())));
        }
    };
    held.note("");
    unless_halted(held, volumes::look_before(agent, held, &job)).await?;
    if job.manifest.shares_containers() {
        if held.taken_back && held.dir.has_started() {
            let told = "it ran in a container that its sweep's jobs share, and the agent was started anew";
            return Err(Stop::Hindered(Reason::Agent(told.to_owned())));
        }
        let idle = idle.take();
        let (idle, kept) = idle.map_or((None, None), |mut slot| {
            let kept = slot.share.take();
            (Some(slot), kept)
        });
        if let Some(kept) = kept {
            share.absorb(kept);
        }
        let (exit, halt) = reuse::run_in_slot(agent, held, &job, idle, share).await?;
        let shipped = async { shipping::journal(held) };
        return after_the_end(agent, held, &job, &exit, halt.as_ref(), shipped).await;
    }
    if !prepare::runs_already(agent, held).await? {
        let prepared = unless_halted(held, prepare::prepare(agent, held, &job, share.gpus())).await;
        if let Err(stop) = prepared {
            // It may have been halted while it was being started.
            let grace = job.stop_grace(agent.site.options.stop_grace);
            if let Err(error) = agent.site.engine.stop(held.id(), grace).await {
                warn!(attempt.id = %held.id(), error = %error, "the container is left to a later pass");
            }
            return Err(stop);
        }
    }
    let ended = CancellationToken::new();
    let mut shipping = pin!(shipping::as_they_come(&agent.line, held, &ended));
    let (exit, halt) = tokio::select! {
        ran = run::run(agent, held, &job) => ran?,
        _ = &mut shipping => unreachable!("shipping ends after the job"),
    };
    ended.cancel();
    drop(share);
    after_the_end(agent, held, &job, &exit, halt.as_ref(), shipping).await
}

/// A container that waits for a job of a sweep, while the job waits for the rest; it waits on if the job does not come.
struct Idle<'a> {
    agent: &'a Agent,
    sweep: SweepId,
    slot: Option<Slot>,
}

impl<'a> Idle<'a> {
    fn of(agent: &'a Agent, held: &Held, job: &Job) -> Self {
        let sweep = held.assignment.sweep;
        let slot = job.manifest.shares_containers().then(|| agent.slots.take(sweep)).flatten();
        Self { agent, sweep, slot }
    }

    fn taken(&self) -> Resources {
        let share = self.slot.as_ref().and_then(|slot| slot.share.as_ref());
        share.map(Share::taken).unwrap_or_default()
    }

    fn take(&mut self) -> Option<Slot> {
        self.slot.take()
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.agent.slots.give_back(self.sweep, slot);
        }
    }
}

async fn after_the_end(
    agent: &Agent,
    held: &Held,
    job: &Job,
    exit: &Exit,
    halt: Option<&Halt>,
    shipped: impl Future<Output = Journal>,
) -> Result<Outcome, Stop> {
    volumes::look_after(agent, held).await;
    run::measure_results(held, job).await;
    if let Some(time) = exit.ran {
        held.ran(time);
    }
    let too_much = match halt {
        None => run::left_too_much(job, &held.dir.results()).await,
        Some(_) => None,
    };
    match outcome(exit, halt.or(too_much.as_ref())) {
        Outcome::Publish => publish::publish(agent, held, job, shipped).await,
        Outcome::End(ending) => {
            let ending = run::out_of_disk(agent, held, ending);
            let ending = run::explained(held, &job.manifest, ending);
            // Before the end is reported: after it the attempt may not write any more.
            shipping::rest(&agent.line, held, &ending, shipped).await;
            Ok(Outcome::End(ending))
        }
        Outcome::Discard => Ok(Outcome::Discard),
    }
}

async fn unless_halted<T>(held: &Held, step: impl Future<Output = Result<T, Stop>>) -> Result<T, Stop> {
    tokio::select! {
        halt = held.halted() => Err(Stop::Halted(halt)),
        done = step => done,
    }
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
        sent = upload::upload(&agent.line, held, What::Log, open) => if let Err(Failure::Refused(reason)) = sent {
            warn!(attempt.id = %held.id(), "the log is not stored: {reason}");
        },
        () = given_up => {
            warn!(attempt.id = %held.id(), "the log of an attempt that was taken away is not stored");
        }
    }
}

/// Removes the container. One that the engine won't let go of now is removed by a later pass of the reconciler.
async fn remove_container(agent: &Agent, held: &Held) {
    // A shared container is its sweep's, and not the attempt's.
    if agent.manifests.of(&held.assignment).is_ok_and(|manifest| manifest.shares_containers()) {
        return;
    }
    if let Err(error) = agent.site.engine.remove(held.id()).await {
        warn!(attempt.id = %held.id(), error = %error, "the container is left to a later pass");
    }
}
