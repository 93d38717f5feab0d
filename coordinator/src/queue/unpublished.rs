//! Attempts whose outputs are not published: what they have in the store is theirs alone, and no result.

use bt_model::encoding::Encoding;
use bt_model::id::SweepId;
use bt_model::state::AttemptState;
use sqlx::query_file;

use super::row::{Pg, signed, unsigned};
use super::{Error, Queue};

/// An attempt that is not published.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnpublishedRow {
    pub(crate) job: u32,
    pub(crate) number: u32,
    pub(crate) state: AttemptState,
    /// How its outputs are stored.
    pub(crate) encoding: Encoding,
}

impl Queue {
    /// A page of attempts that are not published, after `after`, the latest of a job first: of jobs without a result, or
    /// with `number` those of that number.
    pub(crate) async fn unpublished(
        &self,
        sweep: SweepId,
        job: Option<u32>,
        number: Option<u32>,
        after: Option<UnpublishedRow>,
        limit: u32,
    ) -> Result<Vec<UnpublishedRow>, Error> {
        let (after_job, after_number) = match after {
            Some(row) => (signed::<i32>(row.job)?, signed::<i32>(row.number)?),
            None => (-1, 0),
        };
        let rows = query_file!(
            "queries/unpublished/unpublished_attempts.sql",
            sweep.uuid(),
            after_job,
            after_number,
            job.map(signed::<i32>).transpose()?,
            signed::<i32>(number.unwrap_or(0))?,
            i64::from(limit),
        )
        .fetch_all(&self.by_key)
        .await?;
        let attempts = rows.into_iter().map(|found| {
            Ok(UnpublishedRow {
                job: unsigned(found.job)?,
                number: unsigned(found.number)?,
                state: found.state.0,
                encoding: found.encoding.0,
            })
        });
        attempts.collect()
    }
}
