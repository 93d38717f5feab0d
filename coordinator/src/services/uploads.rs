//! Outputs and logs on their way from agents into the store.

use bt_model::id::{AgentId, AttemptId};
use bt_model::layout::AttemptPlace;
use bt_proto::convert::{Malformed, parse};
use bt_proto::v1::{self, upload_header, upload_request};
use bt_store::Upload;
use tonic::{Status, Streaming};
use tracing::debug;

use super::{Services, status};

impl Services {
    /// Writes one file under the attempt's own prefix. It counts only if the attempt is published later.
    pub(super) async fn receive_upload(
        &self,
        mut incoming: Streaming<v1::UploadRequest>,
    ) -> Result<v1::UploadReply, Status> {
        let first = incoming.message().await?.and_then(|message| message.kind);
        let Some(upload_request::Kind::Header(header)) = first else {
            return Err(status::out_of_order("an UploadHeader"));
        };
        let path = self.upload_path(header).await?;
        let mut upload = self.store.upload(&path).await.map_err(status::store)?;
        match copy(&mut upload, &mut incoming).await {
            Ok(()) => {
                let receipt = upload.finish().await.map_err(status::store)?;
                Ok(v1::UploadReply { size: receipt.size, sha256: receipt.sha256.into() })
            }
            Err(error) => {
                if let Err(abort) = upload.abort().await {
                    debug!(error = %abort, "an unfinished upload is left behind");
                }
                Err(error)
            }
        }
    }

    /// Outputs are taken while the attempt is live. Its log is wanted whatever became of it.
    async fn upload_path(&self, header: v1::UploadHeader) -> Result<String, Status> {
        let agent: AgentId = parse("agent_id", "a UUID", &header.agent_id).map_err(status::malformed)?;
        let attempt: AttemptId = parse("attempt", "a UUID", &header.attempt).map_err(status::malformed)?;
        let place = self.queue.attempt_place(agent, header.session, attempt).await;
        let (place, state) = place.map_err(status::queue)?;
        match header.what {
            Some(upload_header::What::Log(_)) => Ok(AttemptPlace::log(&place)),
            Some(upload_header::What::Path(path)) if state.is_live() => Ok(place.output(&path)),
            Some(upload_header::What::Path(_)) => Err(Status::failed_precondition(format!(
                "attempt {attempt} is {state}; its outputs are not wanted any more"
            ))),
            None => Err(status::malformed(Malformed::Missing("what"))),
        }
    }
}

async fn copy(upload: &mut Upload, incoming: &mut Streaming<v1::UploadRequest>) -> Result<(), Status> {
    while let Some(message) = incoming.message().await? {
        let Some(upload_request::Kind::Data(piece)) = message.kind else {
            return Err(status::malformed(Malformed::Missing("data")));
        };
        upload.write(piece).await.map_err(status::store)?;
    }
    Ok(())
}
