//! An agent that follows a test's script: it speaks the real protocol with a real coordinator, and falls silent, hangs
//! up or comes back exactly when the script says so. It runs no containers.

use std::time::Duration;

use bt_proto::v1::agents_client::AgentsClient;
use bt_proto::v1::{self, agent_message, coordinator_message, report};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use uuid::Uuid;

/// Where these agents say that they are, so that one that comes back is known to be the same.
const PLACE: &str = "a test";
/// How long a message may take.
const MESSAGE: Duration = Duration::from_secs(10);

/// An open session.
pub struct ScriptedAgent {
    pub id: String,
    pub session: u64,
    outgoing: mpsc::Sender<v1::AgentMessage>,
    incoming: Streaming<v1::CoordinatorMessage>,
    sequence: u64,
    /// Verdicts of the welcome.
    pub verdicts: Vec<v1::Verdict>,
}

impl ScriptedAgent {
    /// A new agent's first session.
    pub async fn first(address: &str) -> Self {
        Self::connect_from(PLACE, address, &Uuid::new_v4().to_string(), 1, &[])
            .await
            .expect("the coordinator says Welcome")
    }

    /// Opens a session, as an agent that holds these attempts and does not say where it is.
    pub async fn connect(address: &str, id: &str, session: u64, held: &[&str]) -> Result<Self, Status> {
        Self::connect_from("", address, id, session, held).await
    }

    /// Opens a session from a place. A coordinator that is starting is waited for.
    async fn connect_from(
        place: &str,
        address: &str,
        id: &str,
        session: u64,
        held: &[&str],
    ) -> Result<Self, Status> {
        let mut client = loop {
            match AgentsClient::connect(address.to_owned()).await {
                Ok(client) => break client,
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        };
        let (outgoing, receiver) = mpsc::channel(16);
        let hello = v1::Hello {
            agent_id: id.to_owned(),
            name: "scripted".into(),
            session,
            capacity: Some(v1::Resources {
                cpu_millis: 1_000,
                memory_bytes: 1 << 34,
                gpus: 0,
                disk_bytes: 1 << 34,
                jobs: 100,
            }),
            attempts: held.iter().map(|attempt| (*attempt).to_owned()).collect(),
            place: place.to_owned(),
            ..v1::Hello::default()
        };
        let hello = v1::AgentMessage { kind: Some(agent_message::Kind::Hello(hello)) };
        outgoing.send(hello).await.map_err(|_| Status::unavailable("the stream has ended"))?;
        let mut incoming = client.session(ReceiverStream::new(receiver)).await?.into_inner();
        let first = incoming.message().await?.and_then(|message| message.kind);
        let Some(coordinator_message::Kind::Welcome(welcome)) = first else {
            return Err(Status::internal("no Welcome came"));
        };
        let (id, verdicts) = (id.to_owned(), welcome.verdicts);
        Ok(Self { id, session, outgoing, incoming, sequence: 0, verdicts })
    }

    /// The next session of the same agent, after this one was cut.
    pub async fn again(self, address: &str, held: &[&str]) -> Self {
        let (id, session) = (self.id.clone(), self.session + 1);
        drop(self);
        Self::connect_from(PLACE, address, &id, session, held).await.expect("the coordinator says Welcome")
    }

    /// The verdict on an attempt that was named.
    pub fn verdict(&self, attempt: &str) -> v1::Ruling {
        let found = self.verdicts.iter().find(|verdict| verdict.attempt == attempt);
        found.map_or(v1::Ruling::Unspecified, v1::Verdict::ruling)
    }

    /// The next message that is no answer to a heartbeat; nothing if the session ended or no message arrives.
    pub async fn next(&mut self) -> Option<coordinator_message::Kind> {
        loop {
            let message = timeout(MESSAGE, self.incoming.message()).await.ok()?.ok()??;
            match message.kind? {
                coordinator_message::Kind::Renewed(_) => {}
                kind => return Some(kind),
            }
        }
    }

    /// True if the answer to a heartbeat comes.
    pub async fn renewed(&mut self) -> bool {
        loop {
            let Ok(Ok(Some(message))) = timeout(MESSAGE, self.incoming.message()).await else { return false };
            if matches!(message.kind, Some(coordinator_message::Kind::Renewed(_))) {
                return true;
            }
        }
    }

    /// Waits for an assignment.
    pub async fn assignment(&mut self) -> v1::Assignment {
        loop {
            match self.next().await {
                Some(coordinator_message::Kind::Assign(mut assign)) => return assign.assignments.remove(0),
                Some(_) => {}
                None => panic!("no assignment came"),
            }
        }
    }

    /// Sends a report, and does not wait for its answer.
    pub async fn report(&mut self, attempt: &str, kind: report::Kind) -> u64 {
        self.sequence += 1;
        let report = v1::Report {
            sequence: self.sequence,
            attempt: attempt.to_owned(),
            kind: Some(kind),
            ..v1::Report::default()
        };
        self.send_report(report).await
    }

    /// Reports success with one small output.
    pub async fn succeed(&mut self, attempt: &str, data: &[u8], sha256: Vec<u8>) -> u64 {
        self.sequence += 1;
        let output =
            v1::OutputFile { path: "out".into(), size: data.len() as u64, sha256, ..Default::default() };
        let succeeded = v1::Succeeded { outputs: vec![output], metrics: None, returns: None };
        let report = v1::Report {
            sequence: self.sequence,
            attempt: attempt.to_owned(),
            kind: Some(report::Kind::Succeeded(succeeded)),
            files: vec![v1::SmallFile { path: "out".into(), data: data.to_vec() }],
            ..v1::Report::default()
        };
        self.send_report(report).await
    }

    async fn send_report(&mut self, report: v1::Report) -> u64 {
        let sequence = report.sequence;
        let message = v1::AgentMessage { kind: Some(agent_message::Kind::Report(report)) };
        // A session that was closed shows in the missing answer.
        drop(self.outgoing.send(message).await);
        sequence
    }

    /// Waits for the answer to a report: whether it was accepted; nothing if the session ended.
    pub async fn ack(&mut self, sequence: u64) -> Option<bool> {
        loop {
            match self.next().await? {
                coordinator_message::Kind::Ack(ack) if ack.sequence == sequence => return Some(ack.accepted),
                _ => {}
            }
        }
    }

    /// Sends a heartbeat that names these attempts.
    pub async fn beat(&mut self, attempts: &[&str]) {
        self.send_beat(attempts, false).await;
    }

    /// Sends a heartbeat that asks for no more work.
    pub async fn drain(&mut self, attempts: &[&str]) {
        self.send_beat(attempts, true).await;
    }

    /// Says how far attempts are.
    pub async fn say(&mut self, attempts: Vec<v1::AttemptProgress>) {
        let kind = agent_message::Kind::JobsProgress(v1::JobsProgress { attempts });
        drop(self.outgoing.send(v1::AgentMessage { kind: Some(kind) }).await);
    }

    async fn send_beat(&mut self, attempts: &[&str], draining: bool) {
        let beat = v1::Heartbeat {
            attempts: attempts.iter().map(|attempt| (*attempt).to_owned()).collect(),
            draining,
            ..v1::Heartbeat::default()
        };
        drop(self.outgoing.send(v1::AgentMessage { kind: Some(agent_message::Kind::Heartbeat(beat)) }).await);
    }
}
