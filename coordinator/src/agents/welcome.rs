//! How a session begins: an agent says Hello, and hears what becomes of each attempt that it holds.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant, SystemTime};

use bt_model::id::{AgentId, AttemptId};
use bt_model::placement::{Offer, SecretOffer, labels};
use bt_model::retry::Ending;
use bt_model::state::AttemptState;
use bt_proto::convert::Malformed;
use bt_proto::protocol;
use bt_proto::v1::{self, agent_message};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use tracing::{Instrument, info, info_span, warn};

use super::certify::used_up;
use super::{Agents, agent_id, attempt_ids, fingerprints};
use crate::access::call;
use crate::bell::Event;
use crate::queue::{Fence, GivenLabels, Greeting, Pulse, Settlement};
use crate::rpc::{Answers, status};
use crate::sessions::Outgoing;

/// How long a new connection may take to say hello.
const HELLO: Duration = Duration::from_secs(10);

impl Agents {
    pub(super) async fn open_session(
        &self,
        mut incoming: Streaming<v1::AgentMessage>,
    ) -> Result<Answers<v1::CoordinatorMessage>, Status> {
        let first = timeout(HELLO, incoming.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no Hello came"))??;
        let Some(agent_message::Kind::Hello(hello)) = first.and_then(|message| message.kind) else {
            return Err(status::out_of_order("a Hello"));
        };
        let mut hello = hello;
        let protocol = protocol::agree(hello.protocols);
        let protocol = protocol.map_err(|error| Status::failed_precondition(error.to_string()))?;
        let images = std::mem::take(&mut hello.images);
        let named = attempt_ids(&hello.attempts).map_err(status::malformed)?;
        let greeting = greeting(hello, protocol).map_err(status::malformed)?;
        let (agent, session) = (greeting.agent, greeting.session);
        let greeting = Greeting { labels: self.admit(agent, greeting.labels).await?, ..greeting };
        let agents = self.clone();
        let (welcomed, outgoing) = oneshot::channel();
        // A task of its own: an agent that hangs up now is not left behind as one that is connected.
        let span = info_span!("session", agent.id = %agent, agent.name = greeting.name, session);
        let serving = async move {
            match agents.welcome(&greeting, &named, images).await {
                // Who has gone hears nothing, and that ends the stream below.
                Ok(outgoing) => drop(welcomed.send(Ok(outgoing))),
                Err(status) => return drop(welcomed.send(Err(status))),
            }
            info!(protocol, "agent {} is here", greeting.name);
            let why = agents.listen(agent, session, incoming).await;
            agents.sessions.close(agent, session);
            if let Err(error) = agents.queue.disconnected(agent, session).await {
                warn!(error = %error, "it is shown as connected until it has been silent for long");
            }
            info!("agent {} is gone: {why}", greeting.name);
        };
        self.tasks.spawn(serving.instrument(span));
        let outgoing = outgoing.await.map_err(|_| Status::unavailable("the coordinator stops"))??;
        Ok(Box::pin(ReceiverStream::new(outgoing)))
    }

    /// Lets the agent in by what it shows, if it has to show anything, and gives its labels: those that its token is for
    /// stand above what it says itself.
    async fn admit(&self, agent: AgentId, own: GivenLabels) -> Result<GivenLabels, Status> {
        call::is_agent(agent).map_err(Status::permission_denied)?;
        let Some(identity) = call::identity().filter(|identity| identity.is_known) else { return Ok(own) };
        let joined = self.queue.joined_agent(agent).await.map_err(status::queue)?;
        let given = match (identity.agent, joined, &identity.token) {
            (Some(_), Some(joined), _) => joined.labels,
            (None, Some(_), _) => {
                return Err(has_joined(agent));
            }
            (None, None, Some(token)) => {
                let admitted = self.queue.admit_agent(token, agent).await.map_err(status::queue)?;
                admitted.ok_or_else(|| used_up(token))?
            }
            (Some(_), None, _) | (None, None, None) => {
                return Err(Status::unauthenticated(format!("agent {agent} is not known here")));
            }
        };
        Ok(own.into_iter().chain(given).collect())
    }

    /// Opens the session and rules on every attempt that the agent holds. Attempts that were leased to it and that it
    /// does not name end here: those it never received at no cost.
    async fn welcome(
        &self,
        greeting: &Greeting,
        named: &[AttemptId],
        images: Vec<String>,
    ) -> Result<mpsc::Receiver<Outgoing>, Status> {
        let (agent, came) = (greeting.agent, Instant::now());
        let opened = self.queue.say_hello(greeting, self.terms.silence).await.map_err(status::queue)?;
        if opened.took_over {
            warn!(agent.id = %agent, "agent {} takes over from one of the same id that is alive", greeting.name);
        }
        let holding = self.queue.holding(agent, named).await.map_err(status::queue)?;
        let returned = holding.missing.iter().map(|(attempt, state)| {
            let never_received = *state == AttemptState::Leased;
            // What another holder of the id runs is not lost; it will hear that it is not its own any more.
            let is_free = never_received || opened.took_over;
            let ending = if is_free { Ending::Returned } else { Ending::Lost };
            if ending == Ending::Lost {
                warn!(attempt.id = %attempt, agent.id = %agent, "attempt is lost: its agent does not know it");
            }
            Settlement::of(*attempt, Fence::None, ending)
        });
        let returned: Vec<_> = returned.collect();
        if returned.iter().any(|settlement| settlement.ending == Ending::Returned) {
            // Its line may have broken, or it can't keep what it is given.
            self.sessions.handed_back(agent, "it came back without jobs that were sent to it");
        }
        self.queue.settle(&returned).await.map_err(status::queue)?;

        let ruling = |attempt: &AttemptId| match holding.known.get(attempt) {
            Some(state) if state.is_live() => v1::Ruling::Keep,
            Some(_) => v1::Ruling::Stop,
            None => v1::Ruling::Unknown,
        };
        let kept = named.iter().filter(|id| ruling(id) == v1::Ruling::Keep);
        let kept: Vec<_> = kept.copied().collect();
        let taken = self.queue.taken_by(&kept).await.map_err(status::queue)?;
        let pulse = Pulse {
            attempts: kept,
            unhealthy: String::new(),
            unavailable: String::new(),
            draining: false,
            notes: Vec::new(),
            transfer: String::new(),
            fingerprints: greeting.fingerprints.clone(),
        };
        let renewed = self.queue.heartbeat(agent, greeting.session, &pulse, self.terms.lease);
        let beat = renewed.await.map_err(status::queue)?;

        let verdicts = named
            .iter()
            .map(|attempt| v1::Verdict { attempt: attempt.to_string(), ruling: ruling(attempt).into() });
        let welcome = v1::Welcome {
            verdicts: verdicts.collect(),
            heartbeat_ms: millis(self.terms.heartbeat),
            lease_ms: millis(self.terms.lease),
            store: self.store.location().to_string(),
            store_id: self.terms.store_id.to_string(),
            encoding: v1::Encoding::from(self.terms.encoding).into(),
            protocols: Some(protocol::OURS),
        };
        let offer = Offer {
            capacity: greeting.capacity,
            labels: labels(greeting.labels.clone(), agent),
            volumes: greeting.volumes.clone(),
            job_memory_bytes: greeting.job_memory_bytes,
            images: images.into_iter().collect(),
            protocol: greeting.protocol,
            secrets: greeting.secrets.clone(),
            ends: greeting.ends_in.and_then(|time| came.checked_add(time)),
        };
        let outgoing = self.sessions.open(agent, greeting.session, offer, welcome);
        for (attempt, (place, needs, batch)) in taken {
            self.sessions.assigned(agent, attempt, place, needs, batch);
        }
        self.sessions.drain(agent, beat.drained);
        self.sessions.pulse(agent, &pulse.attempts, false);
        self.bell.ring(Event::AgentConnected);
        Ok(outgoing)
    }
}

/// An agent that ends later has no end.
const LONGEST_LIFE: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// What people are shown of an agent's clock: seconds by which it is ahead of this coordinator's.
const CLOCK_AHEAD: &str = "clock_ahead_seconds";

pub(super) fn has_joined(agent: AgentId) -> Status {
    Status::permission_denied(format!(
        "agent {agent} has a certificate of its own, and is known by nothing else; start it with --join"
    ))
}

fn greeting(hello: v1::Hello, protocol: u32) -> Result<Greeting, Malformed> {
    let fingerprints = fingerprints(&hello.volumes);
    let volumes = hello.volumes.into_iter().map(|volume| (volume.name, volume.read_only));
    Ok(Greeting {
        agent: agent_id(&hello.agent_id)?,
        name: hello.name,
        session: hello.session,
        capacity: hello.capacity.ok_or(Malformed::Missing("capacity"))?.into(),
        labels: hello.labels.into_iter().collect::<BTreeMap<_, _>>(),
        volumes: volumes.collect(),
        version: hello.version,
        engine: hello.engine,
        job_memory_bytes: hello.job_memory_bytes,
        about: with_clock(hello.about),
        fingerprints,
        place: hello.place,
        protocol,
        secrets: SecretOffer {
            held: hello.secrets.map(|held| held.names.into_iter().collect()),
            line_is_private: call::line_is_private(),
        },
        ends_in: hello.ends_in_ms.map(|millis| Duration::from_millis(millis).min(LONGEST_LIFE)),
    })
}

/// What an agent says of itself, with how far its clock is ahead instead of what it shows.
fn with_clock(about: HashMap<String, String>) -> BTreeMap<String, String> {
    let mut about: BTreeMap<_, _> = about.into_iter().collect();
    let shown = about.remove("clock").and_then(|shown| shown.parse::<f64>().ok());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if let Some(shown) = shown.filter(|shown| shown.is_finite()) {
        about.insert(CLOCK_AHEAD.to_owned(), format!("{:.1}", shown - now.as_secs_f64()));
    }
    about
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
