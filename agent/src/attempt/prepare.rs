//! Before the container runs: its image, its volumes, its directories.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use bt_model::manifest::Pull;
use bt_model::reason::Reason;
use bt_proto::v1::agents_client::AgentsClient;
use bt_proto::v1::{self, report};
use jiff::Timestamp;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::Stop;
use crate::agent::Agent;
use crate::assignment::Assignment;
use crate::blame::{self, Blame, Plain};
use crate::collect;
use crate::container::{Host, Job};
use crate::engine::{Bind, ContainerSpec, Error, FoundState, ImageFacts};
use crate::holdings::Held;
use crate::images::{Wanted, is_id};
use crate::inside::{Inside, SHARED_CACHE};
use crate::mountpoints::{self, Misplaced, Mounted};
use crate::volumes::Source;
use crate::workdir::{AttemptDir, write_input};

/// True if an earlier run of this agent has started the container. One that has ended is not started again.
pub(super) async fn runs_already(agent: &Agent, held: &Held) -> Result<bool, Stop> {
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

/// What a container needs of the machine, and that is there.
pub(super) struct Ready {
    pub(super) mounts: Vec<Bind>,
    pub(super) pin: String,
    pub(super) facts: ImageFacts,
    pub(super) inside: Inside,
}

/// Finds the job's volumes and gets its image.
pub(super) async fn ready(agent: &Agent, held: &Held, job: &Job) -> Result<Ready, Stop> {
    let preparing = report::Kind::Preparing(v1::Preparing {});
    agent.outbox.step(held.id(), preparing);
    let volumes = volumes(agent, job).await?;
    let image = &job.manifest.image;
    let note = |note: String| held.note(note);
    note(format!("getting the image {image}"));
    let platform = job.manifest.sandbox.platform.as_ref().map(ToString::to_string);
    let wanted = Wanted { platform: platform.as_deref(), pull: job.manifest.sandbox.pull() };
    let pin = match &held.assignment.image_pin {
        Some(pin) => pin.clone(),
        None => {
            // As long as nobody has ever got it, it is as likely that it does not exist.
            let resolved = agent.resolve_image(image, &wanted, &note).await;
            pin_image(agent, held, resolved.map_err(|error| Stop::Failed(error.reason()))?).await
        }
    };
    let facts = agent.ensure_image(&pin, &wanted, &note).await.map_err(|error| match error {
        // Another machine has it.
        Error::NoSuchImage { message, .. } if is_id(&pin) || wanted.pull == Pull::Never => {
            Stop::Refused(format!("does not have {image}: {message}"))
        }
        // Another machine has had it from its registry.
        error => Stop::Hindered(error.reason()),
    })?;
    facts.check_platform()?;
    let ready = complete(agent, &held.assignment, job, pin, facts, &volumes).await?;
    held.note("");
    Ok(ready)
}

/// Gets the image, and creates and starts the container.
pub(super) async fn prepare(agent: &Agent, held: &Held, job: &Job, gpus: &[u32]) -> Result<(), Stop> {
    let ready = ready(agent, held, job).await?;
    if !gpus.is_empty() {
        held.dir.write_gpus(gpus).map_err(agents_fault)?;
    }
    let spec = spec(agent, &held.assignment, job, &held.dir, &ready, gpus)?;
    start(agent, &spec).await?;
    held.dir.write_started(Timestamp::now()).map_err(agents_fault)?;
    report_running(agent, held, ready.facts.id);
    Ok(())
}

/// Makes and starts a container. If the engine does not, who is to blame is decided here, for jobs of every kind.
pub(super) async fn start(agent: &Agent, spec: &ContainerSpec) -> Result<(), Stop> {
    let starting = async {
        agent.engine.create(spec).await?;
        agent.engine.start(spec.attempt).await
    };
    let started = starting.await;
    agent.note_start(&started);
    let Err(error) = started else {
        agent.starts.started(spec.sweep, Instant::now());
        return Ok(());
    };
    let others_start = agent.starts.refused(spec.sweep, Instant::now());
    let plain = match blame::is_open(&error) {
        true => plain_starts(agent, spec).await,
        false => None,
    };
    Err(match blame::of(&error, plain, others_start) {
        Blame::Job(reason) => Stop::Failed(reason),
        Blame::Agent(why) => Stop::Refused(why),
        Blame::Now(reason) => Stop::Hindered(reason),
    })
}

/// Whether a plain container of the image starts; nothing if the engine does not answer.
async fn plain_starts(agent: &Agent, spec: &ContainerSpec) -> Option<Plain> {
    let plain = spec.plain();
    let id = plain.attempt;
    agent.guests.add(id);
    let starting = async {
        agent.engine.create(&plain).await?;
        agent.engine.start(id).await
    };
    let started = starting.await;
    if let Err(error) = agent.engine.remove(id).await {
        warn!(container = %id, error = %error, "a container that only tried the engine is left to a later pass");
    }
    agent.guests.remove(id);
    match started {
        // Its command is not there.
        Ok(()) | Err(Error::NoSuchCommand { .. }) => Some(Plain::Starts),
        Err(Error::Timeout { .. } | Error::Unreachable { .. } | Error::DiskFull { .. }) => None,
        Err(_) => Some(Plain::Fails),
    }
}

/// Gets all that a job's container needs, for a user who wants to look around in it.
pub(crate) async fn prepare_debug(
    agent: &Agent,
    assignment: &Assignment,
    job: &Job,
    dir: &AttemptDir,
    gpus: &[u32],
) -> anyhow::Result<ContainerSpec> {
    let told = |stop: Stop| match stop {
        Stop::Refused(why) => anyhow::anyhow!("the agent {why}"),
        Stop::Failed(reason) | Stop::Hindered(reason) => anyhow::anyhow!("{reason}"),
        Stop::Halted(_) => anyhow::anyhow!("the agent stops"),
    };
    let volumes = volumes(agent, job).await.map_err(told)?;
    let platform = job.manifest.sandbox.platform.as_ref().map(ToString::to_string);
    let wanted = Wanted { platform: platform.as_deref(), pull: job.manifest.sandbox.pull() };
    let image = assignment.image_pin.as_ref().unwrap_or(&job.manifest.image);
    let facts = agent.ensure_image(image, &wanted, &|_| {}).await?;
    let pin = facts.id.clone();
    let ready = complete(agent, assignment, job, pin, facts, &volumes).await.map_err(told)?;
    spec(agent, assignment, job, dir, &ready, gpus).map_err(told)
}

/// Makes the directories that the container sees, and says how it is to be made.
pub(super) fn spec(
    agent: &Agent,
    assignment: &Assignment,
    job: &Job,
    dir: &AttemptDir,
    ready: &Ready,
    gpus: &[u32],
) -> Result<ContainerSpec, Stop> {
    let owner = job.user(agent.identity).filter(|ids| *ids != agent.identity.ids);
    collect::make_results_dir(&dir.results(), owner)
        .map_err(|error| agents_fault(anyhow::anyhow!("the results directory can't be made: {error}")))?;
    dir.write_input(&job.input()).map_err(agents_fault)?;
    let mut mounts = ready.mounts.clone();
    mounts.extend(ready.inside.write(dir).map_err(agents_fault)?);
    let host = host(agent, gpus, &mounts, &ready.inside);
    Ok(job.container(assignment, ready.pin.clone(), agent.identity, &host, dir)?)
}

pub(super) fn host<'h>(
    agent: &'h Agent,
    gpus: &'h [u32],
    mounts: &'h [Bind],
    inside: &'h Inside,
) -> Host<'h> {
    Host {
        offer: &agent.offer,
        runtime: agent.options.oci_runtime.as_deref(),
        stop_grace: agent.options.stop_grace,
        gpus,
        mounts,
        inside,
    }
}

/// Writes the input file of a job that shares its container with others.
pub(super) fn write_inputs(dir: &Path, json: &[u8]) -> anyhow::Result<()> {
    // Any user may run the job, and the directory above is the agent's alone.
    let file = dir.join("input.json");
    write_input(&file, json)?;
    std::fs::set_permissions(dir, Permissions::from_mode(0o755))?;
    Ok(std::fs::set_permissions(file, Permissions::from_mode(0o644))?)
}

pub(super) fn agents_fault(error: anyhow::Error) -> Stop {
    Stop::Failed(Reason::Agent(format!("{error:#}")))
}

pub(super) fn report_running(agent: &Agent, held: &Held, image_id: String) {
    held.note_image(&image_id);
    let manifest = agent.manifests.of(&held.assignment);
    agent.software.note(&image_id, manifest.as_ref().map_or(&[], |manifest| &manifest.command));
    agent.outbox.step(held.id(), report::Kind::Running(v1::Running { image_id }));
}

/// The job's volumes, found among what is offered, and seen to be of use to its user.
async fn volumes(agent: &Agent, job: &Job) -> Result<Vec<Mounted>, Stop> {
    if job.manifest.network != bt_model::manifest::Network::None && !agent.offer.network {
        return Err(Stop::Refused("offers no network (--allow-network)".to_owned()));
    }
    let found = mountpoints::find(&agent.engine, &agent.offer, job, agent.identity).await;
    found.map_err(|error| match error {
        mountpoints::Error::Engine(error) => error.into(),
        error => Stop::Refused(error.to_string()),
    })
}

/// Puts together what a container of the job mounts, and what its image adds: its volumes, where their places are there,
/// its cache, or the one that its sweep shares here.
async fn complete(
    agent: &Agent,
    assignment: &Assignment,
    job: &Job,
    pin: String,
    facts: ImageFacts,
    volumes: &[Mounted],
) -> Result<Ready, Stop> {
    mountpoints::check(volumes, &job.manifest, &facts).map_err(|error| match error {
        Misplaced::Volume(why) => Stop::Refused(why),
        Misplaced::Image(why) => Stop::Failed(Reason::Image(why)),
    })?;
    let mut mounts: Vec<_> = volumes.iter().map(|mounted| mounted.bind.clone()).collect();
    let (uid, gid) = job.user(agent.identity).unwrap_or(agent.identity.ids);
    let (dir, target) = match &job.manifest.sandbox.cache {
        Some(path) => (agent.state.cache(&job.manifest.image, uid, gid), path.as_str()),
        None => {
            let sweep = assignment.sweep;
            let dir = match agent.caches.has(sweep) {
                true => Ok(agent.state.shared_cache_dir(sweep, uid, gid)),
                false => agent.state.shared_cache(sweep, uid, gid).inspect(|_| agent.caches.made(sweep)),
            };
            (dir, SHARED_CACHE)
        }
    };
    let source = Source::Path(dir.map_err(agents_fault)?);
    mounts.push(Bind { source, target: target.to_owned(), read_only: false });
    let looked = agent.inside.look(&agent.engine, &agent.guests, &agent.state, agent.identity, job, &facts);
    let inside = looked.await;
    Ok(Ready { mounts, pin, facts, inside })
}

/// Asks until a coordinator has answered which image the sweep runs. An attempt that was taken away is halted meanwhile.
async fn pin_image(agent: &Agent, held: &Held, image: String) -> String {
    loop {
        let connection = agent.link.connection().await;
        let request = v1::PinImageRequest {
            agent_id: agent.identity.agent.to_string(),
            session: connection.session,
            attempt: Some(held.id().to_string()),
            image: Some(image.clone()),
            ..v1::PinImageRequest::default()
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
