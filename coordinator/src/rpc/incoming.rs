//! Streams of messages from callers. One that falls silent in the middle is ended; nothing scarce is held meanwhile.

use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{Stream, TryStreamExt};
use tokio::time::timeout;
use tonic::Status;

/// Messages of a caller, however they came.
pub(crate) type Incoming<T> = BoxStream<'static, Result<T, Status>>;

/// How long a caller may be silent between two messages of a stream that it is to end by itself.
const SILENCE: Duration = Duration::from_secs(20);

/// The next message; none at the end of the stream.
pub(crate) async fn next<T>(
    incoming: &mut (impl Stream<Item = Result<T, Status>> + Unpin),
) -> Result<Option<T>, Status> {
    match timeout(SILENCE, incoming.try_next()).await {
        Ok(message) => message,
        Err(_) => Err(Status::deadline_exceeded(format!(
            "nothing came for {} s in the middle of the call; nothing was changed",
            SILENCE.as_secs()
        ))),
    }
}
