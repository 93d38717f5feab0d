//! The agent's session with a coordinator: one stream, opened again for as long as it takes. Nothing that the agent
//! runs depends on it: without a coordinator containers go on, and reports and outputs wait.

pub(crate) mod dial;
pub(crate) mod joining;
mod obey;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::bail;
use backon::{BackoffBuilder, ExponentialBuilder};
use bt_engine::volumes::Fingerprint;
use bt_proto::bearer::Line;
use bt_proto::convert::present;
use bt_proto::protocol;
use bt_proto::v1::agents_client::AgentsClient;
use bt_proto::v1::{self, agent_message, coordinator_message};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Endpoint;
use tonic::{Code, Status, Streaming};
use tracing::{info, warn};

use crate::agent::Agent;
use crate::line::link::Connection;
use crate::line::outbox::STEP_WAIT;
use dial::{Dialer, endpoints};

/// How long a connection, and the answer to a Hello, may take; less where leases are short.
const CONNECT: Duration = Duration::from_secs(10);
/// A session that lasted this long was a good one: the next try after it is made at once.
const GOOD: Duration = Duration::from_secs(15);
/// Messages that may wait to be sent.
const OUTGOING: usize = 64;
/// How long the engine may take to say which images it has; a session does not wait for one that hangs.
const LOOK_AT_IMAGES: Duration = Duration::from_secs(2);
/// Images that a Hello names at most.
const MOST_IMAGES: usize = 1_000;
/// The largest message from a coordinator.
const LARGEST_MESSAGE: usize = 64 << 20;

/// Keeps a session open until `end`. Fails only if the coordinator will never have this agent.
pub(crate) async fn run(
    agent: Arc<Agent>,
    coordinators: Vec<String>,
    dialer: Dialer,
    end: CancellationToken,
) -> anyhow::Result<()> {
    let endpoints = endpoints(&coordinators)?;
    let mut was_here = false;
    let mut lease = agent.line.link.lease();
    let mut waits = waits(lease);
    let mut told = false;
    for endpoint in endpoints.iter().cycle() {
        let began = Instant::now();
        let outcome = tokio::select! {
            () = end.cancelled() => return Ok(()),
            outcome = session(&agent, endpoint, &dialer) => outcome,
        };
        let was_up = agent.line.link.down();
        was_here |= was_up;
        let error = match outcome {
            Ok(ended) => ended,
            Err(status) if !was_up && may_join_again(&status, &dialer) => status.message().to_owned(),
            Err(status) if is_final(&status, was_here) => bail!("{}", status.message()),
            Err(status) => status.message().to_owned(),
        };
        let lasted = began.elapsed() > GOOD;
        if lasted || lease != agent.line.link.lease() {
            lease = agent.line.link.lease();
            waits = self::waits(lease);
        }
        told &= !lasted;
        if !told {
            warn!(coordinator = %endpoint.uri(), "not connected ({error}); containers go on, trying again");
            told = true;
        }
        let wait = waits.next().unwrap_or_else(|| connect_within(lease));
        tokio::select! {
            () = end.cancelled() => return Ok(()),
            () = sleep(wait) => {}
        }
    }
    bail!("no coordinator is given")
}

/// A coordinator that says so will say so again. An agent that was known before waits for a token that holds: it has
/// containers to look after.
fn is_final(status: &Status, was_here: bool) -> bool {
    let is_unwanted = matches!(status.code(), Code::Unauthenticated | Code::Unimplemented) && !was_here;
    is_unwanted || matches!(status.code(), Code::AlreadyExists | Code::PermissionDenied)
}

/// Whether a certificate was not taken by a new session; then the agent joins with its token the next time.
fn may_join_again(status: &Status, dialer: &Dialer) -> bool {
    let Some(joining) = &dialer.joining else { return false };
    let may =
        status.code() == Code::Unauthenticated && joining.certificate().is_some() && dialer.tokens.is_some();
    if may {
        warn!("{}; the agent joins again, if its token lets it", status.message());
        joining.distrust();
    }
    may
}

/// The waits between tries to connect. None is longer than `connect_within`, the random part included: who waits longer
/// finds a coordinator that is back only after its leases ran out.
fn waits(lease: Duration) -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        // The random part is at most as long again.
        .with_max_delay(connect_within(lease) / 2)
        .with_jitter()
        .without_max_times()
        .build()
}

/// One session, from Hello to its end. Returns why it ended.
async fn session(agent: &Arc<Agent>, endpoint: &Endpoint, dialer: &Dialer) -> Result<String, Status> {
    let patience = connect_within(agent.line.link.lease());
    let channel = dialer.dial(endpoint, patience).await?;
    let number = agent.site.state.next_session();
    let number = number.map_err(|error| Status::unavailable(format!("{error:#}")))?;
    let (outgoing, receiver) = mpsc::channel(OUTGOING);
    let mut client = AgentsClient::new(channel.clone()).max_decoding_message_size(LARGEST_MESSAGE);
    // Only a preference depends on it: an engine that can't say is no reason not to connect.
    let images = timeout(LOOK_AT_IMAGES, agent.site.engine.images()).await;
    let mut images = images.ok().and_then(Result::ok).unwrap_or_default();
    images.truncate(MOST_IMAGES);
    send(&outgoing, agent_message::Kind::Hello(hello(agent, number, images))).await?;
    let greeted = Instant::now();
    let opening = client.session(ReceiverStream::new(receiver));
    let late = |_| Status::unavailable(format!("no answer to the Hello within {patience:?}"));
    let mut incoming = timeout(patience, opening).await.map_err(late)??.into_inner();
    let first = timeout(patience, incoming.message()).await.map_err(late)??;
    let Some(coordinator_message::Kind::Welcome(welcome)) = first.and_then(|first| first.kind) else {
        return Err(Status::unavailable("the coordinator did not say Welcome"));
    };
    let protocol = protocol::agree(welcome.protocols);
    let protocol = protocol.map_err(|error| Status::failed_precondition(error.to_string()))?;
    info!(coordinator = %endpoint.uri(), session = number, protocol, "connected");
    let deciding = agent.site.tasks.spawn({
        let (line, welcome) = (agent.line.clone(), welcome.clone());
        async move { line.reach.decide(&welcome).await }
    });
    let _deciding = AbortOnDropHandle::new(deciding);
    for verdict in &welcome.verdicts {
        obey::rule(agent, &verdict.attempt, verdict.ruling());
    }
    agent.line.link.renewed(greeted);
    let lease = Duration::from_millis(welcome.lease_ms.into());
    let connection = Connection { channel: channel.clone(), session: number };
    agent.line.link.up(connection, lease);
    let pace = Duration::from_millis(u64::from(welcome.heartbeat_ms).max(50));
    converse(agent, &channel, pace, &mut incoming, &outgoing).await
}

/// How long a heartbeat may go without an answer: a coordinator that does not move is left while there is time to find
/// another one before the leases run out.
fn answer_within(lease: Duration) -> Duration {
    (lease / 3).max(Duration::from_secs(1))
}

/// How long one try to connect may take, and the wait before it: several coordinators can be tried before the leases run
/// out.
fn connect_within(lease: Duration) -> Duration {
    (lease / 6).clamp(Duration::from_secs(1), CONNECT)
}

fn hello(agent: &Agent, session: u64, images: Vec<String>) -> v1::Hello {
    let offer = &agent.site.offer;
    let plain = offer.volumes.iter().filter(|(_, volume)| volume.fingerprint == Fingerprint::None);
    let plain = plain.map(|(name, volume)| v1::OfferedVolume {
        name: name.clone(),
        read_only: volume.read_only,
        ..Default::default()
    });
    let volumes = plain.chain(fingerprinted(agent));
    let sizing = &offer.sizing;
    v1::Hello {
        agent_id: agent.site.identity.agent.to_string(),
        name: offer.name.clone(),
        session,
        capacity: Some(offer.capacity.into()),
        labels: offer.labels.clone().into_iter().collect(),
        volumes: volumes.collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        engine: agent.site.engine_version.clone(),
        attempts: held_ids(agent),
        images,
        job_memory_bytes: sizing.memory_bytes,
        about: about(agent),
        place: agent.site.state.place().to_owned(),
        protocols: Some(protocol::OURS),
        ends_in_ms: agent
            .leaving
            .ends_in(&agent.site.options)
            .map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        secrets: agent
            .site
            .secrets
            .trouble()
            .is_none()
            .then(|| v1::HeldSecrets { names: offer.secrets.names().cloned().collect() }),
    }
}

/// What only people want to know.
fn about(agent: &Agent) -> HashMap<String, String> {
    let mut about: HashMap<_, _> = agent.site.offer.about().into_iter().collect();
    if let Some(available) = agent.site.options.availability.shown() {
        about.insert("available".to_owned(), available);
    }
    let secrets = match agent.site.secrets.trouble() {
        Some(why) => format!("none: {why}"),
        None => agent.site.offer.secrets.names().cloned().collect::<Vec<_>>().join(", "),
    };
    if !secrets.is_empty() {
        about.insert("secrets".to_owned(), secrets);
    }
    // The coordinator finds out by how much it is wrong.
    if let Ok(now) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        about.insert("clock".to_owned(), format!("{:.3}", now.as_secs_f64()));
    }
    about
}

/// What the owner of the volumes wants known.
fn fingerprinted(agent: &Agent) -> impl Iterator<Item = v1::OfferedVolume> {
    agent.stock.fingerprints.all().map(|(name, fingerprint)| v1::OfferedVolume {
        name: name.clone(),
        read_only: true,
        fingerprinted: true,
        fingerprint: present(Some(fingerprint)),
    })
}

fn held_ids(agent: &Agent) -> Vec<String> {
    let held = agent.holdings.all();
    // Until its assignment is on disk an attempt is not held: a power cut would lose it.
    held.iter().filter(|held| held.is_on_disk()).map(|held| held.id().to_string()).collect()
}

/// Heartbeats, reports and commands, until the stream ends.
async fn converse(
    agent: &Arc<Agent>,
    channel: &Line,
    pace: Duration,
    incoming: &mut Streaming<v1::CoordinatorMessage>,
    outgoing: &mpsc::Sender<v1::AgentMessage>,
) -> Result<String, Status> {
    let mut beats = interval(pace);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut unanswered: VecDeque<Instant> = VecDeque::new();
    let patience = answer_within(agent.line.link.lease());
    let mut drain_told = false;
    let mut decisions = agent.line.reach.decisions();
    // When reports of steps are due; what an earlier session left is due at once.
    let mut steps_due = Some(Instant::now());
    agent.line.outbox.rewind();
    agent.line.progress.rewind();
    loop {
        let steps = steps_due.is_some_and(|due| due <= Instant::now());
        if steps {
            steps_due = None;
        }
        for report in agent.line.outbox.take(steps) {
            send(outgoing, agent_message::Kind::Report(report)).await?;
        }
        for said in agent.line.progress.take() {
            send(outgoing, agent_message::Kind::JobsProgress(said)).await?;
        }
        tokio::select! {
            message = incoming.message() => match message? {
                None => return Ok("the coordinator hung up".into()),
                Some(message) => {
                    if let Some(kind) = message.kind {
                        obey::obey(agent, channel, kind, &mut unanswered);
                    }
                }
            },
            () = agent.line.outbox.added() => {}
            () = agent.line.progress.added() => {}
            () = agent.line.outbox.step_added(), if steps_due.is_none() => {
                steps_due = Some(Instant::now() + STEP_WAIT);
            }
            () = sleep_until(steps_due), if steps_due.is_some() => {}
            // Said at once, so that no more work comes.
            () = agent.leaving.draining.cancelled(), if !drain_told => {
                drain_told = true;
                beats.reset_immediately();
            }
            Ok(()) = decisions.changed() => beats.reset_immediately(),
            () = agent.stock.fingerprints.news() => beats.reset_immediately(),
            () = agent.site.health.news() => beats.reset_immediately(),
            () = agent.away.news() => beats.reset_immediately(),
            () = sleep_until(unanswered.front().map(|sent| *sent + patience)) => {
                return Ok("the coordinator answers no heartbeats".into());
            }
            _ = beats.tick() => {
                unanswered.push_back(Instant::now());
                send(outgoing, agent_message::Kind::Heartbeat(heartbeat(agent))).await?;
            }
        }
    }
}

fn heartbeat(agent: &Agent) -> v1::Heartbeat {
    let progress = agent
        .holdings
        .notes()
        .into_iter()
        .map(|(attempt, note)| v1::Progress { attempt: attempt.to_string(), note });
    let unavailable = agent.away.why();
    v1::Heartbeat {
        attempts: held_ids(agent),
        unhealthy: present(Some(agent.site.health.troubles())),
        draining: agent.leaving.draining.is_cancelled() || !unavailable.is_empty(),
        unavailable: present(Some(unavailable)),
        progress: progress.collect(),
        transfer: present(Some(agent.line.reach.told())),
        volumes: fingerprinted(agent).collect(),
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

async fn send(outgoing: &mpsc::Sender<v1::AgentMessage>, kind: agent_message::Kind) -> Result<(), Status> {
    let message = v1::AgentMessage { kind: Some(kind) };
    match timeout(CONNECT, outgoing.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Status::unavailable("the stream has ended")),
        Err(_) => Err(Status::unavailable("the coordinator takes no messages")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coordinator_that_is_back_is_tried_several_times_within_a_lease() {
        for seconds in [6, 24, 60, 600] {
            let lease = Duration::from_secs(seconds);
            let longest = waits(lease).take(200).max().unwrap();
            assert!(longest <= connect_within(lease), "{longest:?} with a lease of {lease:?}");
            assert!(
                waits(lease).nth(100).unwrap() >= Duration::from_millis(500),
                "a coordinator must get its rest"
            );
        }
    }
}
