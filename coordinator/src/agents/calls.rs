//! Each call of an agent: decode, call, encode.

use bt_proto::convert::{self, present};
use bt_proto::v1;
use tonic::{Request, Response, Status, Streaming};

use super::{Agents, attempt_id};
use crate::queue::Sharing;
use crate::rpc::{Answers, status};

/// Bytes of why a sweep's jobs can't run warm, and modules that are named as left out.
const LONGEST_WHY: usize = 2000;
const MOST_LEFT_OUT: usize = 100;

#[tonic::async_trait]
impl v1::agents_server::Agents for Agents {
    type SessionStream = Answers<v1::CoordinatorMessage>;

    async fn certify(
        &self,
        request: Request<v1::CertifyRequest>,
    ) -> Result<Response<v1::CertifyReply>, Status> {
        self.certifier.certify(&self.queue, request.into_inner()).await.map(Response::new)
    }

    async fn session(
        &self,
        request: Request<Streaming<v1::AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        self.open_session(request.into_inner()).await.map(Response::new)
    }

    async fn upload(
        &self,
        request: Request<Streaming<v1::UploadRequest>>,
    ) -> Result<Response<v1::UploadReply>, Status> {
        self.receive_upload(request.into_inner()).await.map(Response::new)
    }

    async fn pin_image(
        &self,
        request: Request<v1::PinImageRequest>,
    ) -> Result<Response<v1::PinImageReply>, Status> {
        let v1::PinImageRequest { agent_id, session, attempt, image, sweep, failed } = request.into_inner();
        let agent = self.caller(&agent_id).await?;
        let (sweep, failed) = (present(sweep), present(failed));
        let image = image.unwrap_or_default();
        if failed.is_none() && !bt_model::image::is_pin(&image) {
            let name: String = image.chars().take(200).collect();
            return Err(Status::invalid_argument(format!(
                "{name:?} does not name one fixed image; a digest or an id does"
            )));
        }
        // An image that a machine has under another name too may be pinned by that.
        let is_named = failed.is_none() && !bt_model::image::is_id(&image);
        let refusal = self.images.allowed.refusal(&image).filter(|_| is_named);
        let refusal = refusal.map(|why| format!("{why} (--allow-image of the coordinator)"));
        if let Some(sweep) = sweep {
            let image = failed.or(refusal).map_or(Ok(image), Err);
            return self.take_image(agent, session, &sweep, image).await.map(Response::new);
        }
        if let Some(why) = refusal {
            return Err(Status::failed_precondition(why));
        }
        let attempt = attempt_id(&attempt.unwrap_or_default()).map_err(status::malformed)?;
        let pinned = self.queue.pin_image(agent, session, attempt, &image).await;
        let image = pinned.map_err(status::queue)?;
        Ok(Response::new(v1::PinImageReply { image }))
    }

    async fn fetch_secrets(
        &self,
        request: Request<v1::FetchSecretsRequest>,
    ) -> Result<Response<v1::FetchSecretsReply>, Status> {
        let v1::FetchSecretsRequest { agent_id, session, attempt } = request.into_inner();
        let agent = self.caller(&agent_id).await?;
        let attempt = attempt_id(&attempt).map_err(status::malformed)?;
        self.vault.give(agent, session, attempt).await.map(Response::new)
    }

    async fn note_sharing(
        &self,
        request: Request<v1::NoteSharingRequest>,
    ) -> Result<Response<v1::NoteSharingReply>, Status> {
        let v1::NoteSharingRequest { agent_id, session, attempt, sharing } = request.into_inner();
        let agent = self.caller(&agent_id).await?;
        let attempt = attempt_id(&attempt).map_err(status::malformed)?;
        let sharing = sharing_of(sharing.unwrap_or_default());
        self.queue.note_sharing(agent, session, attempt, &sharing).await.map_err(status::queue)?;
        Ok(Response::new(v1::NoteSharingReply {}))
    }

    type DebugStream = Answers<v1::DebugInput>;

    async fn debug(
        &self,
        request: Request<Streaming<v1::DebugOutput>>,
    ) -> Result<Response<Self::DebugStream>, Status> {
        self.relay.join_shell(request.into_inner()).await.map(Response::new)
    }

    type FetchImageStream = Answers<v1::FetchImageReply>;

    async fn fetch_image(
        &self,
        request: Request<v1::FetchImageRequest>,
    ) -> Result<Response<Self::FetchImageStream>, Status> {
        self.send_image(&request.into_inner().image).await.map(Response::new)
    }

    type FetchOverlayStream = Answers<v1::FetchOverlayReply>;

    async fn fetch_overlay(
        &self,
        request: Request<v1::FetchOverlayRequest>,
    ) -> Result<Response<Self::FetchOverlayStream>, Status> {
        self.send_overlay(&request.into_inner().sha256).await.map(Response::new)
    }

    type FetchResultStream = Answers<v1::FetchResultReply>;

    async fn fetch_result(
        &self,
        request: Request<v1::FetchResultRequest>,
    ) -> Result<Response<Self::FetchResultStream>, Status> {
        let request = request.into_inner();
        let agent = self.caller(&request.agent_id).await?;
        self.send_result(agent, request).await.map(Response::new)
    }

    async fn describe_image(
        &self,
        request: Request<v1::DescribeImageRequest>,
    ) -> Result<Response<v1::DescribeImageReply>, Status> {
        let request = request.into_inner();
        let agent = self.caller(&request.agent_id).await?;
        let known =
            self.describe(agent, request.session, &request.image_id, present(request.software)).await?;
        Ok(Response::new(v1::DescribeImageReply { known }))
    }

    async fn answer_files(
        &self,
        request: Request<v1::AnswerFilesRequest>,
    ) -> Result<Response<v1::AnswerFilesReply>, Status> {
        self.relay.take_files(request.into_inner())?;
        Ok(Response::new(v1::AnswerFilesReply {}))
    }

    async fn push_log(
        &self,
        request: Request<Streaming<v1::PushLogRequest>>,
    ) -> Result<Response<v1::PushLogReply>, Status> {
        self.relay.receive_log(request.into_inner()).await.map(Response::new)
    }
}

/// What an agent has found, as much of it as is kept.
fn sharing_of(told: v1::Sharing) -> Sharing {
    let text = |text: &str| {
        let end = text.floor_char_boundary(LONGEST_WHY);
        text[..end].replace('\0', "\u{fffd}")
    };
    Sharing {
        containers: convert::containers_of(told.containers()),
        why: text(&told.why),
        left_out: told
            .left_out
            .iter()
            .take(MOST_LEFT_OUT)
            .map(|(name, why)| (text(name), text(why)))
            .collect(),
    }
}
