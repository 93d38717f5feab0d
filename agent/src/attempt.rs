//! The life of one attempt on this machine, from its assignment to the acknowledged report:
//!
//! ```text
//! wait for room ─▶ prepare ─▶ run ─▶ publish ─▶ write the ending down ─▶ report, remove the container ─▶ forget
//!                              └ ship what was closed
//! ```
//!
//! Here each step is done; which follows is decided by the state machine in `state`, which is pure. Every step can be
//! taken again after a restart of the agent: what was done is found on disk or at the engine.

mod batch;
mod limits;
mod prepare;
mod publish;
mod report;
mod returns;
mod room;
mod run;
mod secrets;
mod shared;
mod start;
mod state;
#[cfg(test)]
mod tests;
mod verify;
mod volumes;
mod warm;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bt_engine::capacity::Share;
use bt_model::manifest::Containers;
use bt_model::reason::Reason;
use bt_model::resources::Resources;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span};

use crate::agent::Agent;
use crate::gateway::Way;
use crate::job::container::Job;
use crate::job::holdings::Held;
use crate::line::shipping::{self, Journal};
use crate::line::upload;
use crate::record::ending::{Ending, Halt, Outcome, outcome};
use crate::runner::Finished;
use crate::slots::Slot;
use batch::Member;
use state::{Event, State, Stop};
use verify::Reference;

pub(crate) use batch::{Told, verdict};
pub(crate) use limits::{left_too_much, results_exceeded, timed_out};
pub(crate) use prepare::prepare_debug;
pub(crate) use publish::read_metrics;
pub(crate) use run::is_out_of_processes;

/// Begins the lives of attempts that the agent has got together.
pub(crate) fn begin(agent: &Arc<Agent>, held: Vec<Arc<Held>>) {
    for (held, member) in batch::members(agent, held) {
        let assignment = &held.assignment;
        let span = info_span!(
            parent: None,
            "attempt",
            agent.id = %agent.site.identity.agent,
            sweep.id = %assignment.sweep,
            job = assignment.job,
            attempt.id = %assignment.attempt,
            attempt.number = assignment.number,
        );
        agent.site.tasks.spawn(live(agent.clone(), held, member).instrument(span));
    }
}

/// Lives an attempt to its end.
async fn live(agent: Arc<Agent>, held: Arc<Held>, member: Option<Member>) {
    let mut life = Life { agent, held, member, work: None };
    let mut state = State::New;
    let trace = life.held.assignment.trace();
    while state != State::Over {
        let began = SystemTime::now();
        let event = life.step(&state).await;
        if let (Some(trace), Some(step)) = (&trace, step(&state)) {
            let assignment = &life.held.assignment;
            let said = [
                ("agent.id", life.agent.site.identity.agent.to_string()),
                ("attempt.id", assignment.attempt.to_string()),
                ("attempt.number", assignment.number.to_string()),
            ];
            trace.span(step, began, &said);
        }
        state = match state.next(event) {
            Ok(next) => next,
            Err(illegal) => {
                error!("{illegal}");
                State::Reporting(Ending::failed(&Reason::Agent(illegal.to_string())))
            }
        };
    }
    info!("the attempt is over");
}

/// What the work of a state is called in the job's trace.
fn step(state: &State) -> Option<&'static str> {
    match state {
        State::Waiting => Some("wait for room"),
        State::Preparing => Some("prepare"),
        State::Running => Some("container"),
        State::Publishing => Some("publish"),
        State::Saving(_) => Some("save"),
        State::Reporting(_) => Some("report"),
        State::New | State::Discarding | State::Forgetting | State::Over => None,
    }
}

struct Life {
    agent: Arc<Agent>,
    held: Arc<Held>,
    /// Its part in a batch, if it shares its container with others at the same time.
    member: Option<Member>,
    /// From the moment there is room for it.
    work: Option<Work>,
}

/// What is at hand while the attempt is worked on.
struct Work {
    job: Job,
    containers: Containers,
    /// What its container of its own has left, if its sweep asks for a comparison.
    reference: Option<Reference>,
    /// What it takes of the machine; a container that jobs share takes it over.
    share: Option<Share>,
    /// The container that it shares with other jobs of its sweep, if they do.
    slot: Option<Slot>,
    /// What was sent while it ran.
    shipped: Option<BoxFuture<'static, Journal>>,
}

impl Life {
    /// Does the work of a state.
    async fn step(&mut self, state: &State) -> Event {
        let done = match state {
            State::New => Ok(self.look()),
            State::Waiting => self.wait_for_room().await.map(|work| {
                self.work = Some(work);
                Event::Room
            }),
            State::Preparing => self.prepare().await.map(|()| Event::Started),
            State::Running => self.run().await.map(Event::Exited),
            State::Publishing => self.publish().await.map(Event::Published),
            State::Saving(ending) => {
                let shipped = self.take_shipped();
                self.work = None;
                shipping::rest(&self.agent.line, &self.held, ending, shipped).await;
                Ok(Event::Saved)
            }
            State::Reporting(ending) => {
                self.work = None;
                report::report(&self.agent, &self.held, ending.clone()).await;
                Ok(Event::Acknowledged)
            }
            State::Discarding => {
                self.work = None;
                report::remove_container(&self.agent, &self.held).await;
                report::send_log(&self.agent, &self.held).await;
                Ok(Event::Removed)
            }
            State::Forgetting | State::Over => {
                forget(&self.agent, &self.held).await;
                Ok(Event::Forgotten)
            }
        };
        done.unwrap_or_else(|stop| Event::Stopped { stop, had_started: self.held.dir.has_started() })
    }

    /// What an earlier run of the agent has written down.
    fn look(&self) -> Event {
        match self.held.dir.ended() {
            Ok(Some(ended)) => {
                if !ended.remark.is_empty() {
                    self.held.remark(ended.remark);
                }
                Event::Ended(ended.ending)
            }
            Ok(None) => Event::Fresh,
            Err(error) => Event::Ended(Ending::failed(&Reason::Agent(format!("{error:#}")))),
        }
    }

    async fn wait_for_room(&mut self) -> Result<Work, Stop> {
        match &self.member {
            Some(member) => member.wait_for_room(&self.agent, &self.held).await,
            None => wait_for_room(&self.agent, &self.held).await,
        }
    }

    async fn prepare(&mut self) -> Result<(), Stop> {
        let (agent, held) = (&self.agent, &self.held);
        if let Some(member) = &self.member {
            return member.started(agent, held).await;
        }
        let work = at_work(&mut self.work)?;
        if work.containers != Containers::Each {
            if work.containers == Containers::Warm && verify::is_asked(held, &work.job) {
                work.reference = Some(verify::reference(agent, held, &work.job).await?);
            }
            return shared::get_slot(agent, held, work).await;
        }
        if prepare::runs_already(agent, held).await? {
            return start::open_again(agent, Way::again(held.id(), &work.job, &held.dir)).await;
        }
        let gpus = work.share.as_ref().map_or(&[][..], Share::gpus);
        let prepared = unless_halted(held, prepare::prepare(agent, held, &work.job, gpus)).await;
        if prepared.is_err() {
            // It may have been halted while it was being started.
            let grace = work.job.stop_grace(agent.site.options.stop_grace);
            if let Err(error) = agent.site.engine.stop(held.id(), grace).await {
                agent.site.health.leave_container(held.id(), &error);
            }
        }
        prepared
    }

    /// Runs the container to its end, and says what is to be done then.
    async fn run(&mut self) -> Result<Outcome, Stop> {
        let (agent, held) = (&self.agent, &self.held);
        let work = at_work(&mut self.work)?;
        if let Some(member) = &self.member {
            let outcome = member.ended(agent, held, &work.job).await?;
            let held = held.clone();
            work.shipped = Some(async move { shipping::journal(&held) }.boxed());
            return Ok(outcome);
        }
        let finished = match work.slot.take() {
            Some(slot) => {
                let mut finished = shared::run_in_slot(agent, held, &work.job, slot).await?;
                if let Some(reference) = work.reference.take() {
                    finished = verify::compared(agent, held, &work.job, finished, reference).await?;
                }
                let held = held.clone();
                work.shipped = Some(async move { shipping::journal(&held) }.boxed());
                finished
            }
            None => {
                let ended = CancellationToken::new();
                let mut shipping = {
                    let (agent, held, ended) = (agent.clone(), held.clone(), ended.clone());
                    async move { shipping::as_they_come(&agent.line, &held, &ended).await }.boxed()
                };
                let finished = tokio::select! {
                    ran = run::run(agent, held, &work.job) => ran?,
                    _ = &mut shipping => unreachable!("shipping ends after the job"),
                };
                ended.cancel();
                agent.site.secrets.remove(held.id());
                work.shipped = Some(shipping);
                finished
            }
        };
        // Others may have the room while its outputs are published.
        work.share = None;
        Ok(judge(agent, held, &work.job, &finished).await)
    }

    /// Puts the outputs into the store.
    async fn publish(&mut self) -> Result<Ending, Stop> {
        let shipped = self.take_shipped();
        let work = at_work(&mut self.work)?;
        publish::publish(&self.agent, &self.held, &work.job, shipped).await
    }

    /// What was sent of its outputs so far; what is written down of it, if its run did not come to an end.
    fn take_shipped(&mut self) -> BoxFuture<'static, Journal> {
        let shipped = self.work.as_mut().and_then(|work| work.shipped.take());
        shipped.unwrap_or_else(|| {
            let held = self.held.clone();
            async move { Journal::open(held.dir.stored()) }.boxed()
        })
    }
}

/// Waits until the machine has room for it, besides what runs.
async fn wait_for_room(agent: &Agent, held: &Held) -> Result<Work, Stop> {
    let job = Job::read(&held.assignment, &agent.manifests)?;
    // Before a waiting container is taken, which only a job that runs gives back.
    let containers = shared::containers(agent, held, &job).await?;
    if let Some(why) = agent.away.refuses(held.dir.has_started()) {
        return Err(Stop::Halted(Halt::Release(why)));
    }
    held.note("waiting for other containers on this machine to end");
    // A container that waits for a job of the sweep has its memory already.
    let mut idle = Idle::of(agent, held, containers);
    let needs = job.resources(&agent.site.offer).less(&idle.taken());
    let mut share = tokio::select! {
        biased;
        share = room::take(agent, &job, needs, &held.dir) => share?,
        halt = held.halted() => return Err(Stop::Halted(halt)),
        why = agent.away.gone() => return Err(Stop::Halted(Halt::Release(why))),
        () = agent.leaving.draining.cancelled() => {
            return Err(Stop::Halted(Halt::Release("the agent drains".into())));
        }
    };
    held.note("");
    unless_halted(held, volumes::look_before(agent, &held.dir, &job, |note| held.note(note))).await?;
    let mut slot = idle.take();
    if let Some(kept) = slot.as_mut().and_then(|slot| slot.share.take()) {
        share.absorb(kept);
    }
    Ok(Work { job, containers, reference: None, share: Some(share), slot, shipped: None })
}

/// What is to be done after the container's end.
async fn judge(agent: &Agent, held: &Held, job: &Job, finished: &Finished) -> Outcome {
    let Finished { exit, halt } = finished;
    volumes::look_after(agent, held).await;
    limits::measure_results(held, job).await;
    if let Some(time) = exit.ran {
        // What it stood still it did not run.
        let frozen = held.dir.started().map_or(Duration::ZERO, |started| agent.away.frozen_since(started));
        held.ran(time.saturating_sub(frozen));
    }
    let too_much = match halt {
        None => left_too_much(job, &held.dir.results()).await,
        Some(_) => None,
    };
    match outcome(exit, halt.as_ref().or(too_much.as_ref())) {
        Outcome::End(ending) => {
            let ending = run::out_of_disk(agent, held, ending);
            Outcome::End(run::explained(held, &job.manifest, ending))
        }
        outcome => outcome,
    }
}

/// Removes what is on disk for it.
async fn forget(agent: &Agent, held: &Held) {
    upload::abandon(&agent.line, held).await;
    agent.line.outbox.forget(held.id());
    held.dir.remove();
    agent.holdings.remove(held.id());
}

/// The work of a state that comes after `Waiting`.
fn at_work(work: &mut Option<Work>) -> Result<&mut Work, Stop> {
    work.as_mut().ok_or_else(|| Stop::Failed(Reason::Agent("the attempt was not given any room".to_owned())))
}

/// A container that waits for a job of a sweep, while the job waits for the rest; it waits on if the job does not come.
struct Idle<'a> {
    agent: &'a Agent,
    held: &'a Held,
    slot: Option<Slot>,
}

impl<'a> Idle<'a> {
    fn of(agent: &'a Agent, held: &'a Held, containers: Containers) -> Self {
        let sweep = held.assignment.sweep;
        let slot = match containers {
            Containers::Each => None,
            Containers::Reuse => agent.slots.take(sweep, false),
            Containers::Warm => agent.slots.take(sweep, true),
        };
        Self { agent, held, slot }
    }

    fn taken(&self) -> Resources {
        let share = self.slot.as_ref().and_then(|slot| slot.share.as_ref());
        share.map(Share::taken).unwrap_or_default()
    }

    fn take(&mut self) -> Option<Slot> {
        self.slot.take()
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.agent.slots.give_back(self.held.assignment.sweep, slot);
        }
    }
}

async fn unless_halted<T>(held: &Held, step: impl Future<Output = Result<T, Stop>>) -> Result<T, Stop> {
    tokio::select! {
        halt = held.halted() => Err(Stop::Halted(halt)),
        done = step => done,
    }
}
