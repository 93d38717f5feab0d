//! Archives of pushed images, layer by layer: a layer is in the store once, whatever images have it, and is sent only if
//! it is not there. What is not a layer of an archive is in a file of the image's own.

use std::collections::BTreeMap;

use bt_model::hex::hex;
use bt_proto::convert::Malformed;
use bt_proto::v1::{self, push_image_request};
use bt_store::Upload;
use bt_store::overlay::LARGEST_ARCHIVE;
use tonic::{Status, Streaming};
use tracing::debug;
use uuid::Uuid;

use super::Clients;
use crate::queue::{Archive, LayerId, Part};
use crate::rpc::{incoming, status};

/// Layers that are asked for at once, and parts that an archive may have.
const MOST: usize = 1_000;
/// Bytes of a layer; the sum of all in an archive is a size too.
const LARGEST: u64 = 1 << 50;

type Incoming = Streaming<v1::PushImageRequest>;

impl Clients {
    pub(super) async fn missing_layers(
        &self,
        request: v1::MissingLayersRequest,
    ) -> Result<v1::MissingLayersReply, Status> {
        if request.layers.len() > MOST {
            let told = format!("{} layers are asked for at once; {MOST} are the most", request.layers.len());
            return Err(Status::invalid_argument(told));
        }
        let layers = request.layers.iter().map(|layer| Ok((id(layer)?, layer.size)));
        let layers = layers.collect::<Result<Vec<_>, Status>>()?;
        let held = self.queue.held_layers(&layers).await.map_err(status::queue)?;
        let missing = layers.into_iter().filter(|(id, _)| !held.contains(id));
        Ok(v1::MissingLayersReply { missing: missing.map(|(id, _)| id.to_vec()).collect() })
    }

    /// Takes the archive of the image whose id has these digits, and the layers of it that are sent. Those stay in the store
    /// also if the rest does not come.
    pub(super) async fn receive_archive(
        &self,
        digits: &str,
        incoming: &mut Incoming,
    ) -> Result<Archive, Status> {
        let mut archive =
            Archive { rest: String::new(), parts: Vec::new(), size: 0, layers: BTreeMap::new() };
        let place = format!("images/{digits}-{}.tar", Uuid::new_v4().simple());
        let mut upload = self.store.upload(&place, None).await.map_err(status::store)?;
        if let Err(broken) = self.receive_parts(incoming, &mut upload, &mut archive).await {
            give_up(upload).await;
            return Err(broken);
        }
        archive.rest = upload.finish().await.map_err(status::store)?.path;
        Ok(archive)
    }

    async fn receive_parts(
        &self,
        incoming: &mut Incoming,
        upload: &mut Upload,
        archive: &mut Archive,
    ) -> Result<(), Status> {
        while let Some(message) = incoming::next(incoming).await? {
            match message.kind {
                Some(push_image_request::Kind::Data(data)) => {
                    let bytes = data.len() as u64;
                    archive.size += bytes;
                    match archive.parts.last_mut() {
                        Some(Part::Rest(rest)) => *rest += bytes,
                        _ => archive.parts.push(Part::Rest(bytes)),
                    }
                    upload.write(data).await.map_err(status::store)?;
                }
                Some(push_image_request::Kind::Layer(layer)) => {
                    let id = id(&layer)?;
                    if layer.sent {
                        self.receive_layer(&id, layer.size, incoming).await?;
                    }
                    archive.size += layer.size;
                    archive.parts.push(Part::Layer(hex(&id)));
                    archive.layers.insert(id, layer.size);
                }
                _ => return Err(status::malformed(Malformed::Missing("data"))),
            }
            if archive.parts.len() > MOST {
                return Err(Status::invalid_argument(format!("an image has {MOST} parts at most")));
            }
        }
        Ok(())
    }

    /// Takes what a dev mount holds, which is a layer of no image.
    pub(super) async fn receive_overlay(
        &self,
        layer: &v1::Layer,
        incoming: &mut Incoming,
    ) -> Result<v1::PushImageReply, Status> {
        let id = id(layer)?;
        if layer.size > LARGEST_ARCHIVE {
            let told =
                format!("a dev mount's archive has {} bytes; {LARGEST_ARCHIVE} are the most", layer.size);
            return Err(Status::invalid_argument(told));
        }
        self.receive_layer(&id, layer.size, incoming).await?;
        Ok(v1::PushImageReply { image: None, existed: false })
    }

    async fn receive_layer(&self, id: &LayerId, size: u64, incoming: &mut Incoming) -> Result<(), Status> {
        let place = format!("images/layers/{}-{}", hex(id), Uuid::new_v4().simple());
        let mut upload = self.store.upload(&place, Some(size)).await.map_err(status::store)?;
        if let Err(broken) = receive_content(id, size, incoming, &mut upload).await {
            give_up(upload).await;
            return Err(broken);
        }
        let receipt = upload.finish().await.map_err(status::store)?;
        let is_it = receipt.sha256 == *id;
        let is_first = is_it && self.queue.add_layer(id, size, &receipt.path).await.map_err(status::queue)?;
        if !is_first {
            self.store.remove(&receipt.path).await.map_err(status::store)?;
        }
        match is_it {
            true => Ok(()),
            false => Err(Status::invalid_argument(format!("layer {} came with another content", hex(id)))),
        }
    }
}

/// Writes what comes of a layer: so many bytes, and no more.
async fn receive_content(
    id: &LayerId,
    size: u64,
    incoming: &mut Incoming,
    upload: &mut Upload,
) -> Result<(), Status> {
    let mut left = size;
    while left > 0 {
        let kind = incoming::next(incoming).await?.and_then(|message| message.kind);
        let data = match kind {
            Some(push_image_request::Kind::Data(data)) if data.len() as u64 <= left => data,
            _ => return Err(Status::invalid_argument(format!("layer {} came with a wrong size", hex(id)))),
        };
        left -= data.len() as u64;
        upload.write(data).await.map_err(status::store)?;
    }
    Ok(())
}

async fn give_up(upload: Upload) {
    if let Err(error) = upload.abort().await {
        debug!(error = %error, "an unfinished upload is left behind");
    }
}

/// A push that must be made again: what it counted on is not there any more.
pub(super) fn gone() -> Status {
    Status::aborted("a layer of the image was removed meanwhile; push it again")
}

fn id(layer: &v1::Layer) -> Result<LayerId, Status> {
    let id = layer.sha256.as_slice().try_into().ok().filter(|_| (1..=LARGEST).contains(&layer.size));
    id.ok_or_else(|| Status::invalid_argument("a layer has a SHA-256 of 32 bytes, and from 1 byte to 1 PiB"))
}
