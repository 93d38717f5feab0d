//! `btctl doctor`: what an agent would make of this machine, what stands in the way, and what is wrong with the cluster.

use bt_documents::{Machine, Sizing};

use crate::client::Client;
use crate::error::Error;
use crate::examination::examine;
use crate::output::{Cell, Json, OutputArgs, print, print_facts, print_findings, worst};
use crate::settings::Settings;
use crate::up;

/// Check this machine as an agent would, and the cluster: coordinator, Postgres, store, certificate, clocks, agents.
///
/// Each finding comes with what to do about it. It exits with 1 if an agent could not work here, or something does not work.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    output: OutputArgs,
}

impl Doctor {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let found = bt_agent::diagnose(&bt_agent::Options::unset()).await?;
        // Only `btctl up` needs it here.
        let postgres = up::installed_postgres().map(|place| place.display().to_string());
        let address = settings.coordinator.value.clone();
        let (mut agents, mut findings) = (None, Vec::new());
        if let Ok(client) = Client::connect(settings).await {
            let known = client.agents().await?;
            findings = examine(&client, &known, &found.containers).await;
            agents = Some(known.len());
        }
        let coordinator = match agents {
            Some(agents) => format!("{address} ({agents} agents)"),
            None => format!("no coordinator answers at {address}"),
        };
        let json = Json::of(&Machine {
            host: found.host.clone(),
            platform: found.platform.clone(),
            cpus: found.cpus,
            memory_bytes: found.memory_bytes,
            offered_memory_bytes: found.offered_memory_bytes,
            gpus: found.gpus,
            cgroup: found.cgroup.to_owned(),
            engine: found.engine.clone(),
            sizing: Sizing {
                threads: found.default_threads,
                memory_bytes: found.default_memory_bytes,
                shm_bytes: found.default_shm_bytes,
                max_jobs: found.max_jobs,
            },
            postgres: postgres.clone(),
            coordinator: coordinator.clone(),
            coordinator_agents: agents,
            troubles: found.troubles.clone(),
            findings: findings.clone(),
        })?;
        let facts = [
            ("host", Cell::text(found.host)),
            ("platform", Cell::text(found.platform)),
            ("cpus", Cell::number(found.cpus)),
            ("memory_bytes", Cell::Bytes(found.memory_bytes)),
            ("offered_memory_bytes", Cell::Bytes(found.offered_memory_bytes)),
            ("gpus", Cell::number(found.gpus)),
            ("cgroup", Cell::text(found.cgroup)),
            ("engine", found.engine.map_or(Cell::None, Cell::text)),
            ("default_threads", Cell::number(found.default_threads)),
            ("default_memory_bytes", Cell::Bytes(found.default_memory_bytes)),
            ("default_shm_bytes", Cell::Bytes(found.default_shm_bytes)),
            ("max_jobs", Cell::number(found.max_jobs)),
            ("postgres", postgres.map_or(Cell::Remark("not installed"), Cell::text)),
            ("coordinator", Cell::text(coordinator)),
        ];
        let troubles = found.troubles.iter().map(|trouble| ("trouble", Cell::text(trouble)));
        print_facts(facts.into_iter().chain(troubles), &json, self.output.output)?;
        if self.output.output.is_for_people() && !findings.is_empty() {
            print("")?;
            print_findings(&findings, self.output.output)?;
        }
        match found.troubles.into_iter().next() {
            None => worst(&findings),
            Some(first) => Err(Error::Failed(first)),
        }
    }
}
