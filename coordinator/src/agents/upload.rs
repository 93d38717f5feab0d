//! Outputs and logs on their way from agents into the store.

use std::time::Duration;

use bt_model::encoding::Encoding;
use bt_model::id::AttemptId;
use bt_model::layout::AttemptPlace;
use bt_model::state::AttemptState;
use bt_proto::convert::{Malformed, parse, present};
use bt_proto::v1::{self, upload_header, upload_request};
use bt_store::Upload;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::uploads::give_up;
use super::{Agents, caller};
use crate::rpc::status;

/// How long a sender may be silent before it has to begin another call, and to begin its first one.
const SILENCE: Duration = Duration::from_secs(20);

impl Agents {
    /// Writes one file under the attempt's own prefix. It counts only if the attempt is published later.
    pub(super) async fn receive_upload(
        &self,
        mut incoming: Streaming<v1::UploadRequest>,
    ) -> Result<v1::UploadReply, Status> {
        let first = timeout(SILENCE, incoming.message()).await.map_err(|_| silent())??;
        let first = first.and_then(|message| message.kind);
        let Some(upload_request::Kind::Header(header)) = first else {
            return Err(status::out_of_order("an UploadHeader"));
        };
        let path = self.upload_path(&header).await?.path;
        if header.ask {
            let size = self.uploads.let_go(&path).await?;
            return Ok(v1::UploadReply { size, place: Some(path), ..v1::UploadReply::default() });
        }
        // A task of its own: a caller that is cut off takes only itself away.
        let agents = self.clone();
        let receiving = self.tasks.spawn(async move { agents.receive(&path, &header, incoming).await });
        receiving.await.map_err(|error| Status::internal(error.to_string()))?
    }

    async fn receive(
        &self,
        path: &str,
        header: &v1::UploadHeader,
        mut incoming: Streaming<v1::UploadRequest>,
    ) -> Result<v1::UploadReply, Status> {
        let closed = |_| Status::unavailable("the coordinator stops");
        // First the agent's own share: an agent that waits for it takes no room from others.
        let share = self.uploads.share(caller(&header.agent_id)?);
        let _share = share.acquire().await.map_err(closed)?;
        let _room = self.uploads.room.acquire().await.map_err(closed)?;
        self.uploads.let_go(path).await?;
        let kept = self.uploads.take(path, header.offset).await;
        let mut upload = match kept {
            Some(upload) => upload,
            None if header.offset > 0 => {
                return Err(Status::out_of_range(format!("{path} is not there up to {}", header.offset)));
            }
            None => {
                self.store.clear(path).await.map_err(status::store)?;
                self.store.upload(path, present(header.expected)).await.map_err(status::store)?
            }
        };
        let superseded = self.uploads.receives(path);
        match copy(&mut upload, &mut incoming, &superseded).await {
            Ok(()) => {
                self.uploads.forget(path);
                self.store_upload(header, upload).await
            }
            Err(Broken::Line(status)) => {
                self.uploads.keep(path, upload).await;
                Err(status)
            }
            Err(Broken::Off(status)) => {
                self.uploads.forget(path);
                give_up(upload).await;
                Err(status)
            }
        }
    }

    /// Makes a file appear that has come whole, if it still may: its attempt may have ended since its first byte. Should
    /// the attempt end now, the file gets a name that nothing has, and so is no part of what was published.
    async fn store_upload(
        &self,
        header: &v1::UploadHeader,
        upload: Upload,
    ) -> Result<v1::UploadReply, Status> {
        let target = match self.upload_path(header).await {
            Ok(target) => target,
            Err(status) => {
                give_up(upload).await;
                return Err(status);
            }
        };
        let receipt = upload.finish().await.map_err(status::store)?;
        let mut stored_as = None;
        if receipt.path != target.path {
            match header.what {
                Some(upload_header::What::Log(_)) => {
                    self.keep_first_log(target.attempt, &target.path, &receipt).await;
                }
                _ => stored_as = target.place.name_of(&receipt.path),
            }
        }
        Ok(v1::UploadReply {
            size: receipt.size,
            sha256: receipt.sha256.into(),
            stored_as,
            ..v1::UploadReply::default()
        })
    }

    /// Where a file belongs. Outputs are taken while the attempt is live, and how they are stored is noted then. Its log is
    /// taken until it has said itself how it ended: before that it hands in the log.
    async fn upload_path(&self, header: &v1::UploadHeader) -> Result<Target, Status> {
        let agent = self.caller(&header.agent_id).await?;
        let attempt: AttemptId = parse("attempt", "a UUID", &header.attempt).map_err(status::malformed)?;
        let place = self.queue.attempt_place(agent, header.session, attempt).await;
        let (place, state, known) = place.map_err(status::queue)?;
        let target = |path, place| Ok(Target { path, place, attempt });
        match &header.what {
            Some(upload_header::What::Log(_)) if takes_log(state) => target(place.log(), place),
            Some(upload_header::What::Log(_)) => {
                Err(Status::failed_precondition(format!("attempt {attempt} is {state}; it has its log")))
            }
            Some(upload_header::What::Path(path)) if state.is_live() => {
                let said = Encoding::from(header.attempt_encoding());
                if said != known {
                    self.queue.note_encoding(attempt, said).await.map_err(status::queue)?;
                }
                target(place.output(&Encoding::from(header.encoding()).stored_as(path)), place)
            }
            Some(upload_header::What::Path(_)) => Err(Status::failed_precondition(format!(
                "attempt {attempt} is {state}; its outputs are not wanted any more"
            ))),
            None => Err(status::malformed(Malformed::Missing("what"))),
        }
    }
}

/// Where a file belongs.
struct Target {
    /// From the store's root.
    path: String,
    place: AttemptPlace,
    attempt: AttemptId,
}

/// True while an attempt's log may come. An attempt whose agent has reported its end has handed it in.
pub(super) fn takes_log(state: AttemptState) -> bool {
    !matches!(state, AttemptState::Succeeded | AttemptState::Failed)
}

/// Why a file did not arrive whole.
enum Broken {
    /// Its sender is gone, and may come back.
    Line(Status),
    /// Going on would not help.
    Off(Status),
}

async fn copy(
    upload: &mut Upload,
    incoming: &mut Streaming<v1::UploadRequest>,
    superseded: &CancellationToken,
) -> Result<(), Broken> {
    loop {
        let message = tokio::select! {
            message = timeout(SILENCE, incoming.message()) => {
                message.map_err(|_| Broken::Line(silent()))?.map_err(Broken::Line)?
            }
            () = superseded.cancelled() => {
                return Err(Broken::Line(Status::aborted("its sender has come back by another call")));
            }
        };
        let Some(message) = message else { return Ok(()) };
        let Some(upload_request::Kind::Data(piece)) = message.kind else {
            return Err(Broken::Off(status::malformed(Malformed::Missing("data"))));
        };
        upload.write(piece).await.map_err(|error| Broken::Off(status::store(error)))?;
    }
}

/// What is there of the file is kept; its sender may go on.
fn silent() -> Status {
    Status::deadline_exceeded(format!("nothing came for {} s", SILENCE.as_secs()))
}
