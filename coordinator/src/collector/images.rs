//! Garbage of pushed images: layers that no image has, and what pushes left that were cut off. Of the latter Postgres knows
//! nothing: it is told by names that nothing else has, and by its age.

use bt_store::Stored;
use futures_util::TryStreamExt;

use super::{Amount, BATCH, Collector, Error, STILL};

/// Where images are in the store.
const DIR: &str = "images";

impl Collector {
    /// Removes those of these layers that no image has any more.
    pub(crate) async fn collect_layers(&self, layers: &[Vec<u8>]) -> Result<(), Error> {
        for file in self.queue.remove_unused_layers(layers, STILL).await? {
            self.store.remove(&file).await?;
        }
        Ok(())
    }

    /// Removes all that no image has and that has been there for a day: a push may need it until then.
    pub(super) async fn collect_images(&self, total: &mut Amount) -> Result<(), Error> {
        self.collect_layers(&[]).await?;
        let is_old = |modified: std::time::SystemTime| modified.elapsed().is_ok_and(|age| age > STILL);
        let is_left = |file: &Stored| is_pushed(&file.path) && is_old(file.modified);
        let old = self.store.list(DIR).try_filter(|file| std::future::ready(is_left(file)));
        let mut batches = std::pin::pin!(old.try_chunks(BATCH));
        while let Some(batch) = batches.try_next().await.map_err(|error| error.1)? {
            let paths: Vec<_> = batch.iter().map(|file| file.path.clone()).collect();
            let unknown = self.queue.unknown_image_files(&paths).await?;
            for file in batch.into_iter().filter(|file| unknown.contains(&file.path)) {
                self.store.remove(&file.path).await?;
                total.files += 1;
                total.size += file.size;
            }
        }
        Ok(())
    }
}

/// True for the names that pushes give: `images/SHA256-UUID.tar` and `images/layers/SHA256-UUID`.
fn is_pushed(path: &str) -> bool {
    let Some(name) = path.strip_prefix(DIR).and_then(|name| name.strip_prefix('/')) else { return false };
    let name = match name.strip_prefix("layers/") {
        Some(layer) => Some(layer),
        None => name.strip_suffix(".tar"),
    };
    let is_hex =
        |text: &str, digits| text.len() == digits && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    name.and_then(|name| name.split_once('-'))
        .is_some_and(|(sha256, uuid)| is_hex(sha256, 64) && is_hex(uuid, 32))
}
