//! Images on their way to agents, and what agents answer about the image of a sweep that waits.

use bt_model::id::{AgentId, SweepId};
use bt_proto::convert::parse;
use bt_proto::v1::{self, fetch_image_reply};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::info;

use super::Agents;
use crate::pushed_images::{assembled, place, wire};
use crate::rpc::{Answers, answer, status};

/// Messages on their way to an agent, and bytes in each.
const PIECES: usize = 4;
const PIECE: usize = 1 << 20;

impl Agents {
    pub(super) async fn send_image(&self, image: &str) -> Result<Answers<v1::FetchImageReply>, Status> {
        let found = self.queue.image(image).await.map_err(status::queue)?;
        let row = found.ok_or_else(|| Status::not_found(format!("the image {image} was not pushed")))?;
        // One that was pushed before the setting came.
        if !self.images.allowed.allow_id(&row.id) {
            return Err(Status::not_found(format!(
                "the image {image} was pushed, and only these are allowed: {} (--allow-image)",
                self.images.allowed
            )));
        }
        let data = match self.queue.parts(&row.id).await.map_err(status::queue)? {
            Some(parts) => assembled(self.store.clone(), parts).boxed(),
            None => {
                let place = place(&row.id).map_err(status::malformed)?;
                self.store.read(&place).await.map_err(status::store)?.boxed()
            }
        };
        let (sender, receiver) = mpsc::channel(PIECES);
        let answers = sender.clone();
        answer(&self.tasks, sender, async move {
            let about = v1::FetchImageReply { kind: Some(fetch_image_reply::Kind::Image(wire(row))) };
            if answers.send(Ok(about)).await.is_err() {
                return Ok(());
            }
            send_pieces(data, &answers, |data| v1::FetchImageReply {
                kind: Some(fetch_image_reply::Kind::Data(data)),
            })
            .await
        });
        Ok(Box::pin(ReceiverStream::new(receiver)))
    }

    /// Sends what a dev mount holds.
    pub(super) async fn send_overlay(&self, sha256: &[u8]) -> Result<Answers<v1::FetchOverlayReply>, Status> {
        let found = self.queue.layer(sha256).await.map_err(status::queue)?;
        let place = found.ok_or_else(|| Status::not_found("the dev mount is not in the store any more"))?;
        let data = self.store.read(&place).await.map_err(status::store)?.boxed();
        let (sender, receiver) = mpsc::channel(PIECES);
        let answers = sender.clone();
        let sending = async move { send_pieces(data, &answers, |data| v1::FetchOverlayReply { data }).await };
        answer(&self.tasks, sender, sending);
        Ok(Box::pin(ReceiverStream::new(receiver)))
    }

    /// Takes an agent's answer to what the image of a sweep stands for: its pin, or why the image can't be had there.
    pub(super) async fn take_image(
        &self,
        agent: AgentId,
        session: u64,
        sweep: &str,
        image: Result<String, String>,
    ) -> Result<v1::PinImageReply, Status> {
        let sweep: SweepId = parse("sweep", "a UUID", sweep).map_err(status::malformed)?;
        if self.resolutions.answered(sweep, agent, &image) {
            return Ok(v1::PinImageReply::default());
        }
        let image = match image {
            Ok(image) => image,
            Err(why) => {
                info!(sweep.id = %sweep, agent.id = %agent, "the agent can't find the sweep's image: {why}");
                self.reuse.answered(sweep, agent, Some(why));
                return Ok(v1::PinImageReply::default());
            }
        };
        let pinned = self.queue.pin_sweep(agent, session, sweep, &image).await;
        let pinned = pinned.map_err(status::queue)?;
        let image = pinned.ok_or_else(|| Status::not_found(format!("sweep {sweep} asks for no image")))?;
        self.reuse.answered(sweep, agent, None);
        Ok(v1::PinImageReply { image })
    }
}

/// Sends what comes out of the store in pieces that a message has room for, until it ends or nobody listens.
async fn send_pieces<T>(
    mut data: BoxStream<'static, Result<Bytes, bt_store::Error>>,
    answers: &mpsc::Sender<Result<T, Status>>,
    message: impl Fn(Bytes) -> T,
) -> Result<(), Status> {
    while let Some(piece) = data.next().await {
        let piece = piece.map_err(status::store)?;
        for start in (0..piece.len()).step_by(PIECE) {
            let part = piece.slice(start..piece.len().min(start + PIECE));
            if answers.send(Ok(message(part))).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}
