//! How far running jobs are, as they say themselves. It is written often and may be lost.

use std::collections::HashMap;
use std::time::Duration;

use bt_model::id::{AgentId, AttemptId, SweepId};
use bt_model::progress::Progress;
use jiff::Timestamp;
use serde_json::json;
use sqlx::query_file;
use sqlx::types::chrono::{DateTime, Utc};

use super::claim::interval;
use super::connections::Connection;
use super::row::{signed, time, unsigned};
use super::{Error, Queue};

/// Points of an attempt that are kept; it is even, since every second one goes when there are as many.
const MOST_POINTS: i32 = 1_000;

/// What an agent passes on of one of its attempts.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) agent: AgentId,
    pub(crate) session: u64,
    pub(crate) attempt: AttemptId,
    pub(crate) progress: Progress,
}

/// What an attempt said last, and when that was heard.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ProgressAt {
    pub(crate) at: Timestamp,
    pub(crate) progress: Progress,
}

/// How far the latest attempt of a job is or was.
#[derive(Clone, Debug)]
pub(crate) struct AttemptProgress {
    /// Its number.
    pub(crate) attempt: u32,
    pub(crate) latest: Option<ProgressAt>,
    /// Metrics on the way, the first ones first.
    pub(crate) points: Vec<ProgressAt>,
}

/// The rows of the statements that give what was said last have the same columns but, as all checked rows, types of their
/// own.
macro_rules! progress_row {
    ($row:ident, $note:ident) => {
        crate::queue::progress::read(
            $row.at,
            ($row.fraction, $row.done, $row.total),
            $row.$note,
            $row.metrics.as_deref(),
        )
    };
}
pub(super) use progress_row;

impl Queue {
    /// Notes what attempts say, each once, in one statement, and says of which that was news. Those that are not live, or
    /// not of the agent whose latest session says it, are left out.
    pub(crate) async fn note_progress(&self, said: &[Said]) -> Result<Vec<AttemptId>, Error> {
        let attempts: Vec<_> = said.iter().map(|said| said.attempt.uuid()).collect();
        let agents: Vec<_> = said.iter().map(|said| said.agent.uuid()).collect();
        let sessions = said.iter().map(|said| signed::<i64>(said.session)).collect::<Result<Vec<_>, _>>()?;
        let fractions: Vec<_> = said.iter().map(|said| said.progress.fraction).collect();
        let done: Vec<_> = said.iter().map(|said| said.progress.done).collect();
        let totals: Vec<_> = said.iter().map(|said| said.progress.of).collect();
        let notes: Vec<_> = said.iter().map(|said| said.progress.note.clone()).collect();
        let metrics = said.iter().map(|said| &said.progress.metrics);
        let metrics: Vec<_> = metrics.map(|metrics| (!metrics.is_empty()).then(|| json!(metrics))).collect();
        let rows = query_file!(
            "queries/progress/note.sql",
            &attempts,
            &agents,
            &sessions,
            &fractions as _,
            &done as _,
            &totals as _,
            &notes as _,
            &metrics as _,
            MOST_POINTS,
        )
        .fetch_all(&self.by_key)
        .await?;
        Ok(rows.into_iter().map(|row| AttemptId::from_uuid(row.attempt_id)).collect())
    }

    /// What the live attempts of these jobs said last.
    pub(crate) async fn progress_of_jobs(
        &self,
        sweep: SweepId,
        jobs: &[u32],
    ) -> Result<HashMap<u32, ProgressAt>, Error> {
        if jobs.is_empty() {
            return Ok(HashMap::new());
        }
        let jobs = jobs.iter().map(|job| signed::<i32>(*job)).collect::<Result<Vec<_>, _>>()?;
        let rows = query_file!("queries/progress/of_jobs.sql", sweep.uuid(), &jobs);
        let mut said = HashMap::new();
        for row in rows.fetch_all(&self.by_key).await? {
            let at = Some(row.at);
            let latest = read(at, (row.fraction, row.done, row.total), row.note, row.metrics.as_deref())?;
            if let Some(latest) = latest {
                said.insert(unsigned(row.job)?, latest);
            }
        }
        Ok(said)
    }

    /// How far the latest attempt of a job is or was; none where it has had none.
    pub(crate) async fn progress_of_job(
        &self,
        sweep: SweepId,
        job: u32,
    ) -> Result<Option<AttemptProgress>, Error> {
        let row = query_file!("queries/progress/of_latest.sql", sweep.uuid(), signed::<i32>(job)?);
        let Some(row) = row.fetch_optional(&self.by_key).await? else { return Ok(None) };
        let latest = progress_row!(row, note)?;
        let points = query_file!("queries/progress/points.sql", row.id).fetch_all(&self.by_key).await?;
        let points = points.into_iter().filter_map(|point| {
            read(Some(point.at), (None, point.done, None), None, Some(&point.metrics)).transpose()
        });
        let mut points = points.collect::<Result<Vec<_>, Error>>()?;
        // Of a long series only some points are kept, and the last one is always of interest.
        let kept = points.last().map(|kept: &ProgressAt| (kept.progress.done, &kept.progress.metrics));
        let last = latest.as_ref().filter(|last| !last.progress.metrics.is_empty());
        let last = last.filter(|last| kept != Some((last.progress.done, &last.progress.metrics)));
        points.extend(last.cloned());
        Ok(Some(AttemptProgress { attempt: unsigned(row.number)?, latest, points }))
    }

    /// Forgets what attempts said that ended so long ago.
    pub(crate) async fn forget_progress(&self, age: Duration) -> Result<(), Error> {
        query_file!("queries/progress/forget_old.sql", interval(age)?).execute(&self.pool).await?;
        Ok(())
    }
}

/// Forgets what the attempts of a sweep said.
pub(super) async fn forget_sweep(connection: &mut Connection, sweep: SweepId) -> Result<(), Error> {
    query_file!("queries/progress/forget_sweep.sql", sweep.uuid()).execute(connection).await?;
    Ok(())
}

pub(super) fn read(
    at: Option<DateTime<Utc>>,
    (fraction, done, of): (Option<f64>, Option<f64>, Option<f64>),
    note: Option<String>,
    metrics: Option<&str>,
) -> Result<Option<ProgressAt>, Error> {
    let Some(at) = at.map(time).transpose()? else { return Ok(None) };
    let metrics = metrics.map(serde_json::from_str).transpose();
    let metrics = metrics.map_err(|error| Error::Corrupt(format!("metrics of a running job: {error}")))?;
    let progress = Progress { fraction, done, of, note, metrics: metrics.unwrap_or_default() };
    Ok(Some(ProgressAt { at, progress }))
}
