//! `btctl shell`: a shell in an image on an agent, without a job.

use bt_model::manifest::{Draft, Judged, Needs, VolumeMount, parse_cpus, parse_size};
use bt_proto::v1;

use super::debug::{Forward, listen, session};
use super::submit::volume;
use crate::client::Client;
use crate::error::Error;
use crate::settings::Settings;

const EXAMPLES: &str = "\
Examples:
  btctl shell --image sma-cross:1
  btctl shell --image sma-cross:1 -v prices:/data --cpus 2 --memory 4GiB -- python
  btctl shell --image notebook:1 --forward 8888 -- jupyter lab --ip 127.0.0.1 --no-browser
  echo 'import pandas; print(pandas.__version__)' | btctl shell --image sma-cross:1 --agent node7 -- python -
It takes its place among the jobs of the agent, waits for room there, and is gone with you, after 12 hours at the latest. \
Volumes are read-only.";

/// Open a shell, or run a program, in an image on an agent: with the volumes and the hardening of a job, and without one.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_override_self = true)]
pub(crate) struct Shell {
    /// Image to run.
    #[arg(long)]
    image: String,
    /// Agent to run on, by name or id; one that fits if not given.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Volume to mount, read-only, e.g. prices:/data; may be repeated.
    #[arg(short, long, value_name = "NAME:PATH[:ro]", value_parser = volume)]
    volume: Vec<VolumeMount>,
    /// Cpus, e.g. 2 or 500m [default: a share of the agent's].
    #[arg(long)]
    cpus: Option<String>,
    /// Memory, e.g. 512m or 1GiB [default: by the agent's size].
    #[arg(short, long, value_name = "SIZE")]
    memory: Option<String>,
    /// Idea whose holdout holds for the volumes [default: the image's repository and the command].
    #[arg(long, value_name = "NAME")]
    family: Option<String>,
    /// Port of this machine's loopback that leads to a port in the container, e.g. 8888, or 9999:8888 where they differ; may be
    /// repeated. The program listens at 127.0.0.1 there; it needs no network.
    #[arg(long, value_name = "PORT[:PORT]")]
    forward: Vec<Forward>,
    /// Program and its arguments, after --; sh if not given.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Shell {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let usage = |flag: &'static str| {
            move |error: bt_model::manifest::Error| Error::Usage(format!("{flag}: {error}"))
        };
        let draft = Draft {
            image: Some(self.image),
            volumes: self.volume.into_iter().map(|mount| VolumeMount { read_only: true, ..mount }).collect(),
            needs: Needs {
                cpu_millis: self.cpus.as_deref().map(parse_cpus).transpose().map_err(usage("--cpus"))?,
                memory_bytes: self
                    .memory
                    .as_deref()
                    .map(parse_size)
                    .transpose()
                    .map_err(usage("--memory"))?,
                ..Needs::default()
            },
            judged: Judged { family: self.family, ..Judged::default() },
            ..Draft::default()
        };
        let start = v1::DebugStart {
            manifest: Some(draft.finish()?.to_json()),
            agent: self.agent,
            command: self.command,
            ..v1::DebugStart::default()
        };
        let forwarded = listen(&self.forward).await?;
        session(&Client::connect(settings).await?, start, forwarded).await
    }
}
