//! Sends ready jobs to the agents that are connected here and have room. It runs when it is woken and, because wake-ups
//! get lost, every now and then without; what is ready is asked of Postgres each time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bt_measures::SWEEPS_WITHOUT_AGENT;
use bt_model::id::{AgentId, BatchId, SweepId};
use bt_model::image_policy::ImagePolicy;
use bt_model::layout::AttemptPlace;
use bt_proto::convert;
use bt_proto::v1::{self, coordinator_message};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use super::preemptor::Kept;
use super::{Health, PutOff};
use crate::bell::{Bell, Sleeper};
use crate::manifests::{self, Manifests};
use crate::queue::{Candidate, Changeable, Claimed, Queue, Want};
use crate::scheduling::{CONTAINER, Preemption, State, plan, share};
use crate::sessions::{Ready, Sessions};
use crate::traced;

/// How long a lost wake-up may go unnoticed.
const POLL: Duration = Duration::from_secs(1);
/// Jobs that one pass plans at most; what is left over makes it run again at once.
const BATCH: u32 = 2_000;
/// Plans that one pass makes: another one after each that found fewer jobs ready than were queued.
const ROUNDS: u32 = 4;
/// How long a sweep may find every fitting agent busy before one is kept free for it.
const RESERVE_AFTER: Duration = Duration::from_secs(30);

pub(crate) struct Dispatcher {
    pub(crate) queue: Queue,
    pub(crate) manifests: Manifests,
    pub(crate) sessions: Sessions,
    pub(crate) bell: Bell,
    pub(crate) lease: Duration,
    pub(crate) memory: Memory,
    /// After what time what owners had running counts half as much for their shares; none: it does not count.
    pub(crate) fair_share_half_life: Option<Duration>,
    /// Which images may run.
    pub(crate) images: Arc<ImagePolicy>,
    /// Sweeps that this coordinator can't read.
    pub(crate) put_off: PutOff<SweepId>,
    /// Whose jobs may be ended to make room.
    pub(crate) preemption: Preemption,
}

/// What makes passes faster and fairer; losing it does no harm.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Below this number a sweep's jobs were found to be taken. Forgotten often: jobs come back.
    cursors: HashMap<SweepId, u32>,
    forgotten: Option<Instant>,
    /// Since when a sweep finds every agent that could run its jobs busy.
    waiting: HashMap<SweepId, Instant>,
    /// Where room was made, and when for which sweep.
    pub(super) kept: Kept,
}

impl Dispatcher {
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut health = Health::new("dispatching");
        let bell = self.bell.clone();
        loop {
            // Armed before the pass, so that what happens during the pass is not missed.
            let woken = bell.rung(Sleeper::Dispatcher);
            let sent = health.note(self.run_once().await).unwrap_or(0);
            if sent >= BATCH && !shutdown.is_cancelled() {
                continue;
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = timeout(POLL, woken) => {}
            }
        }
    }

    /// One pass: says how many jobs it sent.
    pub(crate) async fn run_once(&mut self) -> Result<u32, manifests::Error> {
        self.memory.tidy();
        let mut agents = self.sessions.ready();
        if agents.is_empty() {
            SWEEPS_WITHOUT_AGENT.set([], 0.0);
            return Ok(0);
        }
        let candidates = self.queue.candidates().await?;
        self.put_off.keep(|id| candidates.iter().any(|(sweep, _)| sweep == id));
        let mut sweeps = Vec::with_capacity(candidates.len());
        for (id, candidate) in candidates {
            if !self.put_off.is_due(&id) {
                continue;
            }
            match candidate {
                // Before anything is leased that could not be sent.
                Ok(sweep) if self.is_readable(id).await? && self.may_run(&sweep).await? => sweeps.push(sweep),
                Ok(_) => {}
                Err(error) => drop(self.put_off.note(&id, Err::<(), _>(error))),
            }
        }
        if sweeps.is_empty() {
            SWEEPS_WITHOUT_AGENT.set([], 0.0);
            self.memory.waiting.clear();
            return Ok(0);
        }
        sweeps = self.queue.set_grown_apart(sweeps).await?;
        self.memory.kept.mark(&mut agents, &sweeps);
        let owners = self.queue.owners_running().await?;
        for sweep in &mut sweeps {
            sweep.has_quota = owners.get(&sweep.owner).is_some_and(|(_, room)| room.is_some());
        }
        let quotas = owners.iter().filter_map(|(owner, (_, room))| Some((owner.clone(), (*room)?))).collect();
        let lately = match self.fair_share_half_life {
            Some(half_life) => self.queue.owners_lately(half_life).await?,
            None => HashMap::new(),
        };
        let share_of = |(owner, (running, _)): (String, (u64, _))| {
            let lately = lately.get(&owner).copied().unwrap_or(0.0);
            (owner, share(running, lately))
        };
        let mut state = State {
            owners: owners.into_iter().map(share_of).collect(),
            quotas,
            limits: self.limits_left(&sweeps).await?,
            starved: self.memory.starved(),
        };
        let mut sent = 0;
        for round in 0..ROUNDS {
            let seats: Vec<_> = agents.iter().map(|agent| agent.seat.clone()).collect();
            let plan = plan(seats, &sweeps, &state, BATCH.saturating_sub(sent));
            self.memory.note_waiting(&plan.waiting);
            if round == 0 {
                SWEEPS_WITHOUT_AGENT.set([], plan.unfit as f64);
            }
            let mut dry = HashSet::new();
            for (index, wants) in &plan.claims {
                let sweep = sweeps[*index].clone();
                let wanted = wants.iter().flat_map(|(agent, jobs)| agents[*agent].wants(*jobs, &sweep));
                let wanted = wanted.collect::<Vec<_>>();
                let began = SystemTime::now();
                let claimed = match self.claim(&sweep, &wanted).await {
                    // Its limits are held by who does not move, say.
                    Err(manifests::Error::Queue(error)) if error.is_one_items() => {
                        self.put_off.note(&sweep.sweep, Err::<(), _>(error));
                        dry.insert(sweep.sweep);
                        continue;
                    }
                    claimed => claimed?,
                };
                traced::claimed(&sweep, &claimed, began);
                self.put_off.note(&sweep.sweep, Ok::<_, manifests::Error>(()));
                let planned = wanted.iter().map(|want| want.jobs).sum::<u32>();
                if claimed.len() < planned as usize {
                    dry.insert(sweep.sweep);
                }
                sent += claimed.len() as u32;
                let taken = places(claimed.iter()) as u64;
                *state.owners.entry(sweep.owner.clone()).or_default() += taken * CONTAINER;
                state.take_quota(&sweep.owner, claimed.len() as u32, taken * sweep.needs.cpu_millis);
                // Only those that were to get some can have got some.
                for agent in wants.keys() {
                    let agent = &mut agents[*agent];
                    let places = places(claimed.iter().filter(|claimed| claimed.agent == agent.agent));
                    agent.take(&sweep, places);
                    if places > 0 {
                        self.memory.kept.taken(agent, sweep.sweep);
                    }
                }
                sweeps[*index].running += claimed.len() as u32;
                sweeps[*index].queued = sweeps[*index].queued.saturating_sub(claimed.len() as u32);
                match self.assign(&sweep, claimed).await {
                    // Agents that never received what was leased to them give it back at no cost.
                    Err(error @ manifests::Error::Unreadable(..)) => {
                        error!(sweep.id = %sweep.sweep, error = %error, "the sweep is paused; the others go on");
                        self.queue.pause(Changeable::by_itself(sweep.sweep)).await?;
                        dry.insert(sweep.sweep);
                    }
                    assigned => assigned?,
                }
            }
            if dry.is_empty() || sent >= BATCH {
                break;
            }
            // Some of what is queued waits for its time, or another coordinator was faster: the room goes to others.
            sweeps.retain(|sweep| !dry.contains(&sweep.sweep));
        }
        if sent < BATCH {
            self.make_room(&agents, &sweeps, &state).await?;
        }
        Ok(sent)
    }

    /// Claims from where the last claim left off, and from the beginning if there is not enough.
    async fn claim(&mut self, sweep: &Candidate, wants: &[Want]) -> Result<Vec<Claimed>, manifests::Error> {
        let planned = wants.iter().map(|want| want.jobs).sum::<u32>();
        // Jobs that need more memory than their sweep says are few, and found without.
        let cursor = self.memory.cursors.get(&sweep.sweep).filter(|_| sweep.grown.is_none());
        let from = cursor.copied().unwrap_or(0);
        let mut claimed = self.queue.claim(sweep, wants, from, self.lease).await?;
        if claimed.len() < planned as usize && from > 0 {
            let mut left = wants.to_vec();
            for want in &mut left {
                let is_its_own =
                    |claimed: &&Claimed| (claimed.agent, claimed.batch) == (want.agent, want.batch);
                let got = claimed.iter().filter(is_its_own).count() as u32;
                // Of a batch that has a job of its own the rest is not for others.
                let left = if want.batch.is_some() && got > 0 { 0 } else { want.jobs };
                want.jobs = left.saturating_sub(got);
            }
            left.retain(|want| want.jobs > 0);
            claimed.extend(self.queue.claim(sweep, &left, 0, self.lease).await?);
        }
        if let Some(last) = claimed.iter().map(|claimed| claimed.job).max()
            && sweep.grown.is_none()
        {
            self.memory.cursors.insert(sweep.sweep, last + 1);
        }
        Ok(claimed)
    }

    /// True if a sweep's manifest can be read; else the sweep is put off by itself.
    async fn is_readable(&mut self, sweep: SweepId) -> Result<bool, manifests::Error> {
        let read = match self.manifests.get(sweep).await {
            Err(error @ manifests::Error::Queue(_)) => return Err(error),
            Err(error) => Err(error),
            Ok(known) => known.reader().map(drop),
        };
        match read {
            Ok(()) => Ok(true),
            Err(error) => Ok(self.put_off.note(&sweep, Err::<(), _>(error)).is_some()),
        }
    }

    /// True if the sweep's image may run here.
    async fn may_run(&self, sweep: &Candidate) -> Result<bool, manifests::Error> {
        let known = self.manifests.get(sweep.sweep).await?;
        let pin = sweep.image_pin.as_deref();
        Ok(self.images.refusal_of_queued(&known.manifest.image, pin).is_none())
    }

    /// What is left of the limits, if any sweep asks for one.
    pub(super) async fn limits_left(
        &self,
        sweeps: &[Candidate],
    ) -> Result<HashMap<String, u32>, manifests::Error> {
        if sweeps.iter().all(|sweep| sweep.limits.is_empty()) {
            return Ok(HashMap::new());
        }
        let limits = self.queue.limits().await?;
        let set = limits.into_iter().filter(|limit| limit.set);
        Ok(set.map(|limit| (limit.name, limit.capacity.saturating_sub(limit.used))).collect())
    }

    /// Sends leases to their agents. If one has gone meanwhile, its next Hello shows that it never received them, and
    /// they go back to the queue.
    async fn assign(&self, sweep: &Candidate, claimed: Vec<Claimed>) -> Result<(), manifests::Error> {
        if claimed.is_empty() {
            return Ok(());
        }
        debug!(sweep.id = %sweep.sweep, jobs = claimed.len(), "jobs are sent");
        let known = self.manifests.get(sweep.sweep).await?;
        let reader = known.reader()?;
        let mut by_agent: HashMap<AgentId, v1::Assign> = HashMap::new();
        for claimed in claimed {
            let place = AttemptPlace {
                sweep_name: sweep.name.clone(),
                sweep: sweep.sweep,
                jobs: sweep.jobs,
                job: claimed.job,
                attempt: claimed.number,
            };
            self.sessions.assigned(claimed.agent, claimed.attempt, place, sweep.needs, claimed.batch);
            let assign = by_agent.entry(claimed.agent).or_default();
            // Ten thousand of them would be more than a message may hold.
            let is_told = claimed.batch.is_some() && !assign.assignments.is_empty();
            let assignment = v1::Assignment {
                attempt: claimed.attempt.to_string(),
                sweep: sweep.sweep.to_string(),
                job: claimed.job,
                attempt_number: claimed.number,
                sweep_name: known.manifest.name.clone(),
                manifest: if is_told { String::new() } else { known.text.clone() },
                parameters: reader.json(claimed.parameters),
                image_pin: claimed.image_pin,
                containers: convert::containers(sweep.containers).into(),
                batch: claimed.batch.map(|batch| batch.to_string()),
                traceparent: traced::trace(sweep.sweep, claimed.job, sweep.jobs)
                    .map(|trace| trace.to_string()),
                memory_bytes: sweep.grown,
            };
            assign.assignments.push(assignment);
        }
        for (agent, assign) in by_agent {
            self.sessions.send(agent, coordinator_message::Kind::Assign(assign));
        }
        Ok(())
    }
}

impl Memory {
    /// Jobs of any number may have come back since; how many doesn't matter, only that they are found soon.
    fn tidy(&mut self) {
        if self.forgotten.is_none_or(|at| at.elapsed() > POLL) {
            self.cursors.clear();
            self.forgotten = Some(Instant::now());
        }
    }

    fn note_waiting(&mut self, waiting: &[SweepId]) {
        let now = Instant::now();
        self.waiting.retain(|sweep, _| waiting.contains(sweep));
        for sweep in waiting {
            self.waiting.entry(*sweep).or_insert(now);
        }
    }

    fn starved(&self) -> HashSet<SweepId> {
        let long = self.waiting.iter().filter(|(_, since)| since.elapsed() > RESERVE_AFTER);
        long.map(|(sweep, _)| *sweep).collect()
    }
}

/// How many places these take: a batch takes one.
fn places<'c>(claimed: impl Iterator<Item = &'c Claimed>) -> usize {
    let (batches, single): (Vec<_>, Vec<_>) = claimed.map(|claimed| claimed.batch).partition(Option::is_some);
    single.len() + batches.into_iter().collect::<HashSet<_>>().len()
}

impl Ready {
    /// So many jobs, in batches if the sweep asks for it.
    fn wants(&self, jobs: u32, sweep: &Candidate) -> Vec<Want> {
        let want = |jobs, batch| Want { agent: self.agent, session: self.session, jobs, batch };
        let Some(size) = sweep.batch.map(|size| size.max(1)) else { return vec![want(jobs, None)] };
        let of = |n| want(size.min(jobs - n * size), Some(BatchId::random()));
        (0..jobs.div_ceil(size)).map(of).collect()
    }

    fn take(&mut self, sweep: &Candidate, places: usize) {
        for _ in 0..places {
            self.seat.take(sweep);
        }
    }
}
