//! Logs: of ended attempts from the store, of live ones from their agent.

use std::sync::Arc;
use std::time::Duration;

use bt_model::layout::AttemptPlace;
use bt_model::log::LogLine;
use bt_model::state::AttemptState;
use bt_proto::convert::{Malformed, parse, present};
use bt_proto::v1::{self, coordinator_message, push_log_request};
use futures_util::TryStreamExt;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::{Status, Streaming};
use uuid::Uuid;

use super::Relay;
use super::followed::{Log, Next, Over, Place, Placed};
use super::waiting::Pushed;
use crate::kept_log;
use crate::queue::{AttemptRow, Found, TwinRow};
use crate::rpc::status;

/// How long an agent may take to begin to push a log.
const FIRST_LINE: Duration = Duration::from_secs(20);
/// How often a follower looks whether a queued job has started.
const LOOK: Duration = Duration::from_millis(500);

/// Bytes that a follower who is behind reads from the agent at once.
const PIECE: usize = 64 << 10;

type Lines = mpsc::Sender<Result<v1::LogLine, Status>>;

/// A log that an agent was asked for.
struct Pushing<'a> {
    relay: &'a Relay,
    /// The agent's name.
    agent: &'a str,
    request: Uuid,
    pushed: mpsc::Receiver<Pushed>,
    has_begun: bool,
}

/// A follower must ask again: it is sent the log from its beginning, from wherever that is by now.
fn again(why: &str) -> Status {
    Status::unavailable(format!("the log can't be followed on from here, because {why}; ask again"))
}

impl Pushing<'_> {
    /// The next line; none at the log's end.
    async fn next(&mut self) -> Result<Option<Placed>, Status> {
        let next = match self.has_begun {
            true => self.pushed.recv().await,
            false => match timeout(FIRST_LINE, self.pushed.recv()).await {
                Ok(next) => next,
                // A job may well say nothing for a long time.
                Err(_) if self.relay.waiting.take_log(self.request).is_none() => self.pushed.recv().await,
                Err(_) => {
                    let (agent, seconds) = (self.agent, FIRST_LINE.as_secs());
                    return Err(Status::unavailable(format!(
                        "agent {agent} did not answer within {seconds} s"
                    )));
                }
            },
        };
        self.has_begun = true;
        match next {
            Some(Pushed::Line(placed)) => Ok(Some(placed)),
            Some(Pushed::End) => Ok(None),
            None => Err(Status::unavailable(format!(
                "the line to agent {} broke; the log goes on when it is back",
                self.agent
            ))),
        }
    }
}

impl Relay {
    /// Sends a job's log until its end, or until its reader leaves.
    pub(crate) async fn send_log(
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
        if !sweep.reuses || present(request.attempt).is_some() {
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
            let (job, number) = (request.job, present(request.attempt));
            let found = self.queue.find_attempt(sweep.id, job, number.unwrap_or_default()).await;
            // What was handed back before it started has no log; the next one will have.
            let has_log = |attempt: &AttemptRow| {
                number.is_some() || attempt.started || attempt.state != AttemptState::Returned
            };
            if let Some(attempt) = found.map_err(status::queue)?.filter(has_log) {
                return Ok(Some(attempt));
            }
            if let Some(number) = number {
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
        if !follow {
            return self.pass_on(attempt, false, lines).await;
        }
        let (follower, is_first) = self.followed.join(attempt.id);
        if is_first {
            let (relay, attempt, log) = (self.clone(), attempt.clone(), follower.log.clone());
            self.tasks.spawn(async move { relay.fill(&attempt, &log).await });
        }
        let mut place = Place::default();
        let mut changes = follower.log.changes();
        loop {
            changes.borrow_and_update();
            let some = match follower.log.next(place) {
                Next::Lines(some, next) => {
                    place = next;
                    some
                }
                Next::NotYet => {
                    tokio::select! {
                        changed = changes.changed() => if changed.is_err() { return Ok(true) },
                        () = lines.closed() => return Ok(true),
                    }
                    continue;
                }
                Next::Behind if follower.log.has_places() => {
                    match self.catch_up(attempt, &follower.log, &mut place).await? {
                        some if some.is_empty() => return Ok(false),
                        some => some,
                    }
                }
                // An agent of an earlier version sends all from the beginning only.
                Next::Behind if place.at == 0 => return self.pass_on(attempt, true, lines).await,
                Next::Behind => return Err(again("it was read too slowly")),
                Next::Over(Over::End) if place.at == 0 => return self.is_held(attempt).await,
                Next::Over(Over::End) => return Ok(true),
                Next::Over(Over::Broken(why)) => return Err(Status::unavailable(why)),
            };
            for line in some {
                if lines.send(Ok(line.into())).await.is_err() {
                    return Ok(true);
                }
            }
        }
    }

    /// Lets the agent send a log for all who follow it, until its end or until none is left.
    async fn fill(&self, attempt: &AttemptRow, log: &Arc<Log>) {
        let filling = async {
            let mut pushing = self.ask_for_log(attempt, Place::default(), true)?;
            while let Some(placed) = pushing.next().await? {
                log.push(placed).await;
            }
            Ok::<_, Status>(())
        };
        let filled = tokio::select! {
            filled = filling => filled,
            () = log.abandoned() => Ok(()),
        };
        let over = match filled {
            Ok(()) => Over::End,
            Err(error) => Over::Broken(error.message().to_owned()),
        };
        self.followed.end(attempt.id, log, over);
    }

    /// The next lines for a follower that is behind what is kept for all, read from the agent for it alone; none if the
    /// agent holds nothing of the log any more. Few read at once, and none while its client is slow.
    async fn catch_up(
        &self,
        attempt: &AttemptRow,
        log: &Log,
        place: &mut Place,
    ) -> Result<Vec<LogLine>, Status> {
        let _turn = log.turn().await;
        let began = *place;
        let mut pushing = self.ask_for_log(attempt, began, false)?;
        let (mut lines, mut bytes) = (Vec::new(), 0);
        while bytes < PIECE && !log.meets(*place) {
            let Some(Placed { line, end, file }) = pushing.next().await? else { break };
            if lines.is_empty() {
                if began.at > 0 && file != began.file {
                    return Err(again("it was written anew"));
                }
                place.file = file;
            }
            place.at = end;
            bytes += line.text.len();
            lines.push(line);
        }
        match lines.is_empty() && (began.at > 0 || self.is_held(attempt).await?) {
            true => Err(again("the job has ended")),
            false => Ok(lines),
        }
    }

    /// Passes on what the agent sends for one client alone. False if it holds nothing of the log any more.
    async fn pass_on(&self, attempt: &AttemptRow, follow: bool, lines: &Lines) -> Result<bool, Status> {
        let mut pushing = self.ask_for_log(attempt, Place::default(), follow)?;
        let mut is_first = true;
        loop {
            let next = tokio::select! {
                next = pushing.next() => next?,
                // The agent is not asked for more.
                () = lines.closed() => return Ok(true),
            };
            match next {
                Some(placed) => {
                    is_first = false;
                    if lines.send(Ok(placed.line.into())).await.is_err() {
                        return Ok(true);
                    }
                }
                // Either it wrote nothing yet, or the attempt ended a moment ago.
                None if is_first => return self.is_held(attempt).await,
                None => return Ok(true),
            }
        }
    }

    /// False if an attempt ended a moment ago, and its log is in the store by now.
    async fn is_held(&self, attempt: &AttemptRow) -> Result<bool, Status> {
        let gone = self.queue.taken_away(attempt.agent, &[attempt.id]).await;
        Ok(gone.map_err(status::queue)?.is_empty())
    }

    fn ask_for_log<'a>(
        &'a self,
        attempt: &'a AttemptRow,
        from: Place,
        follow: bool,
    ) -> Result<Pushing<'a>, Status> {
        let (request, pushed) = self.waiting.expect_log();
        let ask = v1::LogRequest {
            attempt: attempt.id.to_string(),
            request: request.to_string(),
            follow,
            from: from.at,
            file: from.file,
        };
        if !self.sessions.send(attempt.agent, coordinator_message::Kind::LogRequest(ask)) {
            return Err(Status::unavailable(format!(
                "agent {} is not connected; the log can be had when it is back",
                attempt.agent_name
            )));
        }
        Ok(Pushing { relay: self, agent: &attempt.agent_name, request, pushed, has_begun: false })
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
    pub(crate) async fn receive_log(
        &self,
        mut incoming: Streaming<v1::PushLogRequest>,
    ) -> Result<v1::PushLogReply, Status> {
        let first = incoming.message().await?.and_then(|message| message.kind);
        let Some(push_log_request::Kind::Request(request)) = first else {
            return Err(status::out_of_order("the request's id"));
        };
        let request: Uuid = parse("request", "a UUID", &request).map_err(status::malformed)?;
        let Some(listener) = self.waiting.take_log(request) else {
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
            let placed = Placed { line, end: message.end, file: message.file };
            if listener.send(Pushed::Line(placed)).await.is_err() {
                break;
            }
        }
        Ok(v1::PushLogReply {})
    }
}
