//! A published result on its way to an agent, for a user who opens it in its image.

use bt_model::id::AgentId;
use bt_proto::v1::{self, fetch_result_reply};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::Agents;
use crate::queue::Found;
use crate::results::Results;
use crate::rpc::{Answers, answer, status};

/// Messages on their way to an agent; a piece of a file is 1 MiB at most.
const PIECES: usize = 4;
/// Files whose names are known ahead of their contents.
const LISTED: usize = 64;

impl Agents {
    /// Streams all files of a job's result, each behind its name, size and SHA-256.
    pub(super) async fn send_result(
        &self,
        agent: AgentId,
        request: v1::FetchResultRequest,
    ) -> Result<Answers<v1::FetchResultReply>, Status> {
        if !self.sessions.is_current(agent, request.session) {
            return Err(Status::failed_precondition("the agent is not connected by this session"));
        }
        let found = self.queue.find_sweep(&request.sweep).await.map_err(status::queue)?;
        let (sender, receiver) = mpsc::channel(PIECES);
        let (results, answers) =
            (Results { queue: self.queue.clone(), store: self.store.clone() }, sender.clone());
        answer(&self.tasks, sender, async move { send_files(&results, &found, request.job, &answers).await });
        Ok(Box::pin(ReceiverStream::new(receiver)))
    }
}

async fn send_files(
    results: &Results,
    found: &Found,
    job: u32,
    answers: &mpsc::Sender<Result<v1::FetchResultReply, Status>>,
) -> Result<(), Status> {
    let reply = |kind, encoding: i32| Ok(v1::FetchResultReply { kind: Some(kind), encoding });
    let (listed, mut files) = mpsc::channel(LISTED);
    let listing = async {
        // Dropped when all are listed, so that the other half ends too.
        let listed = listed;
        results.send_outputs(found, Some(job), &listed).await
    };
    let sending = async {
        while let Some(file) = files.recv().await {
            let Some(file) = file?.file else { continue };
            let path = file.path.clone();
            if answers.send(reply(fetch_result_reply::Kind::File(file), 0)).await.is_err() {
                return Ok(());
            }
            let mut pieces = results.content(found, job, &path, 0).await?;
            while let Some(piece) = pieces.next().await {
                let v1::DownloadReply { data, encoding, .. } = piece?;
                if answers.send(reply(fetch_result_reply::Kind::Data(data), encoding)).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    };
    tokio::try_join!(listing, sending).map(drop)
}
