//! Published files, and the attempts that have logs and files.

use bt_model::encoding::Encoding;
use bt_model::id::{AgentId, AttemptId, SweepId};
use bt_model::state::AttemptState;
use sqlx::query_file;

use crate::queue::files::PublishedFile;
use crate::queue::row::{Pg, signed, unsigned};
use crate::queue::{Error, Queue};

#[derive(Clone, Debug)]
pub(crate) struct OutputRow {
    pub(crate) job: u32,
    pub(crate) attempt: u32,
    pub(crate) file: PublishedFile,
}

#[derive(Clone, Debug)]
pub(crate) struct AttemptRow {
    pub(crate) id: AttemptId,
    pub(crate) number: u32,
    pub(crate) state: AttemptState,
    /// Its container has started.
    pub(crate) started: bool,
    pub(crate) agent: AgentId,
    pub(crate) agent_name: String,
}

impl Queue {
    /// A page of published files: those after the file `after` of that job.
    pub(crate) async fn outputs(
        &self,
        sweep: SweepId,
        job: Option<u32>,
        after: Option<(u32, &str)>,
        limit: u32,
    ) -> Result<Vec<OutputRow>, Error> {
        let (after_job, after_path) = match after {
            Some((job, path)) => (signed::<i32>(job)?, path),
            None => (-1, ""),
        };
        let rows = query_file!(
            "queries/read/list_outputs.sql",
            sweep.uuid(),
            after_job,
            after_path,
            job.map(signed::<i32>).transpose()?,
            i64::from(limit),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(OutputRow {
                    job: unsigned(row.job)?,
                    attempt: unsigned(row.attempt)?,
                    file: PublishedFile::read(
                        row.path,
                        row.size,
                        &row.sha256,
                        row.encoding,
                        row.stored_size,
                        row.stored_as,
                    )?,
                })
            })
            .collect()
    }

    /// The numbered attempt of a job, or its latest for 0.
    pub(crate) async fn find_attempt(
        &self,
        sweep: SweepId,
        job: u32,
        number: u32,
    ) -> Result<Option<AttemptRow>, Error> {
        let row = query_file!(
            "queries/read/find_attempt.sql",
            sweep.uuid(),
            signed::<i32>(job)?,
            signed::<i32>(number)?
        )
        .fetch_optional(&self.by_key)
        .await?;
        row.map(|row| {
            Ok(AttemptRow {
                id: AttemptId::from_uuid(row.id),
                number: unsigned(row.number)?,
                state: row.state.0,
                started: row.started,
                agent: AgentId::from_uuid(row.agent_id),
                agent_name: row.agent,
            })
        })
        .transpose()
    }
}
