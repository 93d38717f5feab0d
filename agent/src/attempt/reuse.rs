//! A job in a container that its sweep's jobs share: the job's command is started in it with its own environment, its own
//! (emptied) results directory and the container's limits. What it gives up: `/tmp` and the cpu and memory accounts are
//! shared with the jobs before it. Any trouble, a stop, or a process left behind ends the container with the job.

use std::fs;
use std::path::Path;

use bt_engine::capacity::Share;
use bt_engine::collect;
use bt_engine::logfile::{LogFile, last_words};
use bt_engine::volumes::MountSource;
use bt_engine::{Bind, Exit, Task};
use bt_model::reason::Reason;
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::info;

use super::measure::measure;
use super::prepare::{self, Ready};
use super::{Stop, run};
use crate::agent::Agent;
use crate::job::container::Job;
use crate::job::holdings::Held;
use crate::record::ending::Halt;

use crate::slots::Slot;

/// Keeps the container alive between jobs; the image must have it.
const KEEPER: [&str; 2] = ["sleep", "2147483647"];
/// How the engine begins to say that a command can't be started.
const NOT_STARTED: &str = "OCI runtime exec failed";
/// Bytes of the log in which it says so.
const COMPLAINT: u64 = 4 << 10;

/// Runs the job to its end. Its outputs are in the attempt's own results directory then.
///
/// `idle` is a container that waits for a job of the sweep, if there is one, and `share` all that job and container take.
pub(super) async fn run_in_slot(
    agent: &Agent,
    held: &Held,
    job: &Job,
    idle: Option<Slot>,
    share: Share,
) -> Result<(Exit, Option<Halt>), Stop> {
    let sweep = held.assignment.sweep;
    let mut slot = match idle {
        Some(slot) => {
            held.note("");
            slot
        }
        None => {
            let ready = super::unless_halted(held, prepare::ready(agent, held, job)).await?;
            let mut slot = Slot::new(&agent.site);
            match super::unless_halted(held, open(agent, held, job, &ready, &mut slot)).await {
                Ok(()) => slot,
                Err(stop) => {
                    agent.slots.discard(slot).await;
                    return Err(stop);
                }
            }
        }
    };
    slot.share = Some(share);
    let ran = one_job(agent, held, job, &slot).await;
    let moved = take_outputs(held, &slot);
    // Only a container in which nothing went wrong and nothing goes on is used again.
    let is_good = matches!(&ran, Ok((Exit { oom: false, .. }, None)))
        && moved.is_ok()
        && agent.site.engine.is_at_rest(slot.id).await.unwrap_or(false);
    match is_good && !agent.leaving.draining.is_cancelled() {
        true => agent.slots.give_back(sweep, slot),
        false => agent.slots.discard(slot).await,
    }
    moved.map_err(|error| Stop::Failed(Reason::Outputs(format!("the outputs can't be taken: {error}"))))?;
    ran
}

/// Makes and starts a container that waits for jobs.
async fn open(agent: &Agent, held: &Held, job: &Job, ready: &Ready, slot: &mut Slot) -> Result<(), Stop> {
    slot.dir.create(&held.assignment).map_err(prepare::agents_fault)?;
    let mut spec = prepare::spec(agent, &held.assignment, job, &slot.dir, ready, &[])?;
    spec.attempt = slot.id;
    spec.entrypoint = Some(vec![KEEPER[0].to_owned()]);
    spec.command = vec![KEEPER[1].to_owned()];
    spec.env.clear();
    // The input file is another one for each job, so it is its directory that is mounted.
    for bind in spec.binds.iter_mut().filter(|bind| bind.source == MountSource::Path(slot.dir.input())) {
        let (source, target) = (slot.dir.inputs(), crate::job::container::INPUT_DIR.to_owned());
        *bind = Bind { source: MountSource::Path(source), target, read_only: true };
    }
    // The sweep's cache is mounted in the directory of the inputs, which is read-only in the container.
    let cache = slot.dir.inputs().join("cache");
    fs::create_dir_all(cache).map_err(|error| prepare::agents_fault(error.into()))?;
    slot.inside = ready.inside.clone();
    slot.entrypoint = ready.facts.entrypoint.clone();
    slot.default_command = ready.facts.command.clone();
    slot.image_id = ready.facts.id.clone();
    prepare::start(agent, &spec).await.map_err(|stop| match stop {
        Stop::Failed(Reason::Image(message)) => Stop::Failed(Reason::Image(format!(
            "`containers: reuse` needs the program `sleep` in the image: {message}"
        ))),
        stop => stop,
    })?;
    match agent.site.engine.oom_kills(slot.id).await? {
        Some(_) => Ok(()),
        // A job that lost a process for memory would pass for one that succeeded.
        None => Err(Stop::Refused(
            "can't share a container among jobs (`containers: reuse`), because the control groups of its containers can't be \
             read from where it runs"
                .to_owned(),
        )),
    }
}

/// One job, from its input to its end.
async fn one_job(agent: &Agent, held: &Held, job: &Job, slot: &Slot) -> Result<(Exit, Option<Halt>), Stop> {
    prepare::write_inputs(&slot.dir.inputs(), &job.input()).map_err(prepare::agents_fault)?;
    let task = task(agent, held, job, slot)?;
    held.dir.write_started(Timestamp::now()).map_err(prepare::agents_fault)?;
    // What the jobs before it have used is not its own.
    let before = agent.site.engine.sample(slot.id).await.ok().flatten().unwrap_or_default();
    let began = Instant::now();
    let running = agent.site.engine.exec(slot.id, &task).await?;
    prepare::report_running(agent, held, slot.image_id.clone());
    let (mut log, _) = LogFile::open(&held.dir.log(), job.manifest.sandbox.log_limit())
        .map_err(|error| prepare::agents_fault(error.into()))?;
    let id = running.id.clone();
    let working = async {
        run::copy_lines(held, &mut log, running.lines).await;
        agent.site.engine.exec_end(slot.id, &id).await
    };
    let results = slot.dir.results();
    let ended = tokio::select! {
        exit = working => exit.map(|exit| (exit, None)).map_err(Stop::from),
        halt = run::must_stop(agent, held, job, &results) => {
            info!(attempt.id = %held.id(), "ending the shared container: {halt:?}");
            agent.site.engine.stop(slot.id, job.stop_grace(agent.site.options.stop_grace)).await?;
            Ok((Exit { code: 143, oom: false, error: String::new(), interrupted: false, ran: None }, Some(halt)))
        }
        () = measure(agent, held, slot.id, job.limits(&agent.site.offer), before) => unreachable!("measuring has no end"),
    };
    held.ran(began.elapsed());
    run::finish_log(held, log);
    if let Ok((Exit { code: 126 | 127, .. }, None)) = &ended {
        let words = last_words(&held.dir.log(), COMPLAINT);
        if words.starts_with(NOT_STARTED) {
            let words = words.trim().to_owned();
            return Err(Stop::Failed(Reason::Image(format!("the command can't be started: {words}"))));
        }
    }
    ended
}

/// The job's command as the image would run it.
fn task(agent: &Agent, held: &Held, job: &Job, slot: &Slot) -> Result<Task, Stop> {
    let host = prepare::host(agent, &[], &[], &slot.inside);
    let spec = job.container(&held.assignment, String::new(), agent.site.identity, &host, &held.dir)?;
    // Another entrypoint takes the image's command out as well, as with `docker run`.
    let (entrypoint, default) = match spec.entrypoint {
        Some(entrypoint) => (entrypoint, Vec::new()),
        None => (slot.entrypoint.clone(), slot.default_command.clone()),
    };
    let command = if spec.command.is_empty() { default } else { spec.command };
    let command: Vec<_> = entrypoint.into_iter().chain(command).collect();
    if command.is_empty() {
        return Err(Stop::Failed(Reason::Image(
            "the image has no command, and neither has the manifest".to_owned(),
        )));
    }
    Ok(Task { command, env: spec.env, user: spec.user, working_dir: spec.working_dir })
}

/// Moves what the job left from the container's results directory into the attempt's own.
fn take_outputs(held: &Held, slot: &Slot) -> std::io::Result<()> {
    let (from, to) = (slot.dir.results(), held.dir.results());
    collect::make_results_dir(&to, None)?;
    for entry in fs::read_dir(&from)? {
        let entry = entry?;
        fs::rename(entry.path(), Path::new(&to).join(entry.file_name()))?;
    }
    Ok(())
}
