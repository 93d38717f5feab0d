//! What an agent's session says, one message after the other: heartbeats and reports side by side.

use std::collections::VecDeque;

use bt_model::id::AgentId;
use bt_proto::v1::{self, agent_message};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use prost::Message;
use tokio::time::timeout;
use tonic::{Status, Streaming};

use super::Agents;

/// Reports of one agent that may be on their way into the store and Postgres, and their bytes. An agent sends far fewer
/// before it waits for answers (`agent/src/outbox.rs`), so that its heartbeats are always read.
const OPEN_REPORTS: usize = 4_096;
const OPEN_BYTES: usize = 64 << 20;
/// Heartbeats of one agent that may wait for an earlier one.
const WAITING_BEATS: usize = 16;

impl Agents {
    /// Takes what an agent says until its stream ends or something fails; the agent then says hello again, and sends
    /// again what was not acknowledged. Reports are handled side by side, and heartbeats beside them: a report that waits
    /// for the store holds up nothing else. Returns why it ended.
    pub(super) async fn listen(
        &self,
        agent: AgentId,
        session: u64,
        mut incoming: Streaming<v1::AgentMessage>,
    ) -> String {
        let mut reports = FuturesUnordered::new();
        let mut bytes = 0;
        let mut beats = FuturesUnordered::new();
        // One after the other, in their order.
        let mut later_beats = VecDeque::new();
        loop {
            if beats.is_empty()
                && let Some(beat) = later_beats.pop_front()
            {
                beats.push(self.heartbeat(agent, session, beat));
            }
            let has_room = reports.len() < OPEN_REPORTS && bytes < OPEN_BYTES;
            // Heartbeats come even when nothing happens; an agent that sends none for a lease's time is cut off.
            let message = tokio::select! {
                Some((size, handled)) = reports.next() => match handled {
                    Ok(()) => {
                        bytes -= size;
                        continue;
                    }
                    Err(error) => return Status::message(&error).to_owned(),
                },
                Some(handled) = beats.next() => match handled {
                    Ok(()) => continue,
                    Err(error) => return Status::message(&error).to_owned(),
                },
                message = timeout(self.terms.lease, incoming.message()), if has_room => message,
            };
            let message = match message {
                Err(_) => return "it was silent".into(),
                Ok(Err(error)) => return error.message().to_owned(),
                Ok(Ok(None)) => return "it hung up".into(),
                Ok(Ok(Some(message))) => message,
            };
            let handled = match message.kind {
                Some(agent_message::Kind::Heartbeat(beat)) => {
                    later_beats.push_back(beat);
                    match later_beats.len() > WAITING_BEATS {
                        true => Err(Status::resource_exhausted(
                            "its heartbeats come faster than they are answered",
                        )),
                        false => Ok(()),
                    }
                }
                Some(agent_message::Kind::Report(report)) => {
                    let size = report.encoded_len();
                    bytes += size;
                    let taken = self.clone().take_report(agent, session, report);
                    reports.push(async move { (size, taken.await) });
                    Ok(())
                }
                Some(agent_message::Kind::JobsProgress(jobs)) => {
                    self.hearing.hear(agent, session, jobs);
                    Ok(())
                }
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
}
