//! A shell in a job's container: a user's line to the coordinator, joined to the line that the agent opens for it.

use std::pin::Pin;
use std::time::Duration;

use bt_model::id::AgentId;
use bt_proto::convert::parse;
use bt_proto::v1::{self, coordinator_message, debug_output};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use uuid::Uuid;

use super::Relay;
use super::waiting::Shell;
use crate::queue::Changeable;
use crate::rpc::{Answers, status};

/// How long an agent may take to open its end.
const OPEN: Duration = Duration::from_secs(20);
/// How long a shell stays that belongs to no sweep.
const LONGEST: Duration = Duration::from_secs(12 * 3600);
/// Messages in each direction that may be on their way.
const MESSAGES: usize = 64;

impl Relay {
    /// The user's end: asks the agent for a shell, and waits until it opens its end. A shell in a job's container can do what
    /// the job can, so it is for those who may change the sweep.
    pub(crate) async fn open_shell(
        &self,
        _: Changeable,
        agent: AgentId,
        assignment: v1::Assignment,
        start: v1::DebugStart,
        incoming: Streaming<v1::DebugInput>,
    ) -> Result<Answers<v1::DebugOutput>, Status> {
        self.join_user(agent, assignment, start, incoming, None).await
    }

    /// The same for a shell that belongs to no sweep, so that it changes none. It ends after a while.
    pub(crate) async fn open_image_shell(
        &self,
        agent: AgentId,
        assignment: v1::Assignment,
        start: v1::DebugStart,
        incoming: Streaming<v1::DebugInput>,
    ) -> Result<Answers<v1::DebugOutput>, Status> {
        self.join_user(agent, assignment, start, incoming, Some(LONGEST)).await
    }

    async fn join_user(
        &self,
        agent: AgentId,
        assignment: v1::Assignment,
        start: v1::DebugStart,
        mut incoming: Streaming<v1::DebugInput>,
        longest: Option<Duration>,
    ) -> Result<Answers<v1::DebugOutput>, Status> {
        let (typed, input) = mpsc::channel(MESSAGES);
        let (output, printed) = mpsc::channel(MESSAGES);
        // It must not keep the user's line open.
        let last_words = output.downgrade();
        let request = self.waiting.expect_shell(Shell { input, output });
        let ask = v1::DebugRequest {
            request: request.to_string(),
            assignment: Some(assignment),
            tty: start.tty,
            rows: start.rows,
            columns: start.columns,
            with_results: start.with_results,
            command: start.command,
        };
        if !self.sessions.send(agent, coordinator_message::Kind::DebugRequest(ask)) {
            return Err(Status::unavailable("the job's agent is not connected to this coordinator"));
        }
        let mut printed = ReceiverStream::new(printed).peekable();
        let opened = timeout(OPEN, Pin::new(&mut printed).peek()).await;
        if opened.is_err() && self.waiting.take_shell(request).is_some() {
            return Err(Status::unavailable("the job's agent did not answer"));
        }
        self.tasks.spawn(async move {
            let typing = async {
                while let Ok(Some(message)) = incoming.message().await {
                    if typed.send(message).await.is_err() {
                        break;
                    }
                }
            };
            let Some(longest) = longest else { return typing.await };
            if timeout(longest, typing).await.is_err()
                && let Some(output) = last_words.upgrade()
            {
                let hours = longest.as_secs() / 3600;
                let told =
                    format!("the shell was open for {hours} hours, which is the longest; open another one");
                drop(output.send(v1::DebugOutput { kind: Some(debug_output::Kind::Failed(told)) }).await);
            }
        });
        Ok(Box::pin(printed.map(Ok)))
    }

    /// The agent's end.
    pub(crate) async fn join_shell(
        &self,
        mut incoming: Streaming<v1::DebugOutput>,
    ) -> Result<Answers<v1::DebugInput>, Status> {
        let first = incoming.message().await?.and_then(|message| message.kind);
        let Some(debug_output::Kind::Request(request)) = first else {
            return Err(status::out_of_order("the request's id"));
        };
        let request: Uuid = parse("request", "a UUID", &request).map_err(status::malformed)?;
        let Some(Shell { input, output }) = self.waiting.take_shell(request) else {
            return Err(Status::not_found("no user waits for this shell any more"));
        };
        self.tasks.spawn(async move {
            while let Ok(Some(message)) = incoming.message().await {
                if output.send(message).await.is_err() {
                    break;
                }
            }
        });
        Ok(Box::pin(ReceiverStream::new(input).map(Ok)))
    }
}
