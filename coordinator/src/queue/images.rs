//! Images that users have handed in.

use jiff::Timestamp;
use sqlx::query_file;

use super::row::{signed, time, unsigned};
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
    /// Notes an image whose archive is in the store.
    pub(crate) async fn add_image(
        &self,
        id: &str,
        name: &str,
        size: u64,
        by: &str,
    ) -> Result<ImageRow, Error> {
        let row = query_file!("queries/insert_image.sql", id, name, signed::<i64>(size)?, by);
        let row = row.fetch_one(&self.pool).await?;
        image_row!(row)
    }

    /// An image by its id, or the newest of a name.
    pub(crate) async fn image(&self, image: &str) -> Result<Option<ImageRow>, Error> {
        let row = query_file!("queries/find_image.sql", image).fetch_optional(&self.pool).await?;
        row.map(|row| image_row!(row)).transpose()
    }

    pub(crate) async fn images(&self) -> Result<Vec<ImageRow>, Error> {
        let rows = query_file!("queries/list_images.sql").fetch_all(&self.pool).await?;
        rows.into_iter().map(|row| image_row!(row)).collect()
    }

    /// Forgets images by id or name; their ids, and whether nobody knows them by another name.
    pub(crate) async fn remove_images(&self, image: &str) -> Result<Vec<(String, bool)>, Error> {
        let rows = query_file!("queries/remove_images.sql", image).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|row| (row.id, row.is_last)).collect())
    }
}
