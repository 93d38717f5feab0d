//! `btctl rerun`: one job of a sweep again, exactly, and whether the same comes out of it.

mod compare;
mod wait;

use std::collections::BTreeMap;

use bt_model::manifest::{Containers, JobSource, Manifest};
use bt_model::parameters::Parameters;
use bt_model::placement::{AGENT_LABEL, Misfit, Need};
use bt_proto::{convert, v1};
use serde_json::Value;
use uuid::Uuid;

use self::compare::RerunComparison;
use super::results::{globs, record};
use super::submit;
use crate::client::Client;
use crate::error::Error;
use crate::output::{Channel, OutputArgs, say, words};
use crate::progress;
use crate::settings::Settings;
use crate::target::Target;

/// What a rerun's name ends with, and bytes of a name at most.
const SUFFIX: &str = "-rerun";
const LONGEST_NAME: usize = 63;

const EXAMPLES: &str = "\
Examples:
  btctl rerun sma-cross/17
  btctl rerun --verify sma-cross/17 --ignore '*.log'
  btctl rerun --verify sma-cross/17 --on node7      # on that agent
  btctl rerun --everywhere sma-cross/17             # on each agent that can run it: do they agree?
Exit code: 1 if the job fails, or with --verify if anything differs.";

/// Run one job again, exactly: a new sweep of that job with the same image, command, environment, volumes and
/// resources.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Rerun {
    /// Job to run again.
    #[arg(value_name = "SWEEP/JOB")]
    target: Target,
    /// Wait for its end.
    #[arg(long)]
    wait: bool,
    /// Wait until it has finished, and compare its files' SHA-256 and its metrics with those that were published.
    #[arg(long)]
    verify: bool,
    /// Run it on each agent that can run it, and compare each result.
    #[arg(long, conflicts_with = "on")]
    everywhere: bool,
    /// Run it on this agent, given by its name, its id, or the beginning of its id.
    #[arg(long, value_name = "AGENT")]
    on: Option<String>,
    /// Files that are not compared, e.g. '*.log' or 'plots/**'; may be repeated.
    #[arg(long, value_name = "GLOB")]
    ignore: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
}

impl Rerun {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let verify = self.verify || self.everywhere;
        if !self.ignore.is_empty() && !verify {
            return Err(Error::Usage(
                "--ignore says what --verify does not compare; give --verify too".to_owned(),
            ));
        }
        let ignored = globs("--ignore", &self.ignore, false)?;
        let client = Client::connect(settings).await?;
        let again = Again::find(&client, &self.target, settings.owner.value.clone()).await?;
        let agents = client.agents().await?;
        let recorded = match verify {
            true => Some(record(&client, &again.sweep, again.job).await?),
            false => None,
        };
        if let Some(recorded) = &recorded {
            warn_of_volumes(recorded, &agents);
        }
        let named = match &self.on {
            Some(name) => Some(client.agent(name).await?),
            None => None,
        };
        let chosen = match &named {
            Some(agent) => vec![Some(again.on(agent)?)],
            None if self.everywhere => again.everywhere(&agents)?.into_iter().map(Some).collect(),
            None => vec![None],
        };
        let mut runs = Vec::new();
        for agent in chosen {
            let submitted = again.submit(&client, agent).await?;
            submit::tell(&submitted);
            runs.push((agent, submitted));
        }
        let Some(recorded) = recorded else {
            let (_, submitted) = runs.remove(0);
            if self.wait {
                return progress::watch(&client, &submitted.id, &submitted.name, Channel::Stderr).await;
            }
            return submit::print_unless_told(&submitted, self.output.output);
        };
        let mut comparison = RerunComparison::of(&recorded, &ignored, &again.manifest.metrics);
        for (agent, submitted) in runs {
            let name = agent.map(|agent| agent.name.clone());
            match wait::until_published(&client, &submitted).await {
                Ok(()) => comparison.add(name, &submitted.id, &record(&client, &submitted.id, 0).await?),
                Err(Error::JobFailed(why)) => comparison.add_failure(name, &submitted.id, &why),
                Err(error) => return Err(error),
            }
        }
        comparison.print(self.output.output)
    }
}

/// A job that is to be run again.
struct Again {
    /// The id of its sweep.
    sweep: String,
    job: u32,
    /// A sweep of that job alone.
    manifest: Manifest,
    /// What its image stood for.
    image_pin: String,
    owner: String,
}

impl Again {
    async fn find(client: &Client, target: &Target, owner: String) -> Result<Self, Error> {
        let shown = client.show(&target.sweep).await?;
        let (name, address) = (&shown.sweep.name, words::address(&shown.sweep));
        if let Some(look) = shown.sweep.look {
            return Err(Error::Refused(format!(
                "sweep {name} saw what the holdout of its family keeps from jobs, by look {} of {}; a rerun would not see it.                  btctl submit --like {address} --look WHY spends another look, and btctl retry none",
                look.number, look.of
            )));
        }
        let jobs = words::total(&shown.counts);
        let job = target.job.or_else(|| (jobs == 1).then_some(0)).ok_or_else(|| {
            Error::Usage(format!(
                "sweep {name} has {jobs} jobs; say which to run again, such as {address}/17, or submit all of them with \
                 btctl submit --like {address}"
            ))
        })?;
        let unreadable = |error: &dyn std::fmt::Display| {
            Error::Failed(format!("the manifest of sweep {name} can't be read: {error}"))
        };
        let mut manifest = Manifest::from_json(&shown.manifest).map_err(|error| unreadable(&error))?;
        let Some(image_pin) = shown.sweep.image_pin else {
            return Err(Error::Failed(format!(
                "no job of sweep {name} has started, so it is unknown which image {} stood for; there is nothing to run \
                 again",
                manifest.image
            )));
        };
        let request = v1::ListJobsRequest {
            sweep: shown.sweep.id.clone(),
            job: Some(job),
            ..v1::ListJobsRequest::default()
        };
        let row = client.jobs(request).await?.message().await?;
        let row = row.ok_or_else(|| Error::NotFound(format!("sweep {name} has no job {job}")))?;
        let parameters = Parameters::from_json(&row.parameters).map_err(|error| unreadable(&error))?;
        manifest.jobs = match parameters.is_empty() {
            true => JobSource::One,
            false => JobSource::Rows(vec![parameters]),
        };
        manifest.filter = None;
        manifest.sample = None;
        // Its parameters have the dates of its window.
        (manifest.windows, manifest.select) = (None, None);
        // Who ran the sweep did not ask for this one.
        manifest.policy.notify = None;
        manifest.policy.after = Vec::new();
        manifest.policy.preempt = false;
        // There is but one job.
        manifest.policy.canary = None;
        // It went to its end.
        manifest.policy.stop_when = None;
        if manifest.sandbox.containers() == Containers::Warm {
            (manifest.sandbox.containers, manifest.sandbox.warm) = (None, None);
        }
        manifest.policy.max_parallel = None;
        manifest.name = match manifest.name.strip_suffix(SUFFIX) {
            Some(_) => manifest.name,
            None => format!("{}{SUFFIX}", cut(&manifest.name, LONGEST_NAME - SUFFIX.len())),
        };
        Ok(Self { sweep: shown.sweep.id, job, manifest, image_pin, owner })
    }

    async fn submit(&self, client: &Client, agent: Option<&v1::Agent>) -> Result<v1::SubmitReply, Error> {
        let mut manifest = self.manifest.clone();
        if let Some(agent) = agent {
            manifest.agents.insert(AGENT_LABEL.to_owned(), agent.id.clone());
        }
        let header = v1::SubmitHeader {
            idempotency_key: Uuid::new_v4().to_string(),
            owner: self.owner.clone(),
            image_pin: Some(self.image_pin.clone()),
            ..v1::SubmitHeader::default()
        };
        client.submit(submit::messages(&manifest, header)).await
    }

    /// This agent, if it could run the job.
    fn on<'a>(&self, agent: &'a v1::Agent) -> Result<&'a v1::Agent, Error> {
        match self.misfit(agent) {
            None => Ok(agent),
            Some(why) => Err(Error::Refused(format!("agent {} can't run it: {why}", agent.name))),
        }
    }

    /// Each agent that could run the job; says why the others are left out.
    fn everywhere<'a>(&self, agents: &'a [v1::Agent]) -> Result<Vec<&'a v1::Agent>, Error> {
        let mut fitting = Vec::new();
        for agent in agents {
            match self.misfit(agent) {
                None => fitting.push(agent),
                // Those that have gone for good need no words.
                Some(_) if agent.state() == v1::AgentState::Offline => {}
                Some(why) => say(&format!("agent {} is left out: {why}", agent.name)),
            }
        }
        match fitting.is_empty() {
            true => Err(Error::Refused("there is no agent that could run it".to_owned())),
            false => Ok(fitting),
        }
    }

    /// Why an agent can't run the job, if that can be known here.
    fn misfit(&self, agent: &v1::Agent) -> Option<String> {
        // A coordinator of protocol 1 says it in words alone, and decides by itself.
        if !matches!(agent.state(), v1::AgentState::Ready | v1::AgentState::Unspecified) {
            return Some(format!("it is {}", agent.state_text));
        }
        // Which agent it is to run on is chosen here.
        let mut labels = self.manifest.labels();
        labels.remove(AGENT_LABEL);
        let need = Need {
            resources: self.manifest.resources(),
            labels: &labels,
            volumes: &self.manifest.volumes_needed(),
            // Clients are not told what agents speak; the coordinator looks at it.
            protocol: 0,
            secrets: &BTreeMap::new(),
            // Clients are not told when agents end; the coordinator looks at it.
            stay: None,
        };
        let misfit = convert::offer(agent).lasting_misfit(&need)?;
        let mount = match &misfit {
            Misfit::Volume { wanted, .. } | Misfit::ReadOnly { wanted } => {
                self.manifest.volumes.iter().find(|mount| mount.volume == *wanted)
            }
            _ => None,
        };
        Some(match mount {
            Some(mount) => format!("it does not offer {mount}: {misfit}"),
            None => misfit.to_string(),
        })
    }
}

/// At most so many bytes of a name, which is ASCII.
fn cut(name: &str, most: usize) -> &str {
    name.get(..most).unwrap_or(name)
}

/// Says which volumes are not what they were.
fn warn_of_volumes(recorded: &Value, agents: &[v1::Agent]) {
    for volume in recorded["volumes"].as_array().into_iter().flatten() {
        let name = volume["volume"].as_str().unwrap_or_default();
        if volume["changed"] == true {
            say(&format!(
                "warning: volume {name} changed while the job ran; it is unknown what the job read"
            ));
        }
        let Some(held) = volume["fingerprint"].as_str() else { continue };
        let told: Vec<_> = agents
            .iter()
            .filter(|agent| agent.state() != v1::AgentState::Offline)
            .filter_map(|agent| agent.volume_fingerprints.get(name))
            .filter(|digits| !digits.is_empty())
            .collect();
        if !told.is_empty() && told.iter().all(|digits| *digits != held) {
            say(&format!(
                "warning: volume {name} is not what it was: no agent offers it with the fingerprint {held} any more"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_shells() {
        let ignored = globs("--ignore", &["*.log".to_owned(), "plots/**".to_owned()], false).unwrap();
        for path in ["run.log", "plots/a.png", "plots/a/b.png"] {
            assert!(ignored.is_match(path), "{path}");
        }
        for path in ["a/run.log", "stats.pkl", "plots"] {
            assert!(!ignored.is_match(path), "{path}");
        }
        assert!(
            globs("--ignore", &["[".to_owned()], false)
                .unwrap_err()
                .to_string()
                .contains("not a pattern of paths")
        );
    }
}
