//! The manifest as flags: each says what the key of the same meaning says in a file. Names are docker's where docker
//! has one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bt_model::manifest::{
    After, Containers, Draft, Driver, Goal, JobUser, Judged, Keep, Matrix, Needs, Network, OnDisconnect,
    Platform, Policy, Pull, Receiver, Retries, Sample, SampleMethod, Sandbox, SecretUse, Tmpfs, VolumeMount,
    parse_axis_flag, parse_cpus, parse_goal_flag, parse_limit_flag, parse_reason, parse_size, parse_timeout,
    parse_ulimit_flag,
};
use bt_model::reason::ReasonKind;

use super::dev_mount;
use super::env_file;
use super::values::{at, gpus, once, pairs, volume};
use crate::error::Error;

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Manifest")]
pub(super) struct ManifestFlags {
    /// Name of the sweep; the image's if not given.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Image to run.
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Axis of the matrix: fast=5,10,20 or slow=20:200:20 (from:to:step); may be repeated.
    #[arg(long, value_name = "NAME=VALUES")]
    matrix: Vec<String>,
    /// CSV file with one job per row; the first row names the parameters.
    #[arg(long, value_name = "FILE")]
    params_from: Option<String>,
    /// Expression over the parameters that a job must fulfil, e.g. 'fast < slow'.
    #[arg(long = "where", value_name = "EXPRESSION", allow_hyphen_values = true)]
    filter: Option<String>,
    /// Queue only this many jobs.
    #[arg(long, value_name = "N")]
    sample: Option<u32>,
    /// Seed of the choice; the same seed chooses the same jobs.
    #[arg(long, value_name = "N", requires = "sample")]
    seed: Option<u64>,
    /// How the jobs of a sample are chosen: random, or spread evenly over the axes by sobol, halton or lhs [default: random].
    #[arg(long, value_name = "METHOD", requires = "sample")]
    sample_method: Option<String>,
    /// Environment variable of the container: NAME=VALUE, or NAME to pass on its value from here; may be repeated.
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// File with a variable on each line, as docker reads it: NAME=VALUE, or NAME to pass on its value from here; `#`
    /// begins a comment. Values are not templates, and --env wins; may be repeated.
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Volume to mount at a path of the container, e.g. prices:/data:ro: one that agents offer, or a path of their
    /// machines that their owners allow; may be repeated. Docker's other options (z, Z, cached, ...) have no effect.
    #[arg(short, long, value_name = "NAME:PATH[:ro]", value_parser = volume)]
    volume: Vec<VolumeMount>,
    /// Cpus of each job, e.g. 0.5 [default: 1].
    #[arg(long, value_name = "N")]
    cpus: Option<String>,
    /// Each job's cpus are its own: no other pinned job runs on them; whole ones only.
    #[arg(long)]
    pin_cpus: bool,
    /// Memory of each job, e.g. 512m or 1GiB [default: by the agent's size, 1GiB from 8 GB on].
    #[arg(short, long, value_name = "SIZE")]
    memory: Option<String>,
    /// Gpus of each job.
    #[arg(long, value_name = "N", value_parser = gpus)]
    gpus: Option<u32>,
    /// Size of /dev/shm, e.g. 256m.
    #[arg(long, value_name = "SIZE")]
    shm_size: Option<String>,
    /// Largest size of a job's results directory, e.g. 2GiB.
    #[arg(long, value_name = "SIZE")]
    disk: Option<String>,
    /// How long a job may run, e.g. 15m.
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
    /// How often a failed job is retried [default: 0].
    #[arg(long, value_name = "N")]
    retries: Option<u32>,
    /// Reasons to retry a failed job for, e.g. exit,oom [default: all of the job's own].
    #[arg(long, value_name = "REASON,...", value_delimiter = ',')]
    retry_on: Vec<String>,
    /// How many jobs of the sweep may run at once [default: as many as there is room for].
    #[arg(long, value_name = "N")]
    max_parallel: Option<u32>,
    /// Amount that each running job takes from a limit of the cluster, e.g. nas-io=1; may be repeated.
    #[arg(long, value_name = "NAME[=AMOUNT]")]
    limit: Vec<String>,
    /// Run this many jobs first, and the others only if these succeed.
    #[arg(long, value_name = "N")]
    canary: Option<u32>,
    /// How long results are kept after the last job has finished, e.g. 30d [default: forever].
    #[arg(long, value_name = "TIME")]
    keep: Option<Keep>,
    /// Sweep that must end first, all its jobs having succeeded, by its name or id (NAME:ended if any end will do); may be
    /// repeated.
    #[arg(long, value_name = "SWEEP")]
    after: Vec<After>,
    /// Address to tell when the sweep has finished: https://HOST/PATH (a JSON document is posted there),
    /// slack+https://HOST/PATH, or mailto:NAME@HOST; may be repeated [default: the setting BTCTL_NOTIFY].
    #[arg(long, value_name = "ADDRESS")]
    notify: Vec<String>,
    /// Sweeps with a higher priority go first [default: 0].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i32>,
    /// End running jobs of a lower priority where there is no room for the sweep's own; they are run again later.
    #[arg(long)]
    preempt: bool,
    /// Label that an agent must have, e.g. pool=spot; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    agent_label: Vec<String>,
    /// Network of the jobs: none, bridge, or addresses separated by commas, e.g. 127.0.0.1:4001, which are then all that
    /// they reach; bridge and addresses only on agents that offer them [default: none].
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,
    /// What to do with a container while its agent can't reach the coordinator: keep or stop [default: keep].
    #[arg(long, value_name = "CHOICE")]
    on_disconnect: Option<String>,
    /// User that jobs run as: auto, image, or uid:gid [default: auto].
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// Directory of the container that outputs are taken from [default: /results].
    #[arg(long, value_name = "PATH")]
    results: Option<String>,
    /// File among the outputs that holds the job's metrics [default: metrics.json].
    #[arg(long, value_name = "FILE")]
    metrics: Option<String>,
    /// File among the outputs in which a running job says how far it is [default: progress].
    #[arg(long, value_name = "FILE")]
    progress: Option<String>,
    /// Give a running job up, as `pruned`, when this expression over the metrics that it reports on the way holds, e.g.
    /// "drawdown < -0.5".
    #[arg(long, value_name = "EXPRESSION", allow_hyphen_values = true)]
    stop_when: Option<String>,
    /// Metric that a job must report to succeed; may be repeated.
    #[arg(long, value_name = "METRIC")]
    require_metric: Vec<String>,
    /// Whether a metric is better when it is higher or lower: METRIC=maximize (the default) or METRIC=minimize; may be
    /// repeated.
    #[arg(long, value_name = "METRIC=GOAL")]
    goal: Vec<String>,
    /// Idea that the sweep tests: the trials of all sweeps that name it are counted together when one of them is judged
    /// [default: the image's repository and the command].
    #[arg(long, value_name = "NAME")]
    family: Option<String>,
    /// Time zone of the containers, e.g. America/New_York [default: UTC].
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Program to run instead of the image's entrypoint.
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Working directory [default: the image's].
    #[arg(short, long, value_name = "PATH")]
    workdir: Option<String>,
    /// Most processes and threads that a job may have [default: 1024].
    #[arg(long, value_name = "N")]
    pids_limit: Option<u32>,
    /// Limit of a job's processes, e.g. nofile=1024:2048; may be repeated.
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<String>,
    /// Directory in memory, besides /tmp, e.g. /scratch:1g; may be repeated.
    #[arg(long, value_name = "PATH[:SIZE]")]
    tmpfs: Vec<String>,
    /// Supplementary group of a job, by its number; may be repeated.
    #[arg(long, value_name = "GID")]
    group_add: Vec<u32>,
    /// Directory that jobs of the same image and user share on each agent, e.g. /cache.
    #[arg(long, value_name = "PATH")]
    cache: Option<String>,
    /// Signal that stops a job [default: SIGTERM].
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// How long a job has to stop after that signal before it is killed [default: the agent's].
    #[arg(long, value_name = "TIME")]
    stop_timeout: Option<String>,
    /// What jobs run in: container, or process (a plain process of the agent's user, with no image and no isolation, on
    /// agents that allow it) [default: container].
    #[arg(long, value_name = "DRIVER")]
    driver: Option<String>,
    /// Platform that a job needs, e.g. linux/arm64.
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// When to pull the image: missing, always or never [default: missing].
    #[arg(long, value_name = "POLICY")]
    pull: Option<String>,
    /// How much of each job's log is kept: half from its start, half from its end [default: 64MiB].
    #[arg(long, value_name = "SIZE")]
    log_limit: Option<String>,
    /// each (each job has a container of its own), warm (jobs are forks of a Python interpreter that has imported their
    /// libraries) or reuse (jobs that follow each other share a container) [default: each].
    #[arg(long, value_name = "CHOICE")]
    containers: Option<String>,
    /// Points that one container gets at most: it reads them from its input file, and reports each in RESULTS/status
    /// [default: a container for each].
    #[arg(long, value_name = "N")]
    batch: Option<u32>,
    /// Secret that a job finds as the file /run/secrets/NAME, or with :env as a variable; may be repeated.
    #[arg(long, value_name = "NAME[:file|:env]")]
    secret: Vec<String>,
    /// Directory here that jobs find at a path of the image, read-only, e.g. ./src:/pkg; results are marked as not
    /// reproducible; may be repeated.
    #[arg(long, value_name = "DIR:TARGET")]
    pub(super) dev_mount: Vec<String>,
    /// Command and its arguments, after --; the image's own if not given. {{ name }} stands for a parameter.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl ManifestFlags {
    pub(super) fn draft(&self) -> Result<Draft, Error> {
        let needs = Needs {
            cpu_millis: self.cpus.as_deref().map(parse_cpus).transpose().map_err(at("--cpus"))?,
            pin: self.pin_cpus.then_some(true),
            memory_bytes: self.memory.as_deref().map(parse_size).transpose().map_err(at("--memory"))?,
            gpus: self.gpus,
            shm_bytes: self.shm_size.as_deref().map(parse_size).transpose().map_err(at("--shm-size"))?,
            disk_bytes: self.disk.as_deref().map(parse_size).transpose().map_err(at("--disk"))?,
        };
        let network = self.network.as_deref().map(str::parse::<Network>).transpose();
        let on_disconnect = self.on_disconnect.as_deref().map(str::parse::<OnDisconnect>).transpose();
        let user = self.user.as_deref().map(str::parse::<JobUser>).transpose();
        Ok(Draft {
            name: self.name.clone(),
            image: self.image.clone(),
            command: Some(self.command.clone()).filter(|command| !command.is_empty()),
            env: self.env()?,
            matrix: self.matrix()?,
            params_from: self.params_from.clone(),
            filter: self.filter.clone(),
            sample: self.sample()?,
            volumes: self.volumes()?,
            needs,
            timeout: self.timeout.as_deref().map(parse_timeout).transpose().map_err(at("--timeout"))?,
            policy: Policy {
                retries: Retries { failures: self.retries, ..Retries::default() },
                retry_on: self.retry_on()?,
                stop_when: self.stop_when.clone(),
                max_parallel: self.max_parallel,
                limits: self.limits()?,
                canary: self.canary,
                keep: self.keep,
                notify: self.notify()?,
                after: self.after.clone(),
                preempt: self.preempt,
            },
            sandbox: self.sandbox()?,
            priority: self.priority,
            agents: pairs("--agent-label", &self.agent_label)?,
            network: network.map_err(at("--network"))?,
            on_disconnect: on_disconnect.map_err(at("--on-disconnect"))?,
            user: user.map_err(at("--user"))?,
            results: self.results.clone(),
            metrics: self.metrics.clone(),
            progress: self.progress.clone(),
            require: self.require_metric.clone(),
            goals: self.goals()?,
            judged: Judged { family: self.family.clone(), ..Judged::default() },
            timezone: self.timezone.clone(),
            ..Draft::default()
        })
    }

    fn sandbox(&self) -> Result<Sandbox, Error> {
        fn parsed<T: std::str::FromStr<Err = bt_model::manifest::Error>>(
            flag: &'static str,
            text: Option<&String>,
        ) -> Result<Option<T>, Error> {
            text.map(|text| text.parse::<T>()).transpose().map_err(at(flag))
        }
        let ulimits = self.ulimit.iter().map(|flag| parse_ulimit_flag(flag).map_err(at("--ulimit")));
        let ulimits = once("--ulimit", ulimits.collect::<Result<Vec<_>, _>>()?.into_iter())?;
        let tmpfs = self.tmpfs.iter().map(|flag| flag.parse::<Tmpfs>().map_err(at("--tmpfs")));
        let tmpfs: Vec<Tmpfs> = tmpfs.collect::<Result<_, _>>()?;
        once("--tmpfs", tmpfs.iter().map(|tmpfs| (tmpfs.path.clone(), ())))?;
        once("--group-add", self.group_add.iter().map(|group| (*group, ())))?;
        let stop_grace = self.stop_timeout.as_deref().map(parse_timeout).transpose();
        let log_limit = self.log_limit.as_deref().map(parse_size).transpose();
        Ok(Sandbox {
            entrypoint: self.entrypoint.clone().map(|program| vec![program]),
            working_dir: self.workdir.clone(),
            stop_signal: self.stop_signal.clone(),
            stop_grace: stop_grace.map_err(at("--stop-timeout"))?,
            platform: parsed::<Platform>("--platform", self.platform.as_ref())?,
            pull: parsed::<Pull>("--pull", self.pull.as_ref())?,
            pids: self.pids_limit,
            ulimits,
            tmpfs,
            groups: self.group_add.clone(),
            cache: self.cache.clone(),
            log_limit: log_limit.map_err(at("--log-limit"))?,
            containers: parsed::<Containers>("--containers", self.containers.as_ref())?,
            driver: parsed::<Driver>("--driver", self.driver.as_ref())?,
            warm: None,
            batch: self.batch,
            secrets: self.secrets()?,
            dev_mounts: dev_mount::read(&self.dev_mount)?,
        })
    }

    fn secrets(&self) -> Result<Vec<SecretUse>, Error> {
        let secrets = self.secret.iter().map(|flag| flag.parse::<SecretUse>().map_err(at("--secret")));
        let secrets = secrets.collect::<Result<Vec<_>, _>>()?;
        once("--secret", secrets.iter().map(|secret| (secret.name.clone(), ())))?;
        Ok(secrets)
    }

    fn sample(&self) -> Result<Option<Sample>, Error> {
        let method = self.sample_method.as_deref().map(str::parse::<SampleMethod>).transpose();
        let method = method.map_err(at("--sample-method"))?.unwrap_or_default();
        Ok(self.sample.map(|count| Sample { count, seed: self.seed.unwrap_or(0), method }))
    }

    fn retry_on(&self) -> Result<Option<Vec<ReasonKind>>, Error> {
        let kinds = self.retry_on.iter().map(|name| parse_reason(name).map_err(at("--retry-on")));
        let kinds = kinds.collect::<Result<Vec<_>, _>>()?;
        once("--retry-on", kinds.iter().map(|kind| (kind.name(), ())))?;
        Ok(Some(kinds).filter(|kinds| !kinds.is_empty()))
    }

    fn goals(&self) -> Result<BTreeMap<String, Goal>, Error> {
        self.goal.iter().map(|flag| parse_goal_flag(flag).map_err(at("--goal"))).collect()
    }

    fn limits(&self) -> Result<BTreeMap<String, u32>, Error> {
        let limits = self.limit.iter().map(|flag| parse_limit_flag(flag).map_err(at("--limit")));
        once("--limit", limits.collect::<Result<Vec<_>, _>>()?.into_iter())
    }

    fn notify(&self) -> Result<Option<Vec<Receiver>>, Error> {
        let receivers = self.notify.iter().map(|flag| flag.parse::<Receiver>().map_err(at("--notify")));
        let receivers = receivers.collect::<Result<Vec<_>, _>>()?;
        Ok(Some(receivers).filter(|receivers| !receivers.is_empty()))
    }

    fn matrix(&self) -> Result<Option<Matrix>, Error> {
        let mut axes: Vec<_> = Vec::with_capacity(self.matrix.len());
        for flag in &self.matrix {
            let (name, axis) = parse_axis_flag(flag).map_err(at("--matrix"))?;
            if axes.iter().any(|(known, _)| *known == name) {
                return Err(Error::Usage(format!("--matrix: the axis `{name}` is given twice")));
            }
            axes.push((name, axis));
        }
        Ok((!axes.is_empty()).then_some(Matrix { axes, include: Vec::new(), exclude: Vec::new() }))
    }

    fn volumes(&self) -> Result<Vec<VolumeMount>, Error> {
        once("--volume", self.volume.iter().map(|mount| (mount.target.clone(), ())))?;
        Ok(self.volume.clone())
    }

    /// The flags win over the files, and a later file over an earlier one.
    fn env(&self) -> Result<BTreeMap<String, String>, Error> {
        let mut env = BTreeMap::new();
        for path in &self.env_file {
            env.extend(env_file::read(path)?);
        }
        let flag = |flag: &String| match flag.split_once('=') {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => env_file::passed_on(flag).map_err(|why| Error::Usage(format!("--env {flag}: {why}"))),
        };
        let flags = self.env.iter().map(flag).collect::<Result<Vec<_>, _>>()?;
        env.extend(once("--env", flags.into_iter())?);
        Ok(env)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    #[command(args_override_self = true)]
    struct Line {
        #[command(flatten)]
        flags: ManifestFlags,
    }

    #[test]
    fn every_flag_is_that_of_a_key() {
        let mut of_keys = std::collections::BTreeSet::new();
        bt_model::manifest::schema(|flag| {
            assert!(of_keys.insert(flag.to_owned()), "{flag} is that of two keys");
            None
        });
        let command = <Line as clap::CommandFactory>::command();
        let flags = command.get_arguments().filter_map(clap::Arg::get_long).map(str::to_owned);
        assert_eq!(flags.collect::<std::collections::BTreeSet<_>>(), of_keys);
    }

    fn draft(args: &[&str]) -> Result<Draft, String> {
        let line = Line::try_parse_from([&["submit", "--image", "x:1"], args].concat());
        line.map_err(|error| error.to_string())?.flags.draft().map_err(|error| error.to_string())
    }

    #[test]
    fn what_two_flags_set_is_refused() {
        for (args, part) in [
            (["-v", "a:/data", "-v", "b:/data:ro"], "--volume: /data is given twice"),
            (["-e", "V=1", "-e", "V=2"], "--env: V is given twice"),
            (["--agent-label", "pool=a", "--agent-label", "pool=b"], "--agent-label: pool is given twice"),
            (["--matrix", "x=1,2", "--matrix", "x=3"], "the axis `x` is given twice"),
            (["--limit", "nas", "--limit", "nas=2"], "--limit: nas is given twice"),
            (["--ulimit", "nofile=10", "--ulimit", "nofile=20"], "--ulimit: nofile is given twice"),
            (["--tmpfs", "/a", "--tmpfs", "/a:1m"], "--tmpfs: /a is given twice"),
            (["--group-add", "5", "--group-add", "5"], "--group-add: 5 is given twice"),
            (["--retry-on", "oom", "--retry-on", "exit,oom"], "--retry-on: oom is given twice"),
        ] {
            let error = draft(&args).expect_err(part);
            assert!(error.contains(part), "{args:?}: {error}");
        }
        // As with docker, the last of a flag with one value counts.
        assert_eq!(draft(&["--image", "y:1"]).unwrap().image.as_deref(), Some("y:1"));
    }

    #[test]
    fn what_people_paste_is_taken_or_answered() {
        assert_eq!(draft(&["-m", "512Mi"]).unwrap().needs.memory_bytes, Some(512 << 20));
        assert_eq!(draft(&["-m", "1Gi"]).unwrap().needs.memory_bytes, Some(1 << 30));
        assert_eq!(draft(&["--priority", "-1"]).unwrap().priority, Some(-1));
        assert_eq!(draft(&["--where", "-x < 3"]).unwrap().filter.as_deref(), Some("-x < 3"));
        assert!(draft(&["--matrix", "x=-5,-1"]).unwrap().matrix.is_some());
        assert!(draft(&["-v", "/srv/p:/data:ro,z"]).unwrap().volumes[0].read_only);
        assert!(draft(&["--gpus", "all"]).unwrap_err().contains("write how many each job needs"));
        assert!(draft(&["--env-file", "/no/such/file"]).unwrap_err().contains("--env-file /no/such/file"));
    }
}
