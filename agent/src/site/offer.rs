//! What this machine offers to jobs, read from the settings and checked before anything starts.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, anyhow, bail, ensure};
use bt_engine::machine::{ARCHITECTURE, Machine, cgroup_version};
use bt_engine::sizing::Sizing;
use bt_engine::volumes::{MountSource, Volumes};
use bt_engine::{Abilities, Engine, SharedPaths};
use bt_model::image_policy::AllowedImages;
use bt_model::manifest::{HostPort, LEAST_MEMORY, parse_size};
use bt_model::placement::{ADDRESS_LABEL, DRIVER_LABEL, address_label, process_label};
use bt_model::resources::{ByteSize, Resources};
use tracing::warn;

use crate::config::Options;
use crate::site::rights;
use crate::site::secrets::HeldSecrets;

/// The part of the free disk that is not offered: a tenth.
const DISK_RESERVE_PART: u64 = 10;

/// All that is offered.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) name: String,
    pub(crate) capacity: Resources,
    /// Linux's numbers of the cpus that jobs can have for themselves.
    pub(crate) cores: Vec<u32>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) volumes: Volumes,
    pub(crate) sizing: Sizing,
    /// Jobs may ask for a network.
    pub(crate) network: bool,
    /// Jobs may be processes outside of any container.
    pub(crate) processes: bool,
    /// Addresses that jobs reach if they ask for them.
    pub(crate) addresses: BTreeSet<HostPort>,
    /// Images that run here.
    pub(crate) images: AllowedImages,
    pub(crate) secrets: HeldSecrets,
    /// What the engine can mount; known once it has been asked.
    pub(crate) shared: SharedPaths,
}

impl Offer {
    /// `free_disk` is what is free where results directories are made.
    pub(crate) fn read(options: &Options, machine: &Machine, free_disk: u64) -> anyhow::Result<Self> {
        ensure!(
            cfg!(target_pointer_width = "64"),
            "agents run on 64-bit machines only; this program is a 32-bit one"
        );
        let name = options.name.clone().unwrap_or_else(|| machine.host_name.clone());
        ensure!(!name.is_empty(), "the agent needs a name: give one with --name");
        let cpu_millis = match options.cpus {
            None => u64::from(machine.cpus) * 1000,
            Some(cpus) if cpus.is_finite() && (0.001..=100_000.0).contains(&cpus) => {
                (cpus * 1000.0).round() as u64
            }
            Some(cpus) => bail!("--cpus is {cpus}; it must be a positive number of cpus"),
        };
        let memory_bytes = match &options.memory {
            None => machine.memory_bytes,
            Some(text) => parse_size(text).context("read --memory")?,
        };
        let disk_bytes = match &options.disk {
            None => free_disk - free_disk / DISK_RESERVE_PART,
            Some(text) => parse_size(text).context("read --disk")?,
        };
        // Every machine says what it is; its owner may say otherwise.
        let mut labels = BTreeMap::from(
            [("os", std::env::consts::OS), ("arch", ARCHITECTURE)]
                .map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
        for text in &options.labels {
            let (key, value) = label(text)?;
            if let Some(other) = labels.get(&key) {
                bail!(
                    "the label {key} is {other} already; an agent has one value of each, and sets os and arch itself"
                );
            }
            labels.insert(key, value);
        }
        let network = if options.allow_network { "bridge" } else { "none" };
        let named = labels.insert("network".to_owned(), network.to_owned());
        ensure!(named.is_none(), "the label network is the agent's own: --allow-network sets it to bridge");
        ensure!(
            !labels.keys().any(|label| label.starts_with(ADDRESS_LABEL)),
            "labels that begin with {ADDRESS_LABEL} are the agent's own: --allow-address sets them"
        );
        ensure!(
            !labels.keys().any(|label| label.starts_with(DRIVER_LABEL)),
            "labels that begin with {DRIVER_LABEL} are the agent's own: --allow-process sets them"
        );
        labels.extend(options.allow_process.then(process_label));
        labels.extend(options.allow_addresses.iter().map(|address| address_label(&address.to_string())));
        let offered = u32::try_from(cpu_millis.div_ceil(1000)).unwrap_or(u32::MAX);
        let mut sizing = Sizing::of(machine.total_bytes, offered);
        if let Some(text) = &options.job_memory {
            sizing.memory_bytes = parse_size(text).context("read --job-memory")?;
            ensure!(
                sizing.memory_bytes >= LEAST_MEMORY,
                "--job-memory is {text}; no container starts with so little"
            );
        }
        if options.job_memory.is_none() {
            sizing.memory_bytes = sizing.memory_bytes.min(memory_bytes);
        }
        if let Some(jobs) = options.max_jobs {
            sizing.max_jobs = jobs;
        }
        let gpus = options.gpus.unwrap_or(machine.gpus);
        Ok(Self {
            name,
            capacity: Resources { cpu_millis, memory_bytes, gpus, disk_bytes, jobs: sizing.max_jobs },
            cores: machine.cores.clone(),
            labels,
            volumes: Volumes::read(&options.volumes, &options.host_paths)?,
            sizing,
            network: options.allow_network,
            processes: options.allow_process,
            addresses: options.allow_addresses.iter().cloned().collect(),
            images: AllowedImages::new(options.allow_images.clone()),
            secrets: HeldSecrets::read(&options.secrets)?,
            shared: SharedPaths::default(),
        })
    }
}

impl Offer {
    /// What only people want to know.
    pub(crate) fn about(&self) -> BTreeMap<String, String> {
        let facts = [
            ("default_threads", self.sizing.threads.to_string()),
            ("default_memory", ByteSize(self.sizing.memory_bytes).to_string()),
            ("default_shm", ByteSize(self.sizing.shm_bytes).to_string()),
            ("cgroup", cgroup_version().to_owned()),
            ("network", if self.network { "bridge" } else { "none" }.to_owned()),
            ("process_jobs", if self.processes { "allowed" } else { "not allowed" }.to_owned()),
            ("addresses", shown(&self.addresses)),
            ("images", if self.images.are_all() { "all".to_owned() } else { self.images.to_string() }),
        ];
        facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Tries with the engine what is offered, so that no job finds out.
    pub(crate) async fn check_at(&mut self, engine: &dyn Engine, options: &Options) -> anyhow::Result<()> {
        if let Some(abilities) = engine.abilities().await? {
            if options.gpus.is_none() && self.capacity.gpus > 0 && !abilities.has_gpus {
                warn!(
                    gpus = self.capacity.gpus,
                    "the machine has gpus, and none are offered: the container engine lacks NVIDIA's container toolkit"
                );
                self.capacity.gpus = 0;
            }
            self.check_against(&abilities, options.oci_runtime.as_deref())?;
            self.shared = abilities.shared;
            if !self.addresses.is_empty() {
                rights::check().map_err(|why| {
                    anyhow!(
                        "jobs may reach {} (--allow-address), and {why}: run the agent as root, or give it these rights (systemd: \
                         AmbientCapabilities), or leave --allow-address out",
                        shown(&self.addresses)
                    )
                })?;
            }
        }
        for (name, volume) in self.volumes.iter() {
            if let MountSource::Path(path) = &volume.source {
                self.shared.check(&format!("the volume {name}"), path).map_err(anyhow::Error::msg)?;
            }
            if let MountSource::Engine(source) = &volume.source {
                let found = engine.volume(source).await?;
                ensure!(
                    found.is_some(),
                    "the volume {name} is offered from the engine's volume {source}, which is not there; make it first \
                     (`docker volume create {source}`)"
                );
            }
        }
        Ok(())
    }

    fn check_against(&self, engine: &Abilities, runtime: Option<&str>) -> anyhow::Result<()> {
        let Resources { cpu_millis, memory_bytes, gpus, .. } = self.capacity;
        if let Some(cpus) = engine.cpus {
            ensure!(
                cpu_millis <= u64::from(cpus) * 1000,
                "--cpus is {}, and the container engine has {cpus}: it would refuse a job that asks for more. Offer {cpus} at \
                 most; jobs that need less than a cpu can ask for a part of one (`cpus: 0.25`)",
                cpu_millis as f64 / 1000.0
            );
        }
        if let Some(memory) = engine.memory_bytes {
            ensure!(
                memory_bytes <= memory,
                "--memory is {}, and the container engine's machine has {}; offer that at most",
                ByteSize(memory_bytes),
                ByteSize(memory)
            );
        }
        ensure!(
            self.sizing.memory_bytes <= memory_bytes,
            "a job that asks for no memory gets {} (--job-memory), which is more than the {} that are offered (--memory): none \
             would ever start",
            ByteSize(self.sizing.memory_bytes),
            ByteSize(memory_bytes)
        );
        if let Some(runtime) = runtime {
            // A shim is named by its own name or path, and listed by no engine.
            let is_shim = runtime.contains(['.', '/']);
            let known = engine.runtimes.iter().any(|known| known == runtime);
            let mut names: Vec<_> = engine.runtimes.iter().map(String::as_str).collect();
            names.sort_unstable();
            ensure!(
                is_shim || known || names.is_empty(),
                "the container engine has no OCI runtime {runtime} (--oci-runtime); it has {}. Docker learns of one by `runtimes` \
                 in /etc/docker/daemon.json",
                names.join(", ")
            );
        }
        ensure!(
            gpus == 0 || engine.has_gpus,
            "{gpus} gpus are offered (--gpus), which the container engine can't give to containers: install NVIDIA's container \
             toolkit and restart the engine, or offer none with --gpus 0"
        );
        ensure!(
            !self.network || engine.has_bridge,
            "jobs may have a network (--allow-network), and the container engine has no network `bridge`: start the engine \
             with one, or leave --allow-network out"
        );
        Ok(())
    }
}

fn shown(addresses: &BTreeSet<HostPort>) -> String {
    let shown: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}

fn label(text: &str) -> anyhow::Result<(String, String)> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => bail!("the label {text:?} is not of the form KEY=VALUE"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(change: impl FnOnce(&mut Offer)) -> Offer {
        let mut offer = Offer {
            name: "a".to_owned(),
            capacity: Resources { cpu_millis: 2000, memory_bytes: 4 << 30, ..Resources::default() },
            cores: vec![0, 1],
            labels: BTreeMap::new(),
            volumes: Volumes::default(),
            sizing: Sizing::of(4 << 30, 2),
            network: false,
            processes: false,
            addresses: BTreeSet::new(),
            images: AllowedImages::default(),
            secrets: HeldSecrets::default(),
            shared: SharedPaths::default(),
        };
        change(&mut offer);
        offer
    }

    #[test]
    fn what_the_engine_can_not_do_is_not_offered() {
        let engine = Abilities {
            shared: SharedPaths::default(),
            cpus: Some(2),
            memory_bytes: Some(4 << 30),
            runtimes: vec!["runc".to_owned(), "crun".to_owned()],
            has_bridge: false,
            has_gpus: false,
        };
        let told = |offer: Offer, runtime: Option<&str>| {
            offer.check_against(&engine, runtime).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert_eq!(told(offer(|_| ()), None), "");
        assert_eq!(told(offer(|_| ()), Some("crun")), "");
        assert_eq!(told(offer(|_| ()), Some("io.containerd.runsc.v1")), "");
        for (offer, runtime, words) in [
            (
                offer(|offer| offer.capacity.cpu_millis = 8000),
                None,
                "--cpus is 8, and the container engine has 2",
            ),
            (offer(|offer| offer.capacity.memory_bytes = 8 << 30), None, "--memory is 8 GiB"),
            (offer(|offer| offer.sizing.memory_bytes = 5 << 30), None, "(--job-memory)"),
            (offer(|_| ()), Some("nosuch"), "no OCI runtime nosuch (--oci-runtime); it has crun, runc"),
            (offer(|offer| offer.capacity.gpus = 1), None, "--gpus 0"),
            (offer(|offer| offer.network = true), None, "--allow-network"),
        ] {
            let told = told(offer, runtime);
            assert!(told.contains(words), "{told}");
        }
    }
}
