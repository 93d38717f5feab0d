//! `btctl agents`: the machines that run jobs.

use std::collections::HashSet;
use std::time::Duration;

use bt_proto::{convert, v1};
use jiff::Timestamp;
use serde_json::json;

use crate::batch::Batch;
use crate::client::Client;
use crate::error::Error;
use crate::output::{Column, OutputArgs, Row, View, say, words};
use crate::settings::Settings;

/// Look at the agents, and take them out of service.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Agents {
    /// List the agents: what each offers, what is free, and how it is.
    Ls(Ls),
    /// Show all of one agent: what it offers, and what its jobs get that ask for nothing.
    Show(Show),
    /// Give agents no new jobs, even after a restart; running jobs continue.
    #[command(after_help = "Example:\n  btctl agents drain node7 --wait && ssh node7 sudo poweroff")]
    Drain(Drain),
    /// Give agents jobs again.
    Undrain(Undrain),
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Show {
    /// Its name, its id, or the beginning of its id.
    agent: String,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Drain {
    /// Names, ids or beginnings of ids.
    #[arg(required = true, value_name = "AGENT")]
    agents: Vec<String>,
    /// Return when none of their jobs runs any more.
    #[arg(long)]
    wait: bool,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Undrain {
    /// Names, ids or beginnings of ids.
    #[arg(required = true, value_name = "AGENT")]
    agents: Vec<String>,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Ls {
    /// Those as well that were not heard of for more than a day.
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl Agents {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        match self {
            Self::Ls(ls) => ls.run(settings).await,
            Self::Show(show) => show.run(settings).await,
            Self::Drain(drain) => drain.run(settings).await,
            Self::Undrain(undrain) => undrain.run(settings).await,
        }
    }
}

impl Show {
    async fn run(self, settings: &Settings) -> Result<(), Error> {
        let agents = Client::connect(settings).await?.agents().await?;
        let by_id = |agent: &&v1::Agent| self.agent.len() >= 4 && agent.id.starts_with(&self.agent);
        let found =
            agents.iter().find(|agent| agent.name == self.agent).or_else(|| agents.iter().find(by_id));
        let agent = found.cloned().ok_or_else(|| {
            Error::NotFound(format!("there is no agent {:?}; `btctl agents ls` lists them", self.agent))
        })?;
        let row = row(agent.clone())?;
        let titles = columns().into_iter().map(|column| column.title);
        let mut facts: Vec<_> = titles.zip(row.cells).collect();
        let mut about: Vec<_> = agent.about.into_iter().collect();
        about.sort_unstable();
        facts.extend(about);
        let mut fingerprints: Vec<_> = agent.volume_fingerprints.into_iter().collect();
        fingerprints.sort_unstable();
        facts.extend(fingerprints.into_iter().map(|(volume, digits)| {
            let told = if digits.is_empty() { "not known yet".to_owned() } else { digits };
            (format!("fingerprint of {volume}"), told)
        }));
        crate::output::print_facts(facts.into_iter(), &row.json, self.output.output)
    }
}

/// How often an agent that is being drained is looked at.
const LOOK: Duration = Duration::from_secs(1);

impl Drain {
    async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        let mut batch = Batch::of_named(self.agents.len());
        let mut busy = Vec::new();
        for name in &self.agents {
            let Some(agent) = batch.note(name, client.drain(name, false).await)? else { continue };
            let left = match agent.running {
                1 => "1 job is still running".to_owned(),
                jobs => format!("{jobs} jobs are still running"),
            };
            say(&format!("agent {}: no new jobs; {left}", agent.name));
            if agent.running > 0 {
                busy.push(agent.id);
            }
        }
        while self.wait && !busy.is_empty() {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = tokio::signal::ctrl_c() => return Err(Error::Interrupted),
            }
            let agents = client.agents().await?.into_iter();
            let running: HashSet<_> =
                agents.filter(|agent| agent.running > 0).map(|agent| agent.id).collect();
            busy.retain(|id| running.contains(id));
        }
        batch.finish()
    }
}

impl Undrain {
    async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        let mut batch = Batch::of_named(self.agents.len());
        for name in &self.agents {
            if let Some(agent) = batch.note(name, client.drain(name, true).await)? {
                say(&format!("agent {}: it gets jobs again", agent.name));
            }
        }
        batch.finish()
    }
}

impl Ls {
    async fn run(self, settings: &Settings) -> Result<(), Error> {
        let mut agents = Client::connect(settings).await?.agents().await?;
        if !self.all {
            agents.retain(is_recent);
        }
        if agents.is_empty() {
            say("no agent has ever connected; start one with `btctl agent`");
        }
        let rows = agents.into_iter().map(row).collect::<Result<_, _>>()?;
        View { columns: columns(), rows }.print(self.output.output)
    }
}

/// Cloud machines come and go; those that went are not of interest for long.
const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);

fn is_recent(agent: &v1::Agent) -> bool {
    let seen = agent.last_seen.as_ref().and_then(|time| convert::time(time).ok());
    let silent = seen.and_then(|seen| Duration::try_from(Timestamp::now().duration_since(seen)).ok());
    agent.state != "offline" || silent.is_none_or(|silent| silent < FORGOTTEN)
}

fn columns() -> Vec<Column> {
    let always = [
        "name",
        "state",
        "running",
        "cpus",
        "free_cpus",
        "memory",
        "free_memory",
        "gpus",
        "labels",
        "volumes",
    ];
    let wide = ["id", "version", "engine", "last_seen", "max_jobs", "disk", "free_disk"];
    always.map(Column::always).into_iter().chain(wide.map(Column::wide)).collect()
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
        "default_memory_bytes": agent.job_memory_bytes,
        "about": agent.about,
        "volume_fingerprints": agent.volume_fingerprints,
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
        capacity.jobs.to_string(),
        words::size(capacity.disk_bytes),
        words::size(free.disk_bytes),
    ];
    Ok(Row { cells, json, name: agent.name })
}
