//! `btctl agents`: the machines that run jobs.

use std::collections::HashSet;
use std::time::Duration;

use bt_documents::{self as documents, ShownAgent};
use bt_proto::bearer::Line;
use bt_proto::v1::access_client::AccessClient;
use bt_proto::{convert, v1};
use jiff::Timestamp;

use crate::batch::BatchOutcome;
use crate::client::Client;
use crate::error::Error;
use crate::output::{Cell, Column, Json, ListArgs, OutputArgs, Row, View, say, words};
use crate::settings::Settings;

/// Show the agents, and take them out of service.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Agents {
    /// List the agents: what each offers, what is free, and its state.
    Ls(Ls),
    /// Show one agent in full: what it offers, and what jobs get that ask for nothing.
    Show(Show),
    /// Give agents no new jobs, even after a restart; running jobs continue.
    #[command(after_help = "Example:\n  btctl agents drain node7 --wait && ssh node7 sudo poweroff")]
    Drain(Drain),
    /// Give agents jobs again.
    Undrain(Undrain),
    /// Refuse agents that have joined, from now on: their calls end, and their jobs run elsewhere.
    #[command(after_help = "\
Example:
  btctl agents revoke node7

The machine joins again only as a new agent: with another key, and a token that holds.")]
    Revoke(Revoke),
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Revoke {
    /// Names, ids or beginnings of ids.
    #[arg(required = true, value_name = "AGENT")]
    agents: Vec<String>,
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
    /// Wait until none of their jobs is running.
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
    /// Include agents that have been silent for more than a day.
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    output: ListArgs,
}

impl Agents {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        match self {
            Self::Ls(ls) => ls.run(settings).await,
            Self::Show(show) => show.run(settings).await,
            Self::Drain(drain) => drain.run(settings).await,
            Self::Undrain(undrain) => undrain.run(settings).await,
            Self::Revoke(revoke) => revoke.run(settings).await,
        }
    }
}

impl Show {
    async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        let agent = client.agent(&self.agent).await?;
        let running = client.running(Some(agent.id.clone())).await?.jobs;
        let running_jobs =
            running.iter().map(documents::RunningJob::try_from).collect::<Result<Vec<_>, _>>()?;
        let row = row(agent.clone())?;
        let titles = columns().into_iter().map(|column| column.name);
        let mut facts: Vec<_> = titles.zip(row.cells).collect();
        let json = Json::of(&ShownAgent { agent: documents::Agent::try_from(&agent)?, running_jobs })?;
        facts.extend(running.iter().map(|job| {
            let since = job.started.as_ref().or(job.leased.as_ref());
            let time =
                words::instant(since).ok().flatten().map(|time| Cell::Time(time).people().into_owned());
            let since = time.map(|time| format!(" since {time}")).unwrap_or_default();
            (
                "job".to_owned(),
                Cell::text(format!("{}/{}, attempt {}{since}", job.sweep_name, job.job, job.attempt)),
            )
        }));
        let mut about: Vec<_> = agent.about.into_iter().collect();
        about.sort_unstable();
        facts.extend(about.into_iter().map(|(name, value)| (name, Cell::text(value))));
        let mut fingerprints: Vec<_> = agent.volume_fingerprints.into_iter().collect();
        fingerprints.sort_unstable();
        facts.extend(fingerprints.into_iter().map(|(volume, digits)| {
            let shown = if digits.is_empty() { Cell::Remark("not known yet") } else { Cell::Text(digits) };
            (format!("fingerprint of {volume}"), shown)
        }));
        crate::output::print_facts(facts.into_iter(), &json, self.output.output)
    }
}

/// How often an agent that is being drained is looked at.
const LOOK: Duration = Duration::from_secs(1);

impl Drain {
    async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        let mut batch = BatchOutcome::of_named(self.agents.len());
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
        let mut batch = BatchOutcome::of_named(self.agents.len());
        for name in &self.agents {
            if let Some(agent) = batch.note(name, client.drain(name, true).await)? {
                say(&format!("agent {}: it gets jobs again", agent.name));
            }
        }
        batch.finish()
    }
}

impl Revoke {
    async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        let mut batch = BatchOutcome::of_named(self.agents.len());
        for name in &self.agents {
            let ask = |mut access: AccessClient<Line>| {
                let request = v1::RevokeAgentRequest { agent: name.clone() };
                async move { Ok(access.revoke_agent(request).await?.into_inner()) }
            };
            let Some(reply) = batch.note(name, client.line.ask_access(ask).await)? else { continue };
            match reply.changed {
                true => say(&format!("agent {} ({}): its certificates are revoked", reply.name, reply.id)),
                false => say(&format!("agent {} ({}): it was revoked before", reply.name, reply.id)),
            }
        }
        batch.finish()
    }
}

impl Ls {
    async fn run(self, settings: &Settings) -> Result<(), Error> {
        let mut agents = Client::connect(settings).await?.agents().await?;
        let known = agents.len();
        if !self.all {
            agents.retain(is_recent);
        }
        for agent in &agents {
            let Some(other) = &agent.contested_by else { continue };
            say(&format!(
                "agent {}: another agent with its id was refused, from {other}; one of the two has a copy of the other's state \
                 directory: remove the file agent-id from the copy",
                agent.name
            ));
        }
        match (agents.is_empty(), known) {
            (false, _) => {}
            (true, 0) => say("no agent has ever connected; start one with `btctl agent`"),
            (true, 1) => {
                say("the only agent has been silent for more than a day; `btctl agents ls --all` lists it")
            }
            (true, known) => say(&format!(
                "all {known} agents have been silent for more than a day; `btctl agents ls --all` lists them"
            )),
        }
        let is_insecure = agents.iter().any(|agent| agent.insecure);
        let rows = agents.into_iter().map(row).collect::<Result<_, _>>()?;
        View { columns: columns(), rows }.print(&self.output)?;
        if is_insecure {
            say(
                "warning: other machines reach the coordinator, and it asks nobody who they are or speaks no TLS (--insecure): \
                 whoever reaches it can run containers on all agents, or read the tokens of those who may",
            );
        }
        Ok(())
    }
}

/// Cloud machines come and go; those that went are not of interest for long.
const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);

fn is_recent(agent: &v1::Agent) -> bool {
    let seen = agent.last_seen.as_ref().and_then(|time| convert::time(time).ok());
    let silent = seen.and_then(|seen| Duration::try_from(Timestamp::now().duration_since(seen)).ok());
    agent.state() != v1::AgentState::Offline || silent.is_none_or(|silent| silent < FORGOTTEN)
}

fn columns() -> Vec<Column> {
    let mut columns: Vec<_> =
        ["name", "state", "running", "cpus", "free_cpus"].map(|name| Column::always(name).rank(0)).into();
    columns.extend([
        Column::always("memory_bytes").headed("memory").rank(1),
        Column::always("free_memory_bytes").headed("free_memory").rank(1),
        Column::always("gpus"),
        Column::always("labels").optional(),
        Column::always("volumes").optional(),
        Column::always("ends").optional(),
    ]);
    columns.extend(["id", "version", "engine", "last_seen", "max_jobs"].map(Column::wide));
    columns.extend([
        Column::wide("disk_bytes").headed("disk"),
        Column::wide("free_disk_bytes").headed("free_disk"),
        Column::wide("certificate"),
    ]);
    columns
}

fn row(agent: v1::Agent) -> Result<Row, Error> {
    let (capacity, free) = (agent.capacity.unwrap_or_default(), agent.free.unwrap_or_default());
    let mut labels: Vec<_> = agent.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    labels.sort_unstable();
    let document = documents::Agent::try_from(&agent)?;
    let certificate = match (document.revoked, document.certificate_expires) {
        (true, _) => Cell::Remark("revoked"),
        (false, Some(expires)) => Cell::Time(expires),
        (false, None) => Cell::None,
    };
    let json = Json::of(&document)?;
    let cells = vec![
        Cell::text(&agent.name),
        Cell::text(agent.state_text),
        Cell::number(agent.running),
        Cell::number(words::cpus(capacity.cpu_millis)),
        Cell::number(words::cpus(free.cpu_millis)),
        Cell::Bytes(capacity.memory_bytes),
        Cell::Bytes(free.memory_bytes),
        Cell::number(capacity.gpus),
        Cell::text(labels.join(",")),
        Cell::text(agent.volumes.join(",")),
        document.ends.map_or(Cell::None, Cell::Time),
        Cell::text(agent.id),
        Cell::text(agent.version),
        Cell::text(agent.engine),
        Cell::time(words::instant(agent.last_seen.as_ref())?),
        Cell::number(capacity.jobs),
        Cell::Bytes(capacity.disk_bytes),
        Cell::Bytes(free.disk_bytes),
        certificate,
    ];
    Ok(Row { cells, json, name: agent.name })
}
