//! Sends the log of a live attempt to a coordinator that asked for it on behalf of a client.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bt_engine::logfile::{self, PlacedLine, Start};
use bt_proto::bearer::Line;
use bt_proto::v1::agents_client::AgentsClient;
use bt_proto::v1::{self, push_log_request};
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use tracing::debug;

use crate::job::holdings::Held;

/// Answers one request. What goes wrong ends the answer; the client asks again if it still wants the log.
pub(crate) async fn answer(held: Option<Arc<Held>>, mut client: AgentsClient<Line>, request: v1::LogRequest) {
    let lines = match held {
        // Not held any more: an empty answer makes the coordinator look in the store.
        None => stream::empty().boxed(),
        Some(held) => {
            let start = Start { file: request.file, at: request.from };
            // A log that does not exist yet is waited for as long as there is a directory for it.
            if request.follow
                && let Err(error) = held.dir.make()
            {
                debug!(attempt.id = %held.id(), error = format!("{error:#}"), "a log can't be followed");
            }
            logfile::lines(&held.dir.log(), start, request.follow)
        }
    };
    if let Err(error) = client.push_log(messages(request.request, lines)).await {
        debug!(error = %error.message(), "a log could not be pushed");
    }
}

/// A named type, because the compiler loses the lifetime of a boxed stream that a spawned future sends.
struct Messages(BoxStream<'static, v1::PushLogRequest>);

impl Stream for Messages {
    type Item = v1::PushLogRequest;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}

fn messages(request: String, lines: BoxStream<'static, PlacedLine>) -> Messages {
    let header = v1::PushLogRequest {
        kind: Some(push_log_request::Kind::Request(request)),
        ..v1::PushLogRequest::default()
    };
    let lines = lines.enumerate().map(|(number, PlacedLine { line, end, file })| v1::PushLogRequest {
        kind: Some(push_log_request::Kind::Line(line.into())),
        end,
        // It stays the same.
        file: if number == 0 { file } else { 0 },
    });
    Messages(stream::iter([header]).chain(lines).boxed())
}
