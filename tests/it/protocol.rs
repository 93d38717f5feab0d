//! Releases beside each other: what a peer of protocol 1 sent is on record, and today's peers must understand it; what
//! they answer is read as that peer read it.
//!
//! A record is a file of lines, each the name of a message and its bytes in hexadecimal digits. It is never made anew:
//! a field that gets another number or another type, or that a peer suddenly insists on, makes these tests fail.

mod first;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bt_proto::v1;
use bt_proto::v1::agents_client::AgentsClient;
use bt_proto::v1::agents_server::{Agents, AgentsServer};
use bt_tests::{Cluster, Options, ScriptedAgent, wait_until};
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_stream::Stream;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

/// What an agent of protocol 1 sent, and what a coordinator of protocol 1 answered.
const AGENT: &str = include_str!("protocol/agent.hex");
const COORDINATOR: &str = include_str!("protocol/coordinator.hex");
/// The attempt of both records.
const ATTEMPT: &str = "0a77e397-0000-4000-8000-000000000001";
const IMAGE: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
/// How long a message may take.
const MESSAGE: Duration = Duration::from_secs(20);

fn record(text: &str) -> HashMap<&str, Vec<u8>> {
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.map(|(name, digits)| (name, bytes(digits))).collect()
}

fn bytes(digits: &str) -> Vec<u8> {
    let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// The recorded bytes with another attempt's id, which is as long.
fn of_attempt(recorded: &[u8], attempt: &str) -> Vec<u8> {
    let mut bytes = recorded.to_vec();
    let places = (0..bytes.len().saturating_sub(ATTEMPT.len()))
        .filter(|at| recorded[*at..].starts_with(ATTEMPT.as_bytes()));
    for at in places.collect::<Vec<_>>() {
        bytes[at..at + ATTEMPT.len()].copy_from_slice(attempt.as_bytes());
    }
    bytes
}

/// A message of today as a peer of protocol 1 read it.
fn as_first<T: Message + Default>(message: &impl Message) -> T {
    T::decode(message.encode_to_vec().as_slice()).unwrap()
}

/// What today's agents say of their jobs' progress is no news to a coordinator that does not know it, and no mistake.
#[test]
fn a_coordinator_of_protocol_1_passes_over_progress() {
    let said =
        v1::AttemptProgress { attempt: ATTEMPT.to_owned(), progress: Some(v1::JobProgress::default()) };
    let kind = v1::agent_message::Kind::JobsProgress(v1::JobsProgress { attempts: vec![said] });
    let message: first::AgentMessage = as_first(&v1::AgentMessage { kind: Some(kind) });
    assert_eq!(message.kind, None);
}

/// The next message of a coordinator that is no answer to a heartbeat, and how many of those came before it.
async fn next(incoming: &mut Streaming<v1::CoordinatorMessage>) -> (first::coordinator_message::Kind, usize) {
    let mut renewed = 0;
    loop {
        let message = timeout(MESSAGE, incoming.message()).await.unwrap().unwrap().unwrap();
        match as_first::<first::CoordinatorMessage>(&message).kind.unwrap() {
            first::coordinator_message::Kind::Renewed(_) => renewed += 1,
            kind => return (kind, renewed),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_protocol_1_works_with_this_coordinator() {
    let cluster = Cluster::without_agent(Options::default());
    let recorded = record(AGENT);
    let message = |name: &str, attempt: &str| {
        v1::AgentMessage::decode(of_attempt(&recorded[name], attempt).as_slice()).unwrap()
    };
    let sweep = cluster.submit_simulated(&["--matrix", "n=7"]);
    let mut client = AgentsClient::connect(cluster.address()).await.unwrap();
    let (outgoing, receiver) = mpsc::channel(16);
    outgoing.send(message("hello", ATTEMPT)).await.unwrap();
    let mut incoming = client.session(ReceiverStream::new(receiver)).await.unwrap().into_inner();

    let (first::coordinator_message::Kind::Welcome(welcome), _) = next(&mut incoming).await else {
        panic!("no Welcome came")
    };
    assert_eq!((welcome.heartbeat_ms, welcome.lease_ms), (500, 6_000));
    assert_eq!(welcome.store, cluster.store().display().to_string());
    assert!(Uuid::parse_str(&welcome.store_id).is_ok(), "{welcome:?}");

    let (first::coordinator_message::Kind::Assign(assign), _) = next(&mut incoming).await else {
        panic!("no job came")
    };
    let [job] = &assign.assignments[..] else { panic!("{assign:?}") };
    assert_eq!((job.sweep.as_str(), job.job, job.attempt_number), (sweep.as_str(), 0, 1));
    assert!(job.manifest.contains("\"image\"") && job.parameters.contains('7'), "{job:?}");
    assert_eq!(job.image_pin, "");

    // One that has ended is not named again.
    outgoing.send(message("heartbeat", &job.attempt)).await.unwrap();
    let pin = of_attempt(&recorded["pin"], &job.attempt);
    let pinned = client.pin_image(v1::PinImageRequest::decode(pin.as_slice()).unwrap()).await.unwrap();
    assert_eq!(as_first::<first::PinImageReply>(&pinned.into_inner()).image, IMAGE);
    let mut renewed = 0;
    for (sequence, name) in (1..).zip(["preparing", "running", "publishing", "succeeded"]) {
        outgoing.send(message(name, &job.attempt)).await.unwrap();
        let (kind, before) = next(&mut incoming).await;
        renewed += before;
        let ack = first::Ack { sequence, accepted: true };
        assert_eq!(kind, first::coordinator_message::Kind::Ack(ack), "{name}");
    }
    assert_eq!(renewed, 1);

    let sweep = sweep.as_str();
    tokio::task::block_in_place(|| {
        cluster.wait_count(sweep, "succeeded", 1);
        let shown = &cluster.json(&["jobs", sweep])[0];
        assert_eq!(shown["metrics"]["sharpe"], 1.5, "{shown}");
        assert_eq!(shown["agent"], "first");
        assert_eq!(cluster.json(&["show", sweep])["image_pin"], IMAGE);
        let outputs = cluster.json(&["results", "ls", sweep]);
        assert_eq!((&outputs[0]["path"], &outputs[0]["size"]), (&"out.txt".into(), &4.into()), "{outputs}");
        let agent = &cluster.json(&["agents", "ls"])[0];
        assert_eq!((&agent["state"], &agent["capacity"]["cpus"]), (&"ready".into(), &4.0.into()), "{agent}");
        assert_eq!(agent["volumes"], serde_json::json!(["prices:ro"]));
    });
    outgoing.send(message("unhealthy", ATTEMPT)).await.unwrap();
    tokio::task::block_in_place(|| {
        wait_until("the agent is shown as unhealthy", || {
            (cluster.json(&["agents", "ls"])[0]["state"] == "unhealthy: no engine answers").then_some(())
        });
    });
}

/// Batches came with protocol 2: an agent before that would not understand them.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_protocol_1_gets_no_batches_and_other_work() {
    let mut cluster = Cluster::without_agent(Options::default());
    let batched = cluster.submit_simulated(&["--batch", "5", "--matrix", "n=1:5"]);
    let mut first = ScriptedAgent::first(&cluster.address()).await;
    tokio::task::block_in_place(|| {
        wait_until("it is said why the agent takes none", || {
            cluster.ok(&["explain", &batched]).contains("it is too old: it speaks version 1").then_some(())
        });
    });
    let plain = cluster.submit_simulated(&["--matrix", "n=7"]);
    let assignment = first.assignment().await;
    assert_eq!((assignment.sweep, assignment.batch), (plain, None));
    tokio::task::block_in_place(|| {
        cluster.add_agent_with("second", &Options::simulated(&["--cpus", "4"]).agent);
        cluster.wait_count(&batched, "succeeded", 5);
    });
    let agents =
        "select distinct g.name from attempts a join agents g on g.id = a.agent_id where a.batch is not null";
    assert_eq!(cluster.database.query(agents), ["second"]);
}

/// What an agent said, as a coordinator of protocol 1 read it.
type Heard = Arc<Mutex<Vec<first::agent_message::Kind>>>;

/// A coordinator that answers from the record.
struct Recorded {
    answers: HashMap<&'static str, Vec<u8>>,
    heard: Heard,
    sessions: Mutex<JoinSet<()>>,
}

impl Recorded {
    fn answer(&self, name: &str) -> v1::CoordinatorMessage {
        v1::CoordinatorMessage::decode(self.answers[name].as_slice()).unwrap()
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Agents for Recorded {
    type SessionStream = Answers<v1::CoordinatorMessage>;

    async fn session(
        &self,
        request: Request<Streaming<v1::AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut incoming = request.into_inner();
        let (outgoing, receiver) = mpsc::channel(16);
        let names = ["welcome", "assign", "renewed", "ack 1", "ack 2", "ack 3", "ack 4"];
        let answers = names.map(|name| (name, self.answer(&name.replace(' ', "-"))));
        let answers = HashMap::from(answers);
        let heard = self.heard.clone();
        self.sessions.lock().unwrap().spawn(async move {
            while let Ok(Some(message)) = incoming.message().await {
                let kind = as_first::<first::AgentMessage>(&message).kind.unwrap();
                let names = match &kind {
                    first::agent_message::Kind::Hello(_) => vec!["welcome".to_owned(), "assign".to_owned()],
                    first::agent_message::Kind::Heartbeat(_) => vec!["renewed".to_owned()],
                    first::agent_message::Kind::Report(report) => vec![format!("ack {}", report.sequence)],
                };
                heard.lock().unwrap().push(kind);
                for name in names {
                    if outgoing.send(Ok(answers[name.as_str()].clone())).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn upload(
        &self,
        _: Request<Streaming<v1::UploadRequest>>,
    ) -> Result<Response<v1::UploadReply>, Status> {
        Err(Status::unimplemented("not on record"))
    }

    async fn pin_image(
        &self,
        request: Request<v1::PinImageRequest>,
    ) -> Result<Response<v1::PinImageReply>, Status> {
        let asked: first::PinImageRequest = as_first(&request.into_inner());
        let expected = (ATTEMPT, IMAGE, 1);
        assert_eq!((asked.attempt.as_str(), asked.image.as_str(), asked.session), expected);
        let reply = v1::PinImageReply::decode(self.answers["pinned"].as_slice());
        Ok(Response::new(reply.unwrap()))
    }

    async fn fetch_secrets(
        &self,
        _: Request<v1::FetchSecretsRequest>,
    ) -> Result<Response<v1::FetchSecretsReply>, Status> {
        Err(Status::unimplemented("not on record"))
    }

    async fn note_sharing(
        &self,
        _: Request<v1::NoteSharingRequest>,
    ) -> Result<Response<v1::NoteSharingReply>, Status> {
        Err(Status::unimplemented("not on record"))
    }

    type FetchImageStream = Answers<v1::FetchImageReply>;

    async fn fetch_image(
        &self,
        _: Request<v1::FetchImageRequest>,
    ) -> Result<Response<Self::FetchImageStream>, Status> {
        Err(Status::unimplemented("not on record"))
    }

    type FetchOverlayStream = Answers<v1::FetchOverlayReply>;

    async fn fetch_overlay(
        &self,
        _: Request<v1::FetchOverlayRequest>,
    ) -> Result<Response<Self::FetchOverlayStream>, Status> {
        Err(Status::unimplemented("not on record"))
    }

    type FetchResultStream = Answers<v1::FetchResultReply>;

    async fn fetch_result(
        &self,
        _: Request<v1::FetchResultRequest>,
    ) -> Result<Response<Self::FetchResultStream>, Status> {
        Err(Status::unimplemented("not on record"))
    }

    async fn describe_image(
        &self,
        _: Request<v1::DescribeImageRequest>,
    ) -> Result<Response<v1::DescribeImageReply>, Status> {
        Err(Status::unimplemented("not on record"))
    }

    type DebugStream = Answers<v1::DebugInput>;

    async fn debug(
        &self,
        _: Request<Streaming<v1::DebugOutput>>,
    ) -> Result<Response<Self::DebugStream>, Status> {
        Err(Status::unimplemented("not on record"))
    }

    async fn certify(&self, _: Request<v1::CertifyRequest>) -> Result<Response<v1::CertifyReply>, Status> {
        Err(Status::unimplemented("certify"))
    }

    async fn answer_files(
        &self,
        _: Request<v1::AnswerFilesRequest>,
    ) -> Result<Response<v1::AnswerFilesReply>, Status> {
        Err(Status::unimplemented("not on record"))
    }

    async fn push_log(
        &self,
        _: Request<Streaming<v1::PushLogRequest>>,
    ) -> Result<Response<v1::PushLogReply>, Status> {
        Err(Status::unimplemented("not on record"))
    }
}

#[test]
fn this_agent_works_with_a_coordinator_of_protocol_1() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let heard = Heard::default();
    let recorded =
        Recorded { answers: record(COORDINATOR), heard: heard.clone(), sessions: Mutex::default() };
    let (address, socket) = runtime.block_on(async {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        (address, TcpListenerStream::new(socket))
    });
    let server = tonic::transport::Server::builder().add_service(AgentsServer::new(recorded));
    runtime.spawn(server.serve_with_incoming(socket));
    let mut cluster = Cluster::without_agent(Options::default());
    let flags = Options::simulated(&["--cpus", "4", "--label", "pool=spot"]).agent;
    cluster.add_agent_of("new", &format!("http://{address}"), &flags);

    let find = |what: &str, look: &dyn Fn(&first::agent_message::Kind) -> bool| {
        wait_until(what, || heard.lock().unwrap().iter().find(|kind| look(kind)).cloned())
    };
    let is_success = |kind: &first::agent_message::Kind| {
        let first::agent_message::Kind::Report(report) = kind else { return false };
        assert_eq!(report.attempt, ATTEMPT);
        matches!(report.kind, Some(first::report::Kind::Succeeded(_)))
    };
    let found = find("the agent reports success", &is_success);
    let first::agent_message::Kind::Report(report) = found else { unreachable!("it is a report") };
    let Some(first::report::Kind::Succeeded(succeeded)) = report.kind else {
        unreachable!("it is a success")
    };
    let [output] = &succeeded.outputs[..] else { panic!("{succeeded:?}") };
    assert_eq!((output.path.as_str(), output.sha256.len()), ("simulated.json", 32));
    assert_eq!(report.files[0].data.len() as u64, output.size);
    assert_eq!((report.image_id.as_str(), succeeded.metrics.as_str()), (IMAGE, ""));

    let first::agent_message::Kind::Hello(hello) = heard.lock().unwrap()[0].clone() else {
        panic!("the agent did not say hello first")
    };
    assert!(Uuid::parse_str(&hello.agent_id).is_ok() && !hello.place.is_empty(), "{hello:?}");
    assert_eq!((hello.name.as_str(), hello.session, &hello.attempts[..]), ("new", 1, &[][..]));
    assert_eq!(hello.capacity.map(|capacity| capacity.cpu_millis), Some(4_000));
    assert_eq!(hello.labels["pool"], "spot");
    // The acknowledged end is not the agent's any more.
    let seen = heard.lock().unwrap().len();
    wait_until("a heartbeat names no attempt", || {
        let heard = heard.lock().unwrap();
        let beats = heard[seen..].iter().filter_map(|kind| match kind {
            first::agent_message::Kind::Heartbeat(beat) => Some(beat),
            _ => None,
        });
        beats.into_iter().any(|beat| beat.attempts.is_empty() && beat.unhealthy.is_empty()).then_some(())
    });
}
