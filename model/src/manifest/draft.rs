//! A manifest that flags may still change.

use std::collections::BTreeMap;
use std::time::Duration;

use super::choice::{Driver, Goal, JobUser, OnDisconnect};
use super::definition::{
    DEFAULT_METRICS, DEFAULT_PROGRESS, DEFAULT_RESULTS, JobSource, MAX_JOBS, Manifest, Needs, Sample, Select,
};
use super::error::{Error, Places};
use super::judged::{Judged, check_family};
use super::matrix::Matrix;
use super::network::Network;
use super::policy::Policy;
use super::process::PROCESS_IMAGE;
use super::sandbox::Sandbox;
use super::volume::VolumeMount;
use super::{check, goals, reported};
use crate::image;
use crate::parameters::Parameters;
use crate::windows::Windows;

/// What a file or the flags say of a sweep; what they leave out is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    pub name: Option<String>,
    pub image: Option<String>,
    pub command: Option<Vec<String>>,
    pub env: BTreeMap<String, String>,
    pub matrix: Option<Matrix>,
    pub params: Option<Vec<Parameters>>,
    /// A CSV file with a job's parameters in each row. Whoever finishes the draft takes it and puts what
    /// [`super::csv_rows`] reads from it into `params` first.
    pub params_from: Option<String>,
    pub filter: Option<String>,
    pub sample: Option<Sample>,
    pub windows: Option<Windows>,
    pub select: Option<Select>,
    pub volumes: Vec<VolumeMount>,
    pub needs: Needs,
    pub timeout: Option<Duration>,
    pub policy: Policy,
    pub sandbox: Sandbox,
    pub priority: Option<i32>,
    pub agents: BTreeMap<String, String>,
    pub network: Option<Network>,
    pub on_disconnect: Option<OnDisconnect>,
    pub user: Option<JobUser>,
    pub results: Option<String>,
    pub metrics: Option<String>,
    /// Metrics that a job must report.
    pub require: Vec<String>,
    pub progress: Option<String>,
    pub goals: BTreeMap<String, Goal>,
    pub judged: Judged,
    pub timezone: Option<String>,
    pub places: Places,
}

impl Draft {
    /// Checks all and fills in the defaults.
    pub fn finish(self) -> Result<Manifest, Error> {
        let manifest = self.finish_stored()?;
        manifest.admit()?;
        Ok(manifest)
    }

    /// As [`finish`](Self::finish), for a manifest that was checked when it was submitted, by the rules of that time.
    pub(super) fn finish_stored(mut self) -> Result<Manifest, Error> {
        let places = self.places.clone();
        let at = |path: &str| {
            let place = places.of(path).cloned();
            move |error: Error| error.or_at(place.as_ref())
        };
        self.check_values().map_err(|(path, error)| at(&path)(error))?;
        let jobs = self.job_source().map_err(|(path, error)| at(&path)(error))?;
        let results = self.results.unwrap_or_else(|| DEFAULT_RESULTS.to_owned());
        let is_process = self.sandbox.driver == Some(Driver::Process);
        let image = self
            .image
            .or_else(|| is_process.then(|| PROCESS_IMAGE.to_owned()))
            .ok_or_else(|| Error::new("no `image` is given; name the image to run"))
            .map_err(|error| match places.origin() {
                Some(origin) => error.or_in(&origin),
                None => error,
            })?;
        Ok(Manifest {
            name: self.name.unwrap_or_else(|| name_of_image(&image)),
            image,
            command: self.command.unwrap_or_default(),
            env: self.env,
            jobs,
            filter: self.filter,
            sample: self.sample,
            windows: self.windows,
            select: self.select,
            volumes: self.volumes,
            needs: self.needs,
            timeout: self.timeout,
            policy: self.policy,
            sandbox: self.sandbox,
            priority: self.priority.unwrap_or(0),
            agents: self.agents,
            network: self.network.unwrap_or_default(),
            on_disconnect: self.on_disconnect.unwrap_or_default(),
            user: self.user.unwrap_or_default(),
            results: check::results(results)?,
            metrics: self.metrics.unwrap_or_else(|| DEFAULT_METRICS.to_owned()),
            require: self.require,
            progress: self.progress.unwrap_or_else(|| DEFAULT_PROGRESS.to_owned()),
            goals: self.goals,
            judged: self.judged,
            timezone: self.timezone,
            places: self.places,
        })
    }

    /// A file's values were checked where they stand; a flag's are checked here.
    fn check_values(&self) -> Result<(), (String, Error)> {
        let key = |key: &str| {
            let key = key.to_owned();
            move |error| (key, error)
        };
        let strings = [
            ("name", &self.name, check::name as fn(String) -> Result<String, Error>),
            ("image", &self.image, check::image),
            ("results", &self.results, check::results),
            ("metrics", &self.metrics, check::metrics),
            ("progress", &self.progress, check::progress),
            ("timezone", &self.timezone, check::timezone),
        ];
        for (name, value, check) in strings {
            if let Some(value) = value {
                check(value.clone()).map_err(key(name))?;
            }
        }
        reported::check_required(&self.require).map_err(key("metrics"))?;
        goals::check(&self.goals).map_err(key("goals"))?;
        if let Some(family) = &self.judged.family {
            check_family(family.clone()).map_err(key("family"))?;
        }
        if let Some(words) = &self.command {
            check::command(words.clone()).map_err(key("command"))?;
        }
        for (name, value) in &self.env {
            let checked = check::env_name(name).and_then(|()| check::text(name, value));
            checked.map_err(key(&format!("env.{name}")))?;
        }
        for (name, value) in &self.agents {
            check::label(name, value).map_err(key("agents"))?;
        }
        if self.select.is_some() && self.windows.is_none() {
            let message =
                "`select` chooses within each window, and there are no `windows`; add them, or leave it out";
            return Err(("select".to_owned(), Error::new(message)));
        }
        self.check_counts().map_err(|(path, message)| (path.to_owned(), Error::new(message)))?;
        self.check_volumes()
    }

    fn check_counts(&self) -> Result<(), (&'static str, String)> {
        let counts = [
            ("env", self.env.len(), check::MAX_ENV),
            ("agents", self.agents.len(), check::MAX_LABELS),
            ("volumes", self.volumes.len(), check::MAX_VOLUMES),
            ("params", self.params.as_ref().map_or(0, Vec::len), MAX_JOBS as usize),
        ];
        for (key, count, most) in counts {
            if count > most {
                return Err((key, format!("`{key}` has {count}; {most} is the limit")));
            }
        }
        self.policy.check()?;
        self.sandbox.check()?;
        if let Some(priority) = self.priority.filter(|priority| !(-1000..=1000).contains(priority)) {
            return Err(("priority", format!("`priority` is {priority}; it goes from -1000 to 1000")));
        }
        if self.timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(("timeout", "`timeout` must be greater than zero".to_owned()));
        }
        if self.needs.cpu_millis == Some(0) {
            return Err(("resources", "`cpus` must be greater than zero".to_owned()));
        }
        if self.sample.is_some_and(|sample| sample.count == 0) {
            return Err(("sample", "`sample` takes 0 jobs; take 1 at least".to_owned()));
        }
        if let Some(seed) = self.sample.map(|sample| sample.seed).filter(|seed| *seed > i64::MAX as u64) {
            return Err((
                "sample",
                format!("the seed {seed} of `sample` is too large; {} is the largest", i64::MAX),
            ));
        }
        if let Some(bytes) = self.needs.memory_bytes {
            check::memory(bytes).map_err(|error| ("resources", error.message))?;
        }
        Ok(())
    }

    fn check_volumes(&self) -> Result<(), (String, Error)> {
        for (index, mount) in self.volumes.iter().enumerate() {
            let fails = |message: String| Err((format!("volumes.{index}"), Error::new(message)));
            if let Some(other) = self.volumes[..index].iter().find(|other| other.target == mount.target) {
                return fails(format!(
                    "the volumes `{}` and `{}` both go to {}; give one of them another path",
                    other.volume, mount.volume, mount.target
                ));
            }
        }
        Ok(())
    }

    fn job_source(&mut self) -> Result<JobSource, (String, Error)> {
        let given = [
            ("matrix", self.matrix.is_some()),
            ("params", self.params.is_some()),
            ("params_from", self.params_from.is_some()),
        ];
        let mut given = given.iter().filter(|(_, is_given)| *is_given).map(|(key, _)| *key);
        match (given.next(), given.next()) {
            (Some(first), Some(second)) => {
                let message = format!(
                    "both `{first}` and `{second}` are given; the jobs come from one of matrix, params, params_from"
                );
                Err((second.to_owned(), Error::new(message)))
            }
            (Some("params_from"), _) => {
                let message = "the file in `params_from` was not read";
                Err(("params_from".to_owned(), Error::new(message)))
            }
            _ => match (self.matrix.take(), self.params.take()) {
                (Some(matrix), _) => {
                    matrix.check()?;
                    matrix.check_read()?;
                    Ok(JobSource::Matrix(matrix))
                }
                (None, Some(rows)) => Ok(JobSource::Rows(rows)),
                (None, None) => Ok(JobSource::One),
            },
        }
    }
}

/// `reg.example:5000/team/sma-cross:1` makes `sma-cross`.
fn name_of_image(image: &str) -> String {
    let name: String = image::short_name(image)
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '-' })
        .skip_while(|c| !c.is_ascii_alphanumeric())
        .take(63)
        .collect();
    if name.is_empty() { "sweep".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_is_named_after_its_image() {
        let named = [
            ("sma-cross", "sma-cross"),
            ("reg/sma-cross:1", "sma-cross"),
            ("reg.example:5000/a/b:v2@sha256:00ff", "b"),
            ("sha256:00ff", "sha256"),
        ];
        for (image, name) in named {
            assert_eq!(name_of_image(image), name, "{image}");
        }
    }
}
