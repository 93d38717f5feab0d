//! Images that users have pushed, and the layers that they share.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bt_model::hex::hex;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::query_file;

use super::claim::interval;
use super::row::{from_json, sha256, signed, time, unsigned};
use super::{Error, Queue};

#[derive(Clone, Debug)]
pub(crate) struct ImageRow {
    /// `sha256:...`, as the container engine knows it.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) pushed_by: String,
    pub(crate) pushed: Timestamp,
}

/// A layer, by the SHA-256 of its content.
pub(crate) type LayerId = [u8; 32];

/// A part of an image's archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Part {
    /// So many bytes of the archive's own file.
    Rest(u64),
    /// A layer, in hexadecimal digits.
    Layer(String),
}

/// An image's archive, in the store.
#[derive(Clone, Debug)]
pub(crate) struct Archive {
    /// The file that has all but the layers.
    pub(crate) rest: String,
    pub(crate) parts: Vec<Part>,
    /// Bytes of it all.
    pub(crate) size: u64,
    /// With their sizes.
    pub(crate) layers: BTreeMap<LayerId, u64>,
}

/// What became of an archive that was pushed.
#[derive(Clone, Debug)]
pub(crate) enum Added {
    Image(ImageRow),
    /// The image has another one already.
    Had(ImageRow),
    /// One of its layers was given up meanwhile.
    LayerGone,
}

macro_rules! image_row {
    ($row:ident) => {
        Ok(ImageRow {
            size: unsigned($row.size)?,
            pushed: time($row.pushed_at)?,
            id: $row.id,
            name: $row.name,
            pushed_by: $row.pushed_by,
        })
    };
}

impl Queue {
    /// Gives an image that is in the store a name, which it may have already.
    pub(crate) async fn add_image(
        &self,
        id: &str,
        name: &str,
        size: u64,
        by: &str,
    ) -> Result<ImageRow, Error> {
        let row = query_file!("queries/images/insert_image.sql", id, name, signed::<i64>(size)?, by);
        let row = row.fetch_one(&self.pool).await?;
        image_row!(row)
    }

    /// Notes an image whose archive is in the store.
    pub(crate) async fn add_archive(
        &self,
        id: &str,
        name: &str,
        by: &str,
        archive: &Archive,
    ) -> Result<Added, Error> {
        let (layers, sizes) = columns(archive.layers.iter().map(|(id, size)| (id, *size)))?;
        let parts = sqlx::types::Json(&archive.parts);
        let mut tx = self.pool.begin().await?;
        let held = query_file!("queries/images/lock_layers.sql", &layers, &sizes).fetch_all(&mut *tx).await?;
        if held.len() < layers.len() {
            tx.rollback().await?;
            return Ok(Added::LayerGone);
        }
        let added = query_file!("queries/images/insert_archive.sql", id, archive.rest, parts as _, &layers);
        let is_new = added.fetch_optional(&mut *tx).await?.is_some();
        let row = query_file!("queries/images/insert_image.sql", id, name, signed::<i64>(archive.size)?, by);
        let row = row.fetch_one(&mut *tx).await?;
        tx.commit().await?;
        let row: Result<_, Error> = image_row!(row);
        row.map(if is_new { Added::Image } else { Added::Had })
    }

    /// Which of these layers, with their sizes, are in the store.
    pub(crate) async fn held_layers(&self, layers: &[(LayerId, u64)]) -> Result<BTreeSet<LayerId>, Error> {
        let (ids, sizes) = columns(layers.iter().map(|(id, size)| (id, *size)))?;
        let rows = query_file!("queries/images/held_layers.sql", &ids, &sizes).fetch_all(&self.pool).await?;
        rows.into_iter().map(|row| sha256(&row.sha256)).collect()
    }

    /// Notes a layer that is in the store. False if another upload of it was first.
    pub(crate) async fn add_layer(&self, id: &LayerId, size: u64, stored_as: &str) -> Result<bool, Error> {
        let added = query_file!("queries/images/insert_layer.sql", &id[..], signed::<i64>(size)?, stored_as);
        Ok(added.fetch_optional(&self.pool).await?.is_some())
    }

    /// The parts of an image's archive, and the files that they are in, in order; none for one that is a single file.
    pub(crate) async fn parts(&self, id: &str) -> Result<Option<Vec<(String, Part)>>, Error> {
        let row = query_file!("queries/images/image_parts.sql", id).fetch_optional(&self.pool).await?;
        let Some(row) = row else { return Ok(None) };
        let layers = query_file!("queries/images/image_layers.sql", id).fetch_all(&self.pool).await?;
        let layers = layers.into_iter().map(|layer| Ok((hex(&sha256(&layer.sha256)?), layer.stored_as)));
        let layers = layers.collect::<Result<HashMap<_, _>, Error>>()?;
        let parts: Vec<Part> = from_json("the parts of an image", row.parts)?;
        let placed = parts.into_iter().map(|part| match &part {
            Part::Rest(_) => Ok((row.rest.clone(), part)),
            Part::Layer(layer) => {
                let file = layers.get(layer).cloned();
                let file =
                    file.ok_or_else(|| Error::Corrupt(format!("image {id} lacks its layer {layer}")))?;
                Ok((file, part))
            }
        });
        placed.collect::<Result<_, Error>>().map(Some)
    }

    /// Keeps these layers for a day. Those of them that are in the store.
    pub(crate) async fn keep_layers(&self, layers: &[LayerId]) -> Result<BTreeSet<LayerId>, Error> {
        let ids: Vec<_> = layers.iter().map(|id| id.to_vec()).collect();
        let rows = query_file!("queries/images/keep_layers.sql", &ids).fetch_all(&self.pool).await?;
        rows.into_iter().map(|row| sha256(&row.sha256)).collect()
    }

    /// The file of a layer, if it is in the store.
    pub(crate) async fn layer(&self, id: &[u8]) -> Result<Option<String>, Error> {
        let row = query_file!("queries/images/find_layer.sql", id).fetch_optional(&self.pool).await?;
        Ok(row.map(|row| row.stored_as))
    }

    /// Which of these files of the store belong to no image.
    pub(crate) async fn unknown_image_files(&self, paths: &[String]) -> Result<Vec<String>, Error> {
        let rows = query_file!("queries/images/unknown_image_files.sql", paths).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|row| row.path).collect())
    }

    /// Gives up layers that no image has: these, and all that have been there for that long. Says which files are garbage
    /// now.
    pub(crate) async fn remove_unused_layers(
        &self,
        layers: &[Vec<u8>],
        age: Duration,
    ) -> Result<Vec<String>, Error> {
        let rows = query_file!("queries/images/remove_unused_layers.sql", layers, interval(age)?);
        let rows = rows.fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|row| row.stored_as).collect())
    }

    /// An image by its id, or the newest of a name.
    pub(crate) async fn image(&self, image: &str) -> Result<Option<ImageRow>, Error> {
        let row = query_file!("queries/images/find_image.sql", image).fetch_optional(&self.pool).await?;
        row.map(|row| image_row!(row)).transpose()
    }

    pub(crate) async fn images(&self) -> Result<Vec<ImageRow>, Error> {
        let rows = query_file!("queries/images/list_images.sql").fetch_all(&self.pool).await?;
        rows.into_iter().map(|row| image_row!(row)).collect()
    }

    /// Forgets images by id or name.
    pub(crate) async fn remove_images(&self, image: &str) -> Result<Removed, Error> {
        let mut tx = self.pool.begin().await?;
        let rows = query_file!("queries/images/remove_images.sql", image).fetch_all(&mut *tx).await?;
        let names = rows.len();
        let last: Vec<_> = rows.into_iter().filter(|row| row.is_last).map(|row| row.id).collect();
        let aliases = query_file!("queries/aliases/aliases_of_pin.sql", &last).fetch_all(&mut *tx).await?;
        if let Some(row) = aliases.into_iter().next() {
            return Err(Error::Refused(format!(
                "the alias {0} stands for the image {image}, which has no other name; promote another image first, or remove \
                 the alias (btctl image rm alias://{0})",
                row.alias
            )));
        }
        let layers = query_file!("queries/images/layers_of_images.sql", &last).fetch_all(&mut *tx).await?;
        let layers = layers.into_iter().map(|row| row.sha256).collect();
        let rests = query_file!("queries/images/remove_archives.sql", &last).fetch_all(&mut *tx).await?;
        tx.commit().await?;
        Ok(Removed { names, last, layers, rests: rests.into_iter().map(|row| row.rest).collect() })
    }
}

/// Layers and their sizes, as Postgres takes them.
fn columns<'l>(layers: impl Iterator<Item = (&'l LayerId, u64)>) -> Result<(Vec<Vec<u8>>, Vec<i64>), Error> {
    layers.map(|(id, size)| Ok((id.to_vec(), signed::<i64>(size)?))).collect()
}

/// What was forgotten of images.
#[derive(Clone, Debug)]
pub(crate) struct Removed {
    pub(crate) names: usize,
    /// The ids that nobody knows by another name.
    pub(crate) last: Vec<String>,
    /// The layers that those had.
    pub(crate) layers: Vec<Vec<u8>>,
    /// The files that their archives had besides layers.
    pub(crate) rests: Vec<String>,
}
