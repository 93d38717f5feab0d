//! The agents' side: sessions, heartbeats and reports.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bt_model::encoding::Encoding;
use bt_model::id::{AgentId, AttemptId};
use bt_model::layout::is_other_name;
use bt_model::placement::{Offer, labels};
use bt_model::reason::Reason;
use bt_model::retry::Ending;
use bt_model::state::AttemptEvent;
use bt_proto::convert::{Malformed, parse};
use bt_proto::v1::{self, agent_message, coordinator_message, report};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::{info, warn};

use super::{Answers, Services, status};
use crate::bell::Event;
use crate::document::CHANGED;
use crate::queue::{
    Beat, Error, Fence, Fingerprints, Given, Greeting, Measured, News, Publication, PublishedFile, Pulse,
    Recorded, Report, Settlement,
};

/// How long a new connection may take to say hello.
const HELLO: Duration = Duration::from_secs(10);
/// Bytes of what an agent may say of an attempt besides how it ended.
const LONGEST_REMARK: usize = 2000;

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
        let mut hello = hello;
        let images = std::mem::take(&mut hello.images);
        let named = attempt_ids(&hello.attempts).map_err(status::malformed)?;
        let greeting = greeting(hello).map_err(status::malformed)?;
        let (agent, session) = (greeting.agent, greeting.session);
        let services = self.clone();
        let (welcomed, outgoing) = oneshot::channel();
        // A task of its own: an agent that hangs up now is not left behind as one that is connected.
        self.tasks.spawn(async move {
            match services.welcome(&greeting, &named, images).await {
                // Who has gone hears nothing, and that ends the stream below.
                Ok(outgoing) => drop(welcomed.send(Ok(outgoing))),
                Err(status) => return drop(welcomed.send(Err(status))),
            }
            info!(agent.id = %agent, session, "agent {} is here", greeting.name);
            let why = services.listen(agent, session, incoming).await;
            services.sessions.close(agent, session);
            if let Err(error) = services.queue.disconnected(agent, session).await {
                warn!(agent.id = %agent, error = %error, "it is shown as connected until it has been silent for long");
            }
            info!(agent.id = %agent, session, "agent {} is gone: {why}", greeting.name);
        });
        let outgoing = outgoing.await.map_err(|_| Status::unavailable("the coordinator stops"))??;
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
        if request.failed.is_empty() && !bt_model::image::is_pin(&request.image) {
            let told: String = request.image.chars().take(200).collect();
            return Err(Status::invalid_argument(format!(
                "{told:?} does not name one fixed image; a digest or an id does"
            )));
        }
        if !request.sweep.is_empty() {
            return self.take_image(agent, request).await.map(Response::new);
        }
        let attempt = attempt_id(&request.attempt).map_err(status::malformed)?;
        let pinned = self.queue.pin_image(agent, request.session, attempt, &request.image).await;
        let image = pinned.map_err(status::queue)?;
        Ok(Response::new(v1::PinImageReply { image }))
    }

    type DebugStream = Answers<v1::DebugInput>;

    async fn debug(
        &self,
        request: Request<Streaming<v1::DebugOutput>>,
    ) -> Result<Response<Self::DebugStream>, Status> {
        self.join_debug(request.into_inner()).await.map(Response::new)
    }

    type FetchImageStream = Answers<v1::FetchImageReply>;

    async fn fetch_image(
        &self,
        request: Request<v1::FetchImageRequest>,
    ) -> Result<Response<Self::FetchImageStream>, Status> {
        self.send_image(&request.into_inner().image).await.map(Response::new)
    }

    type FetchResultStream = Answers<v1::FetchResultReply>;

    async fn fetch_result(
        &self,
        request: Request<v1::FetchResultRequest>,
    ) -> Result<Response<Self::FetchResultStream>, Status> {
        let request = request.into_inner();
        let agent = agent_id(&request.agent_id).map_err(status::malformed)?;
        self.send_result(agent, request).await.map(Response::new)
    }

    async fn describe_image(
        &self,
        request: Request<v1::DescribeImageRequest>,
    ) -> Result<Response<v1::DescribeImageReply>, Status> {
        let request = request.into_inner();
        let agent = agent_id(&request.agent_id).map_err(status::malformed)?;
        let known = self.describe(agent, request.session, &request.image_id, &request.software).await?;
        Ok(Response::new(v1::DescribeImageReply { known }))
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
        images: Vec<String>,
    ) -> Result<tokio::sync::mpsc::Receiver<crate::sessions::Outgoing>, Status> {
        let agent = greeting.agent;
        let opened = self.queue.say_hello(greeting, self.silence()).await.map_err(status::queue)?;
        if opened.took_over {
            warn!(agent.id = %agent, "agent {} takes over from one of the same id that is alive", greeting.name);
        }
        let holding = self.queue.holding(agent, named).await.map_err(status::queue)?;
        let returned = holding.missing.iter().map(|(attempt, state)| {
            let never_received = *state == bt_model::state::AttemptState::Leased;
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
            draining: false,
            notes: Vec::new(),
            transfer: String::new(),
            fingerprints: greeting.fingerprints.clone(),
        };
        let renewed = self.queue.heartbeat(agent, greeting.session, &pulse, self.lease);
        let beat = renewed.await.map_err(status::queue)?;

        let verdicts = named
            .iter()
            .map(|attempt| v1::Verdict { attempt: attempt.to_string(), ruling: ruling(attempt).into() });
        let welcome = v1::Welcome {
            verdicts: verdicts.collect(),
            heartbeat_ms: millis(self.heartbeat),
            lease_ms: millis(self.lease),
            store: self.store.location().to_string(),
            store_id: self.store_id.to_string(),
            encoding: v1::Encoding::from(self.encoding).into(),
        };
        let offer = Offer {
            capacity: greeting.capacity,
            labels: labels(greeting.labels.clone(), agent),
            volumes: greeting.volumes.clone(),
            job_memory_bytes: greeting.job_memory_bytes,
            images: images.into_iter().collect(),
        };
        let outgoing = self.sessions.open(agent, greeting.session, offer, welcome);
        for (attempt, (place, needs)) in taken {
            self.sessions.assigned(agent, attempt, place, needs);
        }
        self.sessions.drain(agent, beat.drained);
        self.sessions.pulse(agent, &pulse.attempts, false);
        self.bell.ring(Event::AgentConnected);
        Ok(outgoing)
    }

    pub(super) async fn heartbeat(
        &self,
        agent: AgentId,
        session: u64,
        beat: v1::Heartbeat,
    ) -> Result<(), Status> {
        let pulse = pulse(beat).map_err(status::malformed)?;
        let beat = self.queue.heartbeat(agent, session, &pulse, self.lease).await.map_err(status::queue)?;
        let Beat { gone, drained } = beat;
        self.sessions.drain(agent, drained);
        let closed = pulse.draining || !pulse.unhealthy.is_empty();
        let unreceived = self.sessions.pulse(agent, &pulse.attempts, closed);
        for attempt in gone {
            self.sessions.take_away(agent, attempt);
        }
        if !unreceived.is_empty() {
            let returned =
                |attempt: &AttemptId| Settlement::of(*attempt, Fence::Unreceived, Ending::Returned);
            let returned: Vec<_> = unreceived.iter().map(returned).collect();
            self.queue.settle(&returned).await.map_err(status::queue)?;
            self.sessions.handed_back(agent, "it did not take jobs that were sent to it");
            for attempt in unreceived {
                self.sessions.stopped(agent, attempt);
            }
        }
        let renewed = coordinator_message::Kind::Renewed(v1::Renewed {});
        self.sessions.send(agent, renewed);
        Ok(())
    }

    /// Puts into the store what came with a report, hands the report in, and acknowledges it after its commit.
    pub(super) async fn take_report(
        self,
        agent: AgentId,
        session: u64,
        report: v1::Report,
    ) -> Result<(), Status> {
        let attempt = attempt_id(&report.attempt).map_err(status::malformed)?;
        let kind = report.kind.ok_or(Malformed::Missing("report.kind"));
        let kind = kind.map_err(status::malformed)?;
        let advanced = |event, image_id| News::Advanced { event, image_id };
        let image_id = Some(report.image_id).filter(|image| !image.is_empty());
        if image_id.is_some() {
            self.sessions.runs(agent, attempt);
        }
        let measured = report.usage.map_or_else(Measured::default, measured);
        let given = Box::new(given(report.volume_fingerprints, report.given));
        let remark = match &kind {
            report::Kind::Released(released) if report.remark.is_empty() => &released.why,
            _ => &report.remark,
        };
        let remark = remark_of(remark);
        let ended_with = |ending, publication| News::Ended {
            ending,
            publication,
            image_id: image_id.clone(),
            measured,
            given: given.clone(),
            remark: remark.clone(),
        };
        let ended = |ending| ended_with(ending, Publication::default());
        let came = || self.came(agent, session, attempt, report.files, report.log);
        let news = match kind {
            report::Kind::Preparing(_) => advanced(AttemptEvent::Prepares, None),
            report::Kind::Running(running) => {
                self.sessions.runs(agent, attempt);
                advanced(AttemptEvent::Runs, Some(running.image_id))
            }
            report::Kind::Publishing(_) => advanced(AttemptEvent::Publishes, None),
            report::Kind::Succeeded(succeeded) => {
                let mut publication = publication(succeeded).map_err(status::malformed)?;
                let stored = match came().await? {
                    Some(came) => self.store_what_came(&came, &mut publication).await,
                    // Not this agent's any more: Postgres refuses the report.
                    None => Ok(()),
                };
                match stored {
                    Ok(()) => ended_with(Ending::Published, publication),
                    Err(reason) => ended(Ending::Failed(reason)),
                }
            }
            report::Kind::Failed(failed) => {
                let reason = failed.reason.ok_or(Malformed::Missing("failed.reason"));
                let reason = reason.and_then(Reason::try_from).map_err(status::malformed)?;
                info!(attempt.id = %attempt, agent.id = %agent, "attempt failed: {reason}");
                if let Some(came) = came().await? {
                    self.store_log(&came).await;
                }
                if failed.for_now {
                    self.sessions.refused(agent, attempt, &reason.to_string());
                    ended(Ending::Hindered(reason))
                } else {
                    ended(Ending::Failed(reason))
                }
            }
            report::Kind::Released(v1::Released { preempted, why, refused }) => {
                if refused {
                    info!(attempt.id = %attempt, agent.id = %agent, "the agent can't start it: {why}");
                    self.sessions.refused(agent, attempt, &why);
                } else if !preempted {
                    self.sessions.handed_back(agent, &why);
                }
                if let Some(came) = came().await? {
                    self.store_log(&came).await;
                }
                ended(if preempted { Ending::Preempted } else { Ending::Returned })
            }
        };
        let stops = || Status::unavailable("the coordinator stops");
        let posted = self.ledger.post(Report { agent, session, attempt, news }).await;
        let accepted = match posted.ok_or_else(stops)?.await {
            Ok(Ok(Recorded::Done(accepted))) => accepted,
            Ok(Ok(Recorded::Superseded)) => return Err(status::queue(Error::Superseded(agent))),
            Ok(Err(error)) => return Err(status::shared(&error)),
            Err(_) => return Err(stops()),
        };
        let ack = v1::Ack { sequence: report.sequence, accepted };
        self.sessions.send(agent, coordinator_message::Kind::Ack(ack));
        Ok(())
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
        about: hello.about.into_iter().collect(),
        fingerprints,
        place: hello.place,
    })
}

fn fingerprints(volumes: &[v1::OfferedVolume]) -> Fingerprints {
    let told = volumes.iter().filter(|volume| volume.fingerprinted);
    told.map(|volume| (volume.name.clone(), volume.fingerprint.clone())).collect()
}

/// What is neither a fingerprint nor a word that stands for one is left out.
fn given(mut fingerprints: HashMap<String, String>, given: Option<v1::Given>) -> Given {
    let is_digits = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    fingerprints.retain(|name, word| !name.contains('\0') && (is_digits(word) || word == CHANGED));
    Given {
        fingerprints: Some(fingerprints).filter(|told| !told.is_empty()).map(|told| json!(told)),
        circumstances: given.map(|given| {
            // Postgres keeps no NUL in a text.
            let text = |text: String| text.replace('\0', "\u{fffd}");
            json!({
                "threads": given.threads,
                "cpu_millis": given.cpu_millis,
                "memory_bytes": given.memory_bytes,
                "shm_bytes": given.shm_bytes,
                "gpus": given.gpus,
                "timezone": text(given.timezone),
                "user": text(given.user),
                "version": text(given.version),
                "engine": text(given.engine),
                "os": text(given.os),
                "arch": text(given.arch),
            })
        }),
    }
}

/// What an agent says of an attempt besides how it ended, as Postgres can keep it.
fn remark_of(said: &str) -> String {
    let end = said.floor_char_boundary(LONGEST_REMARK);
    said[..end].replace('\0', "\u{fffd}")
}

fn measured(usage: v1::Usage) -> Measured {
    let v1::Usage { peak_memory_bytes, cpu_micros, written_bytes, wall_millis } = usage;
    Measured { peak_memory_bytes, cpu_micros, written_bytes, wall_millis }
}

fn pulse(beat: v1::Heartbeat) -> Result<Pulse, Malformed> {
    let notes = beat.progress.into_iter();
    let notes = notes.map(|progress| Ok((attempt_id(&progress.attempt)?, progress.note)));
    Ok(Pulse {
        attempts: attempt_ids(&beat.attempts)?,
        unhealthy: beat.unhealthy,
        draining: beat.draining,
        notes: notes.collect::<Result<_, Malformed>>()?,
        transfer: beat.transfer,
        fingerprints: fingerprints(&beat.volumes),
    })
}

fn publication(succeeded: v1::Succeeded) -> Result<Publication, Malformed> {
    let files = succeeded.outputs.into_iter().map(|output| {
        let encoding = Encoding::from(output.encoding());
        let sha256 = output.sha256.as_slice().try_into();
        let sha256 = sha256.map_err(|_| Malformed::Value {
            field: "sha256",
            value: format!("{} bytes", output.sha256.len()),
            expected: "32 bytes",
        })?;
        let stored_size = (encoding != Encoding::None).then_some(output.stored_size);
        let first_name = encoding.stored_as(&output.path);
        let other_name = Some(output.stored_as).filter(|name| !name.is_empty() && *name != first_name);
        if let Some(name) = &other_name
            && !is_other_name(name, &first_name)
        {
            return Err(Malformed::Value {
                field: "stored_as",
                value: name.chars().take(80).collect(),
                expected: "the name that was given to the file when it was stored",
            });
        }
        let path = output.path;
        Ok(PublishedFile { path, size: output.size, sha256, encoding, stored_size, other_name })
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
