//! Long answers: each is sent from a task of its own, which ends with its reader.

use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::Stream;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tracing::debug;

/// How long a reader of a long answer may take nothing (a pager may be open meanwhile), and how often that is looked at.
const READER: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_secs(30);

/// Answers that a slow reader may have waiting for it.
pub(crate) const ANSWERS: usize = 64;

pub(crate) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Sends a long answer from a task of its own; its error, if any, ends the answer, and so does a reader who takes nothing
/// for long.
pub(crate) fn answer<T: Send + 'static>(
    tasks: &TaskTracker,
    answers: mpsc::Sender<Result<T, Status>>,
    sending: impl Future<Output = Result<(), Status>> + Send + 'static,
) {
    tasks.spawn(async move {
        let sent = tokio::select! {
            sent = sending => sent,
            () = answers.closed() => return debug!("the client left before its answer was whole"),
            () = stopped_reading(&answers) => return debug!("a reader takes nothing more; its answer is ended"),
        };
        if let Err(error) = sent
            && answers.send(Err(error)).await.is_err()
        {
            debug!("the client left before it could hear of an error");
        }
    });
}

/// Returns when the reader of an answer has taken nothing for [`READER`], though something waits for it.
async fn stopped_reading<T>(answers: &mpsc::Sender<Result<T, Status>>) {
    loop {
        sleep(LOOK).await;
        match timeout(READER, answers.reserve()).await {
            Ok(Ok(_)) => {}
            // The sender finds out by itself that the reader has gone.
            Ok(Err(_)) => pending().await,
            Err(_) => return,
        }
    }
}
