//! What the Engine says that it can do, to be held against what a machine's owner offers.

use std::path::{Path, PathBuf};

use bollard::query_parameters::{InspectContainerOptions, InspectNetworkOptions};

use crate::docker::fault::within;
use crate::docker::{Docker, READ_DEADLINE};
use crate::shared_paths::own_container;
use crate::{Abilities, Error, SharedPaths};

/// The network that jobs get which ask for one.
const BRIDGE: &str = "bridge";
/// Programs of NVIDIA's container toolkit; Docker looks for them when it starts.
const GPU_HOOKS: [&str; 2] = ["nvidia-container-runtime-hook", "nvidia-container-toolkit"];

impl Docker {
    pub(crate) async fn abilities(&self) -> Result<Abilities, Error> {
        let info = within("info", READ_DEADLINE, None, self.client.info()).await?;
        let options = None::<InspectNetworkOptions>;
        let bridge =
            within("network", READ_DEADLINE, None, self.client.inspect_network(BRIDGE, options)).await;
        let has_bridge = match bridge {
            Ok(_) => true,
            // Podman calls its own another name, and takes this one for it.
            Err(Error::Engine { status: Some(404), .. }) => self.podman,
            Err(error) => return Err(error),
        };
        let runtimes: Vec<_> = info.runtimes.unwrap_or_default().into_keys().collect();
        let has_cdi = info.cdi_spec_dirs.is_some_and(|dirs| dirs.iter().any(|dir| has_entries(dir)));
        Ok(Abilities {
            cpus: info.ncpu.and_then(|cpus| u32::try_from(cpus).ok()).filter(|cpus| *cpus > 0),
            memory_bytes: info
                .mem_total
                .and_then(|bytes| u64::try_from(bytes).ok())
                .filter(|bytes| *bytes > 0),
            has_gpus: has_cdi || runtimes.iter().any(|name| name == "nvidia") || has_program(&GPU_HOOKS),
            has_bridge,
            runtimes,
            shared: self.shared_paths().await?,
        })
    }

    /// If this process runs in a container of another engine, both see the same files as this one does.
    async fn shared_paths(&self) -> Result<SharedPaths, Error> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let Some(own) = own_container(&mounts) else { return Ok(SharedPaths::default()) };
        let options = None::<InspectContainerOptions>;
        let found =
            match within("inspect", READ_DEADLINE, None, self.client.inspect_container(own, options)).await {
                Ok(found) => found,
                Err(Error::Engine { status: Some(404), .. }) => return Ok(SharedPaths::default()),
                Err(error) => return Err(error),
            };
        let mounts = found.mounts.unwrap_or_default().into_iter();
        let same = mounts.filter(|mount| mount.source == mount.destination).filter_map(|mount| mount.source);
        Ok(SharedPaths::only(same.map(PathBuf::from).collect()))
    }
}

fn has_entries(dir: &str) -> bool {
    std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some())
}

fn has_program(names: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/bin", "/usr/local/bin"].map(|dir| Path::new(dir).to_owned()))
        .any(|dir| names.iter().any(|name| dir.join(name).is_file()))
}
