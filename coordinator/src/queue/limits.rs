//! Capacities that jobs of all sweeps share; operators set them.

use sqlx::query_file;

use super::row::{signed, unsigned};
use super::{Error, Queue, READY, notify};

#[derive(Clone, Debug)]
pub(crate) struct Limit {
    pub(crate) name: String,
    pub(crate) capacity: u32,
    /// What live attempts take.
    pub(crate) used: u32,
    /// False when sweeps name it but nobody has set it: then no job that counts against it starts.
    pub(crate) set: bool,
}

impl Queue {
    pub(crate) async fn limits(&self) -> Result<Vec<Limit>, Error> {
        let rows = query_file!("queries/limits/list_limits.sql").fetch_all(&self.pool).await?;
        rows.into_iter()
            .map(|row| {
                let (capacity, used) = (unsigned(row.capacity)?, unsigned(row.used)?);
                Ok(Limit { name: row.name, capacity, used, set: row.set })
            })
            .collect()
    }

    /// Sets a limit; jobs that run already stay, even if they are more.
    pub(crate) async fn set_limit(&self, name: &str, capacity: u32) -> Result<(), Error> {
        let mut tx = self.pool.begin().await?;
        query_file!("queries/limits/set_limit.sql", name, signed::<i32>(capacity)?).execute(&mut *tx).await?;
        notify(&mut tx, READY).await?;
        tx.commit().await?;
        Ok(())
    }

    /// False if there was none.
    pub(crate) async fn remove_limit(&self, name: &str) -> Result<bool, Error> {
        let removed = query_file!("queries/limits/remove_limit.sql", name).execute(&self.pool).await?;
        Ok(removed.rows_affected() > 0)
    }
}
