//! The container of a batch, from the wait for room to its end.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bt_engine::{Exit, FoundState, Sample};
use bt_model::reason::Reason;
use jiff::Timestamp;
use tracing::warn;

use super::{Batch, Phase};
use crate::agent::Agent;
use crate::assembly::agents_fault;
use crate::attempt::state::Stop;
use crate::attempt::{limits, prepare, room, run, secrets, start, volumes};
use crate::batch::{self, Point, PointReport, Reports};
use crate::config::EngineKind;
use crate::gateway::{self, Way};
use crate::job::container::Job;
use crate::job::holdings::Held;
use crate::record::ending::Halt;
use crate::record::usage::Usage;
use crate::runner::{Finished, Meter, Running};
use crate::site::workdir::AttemptDir;

/// How a container of several points ended, and what it said of them.
pub(super) struct End {
    pub(super) finished: Finished,
    pub(super) image_id: String,
    /// It was given more points than one.
    pub(super) several: bool,
    pub(super) reports: HashMap<u32, PointReport>,
    /// What is wrong with the status file.
    pub(super) trouble: Option<String>,
    /// A point's part of what the container used: all of its memory, an equal part of the rest.
    pub(super) used: Sample,
    pub(super) ran: Option<Duration>,
    /// What is told of its volumes.
    pub(super) told: BTreeMap<String, String>,
}

/// Leads the container, and removes it when no attempt needs it any more.
pub(super) async fn lead(agent: Arc<Agent>, batch: Arc<Batch>) {
    let last = match run_container(&agent, &batch).await {
        Ok(end) => Phase::Ended(Arc::new(end)),
        Err(stop) => Phase::Stopped(stop),
    };
    agent.site.secrets.remove(batch.id);
    let needs_stop = matches!(last, Phase::Stopped(_));
    batch.phase.send_replace(last);
    if needs_stop && let Err(error) = agent.site.engine.remove(batch.id).await {
        agent.site.health.leave_container(batch.id, &error);
    }
    if batch.living.subscribe().wait_for(HashSet::is_empty).await.is_err() {
        unreachable!("the sender is held by the batch");
    }
    if let Err(error) = agent.site.engine.remove(batch.id).await {
        agent.site.health.leave_container(batch.id, &error);
    }
    batch.dir.remove();
    agent.batches.fetch_sub(1, Ordering::Relaxed);
}

async fn run_container(agent: &Agent, batch: &Batch) -> Result<End, Stop> {
    let mut job = Job::read(&batch.held[0].assignment, &agent.manifests)?;
    job.points = points(batch)?;
    let running = taken_back(agent, batch).await?;
    if let Some(why) = agent.away.refuses(running.is_some()) {
        return Err(Stop::Halted(Halt::Release(why)));
    }
    batch.note("waiting for other containers on this machine to end");
    let share = tokio::select! {
        biased;
        share = room::take(agent, &job, job.resources(&agent.site.offer), &batch.dir) => share?,
        halt = batch.halted() => return Err(Stop::Halted(halt)),
        why = agent.away.gone() => return Err(Stop::Halted(Halt::Release(why))),
        () = agent.leaving.draining.cancelled() => {
            return Err(Stop::Halted(Halt::Release("the agent drains".into())));
        }
    };
    batch.note("");
    batch.phase.send_replace(Phase::Preparing);
    let image_id = match running {
        Some(image_id) => {
            start::open_again(agent, Way::again(batch.id, &job, &batch.dir)).await?;
            image_id
        }
        None => tokio::select! {
            halt = batch.halted() => return Err(Stop::Halted(halt)),
            started = begin(agent, batch, &job, share.gpus()) => started?,
        },
    };
    batch.phase.send_replace(Phase::Running { image_id: image_id.clone() });
    share_log(batch);
    let used = Mutex::new(Usage::default());
    let mut finished = to_its_end(agent, batch, &job, &used).await?;
    // Others may have the room while the outputs are published.
    drop(share);
    if finished.halt.is_none() {
        finished.halt = limits::left_too_much(&job, &batch.dir.results()).await;
    }
    let points = batch.points();
    let Reports { of: reports, trouble } = reports(agent, batch, &finished.exit, &points).await;
    let told = look_after(agent, batch).await;
    let count = points.len().max(1);
    batch.cut(&batch.held, points, job.manifest.sandbox.log_limit()).await;
    let used = used.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(End {
        ran: finished.exit.ran.map(|ran| ran / u32::try_from(count).unwrap_or(u32::MAX)),
        finished,
        image_id,
        several: count > 1,
        reports,
        trouble,
        used: Sample {
            memory_bytes: used.peak_memory_bytes.unwrap_or(0),
            cpu_micros: used.cpu_micros.unwrap_or(0) / count as u64,
            written_bytes: 0,
        },
        told,
    })
}

fn points(batch: &Batch) -> Result<Vec<Point>, Stop> {
    let point = |held: &Arc<Held>| {
        let unreadable = |error| Reason::Agent(format!("the parameters can't be read: {error}"));
        Ok(Point { job: held.assignment.job, parameters: held.assignment.parameters().map_err(unreadable)? })
    };
    batch.held.iter().map(point).collect()
}

/// The image of the container, if an earlier run of the agent has started it.
async fn taken_back(agent: &Agent, batch: &Batch) -> Result<Option<String>, Stop> {
    if !batch.taken_back {
        return Ok(None);
    }
    if batch.dir.is_of_an_earlier_boot() {
        let told = "the machine was started anew while its container ran; what it had written may be lost";
        return Err(Stop::Hindered(Reason::Agent(told.to_owned())));
    }
    let found = agent.site.engine.list(agent.site.identity.agent).await?;
    let found = found.into_iter().find(|found| found.attempt == Some(batch.id));
    match found {
        Some(found) if found.state != FoundState::Created => Ok(Some(found.image_id)),
        None if batch.dir.has_started() => {
            let told = "its container is gone, removed by somebody else".to_owned();
            Err(Reason::Agent(told).into())
        }
        _ => Ok(None),
    }
}

/// Gets the image, and makes and starts the container.
async fn begin(agent: &Agent, batch: &Batch, job: &Job, gpus: &[u32]) -> Result<String, Stop> {
    // Before anything else of it: notes of it alone would be taken for those of an attempt.
    batch.dir.note_batch().map_err(agents_fault)?;
    volumes::look_before(agent, &batch.dir, job, |note| batch.note(note)).await?;
    // One attempt asks for the image; if it is taken away meanwhile, another one does.
    let (speaker, assembly) = loop {
        let speaker = batch.speaker();
        tokio::select! {
            assembled = prepare::assemble_for(agent, speaker, job) => break (speaker, assembled?),
            _ = batch.halt_of(speaker) => tokio::task::yield_now().await,
        }
    };
    if !gpus.is_empty() {
        batch.dir.note_gpus(gpus).map_err(agents_fault)?;
    }
    let mut spec = assembly.spec(&agent.site, &speaker.assignment, job, &batch.dir, gpus)?;
    spec.attempt = batch.id;
    secrets::give(agent, speaker, job, &assembly, &mut spec).await?;
    gateway::shut(&agent.site, &batch.dir, &assembly.facts, &mut spec)?;
    // A later run of the agent must not start it again.
    let noted = async { batch.dir.write_starting().await.map_err(agents_fault) };
    start::start_noted(agent, &spec, noted).await.map_err(|stop| secrets::without_shell(job, stop))?;
    batch.dir.note_started();
    Ok(assembly.facts.id)
}

/// What is told of the volumes once the container has ended. Nothing if nobody waits for it.
async fn look_after(agent: &Agent, batch: &Batch) -> BTreeMap<String, String> {
    let Some(seen) = batch.dir.volumes_seen().filter(|seen| !seen.is_empty()) else { return BTreeMap::new() };
    tokio::select! {
        told = agent.stock.fingerprints.after(&seen) => told,
        _ = batch.halted() => BTreeMap::new(),
    }
}

/// While the container runs, the log of each of its attempts is all of its own.
fn share_log(batch: &Batch) {
    let log = batch.dir.log();
    let made = batch.held.iter().map(|held| &held.dir).chain([&batch.dir]).try_for_each(AttemptDir::make);
    if let Err(error) = made {
        warn!(container = %batch.id, error = format!("{error:#}"), "the log can't be kept");
        return;
    }
    if let Err(error) = fs::OpenOptions::new().append(true).create(true).open(&log) {
        warn!(container = %batch.id, %error, "the log can't be kept");
        return;
    }
    for held in &batch.held {
        match fs::hard_link(&log, held.dir.log()) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                warn!(attempt.id = %held.id(), %error, "the log can be followed only when its container has ended");
            }
            _ => {}
        }
    }
}

async fn to_its_end(agent: &Agent, batch: &Batch, job: &Job, used: &Mutex<Usage>) -> Result<Finished, Stop> {
    let engine = &*agent.site.engine;
    let results = batch.dir.results();
    let began = batch.dir.started().unwrap_or_else(Timestamp::now);
    let speaker = batch.speaker().clone();
    let keeping = async {
        let masks = secrets::masks(agent, job, batch.id);
        match batch.dir.open_log(job.manifest.sandbox.log_limit()) {
            Ok((file, since)) => {
                run::keep_log(&speaker, file, masks.mask(engine.logs(batch.id, since))).await
            }
            Err(error) => warn!(container = %batch.id, %error, "the log can't be kept"),
        }
    };
    let meter = Meter { limits: job.limits(&agent.site.offer), began, before: Sample::default() };
    let measuring = meter.measure(
        engine,
        batch.id,
        || run::pause(agent),
        |sample| {
            used.lock().unwrap_or_else(PoisonError::into_inner).add(sample);
        },
    );
    let halt = async {
        tokio::select! {
            halt = batch.halted() => halt,
            halt = limits::exceeded(agent, &speaker, job, &results, began) => halt,
        }
    };
    let grace = job.stop_grace(agent.site.options.stop_grace);
    let ran = Running::Container(batch.id).to_its_end(engine, keeping, measuring, halt, grace).await;
    ran.map_err(|error| start::without_shell(job, error.into()))
}

async fn reports(agent: &Agent, batch: &Batch, exit: &Exit, points: &[u32]) -> Reports {
    // Nothing ran that could have said so.
    if agent.site.options.engine == EngineKind::Simulated {
        let ended = PointReport::Ended(exit.code);
        return Reports { of: points.iter().map(|point| (*point, ended)).collect(), trouble: None };
    }
    let results = batch.dir.results();
    let points: HashSet<u32> = points.iter().copied().collect();
    let reading = tokio::task::spawn_blocking(move || batch::read(&results, |point| points.contains(&point)));
    reading.await.unwrap_or_else(|error| Reports { of: HashMap::new(), trouble: Some(error.to_string()) })
}
