//! Images without a registry: a user pushes one, and each agent that needs it loads it from here. An archive is in the
//! store before any agent hears of it.

use bt_model::image::tagged;
use bt_model::resources::ByteSize;
use bt_proto::v1::{self, push_image_request};
use tonic::{Status, Streaming};
use tracing::info;

use super::{Clients, layers};
use crate::access::call;
use crate::bell::Event;
use crate::pushed_images::{digits, place, wire};
use crate::queue::Added;
use crate::rpc::{incoming as stream, status};

impl Clients {
    pub(super) async fn receive_image(
        &self,
        mut incoming: Streaming<v1::PushImageRequest>,
    ) -> Result<v1::PushImageReply, Status> {
        let first = stream::next(&mut incoming).await?.and_then(|message| message.kind);
        let image = match first {
            Some(push_image_request::Kind::Image(image)) => image,
            Some(push_image_request::Kind::Layer(layer)) => {
                return self.receive_overlay(&layer, &mut incoming).await;
            }
            _ => return Err(status::out_of_order("an Image")),
        };
        let image = v1::Image { pushed_by: pusher(&image.pushed_by)?, ..image };
        call::about(&image.name, &image.id);
        let digits = digits(&image.id).map_err(status::malformed)?;
        if let Err(why) = bt_model::image::check(&image.name) {
            return Err(Status::invalid_argument(format!(
                "{:?} is not an image: its name {why}",
                image.name
            )));
        }
        let allowed = &self.images.allowed;
        if !allowed.allow_id(&image.id) {
            return Err(Status::permission_denied(format!(
                "a pushed image comes from no registry, and only these are allowed: {allowed}; an operator allows this one by \
                 its id (--allow-image {}), or all of them (--allow-image 'sha256:*')",
                image.id
            )));
        }
        let name = tagged(&image.name);
        if let Some(known) = self.queue.image(&image.id).await.map_err(status::queue)? {
            // The data is the same by its id; only the name may be new.
            let row = self
                .queue
                .add_image(&known.id, &name, known.size, &image.pushed_by)
                .await
                .map_err(status::queue)?;
            self.had_again();
            return Ok(v1::PushImageReply { image: Some(wire(row)), existed: true });
        }
        let archive = self.receive_archive(digits, &mut incoming).await?;
        if archive.size == 0 {
            self.store.remove(&archive.rest).await.map_err(status::store)?;
            return Err(Status::invalid_argument("the image came without its data"));
        }
        let added = self.queue.add_archive(&image.id, &name, &image.pushed_by, &archive).await;
        let (row, is_new) = match added.map_err(status::queue)? {
            Added::Image(row) => (Ok(row), true),
            Added::Had(row) => (Ok(row), false),
            Added::LayerGone => (Err(layers::gone()), false),
        };
        if !is_new {
            self.store.remove(&archive.rest).await.map_err(status::store)?;
        }
        let row = row?;
        info!(image.id = row.id, "image {} is pushed: {}", row.name, ByteSize(row.size));
        self.had_again();
        Ok(v1::PushImageReply { image: Some(wire(row)), existed: !is_new })
    }

    /// Lets agents try again what they could not start, since it may be for this image.
    fn had_again(&self) {
        self.sessions.forgive();
        self.bell.ring(Event::ImagePushed);
    }

    pub(super) async fn take_image_out(&self, image: &str) -> Result<u32, Status> {
        let removed = self.queue.remove_images(&tagged(image)).await.map_err(status::queue)?;
        if removed.names == 0 {
            return Err(Status::not_found(format!(
                "the image {image} was not pushed; `btctl image ls` lists those that were"
            )));
        }
        let single = removed.last.iter().map(|id| place(id).map_err(status::malformed));
        let mut files = single.collect::<Result<Vec<_>, _>>()?;
        files.extend(removed.rests.iter().cloned());
        for file in files {
            self.store.remove(&file).await.map_err(status::store)?;
        }
        self.collector().collect_layers(&removed.layers).await.map_err(status::collector)?;
        Ok(removed.names as u32)
    }
}

/// Who pushes an image: the caller, where it is known.
fn pusher(said: &str) -> Result<String, Status> {
    match call::identity() {
        Some(identity) if identity.is_known => Ok(identity.name.clone()),
        Some(_) => Ok(said.to_owned()),
        None => Err(Status::internal("nobody pushes it")),
    }
}
