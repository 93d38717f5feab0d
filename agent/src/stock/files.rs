//! Which files a volume holds, for a user whose sweep has a job for each.

use bt_engine::volumes::Volumes;
use bt_proto::bearer::Line;
use bt_proto::v1;
use bt_proto::v1::agents_client::AgentsClient;
use tokio::task::spawn_blocking;
use tracing::warn;

/// Looks, and answers with what was found or with why that can't be said. Whoever no longer waits needs no answer.
pub(crate) async fn answer(volumes: Volumes, mut client: AgentsClient<Line>, request: v1::ListFiles) {
    let v1::ListFiles { request, volume, glob } = request;
    let looked = spawn_blocking(move || volumes.files(&volume, &glob)).await;
    let (paths, failed) = match looked {
        Ok(Ok(paths)) => (paths, None),
        Ok(Err(why)) => (Vec::new(), Some(why)),
        Err(_) => (Vec::new(), Some("can't be looked at: the look has panicked".to_owned())),
    };
    let answer = v1::AnswerFilesRequest { request, paths, failed };
    if let Err(status) = client.answer_files(answer).await {
        warn!(error = status.message(), "what a volume holds could not be told");
    }
}
