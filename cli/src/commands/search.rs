//! `btctl search`: an open sweep whose jobs a sampler of Optuna's chooses. The search itself is Python's: `btctl.search`.

use std::process::{ExitStatus, Stdio};

use bt_model::manifest::{Axis, Goal, JobSource, Manifest, Matrix};
use bt_proto::v1;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value, json};
use tokio::process::Command;
use uuid::Uuid;

use super::submit::{ManifestArgs, messages, tell};
use crate::client::Client;
use crate::error::Error;
use crate::output::say;
use crate::settings::Settings;
use crate::target::resolve_to_change;

const EXAMPLES: &str = "\
Examples:
  btctl search -f sweep.yaml --maximize sharpe
  btctl search -f sweep.yaml --maximize sharpe --budget 500 --parallel 64 --sampler qmc
  btctl search -f sweep.yaml --maximize sharpe --resume sma-cross

The axes of the manifest's matrix are what is searched: a range of numbers as a range, a list as a choice. It needs
Python 3 with btctl's package and Optuna: pip install './python[optuna]', or --python PROGRAM for another Python.";

/// What is chosen from as a list, where a range is not one of rising numbers.
const MOST_CHOICES: u64 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Sampler {
    Tpe,
    Random,
    Qmc,
    Nsga2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Pruner {
    Median,
    Hyperband,
}

/// Search a manifest's matrix for the best value of a metric: Optuna chooses the jobs of an open sweep.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_override_self = true)]
pub(crate) struct Search {
    #[command(flatten)]
    sweep: ManifestArgs,
    /// Metric that is to be as high as possible.
    #[arg(long, value_name = "METRIC", required_unless_present = "minimize", conflicts_with = "minimize")]
    maximize: Option<String>,
    /// Metric that is to be as low as possible.
    #[arg(long, value_name = "METRIC")]
    minimize: Option<String>,
    /// How many jobs are tried.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    budget: u32,
    /// How many jobs are queued or running at once.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    parallel: u32,
    /// How jobs are chosen.
    #[arg(long, value_enum, default_value = "tpe")]
    sampler: Sampler,
    /// Cancel running jobs whose metric so far (`progress`) is worse than that of others.
    #[arg(long, value_enum)]
    prune: Option<Pruner>,
    /// Seed of the sampler.
    #[arg(long = "sampler-seed", value_name = "N")]
    sampler_seed: Option<u32>,
    /// Go on with an earlier search, which has been interrupted, or with a larger budget while its sweep is open.
    #[arg(long, value_name = "SWEEP")]
    resume: Option<String>,
    /// Python that has btctl's package and Optuna.
    #[arg(long, value_name = "PROGRAM", env = "BTCTL_PYTHON", default_value = "python3")]
    python: String,
}

impl Search {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let manifest = self.sweep.manifest(settings).await?;
        let space = space(&manifest)?;
        self.check_python().await?;
        let client = Client::connect(settings).await?;
        let (id, name) = match &self.resume {
            Some(sweep) => {
                let found = resolve_to_change(&client, sweep).await?;
                (found.id, found.name)
            }
            None => self.queue(&client, settings, manifest).await?,
        };
        let ended = self.search(settings, &id, &space).await?;
        match ended.code() {
            Some(0) => {
                say(&format!("btctl top {name} --by {} shows the best jobs", self.metric()));
                Ok(())
            }
            Some(130) => Err(Error::Interrupted),
            // It has said why.
            _ => Err(Error::SweepFailed),
        }
    }

    fn metric(&self) -> &str {
        self.maximize.as_ref().or(self.minimize.as_ref()).map_or("", String::as_str)
    }

    /// The open sweep of the search, without jobs yet.
    async fn queue(
        &self,
        client: &Client,
        settings: &Settings,
        mut manifest: Manifest,
    ) -> Result<(String, String), Error> {
        manifest.jobs = JobSource::One;
        let goal = if self.minimize.is_some() { Goal::Minimize } else { Goal::Maximize };
        manifest.goals.entry(self.metric().to_owned()).or_insert(goal);
        let header = v1::SubmitHeader {
            idempotency_key: Uuid::new_v4().to_string(),
            owner: settings.asked_owner(),
            open: true,
            ..v1::SubmitHeader::default()
        };
        self.sweep.ship(client, &manifest).await?;
        let submitted = client.submit(messages(&manifest, header)).await?;
        tell(&submitted);
        Ok((submitted.id, submitted.name))
    }

    async fn check_python(&self) -> Result<(), Error> {
        let command = Command::new(&self.python).args(["-c", "import btctl.search"]).output().await;
        let output = command.map_err(|error| {
            Error::Usage(format!(
                "{} can't be run ({error}); btctl search needs Python 3: install it, or name one with --python",
                self.python
            ))
        })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let why = said.lines().last().unwrap_or("it says nothing").trim();
        Err(Error::Usage(format!(
            "{} lacks what btctl search needs ({why}); install it with {0} -m pip install './python[optuna]' from \
             btctl's source, or name another Python with --python",
            self.python
        )))
    }

    /// Runs the search to its end. Ctrl-C is passed on to it, once, and it says what goes on.
    async fn search(&self, settings: &Settings, sweep: &str, space: &Value) -> Result<ExitStatus, Error> {
        let number = |number: u32| number.to_string();
        let mut command = Command::new(&self.python);
        command.args(["-m", "btctl.search", "--sweep", sweep, "--space", &space.to_string()]);
        command.args(["--metric", self.metric(), "--sampler", &word(self.sampler)]);
        command.args(["--budget", &number(self.budget), "--parallel", &number(self.parallel)]);
        if self.minimize.is_some() {
            command.arg("--minimize");
        }
        if let Some(pruner) = self.prune {
            command.args(["--prune", &word(pruner)]);
        }
        if let Some(seed) = self.sampler_seed {
            command.args(["--seed", &number(seed)]);
        }
        command.env("BTCTL_COORDINATOR", &settings.coordinator.value).stdin(Stdio::null());
        // The terminal would send it Ctrl-C as well.
        command.process_group(0);
        let failed = |error: std::io::Error| Error::Failed(format!("{} can't be run: {error}", self.python));
        let mut child = command.spawn().map_err(failed)?;
        loop {
            tokio::select! {
                ended = child.wait() => return ended.map_err(failed),
                pressed = tokio::signal::ctrl_c() => {
                    pressed.map_err(failed)?;
                    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
                    // One that has ended meanwhile needs no signal.
                    if let Some(pid) = pid {
                        kill_process(pid, Signal::INT).or_else(ended_already).map_err(|error| failed(error.into()))?;
                    }
                }
            }
        }
    }
}

fn ended_already(error: Errno) -> Result<(), Errno> {
    if error == Errno::SRCH { Ok(()) } else { Err(error) }
}

fn word(choice: impl clap::ValueEnum) -> String {
    choice.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// The axes of the manifest's matrix, as the search takes them.
fn space(manifest: &Manifest) -> Result<Value, Error> {
    let JobSource::Matrix(matrix) = &manifest.jobs else {
        return Err(Error::Usage(
            "a search needs a `matrix`, whose axes it searches; this manifest has none".to_owned(),
        ));
    };
    let has = [
        (!matrix.include.is_empty(), "matrix.include"),
        (!matrix.exclude.is_empty(), "matrix.exclude"),
        (manifest.sample.is_some(), "sample"),
    ];
    if let Some((_, key)) = has.iter().find(|(is_there, _)| *is_there) {
        return Err(Error::Usage(format!(
            "`{key}` can't be searched; leave it out, and say with `where` which points are no jobs"
        )));
    }
    let mut axes = Map::new();
    for (name, axis) in &matrix.axes {
        axes.insert(name.clone(), written(manifest, name, axis)?);
    }
    Ok(axes.into())
}

fn written(manifest: &Manifest, name: &str, axis: &Axis) -> Result<Value, Error> {
    if let Axis::Range(range) = axis {
        let [from, to, step] = range.parts();
        if step.as_f64().is_some_and(|step| step > 0.0) {
            return Ok(json!({"from": from, "to": to, "step": step}));
        }
    }
    if axis.len() > MOST_CHOICES {
        return Err(Error::Usage(format!(
            "the axis `{name}` has {} values to choose among, and {MOST_CHOICES} are the most; a range of rising \
             numbers may have more",
            axis.len()
        )));
    }
    let matrix = Matrix { axes: vec![(name.to_owned(), axis.clone())], ..Matrix::default() };
    let alone = Manifest { jobs: JobSource::Matrix(matrix), ..manifest.clone() };
    let points = alone.points()?;
    Ok((0..axis.len()).filter_map(|index| points.get(index).get(name).cloned()).collect())
}

#[cfg(test)]
mod tests {
    use bt_model::manifest::Format;

    use super::*;

    fn space_of(matrix: &str) -> Result<Value, String> {
        let text = format!("image: x:1\n{matrix}");
        let manifest = Manifest::parse(text.as_bytes(), Format::Yaml, "x").unwrap().finish().unwrap();
        space(&manifest).map_err(|error| error.to_string())
    }

    #[test]
    fn axes_are_ranges_or_choices() {
        let found = space_of(
            "matrix: { a: { from: 20, to: 95, step: 10 }, b: { from: 0, to: 1, step: 0.1 }, c: [x, 5], d: { from: 3, to: 1 }, \
             e: { from: 2024-01-31, to: 2024-02-01 } }",
        );
        let expected = json!({
            "a": {"from": 20, "to": 95, "step": 10},
            "b": {"from": 0.0, "to": 1.0, "step": 0.1},
            "c": ["x", 5],
            "d": [3, 2, 1],
            "e": ["2024-01-31", "2024-02-01"],
        });
        assert_eq!(found.map(|found| found.to_string()), Ok(expected.to_string()));
    }

    #[test]
    fn what_can_not_be_searched_is_named() {
        assert!(space_of("").unwrap_err().contains("needs a `matrix`"));
        assert!(
            space_of("matrix: { a: [1, 2], exclude: [{ a: 1 }] }").unwrap_err().contains("matrix.exclude")
        );
        let dates = "matrix: { a: { from: 1950-01-01, to: 2024-01-01 } }";
        assert!(space_of(dates).unwrap_err().contains("the axis `a`"));
    }
}
