//! What this machine offers to jobs, read from the settings and checked before anything starts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use bt_model::manifest::parse_size;
use bt_model::resources::Resources;

use crate::config::Options;
use crate::machine::Machine;

/// The part of the free disk that is not offered: a tenth.
const DISK_RESERVE_PART: u64 = 10;

/// A directory of the machine that jobs may mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OfferedVolume {
    pub(crate) source: PathBuf,
    pub(crate) read_only: bool,
}

/// All that is offered.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) name: String,
    pub(crate) capacity: Resources,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) volumes: BTreeMap<String, OfferedVolume>,
}

impl Offer {
    /// `free_disk` is what is free where results directories are made.
    pub(crate) fn read(options: &Options, machine: &Machine, free_disk: u64) -> anyhow::Result<Self> {
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
        let mut labels =
            BTreeMap::from([("os", std::env::consts::OS), ("arch", machine.arch)].map(|(key, value)| {
                let value = if key == "arch" { architecture(value) } else { value };
                (key.to_owned(), value.to_owned())
            }));
        for text in &options.labels {
            let (key, value) = label(text)?;
            labels.insert(key, value);
        }
        Ok(Self {
            name,
            capacity: Resources { cpu_millis, memory_bytes, gpus: options.gpus, disk_bytes },
            labels,
            volumes: volumes(&options.volumes)?,
        })
    }
}

/// The name that images have for an instruction set.
fn architecture(rust: &str) -> &str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn label(text: &str) -> anyhow::Result<(String, String)> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => bail!("the label {text:?} is not of the form KEY=VALUE"),
    }
}

fn volumes(texts: &[String]) -> anyhow::Result<BTreeMap<String, OfferedVolume>> {
    let mut volumes = BTreeMap::new();
    for text in texts {
        let (name, volume) = volume(text)?;
        let twice = volumes.insert(name.clone(), volume).is_some();
        ensure!(!twice, "the volume {name} is offered twice");
    }
    Ok(volumes)
}

/// Reads `NAME=DIR[:ro]`. The directory must exist: a missing one is never made, because an empty directory where data
/// should be is worse than an error.
fn volume(text: &str) -> anyhow::Result<(String, OfferedVolume)> {
    let form = || format!("the volume {text:?} is not of the form NAME=DIR[:ro]");
    let (name, rest) = text.split_once('=').with_context(form)?;
    let (dir, read_only) = match rest.rsplit_once(':') {
        Some((dir, "ro")) => (dir, true),
        Some((dir, "rw")) => (dir, false),
        _ => (rest, false),
    };
    let valid = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    ensure!(!name.is_empty() && name.chars().all(valid), form());
    ensure!(Path::new(dir).is_absolute(), "the volume {name} must name an absolute directory, not {dir:?}");
    let source =
        std::fs::canonicalize(dir).with_context(|| format!("find the directory {dir} of volume {name}"))?;
    ensure!(source.is_dir(), "the volume {name} is offered from {dir}, which is no directory");
    let forbidden = source == Path::new("/") || source.starts_with("/proc") || source.starts_with("/sys");
    ensure!(
        !forbidden,
        "the volume {name} can't be offered from {dir}: it would hand the whole machine to jobs"
    );
    Ok((name.to_owned(), OfferedVolume { source, read_only }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let told = match volume(text) {
            Ok((name, volume)) => format!("{name} {} {}", volume.source.display(), volume.read_only),
            Err(error) => format!("{error:#}"),
        };
        assert!(told.contains(expected), "{told}");
    }

    #[test]
    fn volumes_are_checked_before_anything_starts() {
        check("prices=/usr:ro", "prices /usr true");
        check("prices=/usr", "prices /usr false");
        check("prices", "NAME=DIR[:ro]");
        check("=/usr", "NAME=DIR[:ro]");
        check("p=usr", "absolute directory");
        check("p=/", "the whole machine");
        check("p=/usr/..", "the whole machine");
        check("p=/does/not/exist", "find the directory /does/not/exist of volume p");
        check("p=/etc/passwd", "no directory");
    }
}
