//! The one way out of a container without a network: an address that the machine's owner offers, and that the job names
//! (`network: {allow: [HOST:PORT]}`).
//!
//! The container has no network but its own loopback. A thread of the agent enters the container's network namespace,
//! listens there where the job looks for the address, and ends; what connects to these sockets is relayed to the address
//! by the agent, which stays outside. So a job reaches what the agent connects to and nothing else, whatever it tries. The
//! job's program waits at a gate until the sockets are there. All of it ends with the container's first process; an agent
//! that starts anew makes it again.

mod gate;
mod namespace;
mod netlink;
mod relay;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use bt_engine::ContainerSpec;
use bt_engine::volumes::MountSource;
use bt_model::id::AttemptId;
use bt_model::manifest::{HostPort, Network};
use tokio::net::TcpStream;

use crate::job::container::Job;
use crate::job::holdings::Held;
use crate::site::Site;
use crate::site::offer::Offer;
use crate::site::workdir::AttemptDir;

pub(crate) use gate::shut;

/// What is to be relayed for a container.
pub(crate) struct Way<'w> {
    pub(crate) container: AttemptId,
    pub(crate) reach: &'w [HostPort],
    /// What the container's program waits at.
    pub(crate) gate: Option<PathBuf>,
    /// The attempt that the container belongs to. Its log says when an address does not answer.
    pub(crate) held: Option<Arc<Held>>,
}

impl<'w> Way<'w> {
    /// Of a container that is being started.
    pub(crate) fn of(spec: &'w ContainerSpec) -> Self {
        let gate = spec.binds.iter().find(|bind| bind.target == gate::TARGET);
        let gate = gate.and_then(|bind| match &bind.source {
            MountSource::Path(path) => Some(path.clone()),
            MountSource::Engine(_) => None,
        });
        Self { container: spec.attempt, reach: &spec.reach, gate, held: None }
    }

    /// Of a container that an earlier run of the agent has started.
    pub(crate) fn again(container: AttemptId, job: &'w Job, dir: &AttemptDir) -> Self {
        Self { container, reach: job.manifest.network.addresses(), gate: Some(dir.gate()), held: None }
    }
}

/// Why a job can't have its network here; none if it can. It is the end of a sentence that begins with the agent's name.
pub(crate) fn refusal(offer: &Offer, network: &Network) -> Option<String> {
    if *network == Network::Bridge && !offer.network {
        return Some("offers no network (--allow-network)".to_owned());
    }
    let missing = network.addresses().iter().find(|address| !offer.addresses.contains(address))?;
    Some(format!("offers jobs no network address {missing} (--allow-address {missing})"))
}

/// Connects to a port of a container's own loopback.
pub(crate) async fn connect(site: &Site, container: AttemptId, port: u16) -> anyhow::Result<TcpStream> {
    let process = site.engine.process(container).await?;
    let connected = match process {
        Some(process) => namespace::connect(process, port).await?,
        None => None,
    };
    Ok(TcpStream::from_std(connected.context("the container has finished")?)?)
}

/// Opens a container's way out, and lets its program go on. If the container has finished, it does nothing. The error is the
/// end of a sentence that begins with the agent's name.
pub(crate) async fn open(site: &Site, way: Way<'_>) -> Result<(), String> {
    let Way { container, reach, gate, held } = way;
    if reach.is_empty() || !site.engine.mounts_files() {
        return Ok(());
    }
    // It may have been started anew with less to offer.
    if let Some(why) = refusal(&site.offer, &Network::Allow(reach.to_vec())) {
        return Err(why);
    }
    let told = |why: &dyn std::fmt::Display| format!("can't let the job reach {}: {why}", reach[0]);
    let process = site.engine.process(container).await.map_err(|error| told(&error))?;
    let Some(process) = process else { return Ok(()) };
    let Some(entered) = namespace::listen(process, reach).await.map_err(|error| told(&error))? else {
        return Ok(());
    };
    let gate = gate.filter(|gate| gate.exists()).map(|gate| gate::open(&gate)).transpose();
    let gate = gate.map_err(|error| told(&error))?;
    relay::begin(site, (container, held), entered, gate).map_err(|error| told(&error))
}
