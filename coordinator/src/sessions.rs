//! The agents that are connected to this coordinator. Only a cache: a coordinator that starts learns it all again from
//! the agents' Hellos.

mod rest;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bt_measures::{CAPACITY_CPUS, CAPACITY_MEMORY, CAPACITY_SLOTS, CONNECTED};
use bt_model::id::{AgentId, AttemptId, BatchId, SweepId};
use bt_model::layout::AttemptPlace;
use bt_model::placement::Offer;
use bt_model::resources::Resources;
use bt_proto::v1;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::scheduling::Seat;
use rest::Rests;

/// Messages to an agent that may wait to be sent. An agent that reads so slowly is cut off and has to reconnect.
const OUTBOX: usize = 256;

/// A message to an agent, as its stream wants it.
pub(crate) type Outgoing = Result<v1::CoordinatorMessage, tonic::Status>;

/// A connected agent.
#[derive(Debug)]
struct Session {
    number: u64,
    outbox: mpsc::Sender<Outgoing>,
    offer: Arc<Offer>,
    /// It wants no work: it drains, or its engine is in trouble.
    closed_to_work: bool,
    /// An operator has taken it out of service.
    drained: bool,
    /// Attempts that are leased to it; the ones it was just sent, too.
    held: HashMap<AttemptId, Held>,
    /// What these take.
    taken: Resources,
    /// How many of these are in each batch.
    batches: HashMap<BatchId, u32>,
    /// Sweeps whose containers it has run.
    ran: Arc<HashSet<SweepId>>,
    /// Sweeps whose jobs it could not start: until when it gets no more of them, how long that was, and why.
    refuses: HashMap<SweepId, Refusal>,
}

#[derive(Debug)]
struct Refusal {
    until: Instant,
    pause: Duration,
    why: String,
}

#[derive(Debug)]
struct Held {
    place: AttemptPlace,
    needs: Resources,
    /// Attempts of one batch take these together.
    batch: Option<BatchId>,
    /// Heartbeats that did not name it since it was sent.
    unnamed: u32,
}

/// How long an agent that could not start a sweep's job gets no more of them; it doubles each time.
const FIRST_REFUSAL: Duration = Duration::from_secs(2);
const LONGEST_REFUSAL: Duration = Duration::from_secs(300);
/// Heartbeats after which an attempt that none of them named never reached its agent.
const UNNAMED: u32 = 3;

/// An agent that work may be sent to.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub(crate) agent: AgentId,
    pub(crate) session: u64,
    pub(crate) seat: Seat,
}

/// All connected agents. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions {
    agents: Arc<Mutex<HashMap<AgentId, Session>>>,
    rests: Arc<Mutex<Rests>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change under the lock is a single step, so a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    /// Counts one more attempt of a batch. True if it is the first, or in none: it takes room.
    fn joins(&mut self, batch: Option<BatchId>) -> bool {
        let Some(batch) = batch else { return true };
        let attempts = self.batches.entry(batch).or_default();
        *attempts += 1;
        *attempts == 1
    }

    /// Counts one less. True if it was the last, or in none: its room is free.
    fn leaves(&mut self, batch: Option<BatchId>) -> bool {
        let Some(batch) = batch else { return true };
        let left = self.batches.get_mut(&batch).map_or(0, |attempts| {
            *attempts -= 1;
            *attempts
        });
        if left == 0 {
            self.batches.remove(&batch);
        }
        left == 0
    }

    fn refused_now(&self) -> impl Iterator<Item = (SweepId, &Refusal)> {
        let now = Instant::now();
        self.refuses
            .iter()
            .filter(move |(_, refusal)| refusal.until > now)
            .map(|(sweep, refusal)| (*sweep, refusal))
    }
}

impl Sessions {
    /// Adds an agent, in place of an older session of the same one. What is sent to it, the welcome first, comes out of
    /// the receiver.
    pub(crate) fn open(
        &self,
        agent: AgentId,
        number: u64,
        offer: Offer,
        welcome: v1::Welcome,
    ) -> mpsc::Receiver<Outgoing> {
        let (outbox, receiver) = mpsc::channel(OUTBOX);
        let first = v1::coordinator_message::Kind::Welcome(welcome);
        if outbox.try_send(Ok(v1::CoordinatorMessage { kind: Some(first) })).is_err() {
            unreachable!("a new channel has room");
        }
        let session = Session {
            number,
            outbox,
            offer: Arc::new(offer),
            // Until what it holds is known.
            closed_to_work: true,
            drained: false,
            held: HashMap::new(),
            taken: Resources::default(),
            batches: HashMap::new(),
            ran: Arc::default(),
            refuses: HashMap::new(),
        };
        lock(&self.agents).insert(agent, session);
        receiver
    }

    /// Removes an agent, if this is still its session.
    pub(crate) fn close(&self, agent: AgentId, number: u64) {
        let mut agents = lock(&self.agents);
        if agents.get(&agent).is_some_and(|session| session.number == number) {
            agents.remove(&agent);
        }
    }

    /// Ends all streams, so that the agents look for another coordinator.
    pub(crate) fn close_all(&self) {
        lock(&self.agents).clear();
    }

    /// Notes what a heartbeat said. Returns the attempts that were sent and that the agent never got.
    pub(crate) fn pulse(&self, agent: AgentId, named: &[AttemptId], closed_to_work: bool) -> Vec<AttemptId> {
        let mut agents = lock(&self.agents);
        let Some(session) = agents.get_mut(&agent) else { return Vec::new() };
        session.closed_to_work = closed_to_work;
        let named: HashSet<_> = named.iter().collect();
        let mut unreceived = Vec::new();
        for (attempt, held) in &mut session.held {
            held.unnamed = if named.contains(attempt) { 0 } else { held.unnamed + 1 };
            if held.unnamed >= UNNAMED {
                unreceived.push(*attempt);
            }
        }
        unreceived
    }

    /// True if this is the agent's session, and it is with this coordinator.
    pub(crate) fn is_current(&self, agent: AgentId, number: u64) -> bool {
        lock(&self.agents).get(&agent).is_some_and(|session| session.number == number)
    }

    /// The agents that want work.
    pub(crate) fn ready(&self) -> Vec<Ready> {
        let agents = lock(&self.agents);
        let rests = lock(&self.rests);
        let open = agents.iter().filter(|(_, session)| !session.closed_to_work && !session.drained);
        let now = Instant::now();
        let open = open.filter(|(agent, _)| rests.why(**agent, now).is_none());
        open.map(|(agent, session)| Ready {
            agent: *agent,
            session: session.number,
            seat: Seat {
                offer: session.offer.clone(),
                free: session.offer.capacity.less(&session.taken),
                ran: session.ran.clone(),
                refuses: session.refused_now().map(|(sweep, _)| sweep).collect(),
                kept_for: None,
            },
        })
        .collect()
    }

    /// Notes for monitoring what the connected agents offer, and what of it is taken.
    pub(crate) fn measure(&self) {
        let agents = lock(&self.agents);
        CONNECTED.set([], agents.len() as f64);
        let sum = |of: fn(&Session) -> &Resources| {
            agents.values().map(of).fold(Resources::default(), |sum, next| sum.plus(next))
        };
        let all =
            [("offered", sum(|session| &session.offer.capacity)), ("used", sum(|session| &session.taken))];
        for (by, resources) in all {
            CAPACITY_CPUS.set([by], resources.cpu_millis as f64 / 1000.0);
            CAPACITY_MEMORY.set([by], resources.memory_bytes as f64);
            CAPACITY_SLOTS.set([by], f64::from(resources.jobs));
        }
    }

    /// Every connected agent with the attempts that it holds.
    pub(crate) fn held(&self) -> Vec<(AgentId, Vec<AttemptId>)> {
        let agents = lock(&self.agents);
        let held = |(agent, session): (&AgentId, &Session)| (*agent, session.held.keys().copied().collect());
        agents.iter().map(held).collect()
    }

    /// Where the files of an attempt belong that this agent holds.
    pub(crate) fn place(&self, agent: AgentId, attempt: AttemptId) -> Option<AttemptPlace> {
        Some(lock(&self.agents).get(&agent)?.held.get(&attempt)?.place.clone())
    }

    /// Notes that an attempt is leased to an agent, and what its manifest asks for; those of a batch take that together.
    pub(crate) fn assigned(
        &self,
        agent: AgentId,
        attempt: AttemptId,
        place: AttemptPlace,
        asked: Resources,
        batch: Option<BatchId>,
    ) {
        if let Some(session) = lock(&self.agents).get_mut(&agent) {
            let needs = session.offer.needs(&asked);
            let before = session.held.insert(attempt, Held { place, needs, batch, unnamed: 0 });
            if before.is_none() && session.joins(batch) {
                session.taken = session.taken.plus(&needs);
            }
        }
    }

    /// Notes that an agent runs an attempt's container: it has got the image.
    pub(crate) fn runs(&self, agent: AgentId, attempt: AttemptId) {
        lock(&self.rests).runs(agent);
        if let Some(session) = lock(&self.agents).get_mut(&agent)
            && let Some(held) = session.held.get(&attempt)
            && !session.ran.contains(&held.place.sweep)
        {
            Arc::make_mut(&mut session.ran).insert(held.place.sweep);
            session.refuses.remove(&held.place.sweep);
        }
    }

    /// Notes that an agent could not start an attempt, for a reason that would hold for others of its sweep too: it gets
    /// none of them for a while, and each time for twice as long.
    pub(crate) fn refused(&self, agent: AgentId, attempt: AttemptId, why: &str) {
        let mut agents = lock(&self.agents);
        let Some(session) = agents.get_mut(&agent) else { return };
        let Some(sweep) = session.held.get(&attempt).map(|held| held.place.sweep) else { return };
        let now = Instant::now();
        let pause = match session.refuses.get(&sweep) {
            // Others that were under way together.
            Some(refusal) if refusal.until > now => return,
            Some(refusal) => (refusal.pause * 2).min(LONGEST_REFUSAL),
            None => FIRST_REFUSAL,
        };
        session.refuses.insert(sweep, Refusal { until: now + pause, pause, why: why.to_owned() });
        lock(&self.rests).refused(agent, why, now);
    }

    /// Notes that an agent handed back what it could have run: it gets no work for a while, and each time for twice as
    /// long.
    pub(crate) fn handed_back(&self, agent: AgentId, why: &str) {
        lock(&self.rests).handed_back(agent, why, Instant::now());
    }

    /// Lets every agent try again now what it could not start.
    pub(crate) fn forgive(&self) {
        for session in lock(&self.agents).values_mut() {
            // One that is under way may still be refused; the pause after that is a short one again.
            session.refuses.clear();
        }
    }

    /// Why agents get no jobs of this sweep for now, where they could not start them.
    pub(crate) fn refusals(&self, sweep: SweepId) -> HashMap<AgentId, String> {
        let agents = lock(&self.agents);
        let rests = lock(&self.rests);
        let of = |(agent, session): (&AgentId, &Session)| {
            if let Some(why) = rests.why(*agent, Instant::now()) {
                return Some((*agent, why.to_owned()));
            }
            let (_, refusal) = session.refused_now().find(|(refused, _)| *refused == sweep)?;
            Some((*agent, refusal.why.clone()))
        };
        agents.iter().filter_map(of).collect()
    }

    /// What each agent that is connected to this coordinator had to offer when it came, its images among it.
    pub(crate) fn offers(&self) -> HashMap<AgentId, Arc<Offer>> {
        lock(&self.agents).iter().map(|(agent, session)| (*agent, session.offer.clone())).collect()
    }

    /// Sends no more work to an agent that an operator has taken out of service, or again.
    pub(crate) fn drain(&self, agent: AgentId, drain: bool) {
        if let Some(session) = lock(&self.agents).get_mut(&agent) {
            session.drained = drain;
        }
    }

    /// Notes that an attempt is not an agent's any more.
    pub(crate) fn stopped(&self, agent: AgentId, attempt: AttemptId) {
        if let Some(session) = lock(&self.agents).get_mut(&agent)
            && let Some(held) = session.held.remove(&attempt)
            && session.leaves(held.batch)
        {
            session.taken = session.taken.less(&held.needs);
        }
    }

    /// Tells an agent that an attempt is not its own any more.
    pub(crate) fn take_away(&self, agent: AgentId, attempt: AttemptId) {
        self.stopped(agent, attempt);
        let stop = v1::Stop { attempt: attempt.to_string(), ruling: v1::Ruling::Stop.into() };
        self.send(agent, v1::coordinator_message::Kind::Stop(stop));
    }

    /// Sends a message to an agent. False when it isn't connected here; an agent whose outbox is full is cut off, and
    /// finds out all it missed when it says hello again.
    pub(crate) fn send(&self, agent: AgentId, kind: v1::coordinator_message::Kind) -> bool {
        let mut agents = lock(&self.agents);
        let Some(session) = agents.get(&agent) else {
            return false;
        };
        let message = v1::CoordinatorMessage { kind: Some(kind) };
        if session.outbox.try_send(Ok(message)).is_err() {
            agents.remove(&agent);
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_takes_room_once_and_until_its_last_attempt_has_stopped() {
        let (sessions, agent, sweep) = (Sessions::default(), AgentId::random(), SweepId::random());
        let cpus =
            |n: u64| Resources { cpu_millis: n * 1000, memory_bytes: 0, gpus: 0, disk_bytes: 0, jobs: 0 };
        let offer = Offer { capacity: cpus(4), ..Offer::default() };
        let _outgoing = sessions.open(agent, 1, offer, v1::Welcome::default());
        sessions.pulse(agent, &[], false);
        let attempts: Vec<_> = (0..4).map(|_| AttemptId::random()).collect();
        let batch = Some(BatchId::random());
        for (job, (attempt, batch)) in attempts.iter().zip([batch, batch, None, batch]).enumerate() {
            let place =
                AttemptPlace { sweep_name: "s".to_owned(), sweep, jobs: 4, job: job as u32, attempt: 1 };
            // Noted twice, it counts once.
            sessions.assigned(agent, *attempt, place.clone(), cpus(1), batch);
            sessions.assigned(agent, *attempt, place, cpus(1), batch);
        }
        let free = || sessions.ready()[0].seat.free.cpu_millis;
        assert_eq!(free(), 2_000);
        for (stopped, expected) in [(0, 2_000), (0, 2_000), (3, 2_000), (2, 3_000), (1, 4_000)] {
            sessions.stopped(agent, attempts[stopped]);
            assert_eq!(free(), expected, "after {stopped}");
        }
    }
}
