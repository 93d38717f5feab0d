//! A job in a container that its sweep's jobs share. As `containers: reuse` has it (`warm` is beside this), the job's command is started in it with its own environment, its own
//! (emptied) results directory and the container's limits. What it gives up: `/tmp` and the cpu and memory accounts are
//! shared with the jobs before it. Any trouble, a stop, or a process left behind ends the container with the job.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bt_engine::logfile::last_words;
use bt_engine::volumes::MountSource;
use bt_engine::{Bind, ContainerSpec, Exit, Task, collect};
use bt_model::id::AttemptId;
use bt_model::manifest::{Containers, INPUT_DIR};
use bt_model::reason::Reason;
use tokio::time::Instant;

use super::start::start;
use super::state::Stop;
use super::{Work, prepare, run, secrets, unless_halted, warm};
use crate::agent::Agent;
use crate::assembly::{Assembly, agents_fault, host};
use crate::job::container::{Job, words_of};
use crate::job::holdings::Held;
use crate::job::secrets::has_variables;
use crate::runner::{Finished, Running};
use crate::site::secrets::wrapped;
use crate::site::workdir::write_input;
use crate::slots::Slot;

/// Keeps the container alive between jobs; the image must have it.
const KEEPER: [&str; 2] = ["sleep", "2147483647"];
/// How the engine begins to say that a command can't be started.
const NOT_STARTED: &str = "OCI runtime exec failed";
/// Bytes of the log in which it says so.
const COMPLAINT: u64 = 4 << 10;

/// How the job runs here. Fails for one that ran in a shared container when the agent was started anew: its command can't
/// be found again.
pub(super) async fn containers(agent: &Agent, held: &Held, job: &Job) -> Result<Containers, Stop> {
    let containers = warm::containers(agent, held, job);
    if containers == Containers::Each || !held.taken_back || !held.dir.has_started() {
        return Ok(containers);
    }
    // An earlier run of the agent may have found that its sweep can't run warm.
    let found = agent.site.engine.list(agent.site.identity.agent).await?;
    if found.iter().any(|found| found.attempt == Some(held.id())) {
        return Ok(Containers::Each);
    }
    let why = "it ran in a container that its sweep's jobs share, and the agent was started anew";
    Err(Stop::Hindered(Reason::Agent(why.to_owned())))
}

/// Gets a container for the job: one that waits for a job of its sweep, or a new one. It takes over what both take of the
/// machine.
pub(super) async fn get_slot(agent: &Agent, held: &Held, work: &mut Work) -> Result<(), Stop> {
    let mut slot = match work.slot.take() {
        Some(slot) => slot,
        None => {
            let assembling = prepare::assemble_for(agent, held, &work.job);
            let assembly = unless_halted(held, assembling).await?;
            new_slot(agent, held, work, &assembly).await?
        }
    };
    held.note_shared();
    slot.share = work.share.take();
    work.slot = Some(slot);
    Ok(())
}

/// A new container for jobs of the sweep. One that should have been warm and can't be is one as with `containers: reuse`.
async fn new_slot(agent: &Agent, held: &Held, work: &mut Work, assembly: &Assembly) -> Result<Slot, Stop> {
    let mut slot = Slot::new(&agent.site);
    let opening = async {
        let spec = spec(agent, held, &work.job, assembly, &mut slot)?;
        match work.containers {
            Containers::Warm => warm::open(agent, held, &work.job, &mut slot, spec).await,
            _ => open(agent, spec, slot.id).await.map(Ok),
        }
    };
    let why = match unless_halted(held, opening).await {
        Ok(Ok(())) => return Ok(slot),
        Ok(Err(why)) => why,
        Err(stop) => {
            agent.slots.discard(slot).await;
            return Err(stop);
        }
    };
    agent.slots.discard(slot).await;
    warm::cool(agent, held, Containers::Reuse, why).await;
    work.containers = Containers::Reuse;
    Box::pin(new_slot(agent, held, work, assembly)).await
}

/// Runs the job to its end. Its outputs are in the attempt's own results directory then.
pub(super) async fn run_in_slot(agent: &Agent, held: &Held, job: &Job, slot: Slot) -> Result<Finished, Stop> {
    let (ran, is_good) = match &slot.runner {
        Some(runner) => match warm::one_job(agent, held, job, &slot, runner).await {
            Ok((finished, is_good)) => (Ok(finished), is_good),
            Err(stop) => (Err(stop), false),
        },
        None => {
            let ran = one_job(agent, held, job, &slot).await;
            // Only a container in which nothing went wrong and nothing goes on is used again.
            let is_good = matches!(&ran, Ok(Finished { exit: Exit { oom: false, .. }, halt: None }))
                && agent.site.engine.is_at_rest(slot.id).await.unwrap_or(false);
            (ran, is_good)
        }
    };
    let moved = take_outputs(held, &slot);
    match is_good && moved.is_ok() && !agent.leaving.draining.is_cancelled() {
        true => agent.slots.give_back(held.assignment.sweep, slot),
        false => agent.slots.discard(slot).await,
    }
    moved.map_err(|error| Stop::Failed(Reason::Outputs(format!("the outputs can't be taken: {error}"))))?;
    ran
}

/// A container of the sweep that sees the directories of its slot.
fn spec(
    agent: &Agent,
    held: &Held,
    job: &Job,
    assembly: &Assembly,
    slot: &mut Slot,
) -> Result<ContainerSpec, Stop> {
    slot.dir.make().map_err(agents_fault)?;
    let mut spec = assembly.spec(&agent.site, &held.assignment, job, &slot.dir, &[])?;
    spec.attempt = slot.id;
    // The input file is another one for each job, so it is its directory that is mounted.
    for bind in spec.binds.iter_mut().filter(|bind| bind.source == MountSource::Path(slot.dir.input())) {
        let (source, target) = (slot.dir.inputs(), INPUT_DIR.to_owned());
        *bind = Bind { source: MountSource::Path(source), target, read_only: true };
    }
    // The sweep's cache is mounted in the directory of the inputs, which is read-only in the container.
    let cache = slot.dir.inputs().join("cache");
    fs::create_dir_all(cache).map_err(|error| agents_fault(error.into()))?;
    secrets::make_room(agent, job, &assembly.inside, &mut spec)?;
    slot.inside = assembly.inside.clone();
    slot.entrypoint = assembly.facts.entrypoint.clone();
    slot.default_command = assembly.facts.command.clone();
    slot.image_id = assembly.facts.id.clone();
    Ok(spec)
}

/// Starts a container that waits for commands.
async fn open(agent: &Agent, mut spec: ContainerSpec, id: AttemptId) -> Result<(), Stop> {
    spec.entrypoint = Some(vec![KEEPER[0].to_owned()]);
    spec.command = vec![KEEPER[1].to_owned()];
    spec.env.clear();
    start(agent, &spec).await.map_err(|stop| match stop {
        Stop::Failed(Reason::Image(message)) => Stop::Failed(Reason::Image(format!(
            "`containers: reuse` needs the program `sleep` in the image: {message}"
        ))),
        stop => stop,
    })?;
    must_see_kills(agent, id).await
}

/// A job that lost a process for memory would pass for one that succeeded where the group can't be read.
pub(super) async fn must_see_kills(agent: &Agent, id: AttemptId) -> Result<(), Stop> {
    match agent.site.engine.oom_kills(id).await? {
        Some(_) => Ok(()),
        None => Err(Stop::Refused(
            "can't share a container among jobs (`containers: reuse` or `warm`), because the control groups of its containers \
             can't be read from where it runs"
                .to_owned(),
        )),
    }
}

/// One job, from its input to its end.
async fn one_job(agent: &Agent, held: &Held, job: &Job, slot: &Slot) -> Result<Finished, Stop> {
    make_ready(agent, job, slot).map_err(agents_fault)?;
    secrets::renew(agent, held, job, &slot.inside, slot.id).await?;
    let mut task = task(agent, held, job, slot)?;
    if has_variables(job) {
        task.command = wrapped(task.command);
    }
    let unfrozen = unless_halted(held, async { Ok(agent.away.may_start().await) }).await?;
    held.dir.write_starting().await.map_err(agents_fault)?;
    held.dir.note_started();
    // What the jobs before it have used is not its own.
    let before = agent.site.engine.sample(slot.id).await.ok().flatten().unwrap_or_default();
    let began = Instant::now();
    let exec = agent.site.engine.exec(slot.id, &task).await?;
    drop(unfrozen);
    prepare::report_running(agent, held, slot.image_id.clone());
    let (log, _) =
        held.dir.open_log(job.manifest.sandbox.log_limit()).map_err(|error| agents_fault(error.into()))?;
    let running = Running::Command { container: slot.id, id: exec.id };
    let keeping = run::keep_log(held, log, secrets::masks(agent, job, slot.id).mask(exec.lines));
    let finished = run::to_its_end(agent, held, job, &running, keeping, &slot.dir.results(), before).await?;
    held.ran(began.elapsed());
    if let Finished { exit: Exit { code: 126 | 127, .. }, halt: None } = &finished {
        let words = last_words(&held.dir.log(), COMPLAINT);
        if words.starts_with(NOT_STARTED) {
            let words = words.trim().to_owned();
            return Err(Stop::Failed(Reason::Image(format!("the command can't be started: {words}"))));
        }
    }
    Ok(finished)
}

/// The job's command as the image would run it.
pub(super) fn task(agent: &Agent, held: &Held, job: &Job, slot: &Slot) -> Result<Task, Stop> {
    let host = host(&agent.site, &[], &[], &slot.inside);
    let spec = job.container(&held.assignment, String::new(), agent.site.identity, &host, &held.dir)?;
    Ok(Task {
        command: command_of(&spec, slot)?,
        env: spec.env,
        user: spec.user,
        working_dir: spec.working_dir,
    })
}

/// The words that a container of this spec would run.
pub(super) fn command_of(spec: &ContainerSpec, slot: &Slot) -> Result<Vec<String>, Stop> {
    Ok(words_of(spec, &slot.entrypoint, &slot.default_command)?)
}

/// Gives a job of a shared container what it finds: its input, and a results directory that it may write to, whatever the
/// job before it has made of that.
pub(super) fn make_ready(agent: &Agent, job: &Job, slot: &Slot) -> anyhow::Result<()> {
    let owner = job.user(agent.site.identity).filter(|ids| *ids != agent.site.identity.ids);
    collect::make_results_dir(&slot.dir.results(), owner)?;
    write_inputs(&slot.dir.inputs(), &job.input())
}

/// Writes the input file of a job that shares its container with others.
pub(super) fn write_inputs(dir: &Path, json: &[u8]) -> anyhow::Result<()> {
    // Any user may run the job, and the directory above is the agent's alone.
    let file = dir.join("input.json");
    write_input(&file, json)?;
    std::fs::set_permissions(dir, Permissions::from_mode(0o755))?;
    Ok(std::fs::set_permissions(file, Permissions::from_mode(0o644))?)
}

/// Moves what the job left from the container's results directory into the attempt's own.
fn take_outputs(held: &Held, slot: &Slot) -> std::io::Result<()> {
    let (from, to) = (slot.dir.results(), held.dir.results());
    held.dir.make().map_err(std::io::Error::other)?;
    collect::make_results_dir(&to, None)?;
    for entry in fs::read_dir(&from)? {
        let entry = entry?;
        fs::rename(entry.path(), Path::new(&to).join(entry.file_name()))?;
    }
    Ok(())
}
