//! What is in the images that jobs run.

use bt_model::software::Software;
use sqlx::query_file;

use super::{Error, Queue};

impl Queue {
    /// True if it is known what is in this image.
    pub(crate) async fn is_described(&self, image_id: &str) -> Result<bool, Error> {
        let row = query_file!("queries/image_is_described.sql", image_id).fetch_one(&self.pool).await?;
        Ok(row.known)
    }

    /// Notes what is in an image, and lets the results of it that were written before be written again. The first to say
    /// so is right.
    pub(crate) async fn describe_image(&self, image_id: &str, software: &Software) -> Result<(), Error> {
        let mut tx = self.pool.begin().await?;
        let software = serde_json::json!(software);
        let first =
            query_file!("queries/describe_image.sql", image_id, software).fetch_optional(&mut *tx).await?;
        if first.is_some() {
            query_file!("queries/describe_results.sql", image_id).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
