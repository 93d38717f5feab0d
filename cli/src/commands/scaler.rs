//! `btctl scaler`: a group of machines that is as large as the queue wants.

use std::process::Stdio;
use std::time::{Duration, Instant};

use bt_proto::v1;
use tokio::process::Command;

use crate::client::Client;
use crate::error::Error;
use crate::output::say;
use crate::settings::Settings;
use crate::signals::Signals;
use crate::values::{cpu_millis, label, size};

/// A group that was told to grow and has not is told again after this.
const AGAIN: Duration = Duration::from_secs(300);
const SHORTEST: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  btctl scaler --cpus 16 --memory 60GiB --label pool=spot --max 20 --exec deploy/scaler/aws-group
  btctl scaler --cpus 4 --memory 15GiB --max 5 --within 1h --exec ./group --once

The command is called by /bin/sh with one of these, and must end with 0 when it is done:
  grow N           the group is to have N machines, those that boot among them; it is said again until they have come
  remove AGENT...  these agents run nothing and get nothing: end their machines, and let the group be so much smaller
Called by hand, `btctl scaler --once --dry-run` says what it would call.";

/// Keep a group of machines as large as the queue wants, by a command that starts and ends machines. It grows at once, and
/// shrinks by agents that have nothing to do.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Scaler {
    /// Cpus that an agent of the group offers.
    #[arg(long, value_name = "N", value_parser = cpu_millis)]
    cpus: u64,
    /// Memory that it offers, e.g. 60GiB.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: u64,
    /// Gpus that it offers.
    #[arg(long, value_name = "N", default_value_t = 0)]
    gpus: u32,
    /// Most jobs that it runs at once.
    #[arg(long, value_name = "N", default_value_t = u32::MAX, hide_default_value = true, value_parser = clap::value_parser!(u32).range(1..))]
    max_jobs: u32,
    /// Label that the group's agents have, and no others; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Least machines of the group.
    #[arg(long, value_name = "N", default_value_t = 0)]
    min: u32,
    /// Most machines of the group.
    #[arg(long, value_name = "N")]
    max: u32,
    /// In what time the queue is to be done.
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = humantime::parse_duration)]
    within: Duration,
    /// For how long more machines than are wanted now are kept.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime::parse_duration)]
    hold: Duration,
    /// How often it looks.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = humantime::parse_duration)]
    every: Duration,
    /// Command that starts and ends machines.
    #[arg(long, value_name = "COMMAND")]
    exec: String,
    /// Look once, and end.
    #[arg(long)]
    once: bool,
    /// Say what would be called, and call nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What the group was told last.
#[derive(Debug, Default)]
struct Told {
    grow: Option<(u32, Instant)>,
}

impl Told {
    /// Whether it is to be told again.
    fn needs(&self, wanted: u32, now: Instant) -> bool {
        self.grow.is_none_or(|(told, at)| told != wanted || now.duration_since(at) >= AGAIN)
    }
}

impl Scaler {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        if self.min > self.max {
            return Err(Error::Usage(format!(
                "--min is {} and --max {}: no size is between them",
                self.min, self.max
            )));
        }
        if self.every < SHORTEST {
            return Err(Error::Usage("--every is at least 1s".to_owned()));
        }
        let client = Client::connect(settings).await?;
        let mut told = Told::default();
        if self.once {
            return self.look(&client, &mut told).await;
        }
        let mut signals = Signals::listen()?;
        loop {
            // A coordinator or a cloud that does not answer is asked again.
            if let Err(error) = self.look(&client, &mut told).await {
                say(&format!("{error}; it is tried again in {:?}", self.every));
            }
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                () = signals.next() => return Ok(()),
            }
        }
    }

    async fn look(&self, client: &Client, told: &mut Told) -> Result<(), Error> {
        let request = v1::GetDemandRequest {
            size: Some(v1::Resources {
                cpu_millis: self.cpus,
                memory_bytes: self.memory,
                gpus: self.gpus,
                disk_bytes: u64::MAX,
                jobs: self.max_jobs,
            }),
            labels: self.labels.iter().cloned().collect(),
            within_seconds: self.within.as_secs().max(1),
            hold_seconds: self.hold.as_secs().max(1),
        };
        let demand = client.demand(request).await?;
        let Some(kind) = demand.kinds.first() else { return Ok(()) };
        let wanted = kind.wanted.clamp(self.min, self.max);
        let about = format!("{} agents, {} idle, {wanted} wanted", kind.agents, kind.idle);
        if wanted > kind.agents {
            let now = Instant::now();
            if told.needs(wanted, now) {
                say(&format!("{about}: grow {wanted}"));
                self.call(&["grow".to_owned(), wanted.to_string()]).await?;
                told.grow = Some((wanted, now));
            }
            return Ok(());
        }
        told.grow = None;
        let surplus = kind.agents - wanted;
        if surplus == 0 {
            return Ok(());
        }
        let free = self.free_agents(client, surplus as usize).await?;
        if free.is_empty() {
            return Ok(());
        }
        say(&format!("{about}: remove {}", free.join(" ")));
        let args: Vec<String> = ["remove".to_owned()].into_iter().chain(free.iter().cloned()).collect();
        let called = self.call(&args).await;
        if called.is_err() && !self.dry_run {
            // They stay, so they work.
            for agent in &free {
                client.drain(agent, true).await?;
            }
        }
        called
    }

    /// At most so many agents of the group that run nothing, and from now on get nothing.
    async fn free_agents(&self, client: &Client, most: usize) -> Result<Vec<String>, Error> {
        let mut free = Vec::new();
        for agent in client.agents().await? {
            let has = |(key, value): &(String, String)| agent.labels.get(key) == Some(value);
            let is_idle = agent.running == 0 && agent.state() == v1::AgentState::Ready;
            if free.len() == most || !is_idle || !self.labels.iter().all(has) {
                continue;
            }
            if self.dry_run {
                free.push(agent.name);
                continue;
            }
            // What it got meanwhile it does first.
            let drained = client.drain(&agent.id, false).await?;
            match drained.running {
                0 => free.push(agent.name),
                _ => drop(client.drain(&agent.id, true).await?),
            }
        }
        Ok(free)
    }

    async fn call(&self, args: &[String]) -> Result<(), Error> {
        if self.dry_run {
            return Ok(());
        }
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(format!("{} \"$@\"", self.exec)).arg("sh").args(args).stdin(Stdio::null());
        let ended = command
            .status()
            .await
            .map_err(|error| Error::Failed(format!("/bin/sh can't be run: {error}")))?;
        match ended.success() {
            true => Ok(()),
            false => Err(Error::Failed(format!("`{} {}` ended with {ended}", self.exec, args.join(" ")))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_told_once_and_again_when_nothing_came_of_it() {
        let now = Instant::now();
        let told = Told { grow: Some((3, now)) };
        assert!(Told::default().needs(3, now));
        assert!(!told.needs(3, now + Duration::from_secs(60)));
        assert!(told.needs(4, now) && told.needs(2, now));
        assert!(told.needs(3, now + AGAIN));
    }
}
