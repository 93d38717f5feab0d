//! A shell in a job's container: a user's line to the coordinator, joined to the line that the agent opens for it.

use std::pin::Pin;
use std::time::Duration;

use bt_model::id::AgentId;
use bt_proto::convert::parse;
use bt_proto::v1::{self, coordinator_message, debug_input, debug_output};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use uuid::Uuid;

use super::{Answers, Services, status};
use crate::queue::{Error, Found, JobFilter};
use crate::scheduling::{Seat, misfit};

/// How long an agent may take to open its end.
const OPEN: Duration = Duration::from_secs(20);
/// Messages in each direction that may be on their way.
const MESSAGES: usize = 64;

/// Both directions of a shell that waits for its agent.
#[derive(Debug)]
pub(crate) struct Line {
    /// What the user types.
    pub(crate) input: mpsc::Receiver<v1::DebugInput>,
    /// What the shell prints.
    pub(crate) output: mpsc::Sender<v1::DebugOutput>,
}

impl Services {
    /// The user's end.
    pub(super) async fn open_debug(
        &self,
        mut incoming: Streaming<v1::DebugInput>,
    ) -> Result<Answers<v1::DebugOutput>, Status> {
        let first = incoming.message().await?.and_then(|message| message.kind);
        let Some(debug_input::Kind::Start(start)) = first else {
            return Err(status::out_of_order("a DebugStart"));
        };
        let sweep = self.queue.find_sweep(&start.sweep).await.map_err(status::queue)?;
        if start.with_results {
            self.has_result(&sweep, start.job).await?;
        }
        let (agent, assignment) = self.what_to_debug(&sweep, start.job).await?;
        let (typed, input) = mpsc::channel(MESSAGES);
        let (output, printed) = mpsc::channel(MESSAGES);
        let request = self.sessions.expect_debug(Line { input, output });
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
        if opened.is_err() && self.sessions.take_debug(request).is_some() {
            return Err(Status::unavailable("the job's agent did not answer"));
        }
        self.tasks.spawn(async move {
            while let Ok(Some(message)) = incoming.message().await {
                if typed.send(message).await.is_err() {
                    break;
                }
            }
        });
        Ok(Box::pin(printed.map(Ok)))
    }

    /// The agent's end.
    pub(super) async fn join_debug(
        &self,
        mut incoming: Streaming<v1::DebugOutput>,
    ) -> Result<Answers<v1::DebugInput>, Status> {
        let first = incoming.message().await?.and_then(|message| message.kind);
        let Some(debug_output::Kind::Request(request)) = first else {
            return Err(status::out_of_order("the request's id"));
        };
        let request: Uuid = parse("request", "a UUID", &request).map_err(status::malformed)?;
        let Some(Line { input, output }) = self.sessions.take_debug(request) else {
            return Err(Status::not_found("nobody waits for this shell any more"));
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

    /// The job as an assignment of no attempt, and the agent that it is for: where its latest attempt was, if that agent
    /// is here, else one that could run it.
    async fn what_to_debug(&self, sweep: &Found, job: u32) -> Result<(AgentId, v1::Assignment), Status> {
        let only = JobFilter { states: Vec::new(), job: Some(job) };
        let row = self.queue.jobs(sweep.id, &only, None, 1).await.map_err(status::queue)?.into_iter().next();
        let row = row.ok_or_else(|| {
            status::queue(Error::NoJob {
                sweep: sweep.name.clone(),
                job,
                highest: sweep.jobs.saturating_sub(1),
            })
        })?;
        let known = self.manifests.get(sweep.id).await.map_err(status::manifest)?;
        let parameters = known.reader().map_err(status::manifest)?.json(row.parameters);
        let details = self.queue.sweep_details(sweep.id).await.map_err(status::queue)?;
        let last = self.queue.find_attempt(sweep.id, job, 0).await.map_err(status::queue)?;
        let ready = self.sessions.ready();
        let fits = |seat: &Seat| misfit(&seat.offer, &seat.offer.capacity, &details.candidate).is_none();
        let at_last = last.and_then(|attempt| ready.iter().find(|ready| ready.agent == attempt.agent));
        let chosen = at_last.or_else(|| ready.iter().find(|ready| fits(&ready.seat)));
        let agent = chosen.map(|ready| ready.agent).ok_or_else(|| {
            Status::unavailable(format!(
                "no agent that could run job {job} of sweep {} is connected; btctl explain {}/{job} says why",
                sweep.name,
                sweep.address()
            ))
        })?;
        let assignment = v1::Assignment {
            attempt: Uuid::new_v4().to_string(),
            sweep: sweep.id.to_string(),
            job,
            attempt_number: 0,
            sweep_name: sweep.name.clone(),
            manifest: known.text.clone(),
            parameters,
            image_pin: details.candidate.image_pin.unwrap_or_default(),
        };
        Ok((agent, assignment))
    }
}
