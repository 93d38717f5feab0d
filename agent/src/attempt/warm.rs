//! A job as a fork of an interpreter that has imported its libraries (`containers: warm`). The container is its sweep's,
//! as with `containers: reuse`; the interpreter in it lives on when a job fails, is stopped, or is killed for memory.
//!
//! A sweep whose jobs can't run so runs as with `reuse`, on every agent; its owner is told why.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use bt_engine::{ContainerSpec, Exit, Sample, Task};
use bt_model::manifest::{Containers, INPUT_DIR};
use bt_model::reason::Reason;
use bt_proto::convert;
use bt_proto::v1;
use bt_proto::v1::agents_client::AgentsClient;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::shared::{command_of, make_ready, must_see_kills, task, write_inputs};
use super::start::start;
use super::state::Stop;
use super::{prepare, run, secrets, unless_halted};
use crate::agent::Agent;
use crate::assembly::agents_fault;
use crate::config::EngineKind;
use crate::job::container::Job;
use crate::job::holdings::Held;
use crate::runner::{Finished, Running};
use crate::slots::Slot;
use crate::warm::command::{self, PythonCommand};
use crate::warm::{self, Fork, Hello, JobToRun, Known, Listener, Runner, StartFailure};

/// How long an interpreter may take to import what it is to import.
const START: Duration = Duration::from_secs(10 * 60);
/// How long the end of a container may take to be heard of.
const LAST_LOOK: Duration = Duration::from_secs(5);
/// How many of the last bytes that an interpreter printed are told when it ends.
const LAST_WORDS: usize = 400;
/// What jobs find empty, besides the directories in memory that their manifest asks for.
const SCRATCH: [&str; 3] = ["/tmp", "/dev/shm", "/dev/mqueue"];

/// How the jobs of this attempt's sweep run here.
pub(super) fn containers(agent: &Agent, held: &Held, job: &Job) -> Containers {
    match job.manifest.containers() {
        // Nothing runs in it that could fork.
        Containers::Warm if agent.site.options.engine == EngineKind::Simulated => Containers::Each,
        Containers::Warm => {
            let cold = agent.warmth.cold(held.assignment.sweep);
            cold.or(held.assignment.containers()).unwrap_or(Containers::Warm)
        }
        containers => containers,
    }
}

/// Starts a container whose interpreter waits for jobs. `Ok(Err(why))`: the sweep's jobs can't run so.
pub(super) async fn open(
    agent: &Agent,
    held: &Held,
    job: &Job,
    slot: &mut Slot,
    mut spec: ContainerSpec,
) -> Result<Result<(), String>, Stop> {
    let cwd = spec.working_dir.clone();
    let words = command_of(&spec, slot)?;
    let command = match command::parse(&words) {
        Ok(command) => command,
        Err(why) => return Ok(Err(why)),
    };
    let inputs = slot.dir.inputs();
    write_inputs(&inputs, &job.input()).map_err(agents_fault)?;
    let program = inputs.join(warm::PROGRAM_NAME);
    let written = fs::write(&program, warm::PROGRAM)
        .and_then(|()| fs::set_permissions(&program, PermissionsExt::from_mode(0o644)))
        .and_then(|()| Listener::bind(&inputs, warm::SOCKET_NAME));
    let listener = written.map_err(|error| agents_fault(error.into()))?;
    let sandbox = &job.manifest.sandbox;
    let wishes = sandbox.warm();
    let Known { learned, left_out } = agent.warmth.known(&slot.image_id, &command);
    let hello = Hello {
        python: command.interpreter.clone(),
        preload: wishes.preload,
        learned,
        exclude: wishes.exclude.into_iter().chain(left_out.keys().cloned()).collect(),
        left_out,
        empty: SCRATCH
            .iter()
            .map(|path| (*path).to_owned())
            .chain(sandbox.tmpfs.iter().map(|tmpfs| tmpfs.path.clone()))
            .collect(),
        job: JobToRun::new(words, Some(command.clone()), cwd, spec.env.clone()),
    };
    let (python, options) =
        command.interpreter.split_first().ok_or(Reason::Agent("no interpreter".to_owned()))?;
    spec.entrypoint = Some(vec![python.clone()]);
    spec.command = options.to_vec();
    spec.command.extend([warm::PROGRAM_NAME, warm::SOCKET_NAME].map(|name| format!("{INPUT_DIR}/{name}")));
    start(agent, &spec).await?;
    held.note("waiting for the interpreter to import its libraries");
    let started = tokio::select! {
        started = timeout(START, Runner::start(listener, &hello)) => started.unwrap_or_else(|_| {
            let told = format!("it has not imported its libraries within {} minutes", START.as_secs() / 60);
            Err(StartFailure::Broken(std::io::Error::other(told)))
        }),
        why = ends_too_soon(agent, slot) => Err(StartFailure::Broken(std::io::Error::other(why))),
    };
    held.note("");
    match started {
        Ok(runner) => {
            must_see_kills(agent, slot.id).await?;
            note_left_out(agent, held, slot, &command, &runner).await;
            slot.runner = Some(Arc::new(runner));
            Ok(Ok(()))
        }
        Err(StartFailure::Missing(why)) => {
            Err(Stop::Failed(Reason::Manifest(format!("`warm.preload` can't be imported: {why}"))))
        }
        Err(StartFailure::Broken(error)) => {
            // What it has printed says more than that it has hung up.
            let why = match error.kind() {
                ErrorKind::UnexpectedEof => timeout(LAST_LOOK, ends_too_soon(agent, slot)).await,
                _ => Ok(error.to_string()),
            };
            let why = why.unwrap_or_else(|_| error.to_string());
            Ok(Err(format!("{} of the image can't wait for jobs: {why}", command.interpreter.join(" "))))
        }
    }
}

/// Waits for the end of a container that should not end yet; says how it ended and what it printed last.
async fn ends_too_soon(agent: &Agent, slot: &Slot) -> String {
    let engine = &agent.site.engine;
    let ended = match engine.wait(slot.id).await {
        Ok(exit) => format!("it ended with code {}", exit.code),
        Err(error) => error.to_string(),
    };
    with_last_words(agent, slot, ended).await
}

/// Why an interpreter has ended, with the end of what it has printed, in one line.
async fn with_last_words(agent: &Agent, slot: &Slot, why: String) -> String {
    use futures_util::StreamExt;
    let reading = async {
        let mut lines = agent.site.engine.logs(slot.id, None);
        let mut words = String::new();
        while let Some(Ok(line)) = lines.next().await {
            words.push_str(String::from_utf8_lossy(&line.text).trim_end());
            words.push(' ');
            let surplus = words.ceil_char_boundary(words.len().saturating_sub(LAST_WORDS));
            words.drain(..surplus);
        }
        words
    };
    let words = timeout(LAST_LOOK, reading).await.unwrap_or_default();
    match words.trim() {
        "" => why,
        words => format!("{why}: {words}"),
    }
}

/// One job, from its input to its end. The slot is good for the next one if the interpreter said that nothing of this one
/// is left.
pub(super) async fn one_job(
    agent: &Agent,
    held: &Held,
    job: &Job,
    slot: &Slot,
    runner: &Arc<Runner>,
) -> Result<(Finished, bool), Stop> {
    make_ready(agent, job, slot).map_err(agents_fault)?;
    let variables = secrets::renew(agent, held, job, &slot.inside, slot.id).await?;
    let Task { command: words, mut env, working_dir, .. } = task(agent, held, job, slot)?;
    // They go to the interpreter alone, and from there to the job's own process.
    env.extend(variables);
    let command = command::parse(&words).ok();
    let to_run = JobToRun::new(words, command.clone(), working_dir, env);
    // An interpreter that is frozen after this starts its fork later.
    drop(unless_halted(held, async { Ok(agent.away.may_start().await) }).await?);
    held.dir.write_starting().await.map_err(agents_fault)?;
    held.dir.note_started();
    let engine = &*agent.site.engine;
    // What the jobs before it have used is not its own.
    let before = engine.sample(slot.id).await.ok().flatten().unwrap_or_default();
    let killed_before = engine.oom_kills(slot.id).await.ok().flatten().unwrap_or(0);
    let began = Instant::now();
    let lines = match runner.run(&to_run).await {
        Ok(lines) => lines,
        Err(error) => return Err(died(agent, held, slot, &error.to_string()).await),
    };
    prepare::report_running(agent, held, slot.image_id.clone());
    held.note_warm(Some(runner.ready().preloaded));
    let (log, _) =
        held.dir.open_log(job.manifest.sandbox.log_limit()).map_err(|error| agents_fault(error.into()))?;
    let fork = Fork::new(slot.id, runner.clone(), stop_signal(job));
    let running = Running::Fork(fork.clone());
    let keeping = run::keep_log(held, log, secrets::masks(agent, job, slot.id).mask(lines));
    let finished = run::to_its_end(agent, held, job, &running, keeping, &slot.dir.results(), before).await;
    held.ran(began.elapsed());
    let mut finished = match finished {
        Ok(finished) => finished,
        Err(error) => return Err(died(agent, held, slot, &error.to_string()).await),
    };
    let Some(ended) = fork.ended() else { return Ok((finished, false)) };
    held.used(&Sample {
        cpu_micros: ended.cpu_micros,
        memory_bytes: ended.memory_bytes,
        ..Sample::default()
    });
    let killed = engine.oom_kills(slot.id).await.ok().flatten();
    finished.exit.oom = killed.is_none_or(|killed| killed > killed_before);
    if let Some(why) = &ended.fresh {
        held.note_warm(None);
        held.remark(format!("it ran in an interpreter of its own: {why}"));
    }
    if let Some(command) = command {
        let mut known = agent.warmth.known(&slot.image_id, &command);
        let news: Vec<_> = ended.learned.into_iter().filter(|name| !known.learned.contains(name)).collect();
        if !news.is_empty() {
            known.learned.extend(news);
            agent.warmth.remember(&slot.image_id, &command, known);
        }
        note_left_out(agent, held, slot, &command, runner).await;
    }
    if let Some(left) = &ended.left {
        info!(attempt.id = %held.id(), left, "the container is not used again");
    }
    Ok((finished, ended.left.is_none()))
}

/// The interpreter ended while the job ran: the kernel killed both for memory, or the job killed the interpreter.
async fn died(agent: &Agent, held: &Held, slot: &Slot, why: &str) -> Stop {
    let exit = timeout(LAST_LOOK, agent.site.engine.wait(slot.id)).await;
    if let Ok(Ok(Exit { oom: true, .. })) = exit {
        return Stop::Failed(Reason::Oom);
    }
    let why = with_last_words(agent, slot, why.to_owned()).await;
    cool(agent, held, Containers::Reuse, why.clone()).await;
    Stop::Hindered(Reason::Agent(why))
}

/// Notes what the interpreter did not import, for the next containers and for the sweep's owner.
async fn note_left_out(agent: &Agent, held: &Held, slot: &Slot, command: &PythonCommand, runner: &Runner) {
    let left_out = runner.ready().left_out;
    let known = agent.warmth.known(&slot.image_id, command);
    if known.left_out != left_out {
        agent.warmth.remember(&slot.image_id, command, Known { left_out: left_out.clone(), ..known });
    }
    // Another sweep may have found it out.
    if !left_out.is_empty() && agent.warmth.is_news(held.assignment.sweep, &left_out) {
        tell(agent, held, v1::Sharing { left_out: left_out.into_iter().collect(), ..v1::Sharing::default() })
            .await;
    }
}

/// From now on the sweep's jobs run so, here and on every agent.
pub(super) async fn cool(agent: &Agent, held: &Held, containers: Containers, why: String) {
    info!(sweep.id = %held.assignment.sweep, "the sweep's jobs run as with `containers: {containers}`: {why}");
    agent.warmth.cool(held.assignment.sweep, containers);
    let sharing = v1::Sharing {
        containers: convert::containers(Some(containers)).into(),
        why,
        ..v1::Sharing::default()
    };
    tell(agent, held, sharing).await;
}

/// Tells a coordinator what was found. One that can't be reached now will not hear of it: the next job finds the same.
async fn tell(agent: &Agent, held: &Held, sharing: v1::Sharing) {
    let telling = async {
        let connection = agent.line.link.connection().await;
        let request = v1::NoteSharingRequest {
            agent_id: agent.site.identity.agent.to_string(),
            session: connection.session,
            attempt: held.id().to_string(),
            sharing: Some(sharing),
        };
        AgentsClient::new(connection.channel).note_sharing(request).await
    };
    match timeout(LAST_LOOK, telling).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => {
            warn!(attempt.id = %held.id(), "the coordinator was not told how the sweep runs: {}", error.message());
        }
        Err(_) => warn!(attempt.id = %held.id(), "the coordinator was not told how the sweep runs"),
    }
}

/// The number of the signal that stops a job.
fn stop_signal(job: &Job) -> i32 {
    match job.manifest.sandbox.stop_signal.as_deref() {
        Some("SIGHUP") => 1,
        Some("SIGINT") => 2,
        Some("SIGQUIT") => 3,
        Some("SIGKILL") => 9,
        Some("SIGUSR1") => 10,
        Some("SIGUSR2") => 12,
        _ => 15,
    }
}
