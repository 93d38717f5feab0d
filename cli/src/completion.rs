//! What a shell gets when a user presses Tab: commands and flags, and the names of sweeps, jobs, agents, metrics, volumes
//! and tags, which the coordinator is asked for. The name of an argument's value in the help says which names it takes.
//! A coordinator that does not answer in time completes nothing; the shell never waits longer for it.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::time::Duration;

use bt_proto::v1;
use clap::Command;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::Shells;
use clap_complete::{CompleteEnv, Shell};
use futures_util::TryStreamExt;
use serde_json::{Map, Value};

use crate::client::Client;
use crate::error::Error;
use crate::settings::{SettingFlags, Settings};

/// By this variable a shell says that it wants to complete a command line.
const VARIABLE: &str = "BTCTL_COMPLETE";
/// How long a shell waits for names.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Sweeps whose names are offered, the newest.
const SWEEPS: u32 = 1_000;
/// Jobs whose numbers are offered, and those whose metrics are.
const JOBS: u32 = 200;

/// Answers a shell that completes a command line, and ends the process then.
pub(crate) fn answer_shell(command: fn() -> Command) {
    CompleteEnv::with_factory(|| with_names(command())).var(VARIABLE).complete();
}

/// The script that makes a shell ask btctl.
pub(crate) fn script(shell: Shell) -> Result<String, Error> {
    let unknown = || Error::Usage(format!("there are no completions for {shell}"));
    let shells = Shells::builtins();
    let completer = shells.completer(&shell.to_string()).ok_or_else(unknown)?;
    let mut script = Vec::new();
    completer.write_registration(VARIABLE, "btctl", "btctl", "btctl", &mut script).map_err(Error::output)?;
    Ok(String::from_utf8_lossy(&script).into_owned())
}

/// What an argument takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CompletedNames {
    Sweeps,
    SweepsAndJobs,
    Agents,
    Metrics,
    Volumes,
    Tags,
}

impl CompletedNames {
    fn of(value_name: &str) -> Option<Self> {
        Some(match value_name {
            "SWEEP" => Self::Sweeps,
            "SWEEP[/JOB]" | "SWEEP/JOB" | "SWEEP[/JOB[/PATH]]" => Self::SweepsAndJobs,
            "AGENT" => Self::Agents,
            "METRIC" => Self::Metrics,
            "NAME:PATH[:ro]" => Self::Volumes,
            "TAG" => Self::Tags,
            _ => return None,
        })
    }
}

/// The command with a completer for each argument that takes names.
fn with_names(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        let names = arg.get_value_names().and_then(|names| CompletedNames::of(names.first()?));
        match names {
            Some(names) => arg.add(ArgValueCompleter::new(move |current: &OsStr| candidates(names, current))),
            None => arg,
        }
    });
    command.mut_subcommands(with_names)
}

/// What can stand at the cursor; nothing if it can't be known in time.
fn candidates(names: CompletedNames, current: &OsStr) -> Vec<CompletionCandidate> {
    let (Some(current), Ok(runtime)) = (current.to_str(), runtime()) else { return Vec::new() };
    let asked = runtime.block_on(async { tokio::time::timeout(PATIENCE, ask(names, current)).await });
    // A name that is still being looked up must not keep the shell.
    runtime.shutdown_background();
    let found = asked.ok().and_then(Result::ok).unwrap_or_default();
    found.into_iter().filter(|name| name.starts_with(current)).map(CompletionCandidate::new).collect()
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()
}

async fn ask(names: CompletedNames, current: &str) -> Result<Vec<String>, Error> {
    let settings = Settings::read(&SettingFlags::default())?;
    let client = Client::connect(&settings).await?;
    match names {
        CompletedNames::SweepsAndJobs if current.contains('/') => jobs(&client, current).await,
        CompletedNames::Sweeps | CompletedNames::SweepsAndJobs => {
            let sweeps = sweeps(&client).await?;
            // An older sweep of a name is addressed by its id, if that is what the user types.
            let ids = sweeps.iter().filter(|_| !current.is_empty()).map(|sweep| sweep.id.clone());
            let names: BTreeSet<_> = sweeps.iter().map(|sweep| sweep.name.clone()).collect();
            Ok(names.into_iter().chain(ids).collect())
        }
        CompletedNames::Agents => {
            let agents = client.agents().await?;
            Ok(agents.into_iter().flat_map(|agent| [agent.name, agent.id]).collect())
        }
        CompletedNames::Metrics => metrics(&client).await,
        CompletedNames::Volumes => {
            let agents = client.agents().await?;
            let volumes = agents.into_iter().flat_map(|agent| agent.volumes);
            let names: BTreeSet<_> =
                volumes.map(|name| format!("{}:", name.trim_end_matches(":ro"))).collect();
            Ok(names.into_iter().collect())
        }
        CompletedNames::Tags => {
            let tags: BTreeSet<_> = sweeps(&client).await?.into_iter().flat_map(|sweep| sweep.tags).collect();
            Ok(tags.into_iter().collect())
        }
    }
}

async fn sweeps(client: &Client) -> Result<Vec<v1::Sweep>, Error> {
    let request =
        v1::ListSweepsRequest { all: true, limit: Some(SWEEPS), ..v1::ListSweepsRequest::default() };
    Ok(client.sweeps(request).await?.sweeps)
}

async fn jobs(client: &Client, current: &str) -> Result<Vec<String>, Error> {
    let Some((sweep, number)) = current.split_once('/') else { return Ok(Vec::new()) };
    let jobs = client.resolve(sweep).await?.jobs;
    let numbers = (0..jobs).map(|job| job.to_string()).filter(|job| job.starts_with(number));
    Ok(numbers.take(JOBS as usize).map(|job| format!("{sweep}/{job}")).collect())
}

/// The metrics of the first sweep that the command line names.
async fn metrics(client: &Client) -> Result<Vec<String>, Error> {
    let words: Vec<OsString> = std::env::args_os().skip_while(|word| word != "--").skip(2).collect();
    let words = words.iter().filter_map(|word| word.to_str()).filter(|word| !word.starts_with('-'));
    let mut named = None;
    for word in words.filter(|word| !word.is_empty()) {
        if let Ok(sweep) = client.resolve(word.split('/').next().unwrap_or(word)).await {
            named = Some(sweep.id);
            break;
        }
    }
    let Some(sweep) = named else { return Ok(Vec::new()) };
    let states = vec![v1::JobState::Succeeded.into()];
    let request = v1::ListJobsRequest { sweep, states, limit: Some(JOBS), ..v1::ListJobsRequest::default() };
    let jobs: Vec<v1::Job> = client.jobs(request).await?.try_collect().await?;
    let metrics =
        jobs.iter().filter_map(|job| serde_json::from_str::<Map<String, Value>>(job.metrics()).ok());
    let names: BTreeSet<String> =
        metrics.flat_map(|metrics| metrics.into_iter().map(|(name, _)| name)).collect();
    Ok(names.into_iter().collect())
}
