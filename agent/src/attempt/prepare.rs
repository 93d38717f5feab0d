//! Before the container runs: its image, its volumes, its directories.

use std::time::Duration;

use bt_engine::{ContainerSpec, Error, FoundState, ImageFacts};
use bt_model::manifest::Pull;
use bt_model::reason::Reason;
use bt_proto::v1::agents_client::AgentsClient;
use bt_proto::v1::{self, report};
use tokio::time::sleep;
use tonic::Code;

use super::secrets;
use super::start::start_noted;
use super::state::Stop;
use crate::agent::Agent;
use crate::assembly::{Assembly, agents_fault};
use crate::gateway;
use crate::job::container::Job;
use crate::job::holdings::Held;
use crate::job::mountpoints::{self, Misplaced, Mounted};
use crate::record::assignment::Assignment;
use crate::site::workdir::AttemptDir;
use crate::stock::cuts::{self, CutCopy, cut_volumes};
use crate::stock::images::{ImageRequest, is_id};

/// True if an earlier run of this agent has started the container. One that has ended is not started again.
pub(super) async fn runs_already(agent: &Agent, held: &Held) -> Result<bool, Stop> {
    if !held.taken_back {
        return Ok(false);
    }
    if held.dir.is_of_an_earlier_boot() {
        let told = "the machine was started anew while its container ran; what it had written may be lost";
        return Err(Stop::Hindered(Reason::Agent(told.to_owned())));
    }
    let found = agent.site.engine.list(agent.site.identity.agent).await?;
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

/// Finds the job's volumes and gets its image.
pub(super) async fn assemble_for(agent: &Agent, held: &Held, job: &Job) -> Result<Assembly, Stop> {
    // Whatever a coordinator says, it is the machine's owner who allows it.
    if job.manifest.is_process() && !agent.site.offer.processes {
        return Err(Stop::Refused("allows no process jobs (--allow-process)".to_owned()));
    }
    if agent.site.options.no_engine && !job.manifest.is_process() {
        return Err(Stop::Refused("has no container engine (--no-engine)".to_owned()));
    }
    let preparing = report::Kind::Preparing(v1::Preparing {});
    agent.line.outbox.step(held.id(), preparing);
    let volumes = volumes(agent, job, &|note| held.note(note)).await?;
    for copy in &volumes.1 {
        copy.left_out.iter().for_each(|left_out| held.remark(left_out.clone()));
    }
    let image = &job.manifest.image;
    let note = |note: String| held.note(note);
    note(format!("getting the image {image}"));
    let platform = job.manifest.sandbox.platform.as_ref().map(ToString::to_string);
    let wanted = ImageRequest { platform: platform.as_deref(), pull: job.manifest.sandbox.pull() };
    allow(agent, job, held.assignment.image_pin.as_deref()).await?;
    let pin = match &held.assignment.image_pin {
        Some(pin) => pin.clone(),
        None => {
            // As long as nobody has ever got it, it is as likely that it does not exist.
            let resolved = agent.stock.images.resolve(image, &wanted, &note).await;
            let found = resolved.map_err(|error| Stop::Failed(error.reason()))?;
            let pin = pin_image(agent, held, found).await?;
            // Another agent may have found something else.
            allow(agent, job, Some(&pin)).await?;
            pin
        }
    };
    let facts = agent.stock.images.ensure(&pin, &wanted, &note).await.map_err(|error| match error {
        // Another machine has it.
        Error::NoSuchImage { message, .. } if is_id(&pin) || wanted.pull == Pull::Never => {
            Stop::Refused(format!("does not have {image}: {message}"))
        }
        // Another machine has had it from its registry.
        error => Stop::Hindered(error.reason()),
    })?;
    facts.check_platform()?;
    let assembly = assemble(agent, &held.assignment, job, (pin, facts), volumes).await?;
    held.note("");
    Ok(assembly)
}

/// Gets the image, and creates and starts the container.
pub(super) async fn prepare(agent: &Agent, held: &Held, job: &Job, gpus: &[u32]) -> Result<(), Stop> {
    let assembly = assemble_for(agent, held, job).await?;
    if !gpus.is_empty() {
        held.dir.note_gpus(gpus).map_err(agents_fault)?;
    }
    let mut spec = assembly.spec(&agent.site, &held.assignment, job, &held.dir, gpus)?;
    secrets::give(agent, held, job, &assembly, &mut spec).await?;
    gateway::shut(&agent.site, &held.dir, &assembly.facts, &mut spec)?;
    // A later run of the agent must not start it again.
    let noted = async { held.dir.write_starting().await.map_err(agents_fault) };
    start_noted(agent, &spec, noted).await.map_err(|stop| secrets::without_shell(job, stop))?;
    held.dir.note_started();
    report_running(agent, held, assembly.facts.id);
    Ok(())
}

/// Gets all that a job's container needs, for a user who wants to look around in it. The assembly is to be held until the
/// container is made.
pub(crate) async fn prepare_debug(
    agent: &Agent,
    assignment: &Assignment,
    job: &Job,
    dir: &AttemptDir,
    gpus: &[u32],
) -> anyhow::Result<(ContainerSpec, Assembly)> {
    let told = |stop: Stop| match stop {
        Stop::Refused(why) => anyhow::anyhow!("the agent {why}"),
        Stop::Failed(reason) | Stop::Hindered(reason) => anyhow::anyhow!("{reason}"),
        Stop::Halted(_) => anyhow::anyhow!("the agent stops"),
    };
    anyhow::ensure!(
        !job.manifest.is_process(),
        "the job is a process (`driver: process`) and has no container to look around in"
    );
    let volumes = volumes(agent, job, &|_| {}).await.map_err(told)?;
    let platform = job.manifest.sandbox.platform.as_ref().map(ToString::to_string);
    let wanted = ImageRequest { platform: platform.as_deref(), pull: job.manifest.sandbox.pull() };
    allow(agent, job, assignment.image_pin.as_deref()).await.map_err(told)?;
    let image = assignment.image_pin.as_ref().unwrap_or(&job.manifest.image);
    let facts = agent.stock.images.ensure(image, &wanted, &|_| {}).await?;
    let pin = facts.id.clone();
    let assembly = assemble(agent, assignment, job, (pin, facts), volumes).await.map_err(told)?;
    let spec = assembly.spec(&agent.site, assignment, job, dir, gpus);
    Ok((spec.map_err(|reason| anyhow::anyhow!("{reason}"))?, assembly))
}

pub(super) fn report_running(agent: &Agent, held: &Held, image_id: String) {
    held.note_image(&image_id);
    let manifest = agent.manifests.of(&held.assignment);
    // There is no image in which to look for what a process uses.
    if let Ok(manifest) = manifest.as_ref().map(|known| known.as_ref())
        && !manifest.is_process()
    {
        agent.stock.software.note(&image_id, &manifest.command);
    }
    agent.line.outbox.step(held.id(), report::Kind::Running(v1::Running { image_id }));
}

/// The job's volumes, found among what is offered, seen to be of use to its user, and cut where its manifest asks for it;
/// with the copies that were made for that.
async fn volumes(
    agent: &Agent,
    job: &Job,
    note: &(dyn Fn(String) + Sync),
) -> Result<(Vec<Mounted>, Vec<CutCopy>), Stop> {
    if let Some(why) = gateway::refusal(&agent.site.offer, &job.manifest.network) {
        return Err(Stop::Refused(why));
    }
    let found = mountpoints::find(&*agent.site.engine, &agent.site.offer, job, agent.site.identity).await;
    let mut found = found.map_err(|error| match error {
        mountpoints::Error::Engine(error) => error.into(),
        error => Stop::Refused(error.to_string()),
    })?;
    let copies = cut_volumes(&agent.site, &agent.stock.cuts, job, &mut found, note).await;
    let copies = copies.map_err(|error| match error {
        // No other machine could, and no further try.
        cuts::Error::Data(why) => Stop::Failed(Reason::Manifest(why)),
        cuts::Error::Machine(why) => Stop::Refused(why),
    })?;
    Ok((found, copies))
}

/// Puts a container of the job together, with the job's own cache or the one that its sweep shares here.
async fn assemble(
    agent: &Agent,
    assignment: &Assignment,
    job: &Job,
    image: (String, ImageFacts),
    mut volumes: (Vec<Mounted>, Vec<CutCopy>),
) -> Result<Assembly, Stop> {
    let site = &agent.site;
    let laid = agent.stock.overlays.mounted(&job.manifest.sandbox.dev_mounts).await;
    volumes.0.extend(laid.map_err(|error| Stop::Hindered(Reason::Agent(format!("{error:#}"))))?);
    let (uid, gid) = job.user(site.identity).unwrap_or(site.identity.ids);
    let sweep = assignment.sweep;
    let cache = match &job.manifest.sandbox.cache {
        Some(_) => site.state.cache(&job.manifest.image, uid, gid),
        None if agent.caches.has(sweep) => Ok(site.state.shared_cache_dir(sweep, uid, gid)),
        None => site.state.shared_cache(sweep, uid, gid).inspect(|_| agent.caches.made(sweep)),
    };
    let cache = cache.map_err(agents_fault)?;
    let assembly = Assembly::new(site, &agent.stock.looks, job, image, volumes, cache).await;
    assembly.map_err(|error| match error {
        Misplaced::Volume(why) => Stop::Refused(why),
        Misplaced::Image(why) => Stop::Failed(Reason::Image(why)),
    })
}

/// Refuses an image that the machine's owner does not allow, whatever a coordinator says. A process has none.
async fn allow(agent: &Agent, job: &Job, pin: Option<&str>) -> Result<(), Stop> {
    if job.manifest.is_process() {
        return Ok(());
    }
    match agent.stock.images.refusal(&job.manifest.image, pin).await? {
        None => Ok(()),
        Some(why) => Err(Stop::Refused(why)),
    }
}

/// Asks until a coordinator has answered which image the sweep runs. An attempt that was taken away is halted meanwhile.
async fn pin_image(agent: &Agent, held: &Held, image: String) -> Result<String, Stop> {
    loop {
        let connection = agent.line.link.connection().await;
        let request = v1::PinImageRequest {
            agent_id: agent.site.identity.agent.to_string(),
            session: connection.session,
            attempt: Some(held.id().to_string()),
            image: Some(image.clone()),
            ..v1::PinImageRequest::default()
        };
        match AgentsClient::new(connection.channel).pin_image(request).await {
            Ok(reply) => return Ok(reply.into_inner().image),
            Err(error) if error.code() == Code::FailedPrecondition => {
                return Err(Stop::Refused(format!(
                    "has an image that the coordinator refuses: {}",
                    error.message()
                )));
            }
            Err(error) => {
                held.note(format!("asking which image the sweep runs: {}", error.message()));
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}
