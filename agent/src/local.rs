//! One job on this machine, without a coordinator: in the same container as an agent would make, with its outputs left in
//! a directory.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use backon::Retryable;
use bt_engine::volumes::Volumes;
use bt_engine::{ContainerSpec, Engine, Error, ImageFacts, Sample, collect, machine};
use bt_model::id::{AgentId, AttemptId, SweepId};
use bt_model::log::LogLine;
use bt_model::manifest::{Manifest, Network, Pull, VolumeFiles, VolumeMount};
use bt_model::parameters::Parameters;
use bt_model::reason::Reason;
use bt_store::overlay::PackedDir;
use futures_util::StreamExt;
use jiff::Timestamp;

use crate::assembly::Assembly;
use crate::attempt;
use crate::batch;
use crate::config::Options;
use crate::gateway::{self, Way};
use crate::job::container::Job;
use crate::job::mountpoints;
use crate::job::secrets::{self, NoSecrets};
use crate::record::assignment::{Assignment, Manifests};
use crate::record::ending::{Halt, Outcome, outcome};
use crate::record::masks::Masks;
use crate::record::usage::Usage;
use crate::runner::{Finished, Meter, Running, keep_lines};
use crate::site::Site;
use crate::site::identity::Identity;
use crate::site::offer::Offer;
use crate::site::workdir::StateDir;
use crate::stock::cuts::{self, Cuts, cut_volumes};
use crate::stock::images;
use crate::stock::looks::Looks;
use crate::stock::overlays;

/// Bytes of what a failed job printed last in which it says why.
const LAST_WORDS: usize = 16 << 10;
/// How often it is looked at what the job uses.
const LOOK: Duration = Duration::from_millis(100);
/// Where the job finds the directory that was given as its input.
const INPUT: &str = "/input";

/// A job to be tried.
#[derive(Debug)]
pub struct LocalJob {
    pub manifest: Manifest,
    pub number: u32,
    pub parameters: Parameters,
    /// A directory that the job reads, besides its volumes.
    pub input: Option<PathBuf>,
    /// What its dev mounts hold, by where it finds them.
    pub laid: Vec<(String, PackedDir)>,
}

/// What happens on the way.
#[derive(Debug)]
pub enum LocalEvent {
    Note(String),
    Line(LogLine),
}

/// How it ended.
#[derive(Debug)]
pub struct LocalEnd {
    /// Nothing: it succeeded.
    pub reason: Option<Reason>,
    /// Paths and sizes of its outputs.
    pub outputs: Vec<(String, u64)>,
    /// Outputs that an agent would leave out, and why.
    pub skipped: Vec<String>,
    pub peak_memory_bytes: Option<u64>,
    pub cpu_micros: Option<u64>,
    pub image_id: String,
}

/// The files of a volume that is offered here.
pub fn volume_files(options: &Options, from: &VolumeFiles) -> anyhow::Result<Vec<String>> {
    let volumes = Volumes::read(&options.volumes, &options.host_paths)?;
    volumes.files(&from.volume, &from.glob).map_err(|why| anyhow!("this machine {why}"))
}

/// Runs a job to its end; its outputs are copied into `out`. `stop` ends it early.
pub async fn run_local(
    options: &Options,
    job: LocalJob,
    out: &Path,
    stop: impl Future<Output = ()>,
    tell: impl Fn(LocalEvent) + Sync,
) -> anyhow::Result<LocalEnd> {
    let LocalJob { mut manifest, number, parameters, input, laid } = job;
    ensure!(
        !manifest.is_process(),
        "jobs of `driver: process` run on agents that allow it (btctl agent --allow-process); here, start the command itself"
    );
    let mut options = options.clone();
    if let Some(dir) = input {
        let dir = std::path::absolute(&dir).with_context(|| format!("find {}", dir.display()))?;
        options.volumes.push(format!("btctl-input={}:ro", dir.display()));
        let volume = "btctl-input".to_owned();
        let mount = VolumeMount { volume, target: INPUT.to_owned(), read_only: true };
        manifest.volumes.insert(0, mount);
        manifest.admit().context("mount the input")?;
    }
    let mut offer = Offer::read(&options, &machine::detect(), u64::MAX)?;
    let engine = options.find_engine().await?;
    let version = engine.version().await?;
    // The machine is the user's own: a network is theirs to give.
    offer.network = manifest.network == Network::Bridge;
    if let Some(missing) =
        manifest.network.addresses().iter().find(|address| !offer.addresses.contains(address))
    {
        bail!(
            "the job asks for the network address {missing}; let it reach that with --allow-address {missing}"
        );
    }
    offer.check_at(&*engine, &options).await?;
    let place = tempfile::Builder::new().prefix("btctl-run-").tempdir().context("make a directory")?;
    // The container's user must get through to the results.
    fs::set_permissions(place.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
    let state = StateDir::open(&place.path().join("state"))?;
    let site = Site::new(options, Identity::of(AgentId::random()), offer, (engine, version), state)?;
    let engine = &*site.engine;
    let assignment =
        Assignment::local(AttemptId::random(), SweepId::random(), number, &manifest, &parameters);
    let id = assignment.attempt;
    let dir = site.state.attempt(id);
    dir.make()?;
    let job = Job::read(&assignment, &Manifests::default()).map_err(failed)?;
    let facts = image(engine, &job.manifest, &tell).await?;
    facts.check_platform()?;
    let mut volumes =
        mountpoints::find(engine, &site.offer, &job, site.identity).await.map_err(not_mounted)?;
    // Made for this job alone, and removed with its directory.
    let cuts = Cuts::new(&site.state);
    let note = |text: String| {
        if !text.is_empty() {
            tell(LocalEvent::Note(text));
        }
    };
    let copies = cut_volumes(&site, &cuts, &job, &mut volumes, &note).await;
    let copies = copies.map_err(|error| match error {
        cuts::Error::Data(why) => anyhow::anyhow!("{why}"),
        cuts::Error::Machine(why) => anyhow::anyhow!("this machine {why}"),
    })?;
    copies.iter().filter_map(|copy| copy.left_out.clone()).for_each(note);
    for mount in &job.manifest.sandbox.dev_mounts {
        let packed =
            laid.iter().find(|(target, packed)| *target == mount.target && packed.sha256 == mount.hash());
        let (target, packed) = packed.with_context(|| {
            format!(
                "what the dev mount {0} holds is not here; give the directory: --dev-mount DIR:{0}",
                mount.target
            )
        })?;
        let dir = site.state.overlays().join(&mount.sha256);
        if !dir.exists() {
            overlays::keep(&packed.archive, &site.state.overlays(), &dir)
                .with_context(|| format!("the dev mount {target}"))?;
        }
        volumes.push(overlays::as_mounted(mount, dir));
    }
    // It begins empty: what agents keep there only saves time.
    let (uid, gid) = job.user(site.identity).unwrap_or(site.identity.ids);
    let cache = site.state.cache(&job.manifest.image, uid, gid)?;
    let image_id = facts.id.clone();
    let image = (image_id.clone(), facts);
    let assembly = Assembly::new(&site, &Looks::default(), &job, image, (volumes, copies), cache).await?;
    let gpus: Vec<u32> = (0..job.manifest.resources().gpus).collect();
    let mut spec = assembly.spec(&site, &assignment, &job, &dir, &gpus).map_err(failed)?;
    let ran = async {
        let masks = give_secrets(&site, &job, &assembly, &mut spec)?;
        gateway::shut(&site, &dir, &assembly.facts, &mut spec).map_err(failed)?;
        engine.create(&spec).await?;
        run(&site, &spec, &job, &dir.results(), masks, stop, &tell).await
    };
    let ran = ran.await;
    // Whatever became of it, nothing is left.
    let removed = engine.remove(id).await;
    site.secrets.remove(id);
    site.secrets.close();
    let (Finished { exit, halt }, usage, words) = ran?;
    removed?;
    let mut skipped = Vec::new();
    let (results, judged) = match job.points.first() {
        None => (dir.results(), outcome(&exit, halt.as_ref())),
        // The job is called as a batch of one point.
        Some(point) => {
            let reports = batch::read(&dir.results(), |job| job == point.job);
            skipped.extend(reports.trouble);
            let told = attempt::Told { exit: &exit, halt: halt.as_ref(), several: false };
            let judged = attempt::verdict(&told, reports.of.get(&point.job).copied(), &job.manifest.results);
            (dir.results().join(point.name()), judged)
        }
    };
    let reason = match judged {
        Outcome::End(ending) => match ending.reason() {
            Some(reason) if attempt::is_out_of_processes(&reason, &words) => Some(Reason::Nproc),
            Some(reason) => Some(reason),
            None => bail!("stopped"),
        },
        Outcome::Publish => attempt::read_metrics(&results, &job.manifest).err(),
        _ => bail!("stopped"),
    };
    let listing = collect::list(&results)?;
    let mut outputs = Vec::new();
    for output in &listing.outputs {
        let target = out.join(&output.path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
        }
        let mut from = collect::open(&results, &output.path)?;
        let mut to = fs::File::create(&target).with_context(|| format!("write {}", target.display()))?;
        let size =
            std::io::copy(&mut from, &mut to).with_context(|| format!("write {}", target.display()))?;
        outputs.push((output.path.clone(), size));
    }
    skipped.extend(
        listing.skipped.iter().map(|skipped| format!("{} is left out: {}", skipped.path, skipped.why)),
    );
    collect::remove_tree(place.path());
    let Usage { peak_memory_bytes, cpu_micros, .. } = usage;
    Ok(LocalEnd { reason, outputs, skipped, peak_memory_bytes, cpu_micros, image_id })
}

fn failed(reason: Reason) -> anyhow::Error {
    anyhow::anyhow!("{reason}")
}

fn not_mounted(error: mountpoints::Error) -> anyhow::Error {
    match error {
        mountpoints::Error::NotOffered { volume, why } => anyhow::anyhow!(
            "this machine {why}; say where it is with --offer {}=DIR",
            volume.trim_start_matches('/')
        ),
        error => error.into(),
    }
}

async fn image(
    engine: &dyn Engine,
    manifest: &Manifest,
    tell: &impl Fn(LocalEvent),
) -> anyhow::Result<ImageFacts> {
    let (name, pull) = (&manifest.image, manifest.sandbox.pull());
    let found = engine.image(name).await?;
    let facts = match (found, pull) {
        (Some(facts), Pull::Missing | Pull::Never) => facts,
        (None, Pull::Never) => {
            bail!("the image {name} is not on this machine, and the manifest says `pull: never`")
        }
        _ => {
            let platform = manifest.sandbox.platform.as_ref().map(ToString::to_string);
            tell(LocalEvent::Note(format!("pulling the image {name}")));
            (|| engine.pull(name, platform.as_deref(), &|_| {}))
                .retry(images::patience())
                .when(|error: &Error| error.is_transient())
                .notify(|error, _| tell(LocalEvent::Note(format!("pulling the image {name} again: {error}"))))
                .await?;
            let found = engine.image(name).await?;
            found.with_context(|| format!("the image {name} was pulled, and is not there"))?
        }
    };
    Ok(facts)
}

/// Gives the job the secrets that were named with it. Says what is to be masked in its log.
fn give_secrets(
    site: &Site,
    job: &Job,
    assembly: &Assembly,
    spec: &mut ContainerSpec,
) -> anyhow::Result<Masks> {
    let asked = &job.manifest.sandbox.secrets;
    if asked.is_empty() {
        return Ok(Masks::default());
    }
    if let Some(missing) = asked.iter().find(|secret| site.offer.secrets.value(&secret.name).is_none()) {
        bail!(
            "the job asks for the secret {0}; say where its value is with --secret-file {0}=FILE",
            missing.name
        );
    }
    let told = |none: NoSecrets| match none {
        NoSecrets::Here(why) => anyhow!("this machine {why}"),
        NoSecrets::Anywhere(reason) => failed(reason),
    };
    let values = secrets::choose(site, job, Vec::new()).map_err(told)?;
    let image = (&assembly.inside, &assembly.facts);
    secrets::give(site, job, image, spec, &values).map_err(told)?;
    Ok(site.secrets.masks(spec.attempt))
}

async fn run(
    site: &Site,
    spec: &ContainerSpec,
    job: &Job,
    results: &Path,
    masks: Masks,
    stop: impl Future<Output = ()>,
    tell: &(impl Fn(LocalEvent) + Sync),
) -> anyhow::Result<(Finished, Usage, String)> {
    let engine = &*site.engine;
    let attempt = spec.attempt;
    engine.start(attempt).await?;
    gateway::open(site, Way::of(spec)).await.map_err(|why| anyhow!("this machine {why}"))?;
    let usage = RefCell::new(Usage::default());
    let mut words = VecDeque::new();
    let keeping = async {
        let kept = keep_lines(masks.mask(engine.logs(attempt, None)), |line| {
            words.extend(line.text.iter().copied());
            words.drain(..words.len().saturating_sub(LAST_WORDS));
            tell(LocalEvent::Line(line));
            Ok(())
        });
        if let Err(error) = kept.await {
            tell(LocalEvent::Note(format!("the log breaks off: {error}")));
        }
    };
    let before = Sample::default();
    let meter = Meter { limits: job.limits(&site.offer), began: Timestamp::now(), before };
    let measuring = meter.measure(engine, attempt, || LOOK, |used| usage.borrow_mut().add(used));
    let halt = async {
        tokio::select! {
            () = attempt::timed_out(job, Timestamp::now()) => Halt::Timeout,
            halt = attempt::results_exceeded(job, results) => halt,
            () = stop => Halt::TakenAway,
        }
    };
    let grace = job.stop_grace(site.options.stop_grace);
    let mut finished =
        Running::Container(attempt).to_its_end(engine, keeping, measuring, halt, grace).await?;
    if finished.halt.is_none() {
        finished.halt = attempt::left_too_much(job, results).await;
    }
    let words: Vec<u8> = words.into();
    Ok((finished, usage.into_inner(), String::from_utf8_lossy(&words).into_owned()))
}

/// An image of this machine's container engine, as it is handed in to a coordinator.
pub struct LocalImage {
    engine: Arc<dyn Engine>,
    name: String,
    /// `sha256:...`
    pub id: String,
    pub size_bytes: u64,
    pub facts: Vec<(&'static str, String)>,
    /// What a careful owner would change.
    pub warnings: Vec<String>,
}

impl LocalImage {
    /// Finds an image here.
    pub async fn find(name: &str) -> anyhow::Result<Self> {
        let engine = Options::unset().find_engine().await?;
        let details = engine.describe(name).await?;
        let details = details.with_context(|| {
            format!("there is not an image {name} on this machine; `docker images` lists them")
        })?;
        Ok(Self {
            engine,
            name: name.to_owned(),
            id: details.id,
            size_bytes: details.size_bytes,
            facts: details.facts,
            warnings: details.warnings,
        })
    }

    /// The image as `docker save` writes it.
    pub fn save(&self) -> impl futures_util::Stream<Item = anyhow::Result<bytes::Bytes>> + Send + 'static {
        // By name, so that it bears it where it is loaded.
        self.engine.save(&self.name).map(|piece| piece.map_err(anyhow::Error::from))
    }
}

/// What an agent would make of this machine, and what stands in the way.
pub struct Diagnosis {
    pub host: String,
    pub platform: String,
    pub cpus: u32,
    pub memory_bytes: u64,
    pub offered_memory_bytes: u64,
    pub gpus: u32,
    pub cgroup: &'static str,
    /// The container engine and its version; none if it can't be reached.
    pub engine: Option<String>,
    /// What a job gets that asks for nothing.
    pub default_threads: u64,
    pub default_memory_bytes: u64,
    pub default_shm_bytes: u64,
    pub max_jobs: u32,
    /// Containers of agents, by the agent's id.
    pub containers: BTreeMap<String, u32>,
    pub troubles: Vec<String>,
}

/// Looks at this machine as an agent would.
pub async fn diagnose(options: &Options) -> anyhow::Result<Diagnosis> {
    let machine = machine::detect();
    let mut offer = Offer::read(options, &machine, u64::MAX)?;
    let sizing = offer.sizing;
    let mut troubles = Vec::new();
    let mut version = None;
    let mut containers = BTreeMap::new();
    match options.find_engine().await {
        Ok(engine) => {
            version = Some(engine.version().await?);
            containers = engine.owners().await?;
            if let Err(error) = offer.check_at(&*engine, options).await {
                troubles.push(format!("{error:#}"));
            }
        }
        Err(error) => troubles.push(error.to_string()),
    }
    Ok(Diagnosis {
        host: machine.host_name.clone(),
        platform: format!("linux/{}", machine::ARCHITECTURE),
        cpus: machine.cpus,
        memory_bytes: machine.total_bytes,
        offered_memory_bytes: machine.memory_bytes,
        gpus: machine.gpus,
        cgroup: machine::cgroup_version(),
        engine: version,
        default_threads: sizing.threads,
        default_memory_bytes: sizing.memory_bytes,
        default_shm_bytes: sizing.shm_bytes,
        max_jobs: sizing.max_jobs,
        containers,
        troubles,
    })
}
