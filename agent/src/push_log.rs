//! Sends the log of a live attempt to a coordinator that asked for it on behalf of a client.

use std::sync::Arc;

use bt_model::id::AttemptId;
use bt_proto::v1::agents_client::AgentsClient;
use bt_proto::v1::{self, push_log_request};
use futures_util::StreamExt;
use tokio_stream::once;
use tonic::transport::Channel;
use tracing::debug;

use crate::agent::Agent;
use crate::logfile;

/// Answers one request. What goes wrong ends the answer; the client asks again if it still wants the log.
pub(crate) async fn answer(
    agent: Arc<Agent>,
    mut client: AgentsClient<Channel>,
    request: v1::LogRequest,
) {
    let message = |kind| v1::PushLogRequest { kind: Some(kind) };
    let header = once(message(push_log_request::Kind::Request(request.request.clone())));
    let held = request.attempt.parse::<AttemptId>().ok();
    let held = held.and_then(|attempt| agent.holdings.find(attempt));
    let pushed = match held {
        // Not held any more: an empty answer makes the coordinator look in the store.
        None => client.push_log(header).await,
        Some(held) => {
            let lines = match request.follow {
                true => logfile::follow(&held.dir.log()),
                false => logfile::read(&held.dir.log()),
            };
            let lines = lines.map(move |line| message(push_log_request::Kind::Line(line.into())));
            client.push_log(header.chain(lines)).await
        }
    };
    if let Err(error) = pushed {
        debug!(error = %error.message(), "a log could not be pushed");
    }
}
