//! Whether a pooler stands in between that gives each transaction another session (PgBouncer's `pool_mode =
//! transaction`). Then what one coordinator sets, another's statements get, and notifications go nowhere.

use sqlx::error::DatabaseError;

use super::{Connections, LOOK, Look};
use crate::queue::connections::Connection;

/// New sessions that are opened side by side. A pooler hands what one of them has set to the next.
const SIDE_BY_SIDE: usize = 4;

impl Connections {
    /// True if sessions that were opened just now turn out to be others' as well. Only for a start, while nothing else
    /// uses these connections.
    pub(in crate::queue) async fn are_shared(&self) -> Result<bool, sqlx::Error> {
        let mut held = Vec::with_capacity(SIDE_BY_SIDE);
        for _ in 0..SIDE_BY_SIDE {
            let mut connection = Connection::new(self.pool.acquire().await?, LOOK);
            match self.set_up(&mut connection).await {
                Ok(Look::Usable { was_set_up: true }) => return Ok(true),
                Ok(Look::Usable { was_set_up: false }) => held.push(connection),
                Ok(Look::ReadOnly { trouble, .. }) => return Err(trouble.into()),
                // A prepared statement of another session is in the way.
                Err(error) if code(&error).is_some_and(|code| code == "26000" || code == "42P05") => {
                    connection.close();
                    return Ok(true);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}

fn code(error: &sqlx::Error) -> Option<std::borrow::Cow<'_, str>> {
    error.as_database_error().and_then(DatabaseError::code)
}
