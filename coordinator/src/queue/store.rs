//! Which store the queue's results are in, and how far both have come together.

use sqlx::query_file;
use uuid::Uuid;

use super::row::{signed, unsigned};
use super::{Error, Queue};

/// What the queue knows of its store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownStore {
    /// By which the store knows the queue.
    pub(crate) queue: Uuid,
    /// By which the queue knows the store.
    pub(crate) store: Uuid,
    pub(crate) location: String,
    /// How often the queue has told the store that both belong together.
    pub(crate) generation: u64,
    /// The latest of these that was seen in the store.
    pub(crate) confirmed: u64,
}

impl Queue {
    /// The store that the results are in; none before the first coordinator has said so.
    pub(crate) async fn known_store(&self) -> Result<Option<KnownStore>, Error> {
        let row = query_file!("queries/store/known_store.sql").fetch_optional(&self.pool).await?;
        row.map(|row| {
            Ok(KnownStore {
                queue: row.queue_id,
                store: row.store_id,
                location: row.location,
                generation: unsigned(row.generation)?,
                confirmed: unsigned(row.confirmed)?,
            })
        })
        .transpose()
    }

    /// Notes the store of a queue that has none yet.
    pub(crate) async fn bind_store(&self, store: Uuid, location: &str) -> Result<(), Error> {
        query_file!("queries/store/bind_store.sql", store, location).execute(&self.pool).await?;
        Ok(())
    }

    /// Notes that the results are in this store from now on.
    pub(crate) async fn adopt_store(
        &self,
        store: Uuid,
        location: &str,
        generation: u64,
    ) -> Result<(), Error> {
        let generation = signed::<i64>(generation)?;
        query_file!("queries/store/adopt_store.sql", store, location, generation).execute(&self.pool).await?;
        Ok(())
    }

    /// Begins the next generation; none if the results are in another store by now.
    pub(crate) async fn raise_generation(&self, store: Uuid, location: &str) -> Result<Option<u64>, Error> {
        let row = query_file!("queries/store/raise_generation.sql", store, location);
        let row = row.fetch_optional(&self.pool).await?;
        row.map(|row| unsigned(row.generation)).transpose()
    }

    /// Notes that the store has a generation.
    pub(crate) async fn confirm_generation(&self, store: Uuid, generation: u64) -> Result<(), Error> {
        let generation = signed::<i64>(generation)?;
        query_file!("queries/store/confirm_generation.sql", store, generation).execute(&self.pool).await?;
        Ok(())
    }
}
