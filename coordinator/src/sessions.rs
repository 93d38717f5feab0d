//! The agents that are connected to this coordinator. Only a cache: a coordinator that starts learns it all again from
//! the agents' Hellos.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bt_model::id::{AgentId, AttemptId};
use bt_model::log::LogLine;
use bt_model::resources::Resources;
use bt_proto::v1;
use tokio::sync::mpsc;
use uuid::Uuid;

/// Messages to an agent that may wait to be sent. An agent that reads so slowly is cut off and has to reconnect.
const OUTBOX: usize = 256;
/// Lines of a log on their way from an agent to a client.
const LOG_LINES: usize = 256;

/// A message to an agent, as its stream wants it.
pub(crate) type Outgoing = Result<v1::CoordinatorMessage, tonic::Status>;

/// A connected agent.
#[derive(Debug)]
struct Session {
    number: u64,
    outbox: mpsc::Sender<Outgoing>,
    capacity: Resources,
    labels: BTreeMap<String, String>,
    volumes: BTreeMap<String, bool>,
    /// It wants no work: it drains, or its engine is in trouble.
    closed_to_work: bool,
    /// Attempts it is known to hold; the ones it was just sent, too.
    held: Vec<AttemptId>,
}

/// An agent that work may be sent to.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub(crate) agent: AgentId,
    pub(crate) session: u64,
    pub(crate) capacity: Resources,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) volumes: BTreeMap<String, bool>,
}

/// All connected agents. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions {
    agents: Arc<Mutex<HashMap<AgentId, Session>>>,
    logs: Arc<Mutex<HashMap<Uuid, mpsc::Sender<LogLine>>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change under the lock is a single step, so a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sessions {
    /// Adds an agent, in place of an older session of the same one. What is sent to it, the welcome first, comes out of
    /// the receiver.
    pub(crate) fn open(
        &self,
        ready: Ready,
        held: Vec<AttemptId>,
        welcome: v1::Welcome,
    ) -> mpsc::Receiver<Outgoing> {
        let (outbox, receiver) = mpsc::channel(OUTBOX);
        let first = v1::coordinator_message::Kind::Welcome(welcome);
        if outbox.try_send(Ok(v1::CoordinatorMessage { kind: Some(first) })).is_err() {
            unreachable!("a new channel has room");
        }
        let session = Session {
            number: ready.session,
            outbox,
            capacity: ready.capacity,
            labels: ready.labels,
            volumes: ready.volumes,
            closed_to_work: false,
            held,
        };
        lock(&self.agents).insert(ready.agent, session);
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
        lock(&self.logs).clear();
    }

    /// Notes what a heartbeat said.
    pub(crate) fn pulse(&self, agent: AgentId, held: &[AttemptId], closed_to_work: bool) {
        if let Some(session) = lock(&self.agents).get_mut(&agent) {
            session.held = held.to_vec();
            session.closed_to_work = closed_to_work;
        }
    }

    /// The agents that want work.
    pub(crate) fn ready(&self) -> Vec<Ready> {
        let agents = lock(&self.agents);
        let open = agents.iter().filter(|(_, session)| !session.closed_to_work);
        open.map(|(agent, session)| Ready {
            agent: *agent,
            session: session.number,
            capacity: session.capacity,
            labels: session.labels.clone(),
            volumes: session.volumes.clone(),
        })
        .collect()
    }

    /// Every connected agent with the attempts that it holds.
    pub(crate) fn held(&self) -> Vec<(AgentId, Vec<AttemptId>)> {
        let agents = lock(&self.agents);
        let held = |(agent, session): (&AgentId, &Session)| (*agent, session.held.clone());
        agents.iter().map(held).collect()
    }

    /// Notes that attempts were sent to an agent, or that it was told to stop them.
    pub(crate) fn assigned(&self, agent: AgentId, attempts: impl IntoIterator<Item = AttemptId>) {
        if let Some(session) = lock(&self.agents).get_mut(&agent) {
            session.held.extend(attempts);
        }
    }

    pub(crate) fn stopped(&self, agent: AgentId, attempt: AttemptId) {
        if let Some(session) = lock(&self.agents).get_mut(&agent) {
            session.held.retain(|held| *held != attempt);
        }
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

    /// Opens a place where an agent can push a log to: its id, and the lines as they come.
    pub(crate) fn expect_log(&self) -> (Uuid, mpsc::Receiver<LogLine>) {
        let request = Uuid::new_v4();
        let (sender, receiver) = mpsc::channel(LOG_LINES);
        let mut logs = lock(&self.logs);
        logs.retain(|_, sender| !sender.is_closed());
        logs.insert(request, sender);
        (request, receiver)
    }

    /// Where the log that was asked for goes; each place is given out once.
    pub(crate) fn take_log(&self, request: Uuid) -> Option<mpsc::Sender<LogLine>> {
        lock(&self.logs).remove(&request)
    }
}
