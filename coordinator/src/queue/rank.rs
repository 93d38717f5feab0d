//! Jobs by what they have reported.

use std::collections::HashMap;

use bt_model::id::SweepId;
use bt_model::reason::ReasonKind;
use bt_model::state::{AttemptState, JobState};
use sqlx::query_file;

use super::claim::Written;
use super::read::{JobRow, job_row};
use super::row::{Pg, reason, signed, time, unsigned};
use super::settle::Measured;
use super::{Error, Queue};

/// What a job was given, and what it has reported.
#[derive(Clone, Debug)]
pub(crate) struct Reported {
    pub(crate) number: u32,
    pub(crate) parameters: Written,
    /// A JSON object.
    pub(crate) metrics: String,
    pub(crate) state: JobState,
}

/// A job's metric.
#[derive(Clone, Debug)]
pub(crate) struct MetricOfJob {
    pub(crate) number: u32,
    pub(crate) parameters: Written,
    pub(crate) failed: bool,
    pub(crate) pruned: bool,
    /// None: it has not succeeded, or not reported it.
    pub(crate) value: Option<f64>,
}

impl Queue {
    /// A page of all jobs with one of their metrics, by number: those after number `after` (none: from the first).
    pub(crate) async fn values_of_metric(
        &self,
        sweep: SweepId,
        metric: &str,
        after: Option<u32>,
        limit: u32,
    ) -> Result<Vec<MetricOfJob>, Error> {
        let after = after.map_or(Ok(-1), signed::<i32>)?;
        let rows =
            query_file!("queries/rank/values_of_metric.sql", sweep.uuid(), after, metric, i64::from(limit))
                .fetch_all(&self.pool.patient())
                .await?;
        rows.into_iter()
            .map(|row| {
                Ok(MetricOfJob {
                    number: unsigned(row.number)?,
                    parameters: Written::of(row.parameters, row.point, row.number)?,
                    failed: row.failed,
                    pruned: row.pruned,
                    value: row.value,
                })
            })
            .collect()
    }

    /// The jobs that have succeeded and reported a metric, best first.
    pub(crate) async fn ranked(
        &self,
        sweep: SweepId,
        by: &str,
        ascending: bool,
        limit: u32,
    ) -> Result<Vec<JobRow>, Error> {
        let rows = query_file!("queries/rank/rank_jobs.sql", sweep.uuid(), by, ascending, i64::from(limit))
            .fetch_all(&self.pool.patient())
            .await?;
        let best = rows.into_iter().map(|row| unsigned(row.number)).collect::<Result<Vec<u32>, _>>()?;
        self.jobs_by_number(sweep, &best).await
    }

    /// A page of the jobs in these states that reported a metric, by number: those after number `after` (none: from the
    /// first).
    pub(crate) async fn reported(
        &self,
        sweep: SweepId,
        metric: &str,
        states: &[JobState],
        after: Option<u32>,
        limit: u32,
    ) -> Result<Vec<Reported>, Error> {
        let after = after.map_or(Ok(-1), signed::<i32>)?;
        let states: Vec<_> = states.iter().map(|state| Pg(*state)).collect();
        let rows = query_file!(
            "queries/rank/reported_metrics.sql",
            sweep.uuid(),
            after,
            metric,
            i64::from(limit),
            &states as _
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(Reported {
                    number: unsigned(row.number)?,
                    parameters: Written::of(row.parameters, row.point, row.number)?,
                    metrics: row.metrics,
                    state: row.state.0,
                })
            })
            .collect()
    }

    /// Jobs by their numbers, in this order.
    pub(crate) async fn jobs_by_number(&self, sweep: SweepId, numbers: &[u32]) -> Result<Vec<JobRow>, Error> {
        let wanted = numbers.iter().map(|number| signed::<i32>(*number));
        let wanted = wanted.collect::<Result<Vec<_>, _>>()?;
        let rows = query_file!("queries/rank/jobs_by_number.sql", sweep.uuid(), &wanted)
            .fetch_all(&self.by_key)
            .await?;
        let rows: Result<Vec<JobRow>, Error> = rows.into_iter().map(|row| job_row!(row)).collect();
        let mut rows: HashMap<_, _> = rows?.into_iter().map(|row| (row.number, row)).collect();
        Ok(numbers.iter().filter_map(|number| rows.remove(number)).collect())
    }

    /// The metrics that a sweep's jobs reported which have succeeded.
    pub(crate) async fn metric_names(&self, sweep: SweepId) -> Result<Vec<String>, Error> {
        let rows = query_file!("queries/rank/metric_names.sql", sweep.uuid())
            .fetch_all(&self.pool.patient())
            .await?;
        Ok(rows.into_iter().map(|row| row.name).collect())
    }
}
