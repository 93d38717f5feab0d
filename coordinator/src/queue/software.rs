//! What is in the images that jobs run.

use bt_model::software::Software;
use sqlx::query_file;

use super::row::from_json;
use super::{Error, Queue};

impl Queue {
    /// What is in this image, if that is known.
    pub(crate) async fn software(&self, image_id: &str) -> Result<Option<Software>, Error> {
        let row =
            query_file!("queries/software/image_software.sql", image_id).fetch_optional(&self.pool).await?;
        row.map(|row| from_json("what is in an image", row.description)).transpose()
    }

    /// Notes what is in an image, and lets the results of it that were written before be written again. The first to say
    /// so is right.
    pub(crate) async fn describe_image(&self, image_id: &str, software: &Software) -> Result<(), Error> {
        let mut tx = self.pool.begin().await?;
        let software = serde_json::json!(software);
        let first = query_file!("queries/software/describe_image.sql", image_id, software)
            .fetch_optional(&mut *tx)
            .await?;
        if first.is_some() {
            query_file!("queries/software/describe_results.sql", image_id).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
