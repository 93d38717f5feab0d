//! `warm.verify`: a sweep's first jobs run in a container of their own too, before they run warm, and what both leave is
//! compared. Where a second container of its own leaves the same as the first and the warm job does not, the sweep goes on
//! with `containers: each`, and the job's result is that of its own container.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use bt_engine::{Exit, collect};
use bt_model::id::AttemptId;
use bt_model::manifest::{Containers, Manifest};
use bt_model::reason::Reason;
use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::warn;

use super::publish::{read_metrics, say_in_log, sha256};
use super::start::start;
use super::state::Stop;
use super::{limits, prepare, secrets, unless_halted, warm};
use crate::agent::Agent;
use crate::assembly::agents_fault;
use crate::gateway;
use crate::job::container::Job;
use crate::job::holdings::Held;
use crate::record::ending::Halt;
use crate::runner::{Finished, Running, keep_lines};
use crate::site::workdir::AttemptDir;

/// Differences that are named.
const NAMED: usize = 3;

/// True if the job is one of those that the manifest wants to see run both ways.
pub(super) fn is_asked(held: &Held, job: &Job) -> bool {
    held.assignment.job < job.manifest.sandbox.warm().verify()
}

/// What the job has left that ran in a container of its own.
pub(super) struct Reference {
    left: Left,
    exit: Exit,
    id: AttemptId,
    dir: AttemptDir,
}

/// How a job ended and what it left.
#[derive(Clone, Debug, PartialEq)]
struct Left {
    code: i64,
    oom: bool,
    /// Files by their paths, without the one that holds the metrics where these can be read.
    files: BTreeMap<String, (u64, [u8; 32])>,
    metrics: Map<String, Value>,
}

impl Left {
    fn look(root: &Path, exit: &Exit, manifest: &Manifest) -> Result<Self, Reason> {
        let told = |error: collect::Error| Reason::Outputs(error.to_string());
        let metrics = read_metrics(root, manifest).ok().flatten().map(|metrics| metrics.numbers);
        let mut files = BTreeMap::new();
        for output in collect::list(root).map_err(told)?.outputs {
            if output.path == manifest.metrics && metrics.is_some() {
                continue;
            }
            let file = collect::open(root, &output.path).map_err(told)?;
            let digest =
                sha256(file).map_err(|error| Reason::Outputs(format!("{}: {error}", output.path)))?;
            files.insert(output.path, digest);
        }
        Ok(Self { code: exit.code, oom: exit.oom, files, metrics: metrics.unwrap_or_default() })
    }

    /// In what another one is different.
    fn differences(&self, other: &Self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        if (self.code, self.oom) != (other.code, other.oom) {
            found.insert("how it ends".to_owned());
        }
        for path in self.files.keys().chain(other.files.keys()) {
            if self.files.get(path) != other.files.get(path) {
                found.insert(format!("the file {path}"));
            }
        }
        for name in self.metrics.keys().chain(other.metrics.keys()) {
            if self.metrics.get(name) != other.metrics.get(name) {
                found.insert(format!("the metric {name}"));
            }
        }
        found
    }
}

/// Runs the job in a container of its own.
pub(super) async fn reference(agent: &Agent, held: &Held, job: &Job) -> Result<Reference, Stop> {
    held.note("running in a container of its own first, to compare (`warm.verify`)");
    let id = AttemptId::random();
    agent.site.guests.add(id);
    let dir = agent.site.state.guest(id);
    let running = async {
        dir.make().map_err(agents_fault)?;
        let assembly = prepare::assemble_for(agent, held, job).await?;
        let mut spec = assembly.spec(&agent.site, &held.assignment, job, &dir, &[])?;
        spec.attempt = id;
        secrets::give(agent, held, job, &assembly, &mut spec).await?;
        gateway::shut(&agent.site, &dir, &assembly.facts, &mut spec)?;
        start(agent, &spec).await.map_err(|stop| secrets::without_shell(job, stop))?;
        let exit = end(agent, held, job, id, &dir).await?;
        let (root, manifest, ended) = (dir.results(), job.manifest.clone(), exit.clone());
        let looking = tokio::task::spawn_blocking(move || Left::look(&root, &ended, &manifest));
        let left = looking.await.map_err(|error| Reason::Agent(error.to_string()))??;
        Ok((left, exit))
    };
    let ran = unless_halted(held, running).await;
    if let Err(error) = agent.site.engine.remove(id).await {
        warn!(container = %id, error = %error, "a container that was run to compare is left to a later pass");
    }
    agent.site.secrets.remove(id);
    held.note("");
    match ran {
        Ok((left, exit)) => Ok(Reference { left, exit, id, dir }),
        Err(stop) => {
            forget(agent, id, &dir);
            Err(stop)
        }
    }
}

/// The end of the container, within the job's limits.
async fn end(agent: &Agent, held: &Held, job: &Job, id: AttemptId, dir: &AttemptDir) -> Result<Exit, Stop> {
    let engine = &*agent.site.engine;
    let keeping = async {
        // Nothing of it is kept: the job's log is what the warm job prints. Unread output would stop the container.
        if let Err(error) = keep_lines(engine.logs(id, None), |_| Ok(())).await {
            warn!(container = %id, error, "the rest of the log is not read");
        }
    };
    let results = dir.results();
    let halt = async {
        tokio::select! {
            halt = held.halted() => halt,
            () = limits::timed_out_here(agent, job, Timestamp::now()) => Halt::Timeout,
            halt = limits::results_exceeded(job, &results) => halt,
        }
    };
    let grace = job.stop_grace(agent.site.options.stop_grace);
    let running = Running::Container(id);
    let Finished { exit, halt } =
        running.to_its_end(engine, keeping, std::future::pending(), halt, grace).await?;
    match halt {
        None => Ok(exit),
        Some(halt) => Err(Stop::Halted(halt)),
    }
}

/// Compares what the job has left that ran warm. If it can't have been the same by chance alone, what its own container
/// has left takes its place.
pub(super) async fn compared(
    agent: &Agent,
    held: &Held,
    job: &Job,
    finished: Finished,
    reference: Reference,
) -> Result<Finished, Stop> {
    let told = compare(agent, held, job, &finished, &reference).await;
    let finished = match told {
        Ok(None) => finished,
        Ok(Some(differences)) => {
            let number = held.assignment.job;
            let why = format!(
                "job {number} left something else than in a container of its own: {differences}; of jobs that have succeeded \
                 before this was found, `given.warm` in result.json says which ran warm"
            );
            say_in_log(held, job, &format!("{why}; the result is that of its own container"));
            warm::cool(agent, held, Containers::Each, why).await;
            let swapped = swap(&reference.dir.results(), &held.dir.results());
            swapped.map_err(|error| Reason::Agent(format!("its results can't be moved: {error}")))?;
            held.note_warm(None);
            Finished { exit: reference.exit.clone(), halt: None }
        }
        Err(stop) => {
            forget(agent, reference.id, &reference.dir);
            return Err(stop);
        }
    };
    forget(agent, reference.id, &reference.dir);
    Ok(finished)
}

/// What differs, if the job leaves the same whenever it runs in a container of its own.
async fn compare(
    agent: &Agent,
    held: &Held,
    job: &Job,
    finished: &Finished,
    reference: &Reference,
) -> Result<Option<String>, Stop> {
    if finished.halt.is_some() {
        return Ok(None);
    }
    let (root, manifest, ended) = (held.dir.results(), job.manifest.clone(), finished.exit.clone());
    let looking = tokio::task::spawn_blocking(move || Left::look(&root, &ended, &manifest));
    let left = looking.await.map_err(|error| Reason::Agent(error.to_string()))??;
    let mut found = reference.left.differences(&left);
    if found.is_empty() {
        return Ok(None);
    }
    let again = self::reference(agent, held, job).await?;
    for chance in reference.left.differences(&again.left) {
        found.remove(&chance);
    }
    forget(agent, again.id, &again.dir);
    Ok(match found.len() {
        0 => None,
        count => {
            let named: Vec<_> = found.into_iter().take(NAMED).collect();
            let more = count - named.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            Some(format!("{}{more}", named.join(", ")))
        }
    })
}

/// Puts the files of one results directory in the place of another's.
fn swap(from: &Path, to: &Path) -> std::io::Result<()> {
    collect::remove_tree(to);
    fs::rename(from, to)
}

fn forget(agent: &Agent, id: AttemptId, dir: &AttemptDir) {
    dir.remove();
    agent.site.guests.remove(id);
}
