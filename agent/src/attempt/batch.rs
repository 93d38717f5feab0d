//! Attempts that run in one container (`batch` in the manifest). The container is led by a task of its own, which takes the
//! room of one job; each attempt waits for it and then goes on by itself: it takes its own directory of the outputs, is
//! published or fails by what the status file says of it, and reports its own end. An attempt that is taken away leaves
//! its container alone unless it was the last.
//!
//! After a restart of the agent the container is taken back with those attempts that are still held.

mod lead;
mod verdict;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bt_engine::{Sample, collect};
use bt_model::id::{AttemptId, BatchId};
use bt_model::manifest::Containers;
use bt_model::reason::Reason;
use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::sync::watch;
use tracing::{Instrument, info_span, warn};

use super::state::Stop;
use super::{Work, limits, prepare, run, unless_halted};
use crate::agent::Agent;
use crate::assembly::agents_fault;
use crate::batch::{self, MemberLog, Point};
use crate::job::container::Job;
use crate::job::holdings::Held;
use crate::record::ending::{Ending, Halt, Outcome};
use crate::site::workdir::AttemptDir;
use lead::End;
pub(crate) use verdict::{Told, verdict};

/// The attempts of one container.
pub(super) struct Batch {
    /// The container's.
    id: AttemptId,
    /// What the container sees, and its log.
    dir: AttemptDir,
    held: Vec<Arc<Held>>,
    taken_back: bool,
    phase: watch::Sender<Phase>,
    /// Attempts whose lives go on.
    living: watch::Sender<HashSet<AttemptId>>,
}

/// How far the container has come.
#[derive(Clone)]
enum Phase {
    Waiting,
    Preparing,
    Running {
        image_id: String,
    },
    /// It could not be run.
    Stopped(Stop),
    Ended(Arc<End>),
}

/// One attempt's part in a batch, for as long as its life goes on.
pub(super) struct Member {
    batch: Arc<Batch>,
    attempt: AttemptId,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.batch.living.send_modify(|living| {
            living.remove(&self.attempt);
        });
    }
}

/// Puts the attempts that share a container together, with what each does in its batch; none where it has its own.
pub(super) fn members(agent: &Arc<Agent>, held: Vec<Arc<Held>>) -> Vec<(Arc<Held>, Option<Member>)> {
    let mut batches: HashMap<BatchId, Vec<Arc<Held>>> = HashMap::new();
    let mut all = Vec::with_capacity(held.len());
    for held in held {
        match held.assignment.batch {
            Some(batch) => batches.entry(batch).or_default().push(held),
            None => all.push((held, None)),
        }
    }
    for (id, mut held) in batches {
        held.sort_unstable_by_key(|held| held.assignment.job);
        let taken_back = held.iter().any(|held| held.taken_back);
        let batch = Arc::new(Batch {
            id: AttemptId::from_uuid(id.uuid()),
            dir: agent.site.state.batch(id, taken_back),
            taken_back,
            phase: watch::Sender::new(Phase::Waiting),
            living: watch::Sender::new(held.iter().map(|held| held.id()).collect()),
            held,
        });
        let member = |held: &Arc<Held>| Member { batch: batch.clone(), attempt: held.id() };
        all.extend(batch.held.iter().map(|held| (held.clone(), Some(member(held)))));
        // Counted before the task runs: the agent must not end meanwhile.
        agent.batches.fetch_add(1, Ordering::Relaxed);
        let span = info_span!(
            parent: None,
            "batch",
            agent.id = %agent.site.identity.agent,
            sweep.id = batch.held.first().map(|held| held.assignment.sweep.to_string()),
            batch.id = %id,
        );
        agent.site.tasks.spawn(lead::lead(agent.clone(), batch).instrument(span));
    }
    all
}

impl Batch {
    /// Waits until none of its attempts needs the container any more: each is asked to stop, or its life is over.
    async fn halted(&self) -> Halt {
        let halts = join_all(self.held.iter().map(|held| self.halt_of(held))).await;
        let handed_back = halts.into_iter().flatten().find(|halt| *halt != Halt::TakenAway);
        handed_back.unwrap_or(Halt::TakenAway)
    }

    /// Why an attempt is asked to stop; nothing if its life is over without that.
    async fn halt_of(&self, held: &Held) -> Option<Halt> {
        let mut living = self.living.subscribe();
        tokio::select! {
            biased;
            halt = held.halted() => Some(halt),
            _ = living.wait_for(|living| !living.contains(&held.id())) => None,
        }
    }

    /// One of its attempts that may speak for the container; the first, if none needs it any more.
    fn speaker(&self) -> &Arc<Held> {
        let speaks = |held: &&Arc<Held>| self.halt_of(held).now_or_never().is_none();
        self.held.iter().find(speaks).unwrap_or(&self.held[0])
    }

    fn note(&self, note: &str) {
        for held in &self.held {
            held.note(note);
        }
    }

    /// The points that the container was given, attempts that an earlier run of the agent has ended included.
    fn points(&self) -> Vec<u32> {
        let table = fs::read_to_string(self.dir.points()).unwrap_or_default();
        let listed: Vec<u32> =
            table.lines().skip(1).filter_map(|line| line.split('\t').next()?.parse().ok()).collect();
        match listed.is_empty() {
            true => self.held.iter().map(|held| held.assignment.job).collect(),
            false => listed,
        }
    }

    /// Cuts the log of these attempts out of the container's, as far as that is written.
    async fn cut(&self, held: &[Arc<Held>], points: Vec<u32>, limit: u64) {
        let whole = self.dir.log();
        let members: Vec<_> =
            held.iter().map(|held| MemberLog { job: held.assignment.job, path: held.dir.log() }).collect();
        let part = (limit / points.len().max(1) as u64).max(LEAST_LOG);
        let points: HashSet<u32> = points.into_iter().collect();
        let cutting = tokio::task::spawn_blocking(move || {
            batch::cut(&whole, &members, |job| points.contains(&job), part)
        });
        match cutting.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(container = %self.id, %error, "its points' logs are all of its log"),
            Err(error) => warn!(container = %self.id, %error, "its points' logs are all of its log"),
        }
    }
}

/// Bytes of its log that a point keeps at least.
const LEAST_LOG: u64 = 4 << 10;

impl Member {
    /// Waits until the container has come far enough. Fails if it can't be run, or the attempt is halted before.
    async fn once<T>(&self, held: &Held, far_enough: impl Fn(&Phase) -> Option<T>) -> Result<T, Stop> {
        let mut phases = self.batch.phase.subscribe();
        let waiting = async {
            loop {
                let phase = phases.borrow_and_update().clone();
                match phase {
                    Phase::Stopped(stop) => return Err(stop),
                    phase => {
                        if let Some(reached) = far_enough(&phase) {
                            return Ok(reached);
                        }
                    }
                }
                if phases.changed().await.is_err() {
                    unreachable!("the sender is held by self");
                }
            }
        };
        unless_halted(held, waiting).await
    }

    /// Waits until there is room for the container.
    pub(super) async fn wait_for_room(&self, agent: &Agent, held: &Held) -> Result<Work, Stop> {
        held.note_shared();
        let job = Job::read(&held.assignment, &agent.manifests)?;
        self.once(held, |phase| (!matches!(phase, Phase::Waiting)).then_some(())).await?;
        Ok(Work {
            job,
            containers: Containers::Each,
            reference: None,
            share: None,
            slot: None,
            shipped: None,
        })
    }

    /// Waits until the container runs.
    pub(super) async fn started(&self, agent: &Agent, held: &Held) -> Result<(), Stop> {
        let image_id = self.once(held, |phase| match phase {
            Phase::Running { image_id } => Some(image_id.clone()),
            Phase::Ended(end) => Some(end.image_id.clone()),
            Phase::Waiting | Phase::Preparing | Phase::Stopped(_) => None,
        });
        let image_id = image_id.await?;
        held.dir.write_starting().await.map_err(agents_fault)?;
        held.dir.note_started();
        prepare::report_running(agent, held, image_id);
        Ok(())
    }

    /// Waits until the container has ended, takes the attempt's outputs, and says what is to be done with it.
    pub(super) async fn ended(&self, agent: &Agent, held: &Held, job: &Job) -> Result<Outcome, Stop> {
        let batch = &self.batch;
        let telling =
            held.tells(batch.dir.results(), format!("{}/{}", point(held).name(), job.manifest.progress));
        let end = tokio::select! {
            biased;
            () = held.taken_away() => {
                // Its container goes on, and this log ends here.
                let held = batch.held.iter().find(|other| other.id() == held.id()).cloned();
                let limit = job.manifest.sandbox.log_limit();
                batch.cut(held.as_slice(), batch.points(), limit).await;
                return Ok(Outcome::Discard);
            }
            end = self.end() => end?,
        };
        drop(telling);
        held.used(&Sample { written_bytes: 0, ..end.used });
        if let Some(ran) = end.ran {
            held.ran(ran);
        }
        take_outputs(held, batch)?;
        limits::measure_results(held, job).await;
        if !end.told.is_empty()
            && let Err(error) = held.dir.note_volumes_told(&end.told)
        {
            warn!(attempt.id = %held.id(), error = format!("{error:#}"), "what its volumes held is not told");
        }
        if let Some(trouble) = &end.trouble {
            held.remark(trouble.clone());
        }
        let told = Told { exit: &end.finished.exit, halt: end.finished.halt.as_ref(), several: end.several };
        let report = end.reports.get(&held.assignment.job).copied();
        Ok(match verdict(&told, report, &job.manifest.results) {
            Outcome::End(ending @ Ending::Failed { unreported: true, .. }) => {
                held.remark("its container ended before it was reported: it runs again, alone".to_owned());
                Outcome::End(ending)
            }
            Outcome::End(ending) => {
                let ending = run::out_of_disk(agent, held, ending);
                Outcome::End(run::explained(held, &job.manifest, ending))
            }
            outcome => outcome,
        })
    }

    /// What became of the container.
    async fn end(&self) -> Result<Arc<End>, Stop> {
        let mut phases = self.batch.phase.subscribe();
        let ended = phases.wait_for(|phase| matches!(phase, Phase::Ended(_) | Phase::Stopped(_))).await;
        match ended.map(|phase| phase.clone()) {
            Ok(Phase::Ended(end)) => Ok(end),
            Ok(Phase::Stopped(stop)) => Err(stop),
            _ => Err(Stop::Failed(Reason::Agent("its container has no end".to_owned()))),
        }
    }
}

/// The attempt's point, as its directory is named.
fn point(held: &Held) -> Point {
    Point { job: held.assignment.job, parameters: Default::default() }
}

/// Moves what the container left for this attempt's point into its own results directory. Only a directory is taken.
fn take_outputs(held: &Held, batch: &Batch) -> Result<(), Stop> {
    let (from, to) = (batch.dir.results().join(point(held).name()), held.dir.results());
    held.dir.make().map_err(agents_fault)?;
    let failed =
        |error: std::io::Error| Stop::Failed(Reason::Outputs(format!("the outputs can't be taken: {error}")));
    match from.symlink_metadata() {
        Ok(found) if found.is_dir() => match fs::rename(&from, &to) {
            // An earlier run of the agent has moved them, and the job's directory was made again.
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
            moved => moved.map_err(failed),
        },
        Ok(_) => {
            held.remark(
                "its place among the results is not a directory, and nothing is taken from it".to_owned(),
            );
            collect::make_results_dir(&to, None).map_err(failed)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            collect::make_results_dir(&to, None).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}
