//! `btctl agents`: the machines that run jobs.

use bt_proto::v1;
use serde_json::json;

use crate::client::Client;
use crate::error::Error;
use crate::output::{Column, OutputArgs, Row, View, say, words};
use crate::settings::Settings;

/// Look at the agents.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Agents {
    /// List the agents: what each offers, what is free, and how it is.
    Ls(Ls),
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Ls {
    #[command(flatten)]
    output: OutputArgs,
}

impl Agents {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        match self {
            Self::Ls(ls) => ls.run(settings).await,
        }
    }
}

impl Ls {
    async fn run(self, settings: &Settings) -> Result<(), Error> {
        let agents = Client::connect(settings).await?.agents().await?;
        if agents.is_empty() {
            say("no agent has ever connected; start one with `btctl agent`");
        }
        let columns = vec![
            Column::always("name"),
            Column::always("state"),
            Column::always("running"),
            Column::always("cpus"),
            Column::always("free_cpus"),
            Column::always("memory"),
            Column::always("free_memory"),
            Column::always("gpus"),
            Column::always("labels"),
            Column::always("volumes"),
            Column::wide("id"),
            Column::wide("version"),
            Column::wide("engine"),
            Column::wide("last_seen"),
        ];
        let rows = agents.into_iter().map(row).collect::<Result<_, _>>()?;
        View { columns, rows }.print(self.output.output)
    }
}

fn row(agent: v1::Agent) -> Result<Row, Error> {
    let (capacity, free) = (agent.capacity.unwrap_or_default(), agent.free.unwrap_or_default());
    let mut labels: Vec<_> = agent.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    labels.sort_unstable();
    let json = json!({
        "id": agent.id,
        "name": agent.name,
        "state": agent.state,
        "capacity": words::resources_json(agent.capacity),
        "free": words::resources_json(agent.free),
        "running": agent.running,
        "labels": agent.labels,
        "volumes": agent.volumes,
        "version": agent.version,
        "engine": agent.engine,
        "last_seen": words::time(agent.last_seen.as_ref())?,
    });
    let cells = vec![
        agent.name.clone(),
        agent.state,
        agent.running.to_string(),
        words::cpus(capacity.cpu_millis),
        words::cpus(free.cpu_millis),
        words::size(capacity.memory_bytes),
        words::size(free.memory_bytes),
        capacity.gpus.to_string(),
        labels.join(","),
        agent.volumes.join(","),
        agent.id,
        agent.version,
        agent.engine,
        words::text(&words::time(agent.last_seen.as_ref())?),
    ];
    Ok(Row { cells, json, name: agent.name })
}
