//! The agents' side: sessions, heartbeats and reports.

use std::collections::BTreeMap;
use std::time::Duration;

use bt_model::id::{AgentId, AttemptId};
use bt_model::reason::Reason;
use bt_model::retry::Ending;
use bt_model::state::AttemptEvent;
use bt_proto::convert::{Malformed, parse};
use bt_proto::v1::{self, agent_message, coordinator_message, report};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::{info, warn};

use super::{Answers, Services, status};
use crate::queue::{Fence, Greeting, Publication, Pulse, Settled, Settlement};
use crate::sessions::Ready;

/// How long a new connection may take to say hello.
const HELLO: Duration = Duration::from_secs(10);

#[tonic::async_trait]
impl v1::agents_server::Agents for Services {
    type SessionStream = Answers<v1::CoordinatorMessage>;

    async fn session(
        &self,
        request: Request<Streaming<v1::AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut incoming = request.into_inner();
        let first = timeout(HELLO, incoming.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no Hello came"))??;
        let Some(agent_message::Kind::Hello(hello)) = first.and_then(|message| message.kind) else {
            return Err(status::out_of_order("a Hello"));
        };
        let named = attempt_ids(&hello.attempts).map_err(status::malformed)?;
        let greeting = greeting(hello).map_err(status::malformed)?;
        let outgoing = self.welcome(&greeting, &named).await?;
        let (agent, session) = (greeting.agent, greeting.session);
        info!(agent.id = %agent, session, "agent {} is here", greeting.name);
        let services = self.clone();
        self.tasks.spawn(async move {
            let why = services.listen(agent, session, incoming).await;
            services.sessions.close(agent, session);
            info!(agent.id = %agent, session, "agent {} is gone: {why}", greeting.name);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }

    async fn upload(
        &self,
        request: Request<Streaming<v1::UploadRequest>>,
    ) -> Result<Response<v1::UploadReply>, Status> {
        self.receive_upload(request.into_inner()).await.map(Response::new)
    }

    async fn pin_image(
        &self,
        request: Request<v1::PinImageRequest>,
    ) -> Result<Response<v1::PinImageReply>, Status> {
        let request = request.into_inner();
        let agent = agent_id(&request.agent_id).map_err(status::malformed)?;
        let attempt = attempt_id(&request.attempt).map_err(status::malformed)?;
        let pinned = self.queue.pin_image(agent, request.session, attempt, &request.image).await;
        let image = pinned.map_err(status::queue)?;
        Ok(Response::new(v1::PinImageReply { image }))
    }

    async fn push_log(
        &self,
        request: Request<Streaming<v1::PushLogRequest>>,
    ) -> Result<Response<v1::PushLogReply>, Status> {
        self.receive_log(request.into_inner()).await.map(Response::new)
    }
}

impl Services {
    /// Opens the session and rules on every attempt that the agent holds. Attempts that were leased to it and that it
    /// does not name end here: those it never received at no cost.
    async fn welcome(
        &self,
        greeting: &Greeting,
        named: &[AttemptId],
    ) -> Result<tokio::sync::mpsc::Receiver<crate::sessions::Outgoing>, Status> {
        let agent = greeting.agent;
        self.queue.say_hello(greeting).await.map_err(status::queue)?;
        let holding = self.queue.holding(agent, named).await.map_err(status::queue)?;
        let returned = holding.missing.iter().map(|(attempt, state)| {
            let never_received = *state == bt_model::state::AttemptState::Leased;
            let ending = if never_received { Ending::Returned } else { Ending::Lost };
            Settlement::of(*attempt, ending)
        });
        let returned: Vec<_> = returned.collect();
        let settled = self.queue.settle(Fence::None, &returned).await;
        settled.map_err(status::queue)?;

        let ruling = |attempt: &AttemptId| match holding.known.get(attempt) {
            Some(state) if state.is_live() => v1::Ruling::Keep,
            Some(_) => v1::Ruling::Stop,
            None => v1::Ruling::Unknown,
        };
        let kept = named.iter().filter(|id| ruling(id) == v1::Ruling::Keep);
        let kept: Vec<_> = kept.copied().collect();
        let pulse =
            Pulse { attempts: kept.clone(), unhealthy: String::new(), draining: false, notes: Vec::new() };
        let renewed = self.queue.heartbeat(agent, greeting.session, &pulse, self.lease);
        renewed.await.map_err(status::queue)?;

        let verdicts = named
            .iter()
            .map(|attempt| v1::Verdict { attempt: attempt.to_string(), ruling: ruling(attempt).into() });
        let welcome = v1::Welcome {
            verdicts: verdicts.collect(),
            heartbeat_ms: millis(self.heartbeat),
            lease_ms: millis(self.lease),
        };
        let ready = Ready {
            agent,
            session: greeting.session,
            capacity: greeting.capacity,
            labels: greeting.labels.clone(),
            volumes: greeting.volumes.clone(),
        };
        let outgoing = self.sessions.open(ready, kept, welcome);
        self.work.notify_one();
        Ok(outgoing)
    }

    /// Takes what an agent says until its stream ends or something fails; the agent then says hello again, and sends
    /// again what was not acknowledged. Returns why it ended.
    async fn listen(
        &self,
        agent: AgentId,
        session: u64,
        mut incoming: Streaming<v1::AgentMessage>,
    ) -> String {
        // Heartbeats come even when nothing happens; an agent that sends none for a lease's time is cut off.
        loop {
            let message = match timeout(self.lease, incoming.message()).await {
                Err(_) => return "it was silent".into(),
                Ok(Err(error)) => return error.message().to_owned(),
                Ok(Ok(None)) => return "it hung up".into(),
                Ok(Ok(Some(message))) => message,
            };
            let handled = match message.kind {
                Some(agent_message::Kind::Heartbeat(beat)) => self.heartbeat(agent, session, beat).await,
                Some(agent_message::Kind::Report(report)) => self.report(agent, session, report).await,
                Some(agent_message::Kind::Hello(_)) => {
                    Err(Status::invalid_argument("a second Hello came on one stream"))
                }
                None => Ok(()),
            };
            if let Err(error) = handled {
                return error.message().to_owned();
            }
        }
    }

    async fn heartbeat(&self, agent: AgentId, session: u64, beat: v1::Heartbeat) -> Result<(), Status> {
        let pulse = pulse(beat).map_err(status::malformed)?;
        let gone = self.queue.heartbeat(agent, session, &pulse, self.lease).await.map_err(status::queue)?;
        let closed = pulse.draining || !pulse.unhealthy.is_empty();
        self.sessions.pulse(agent, &pulse.attempts, closed);
        for attempt in gone {
            self.stop(agent, attempt);
        }
        let renewed = coordinator_message::Kind::Renewed(v1::Renewed {});
        self.sessions.send(agent, renewed);
        Ok(())
    }

    /// Tells an agent that an attempt is not its own any more.
    pub(crate) fn stop(&self, agent: AgentId, attempt: AttemptId) {
        self.sessions.stopped(agent, attempt);
        let stop = v1::Stop { attempt: attempt.to_string(), ruling: v1::Ruling::Stop.into() };
        self.sessions.send(agent, coordinator_message::Kind::Stop(stop));
    }

    /// Writes a report down, and acknowledges it after the commit.
    async fn report(&self, agent: AgentId, session: u64, report: v1::Report) -> Result<(), Status> {
        let attempt = attempt_id(&report.attempt).map_err(status::malformed)?;
        let kind = report.kind.ok_or(Malformed::Missing("report.kind"));
        let kind = kind.map_err(status::malformed)?;
        let advance = |event, image_id| self.advance(agent, session, attempt, event, image_id);
        let settle = |ending| self.settle(agent, session, Settlement::of(attempt, ending));
        let accepted = match kind {
            report::Kind::Preparing(_) => advance(AttemptEvent::Prepares, None).await?,
            report::Kind::Running(running) => advance(AttemptEvent::Runs, Some(running.image_id)).await?,
            report::Kind::Publishing(_) => advance(AttemptEvent::Publishes, None).await?,
            report::Kind::Succeeded(succeeded) => self.succeed(agent, session, attempt, succeeded).await?,
            report::Kind::Failed(failed) => {
                let reason = failed.reason.ok_or(Malformed::Missing("failed.reason"));
                let reason = reason.and_then(Reason::try_from).map_err(status::malformed)?;
                info!(attempt.id = %attempt, agent.id = %agent, "attempt failed: {reason}");
                settle(Ending::Failed(reason)).await?
            }
            report::Kind::Stopped(_) | report::Kind::Released(_) => settle(Ending::Returned).await?,
        };
        let ack = v1::Ack { sequence: report.sequence, accepted };
        self.sessions.send(agent, coordinator_message::Kind::Ack(ack));
        Ok(())
    }

    async fn advance(
        &self,
        agent: AgentId,
        session: u64,
        attempt: AttemptId,
        event: AttemptEvent,
        image_id: Option<String>,
    ) -> Result<bool, Status> {
        let image_id = image_id.as_deref();
        let advanced = self.queue.advance(agent, session, attempt, event, image_id).await;
        advanced.map_err(status::queue)
    }

    /// Publishes an attempt's outputs, after seeing for itself that they are in the store.
    async fn succeed(
        &self,
        agent: AgentId,
        session: u64,
        attempt: AttemptId,
        succeeded: v1::Succeeded,
    ) -> Result<bool, Status> {
        let publication = publication(succeeded).map_err(status::malformed)?;
        let place = self.queue.attempt_place(agent, session, attempt).await;
        let (place, state) = place.map_err(status::queue)?;
        if state.is_live() {
            for (path, size, _) in &publication.files {
                let stored = self.store.size(&place.output(path)).await;
                if stored.map_err(status::store)? != Some(*size) {
                    warn!(attempt.id = %attempt, "output {path} is not in the store as it was uploaded");
                    let reason = Reason::Agent(format!("{path} is not in the store as it was uploaded"));
                    let failed = Settlement::of(attempt, Ending::Failed(reason));
                    return self.settle(agent, session, failed).await;
                }
            }
        }
        let settlement = Settlement { attempt, ending: Ending::Published, publication };
        let accepted = self.settle(agent, session, settlement).await?;
        // Postgres has decided; if the document can't be written now, a later pass will.
        if let Err(error) = self.publisher.write(Some(attempt)).await {
            warn!(attempt.id = %attempt, error = %error, "result.json is left to a later pass");
        }
        Ok(accepted)
    }

    /// True if the attempt ended as asked, now or before.
    async fn settle(&self, agent: AgentId, session: u64, settlement: Settlement) -> Result<bool, Status> {
        let (attempt, event) = (settlement.attempt, settlement.ending.event());
        let fence = Fence::Agent(agent, session);
        let settled = self.queue.settle(fence, &[settlement]).await;
        let settled = settled.map_err(status::queue)?;
        self.sessions.stopped(agent, attempt);
        self.work.notify_one();
        Ok(match settled.first() {
            Some(Settled::Now(_)) => true,
            Some(Settled::Before(state)) => bt_model::state::AttemptState::Leased.next(event) == Ok(*state),
            Some(Settled::Renewed | Settled::Unknown) | None => false,
        })
    }
}

fn agent_id(text: &str) -> Result<AgentId, Malformed> {
    parse("agent_id", "a UUID", text)
}

fn attempt_id(text: &str) -> Result<AttemptId, Malformed> {
    parse("attempt", "a UUID", text)
}

fn attempt_ids(texts: &[String]) -> Result<Vec<AttemptId>, Malformed> {
    texts.iter().map(|text| attempt_id(text)).collect()
}

fn greeting(hello: v1::Hello) -> Result<Greeting, Malformed> {
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
    })
}

fn pulse(beat: v1::Heartbeat) -> Result<Pulse, Malformed> {
    let notes = beat.progress.into_iter();
    let notes = notes.map(|progress| Ok((attempt_id(&progress.attempt)?, progress.note)));
    Ok(Pulse {
        attempts: attempt_ids(&beat.attempts)?,
        unhealthy: beat.unhealthy,
        draining: beat.draining,
        notes: notes.collect::<Result<_, Malformed>>()?,
    })
}

fn publication(succeeded: v1::Succeeded) -> Result<Publication, Malformed> {
    let files = succeeded.outputs.into_iter().map(|output| {
        let sha256 = output.sha256.as_slice().try_into();
        let sha256 = sha256.map_err(|_| Malformed::Value {
            field: "sha256",
            value: format!("{} bytes", output.sha256.len()),
            expected: "32 bytes",
        })?;
        Ok((output.path, output.size, sha256))
    });
    let metrics = Some(succeeded.metrics).filter(|text| !text.is_empty());
    if let Some(text) = &metrics {
        // The agent has checked it; this keeps a broken one from breaking the transaction.
        let numbers = serde_json::from_str::<BTreeMap<String, f64>>(text);
        numbers.map_err(|_| Malformed::Value {
            field: "metrics",
            value: text.chars().take(80).collect(),
            expected: "a JSON object of numbers",
        })?;
    }
    Ok(Publication { files: files.collect::<Result<_, Malformed>>()?, metrics })
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
