//! Logs: of ended attempts from the store, of live ones from their agent.

use std::time::Duration;

use bt_model::layout::AttemptPlace;
use bt_model::log::LogLine;
use bt_model::state::AttemptState;
use bt_proto::convert::{Malformed, parse};
use bt_proto::v1::{self, coordinator_message, push_log_request};
use futures_util::TryStreamExt;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::{Status, Streaming};
use uuid::Uuid;

use super::{Services, status};
use crate::kept_log;
use crate::queue::{AttemptRow, Found, TwinRow};
use crate::sessions::Pushed;

/// How long an agent may take to begin to push a log.
const FIRST_LINE: Duration = Duration::from_secs(20);
/// How often a follower looks whether a queued job has started.
const LOOK: Duration = Duration::from_millis(500);

/// The next line that an agent pushes; none as soon as its follower has gone, and then the agent is not asked for more.
async fn next_line(pushed: &mut mpsc::Receiver<Pushed>, lines: &Lines) -> Option<Pushed> {
    tokio::select! {
        line = pushed.recv() => line,
        () = lines.closed() => None,
    }
}

type Lines = mpsc::Sender<Result<v1::LogLine, Status>>;

impl Services {
    /// Sends a job's log until its end or until nobody listens.
    pub(super) async fn send_log(
        &self,
        sweep: &Found,
        request: &v1::LogsRequest,
        lines: &Lines,
    ) -> Result<(), Status> {
        if let Some(origin) = self.origin(sweep, request).await? {
            return self.read_origin(origin, lines).await;
        }
        let Some(attempt) = self.attempt_to_show(sweep, request, lines).await? else {
            return Ok(());
        };
        if attempt.state.is_live() && self.relay(&attempt, request.follow, lines).await? {
            return Ok(());
        }
        let place = AttemptPlace {
            sweep_name: sweep.name.clone(),
            sweep: sweep.id,
            jobs: sweep.jobs,
            job: request.job,
            attempt: attempt.number,
        };
        self.read_log(&place.log(), &attempt, lines).await
    }

    /// The attempt that made the result of a job that has another's; none where the job's own attempts are meant.
    async fn origin(&self, sweep: &Found, request: &v1::LogsRequest) -> Result<Option<TwinRow>, Status> {
        if !sweep.reuses || request.attempt > 0 {
            return Ok(None);
        }
        let mut twins = self.queue.twins(sweep.id, &[request.job]).await.map_err(status::queue)?;
        Ok(twins.remove(&request.job).filter(|twin| twin.attempt.is_some()))
    }

    async fn read_origin(&self, origin: TwinRow, lines: &Lines) -> Result<(), Status> {
        let found = self.queue.find_sweep(&origin.of.sweep.to_string()).await.map_err(status::queue)?;
        let (job, number) = (origin.of.job, origin.attempt.unwrap_or_default());
        let attempt = self.queue.find_attempt(found.id, job, number).await.map_err(status::queue)?;
        let Some(attempt) = attempt else { return Ok(()) };
        let place =
            AttemptPlace { sweep_name: found.name, sweep: found.id, jobs: found.jobs, job, attempt: number };
        self.read_log(&place.log(), &attempt, lines).await
    }

    /// The attempt whose log is meant. A follower of a queued job waits for one; none when it stopped listening.
    async fn attempt_to_show(
        &self,
        sweep: &Found,
        request: &v1::LogsRequest,
        lines: &Lines,
    ) -> Result<Option<AttemptRow>, Status> {
        loop {
            let (job, number) = (request.job, request.attempt);
            let found = self.queue.find_attempt(sweep.id, job, number).await;
            if let Some(attempt) = found.map_err(status::queue)? {
                return Ok(Some(attempt));
            }
            if number > 0 {
                let told = format!("job {job} of sweep {} has no attempt {number}", sweep.name);
                return Err(Status::not_found(told));
            }
            if !request.follow {
                let told = format!("job {job} of sweep {} has not started yet", sweep.name);
                return Err(Status::not_found(told));
            }
            if timeout(LOOK, lines.closed()).await.is_ok() {
                return Ok(None);
            }
        }
    }

    /// Passes on what the agent has of a live attempt. False if it turns out to hold nothing of it any more.
    async fn relay(&self, attempt: &AttemptRow, follow: bool, lines: &Lines) -> Result<bool, Status> {
        let (request, mut pushed) = self.sessions.expect_log();
        let ask = v1::LogRequest { attempt: attempt.id.to_string(), request: request.to_string(), follow };
        let ask = coordinator_message::Kind::LogRequest(ask);
        if !self.sessions.send(attempt.agent, ask) {
            return Err(Status::unavailable(format!(
                "agent {} is not connected; the log can be had when it is back",
                attempt.agent_name
            )));
        }
        let first = tokio::select! {
            first = timeout(FIRST_LINE, pushed.recv()) => first,
            () = lines.closed() => return Ok(true),
        };
        let mut next = match first {
            Ok(line) => line,
            // A job may well say nothing for a long time.
            Err(_) if self.sessions.take_log(request).is_none() => next_line(&mut pushed, lines).await,
            Err(_) => {
                return Err(Status::unavailable(format!(
                    "agent {} did not answer within {} s",
                    attempt.agent_name,
                    FIRST_LINE.as_secs()
                )));
            }
        };
        if matches!(next, Some(Pushed::End)) {
            // Either it wrote nothing yet, or the attempt ended a moment ago and the log is in the store by now.
            let holds = self.queue.taken_away(attempt.agent, &[attempt.id]).await;
            return Ok(holds.map_err(status::queue)?.is_empty());
        }
        while let Some(Pushed::Line(line)) = next {
            if lines.send(Ok(line.into())).await.is_err() {
                return Ok(true);
            }
            next = next_line(&mut pushed, lines).await;
        }
        match next {
            None if !lines.is_closed() => Err(Status::unavailable(format!(
                "the line to agent {} broke; the log goes on when it is back",
                attempt.agent_name
            ))),
            _ => Ok(true),
        }
    }

    async fn read_log(&self, path: &str, attempt: &AttemptRow, lines: &Lines) -> Result<(), Status> {
        let mut kept = match kept_log::lines(&self.store, path).await {
            Ok(kept) => kept,
            // The log of an attempt that ended by itself is there before its end is, unless it printed nothing.
            Err(bt_store::Error::NotFound { .. })
                if matches!(attempt.state, AttemptState::Succeeded | AttemptState::Failed) =>
            {
                return Ok(());
            }
            Err(bt_store::Error::NotFound { .. }) => {
                return Err(Status::not_found(format!(
                    "attempt {} was {} by agent {} before its log reached the store",
                    attempt.number, attempt.state, attempt.agent_name
                )));
            }
            Err(error) => return Err(status::store(error)),
        };
        let unreadable = |error| match error {
            kept_log::Error::Store(error) => status::store(error),
            error @ kept_log::Error::NotALog { .. } => Status::data_loss(error.to_string()),
        };
        while let Some(some) = kept.try_next().await.map_err(unreadable)? {
            for line in some {
                if lines.send(Ok(line.into())).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Takes a log that an agent pushes, for the client that asked for it.
    pub(super) async fn receive_log(
        &self,
        mut incoming: Streaming<v1::PushLogRequest>,
    ) -> Result<v1::PushLogReply, Status> {
        let first = incoming.message().await?.and_then(|message| message.kind);
        let Some(push_log_request::Kind::Request(request)) = first else {
            return Err(status::out_of_order("the request's id"));
        };
        let request: Uuid = parse("request", "a UUID", &request).map_err(status::malformed)?;
        let Some(listener) = self.sessions.take_log(request) else {
            return Ok(v1::PushLogReply {});
        };
        loop {
            // An agent whose job says nothing must hear that the client has gone.
            let message = tokio::select! {
                message = incoming.message() => message?,
                () = listener.closed() => None,
            };
            let Some(message) = message else {
                // Whoever has gone needs no end.
                listener.send(Pushed::End).await.ok();
                break;
            };
            let Some(push_log_request::Kind::Line(line)) = message.kind else {
                return Err(status::malformed(Malformed::Missing("line")));
            };
            let line = LogLine::try_from(line).map_err(status::malformed)?;
            if listener.send(Pushed::Line(line)).await.is_err() {
                break;
            }
        }
        Ok(v1::PushLogReply {})
    }
}
