//! What this machine offers to jobs, read from the settings and checked before anything starts.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use bt_model::manifest::{LEAST_MEMORY, parse_size};
use bt_model::resources::Resources;

use crate::config::Options;
use crate::engine::Engine;
use crate::machine::{ARCHITECTURE, Machine};
use crate::sizing::Sizing;
use crate::volumes::{Source, Volumes};

/// The part of the free disk that is not offered: a tenth.
const DISK_RESERVE_PART: u64 = 10;

/// All that is offered.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) name: String,
    pub(crate) capacity: Resources,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) volumes: Volumes,
    pub(crate) sizing: Sizing,
    /// Jobs may ask for a network.
    pub(crate) network: bool,
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
            labels.insert(key, value);
        }
        let network = if options.allow_network { "bridge" } else { "none" };
        let named = labels.insert("network".to_owned(), network.to_owned());
        ensure!(named.is_none(), "the label network is the agent's own: --allow-network sets it to bridge");
        let offered = u32::try_from(cpu_millis.div_ceil(1000)).unwrap_or(u32::MAX);
        let mut sizing = Sizing::of(machine.total_bytes, offered);
        if let Some(text) = &options.job_memory {
            sizing.memory_bytes = parse_size(text).context("read --job-memory")?;
            ensure!(
                sizing.memory_bytes >= LEAST_MEMORY,
                "--job-memory is {text}; no container starts with so little"
            );
        }
        if let Some(jobs) = options.max_jobs {
            sizing.max_jobs = jobs;
        }
        let gpus = options.gpus.unwrap_or(machine.gpus);
        Ok(Self {
            name,
            capacity: Resources { cpu_millis, memory_bytes, gpus, disk_bytes, jobs: sizing.max_jobs },
            labels,
            volumes: Volumes::read(&options.volumes, &options.host_paths)?,
            sizing,
            network: options.allow_network,
        })
    }
}

impl Offer {
    /// Sees to it that the engine has the volumes that are offered from it.
    pub(crate) async fn check_at(&self, engine: &Engine) -> anyhow::Result<()> {
        for (name, volume) in self.volumes.iter() {
            if let Source::Engine(source) = &volume.source {
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
}

fn label(text: &str) -> anyhow::Result<(String, String)> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => bail!("the label {text:?} is not of the form KEY=VALUE"),
    }
}
