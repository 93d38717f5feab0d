//! What jobs returned period by period: written when an attempt is published, read when its sweep is judged.

use std::collections::HashMap;

use bt_model::id::{AttemptId, SweepId};
use bt_model::returns::Returns;
use sha2::{Digest, Sha256};
use sqlx::query_file;
use uuid::Uuid;

use super::connections::Connection;
use super::row::{signed, unsigned};
use super::{Error, Queue};

/// Bytes of a calendar's id, the beginning of a SHA-256.
const ID: usize = 16;

/// Names a calendar by its times.
pub(crate) type CalendarId = [u8; ID];

/// The times that jobs of a sweep share.
#[derive(Clone, Debug)]
pub(crate) struct Calendar {
    pub(crate) id: CalendarId,
    /// Rising; seconds since 1970, or positions.
    pub(crate) times: Vec<i64>,
}

/// A result and what its job returned, if it reported that.
#[derive(Clone, Debug)]
pub(crate) struct JobReturns {
    pub(crate) job: u32,
    /// The calendar, and a return for each of its times; NaN for none.
    pub(crate) returns: Option<(CalendarId, Vec<f64>)>,
}

/// Rows to be written.
#[derive(Default)]
pub(super) struct ReturnsRows {
    attempts: Vec<Uuid>,
    sweeps: Vec<Uuid>,
    calendars: Vec<Vec<u8>>,
    times: Vec<Vec<u8>>,
    returns: Vec<Vec<u8>>,
}

impl ReturnsRows {
    pub(super) fn push(&mut self, sweep: SweepId, attempt: AttemptId, returns: &Returns) {
        let times: Vec<u8> = returns.times().iter().flat_map(|time| time.to_le_bytes()).collect();
        self.attempts.push(attempt.uuid());
        self.sweeps.push(sweep.uuid());
        self.calendars.push(Sha256::digest(&times)[..ID].to_vec());
        self.times.push(times);
        self.returns.push(returns.values().iter().flat_map(|value| value.to_le_bytes()).collect());
    }

    pub(super) async fn write(&self, tx: &mut Connection) -> Result<(), Error> {
        let Self { attempts, sweeps, calendars, times, returns } = self;
        if attempts.is_empty() {
            return Ok(());
        }
        query_file!("queries/returns/insert_calendars.sql", sweeps, calendars, times)
            .execute(&mut *tx)
            .await?;
        query_file!("queries/returns/insert_returns.sql", attempts, sweeps, calendars, returns)
            .execute(tx)
            .await?;
        Ok(())
    }
}

impl Queue {
    /// The calendars of a sweep's results, the one of most jobs first.
    pub(crate) async fn calendars(&self, sweep: SweepId, limit: u32) -> Result<Vec<Calendar>, Error> {
        let rows = query_file!("queries/returns/calendars_of_sweep.sql", sweep.uuid(), i64::from(limit));
        let rows = rows.fetch_all(&self.by_key).await?;
        let calendars = rows.into_iter().map(|row| {
            let times = numbers(&row.times, i64::from_le_bytes)?;
            Ok(Calendar { id: calendar_id(&row.id)?, times })
        });
        calendars.collect()
    }

    /// A page of a sweep's results in the order of their jobs, after job `after`. The last page is shorter than `limit`.
    pub(crate) async fn returns(
        &self,
        sweep: SweepId,
        after: Option<u32>,
        limit: u32,
    ) -> Result<Vec<JobReturns>, Error> {
        let after = after.map_or(Ok(-1), signed::<i32>)?;
        let rows = query_file!("queries/returns/returns_of_sweep.sql", sweep.uuid(), after, i64::from(limit));
        let rows = rows.fetch_all(&self.by_key).await?;
        let page = rows.into_iter().map(|row| {
            let returns = match (row.calendar, row.returns) {
                (Some(id), Some(returns)) => {
                    let returns = numbers(&returns, f64::from_le_bytes)?;
                    Some((calendar_id(&id)?, returns))
                }
                _ => None,
            };
            Ok(JobReturns { job: unsigned(row.job)?, returns })
        });
        page.collect()
    }

    /// What jobs of a sweep returned; those that reported nothing are not there.
    pub(crate) async fn returns_of(
        &self,
        sweep: SweepId,
        jobs: &[u32],
    ) -> Result<HashMap<u32, Returns>, Error> {
        let jobs = jobs.iter().map(|job| signed::<i32>(*job)).collect::<Result<Vec<_>, _>>()?;
        let rows = query_file!("queries/returns/returns_of_jobs.sql", sweep.uuid(), &jobs);
        let rows = rows.fetch_all(&self.by_key).await?;
        let returns = rows.into_iter().map(|row| {
            let times = numbers(&row.times, i64::from_le_bytes)?;
            let values = numbers(&row.returns, f64::from_le_bytes)?;
            let returns = Returns::from_parts(times, values);
            let returns = returns
                .map_err(|error| Error::Corrupt(format!("the returns of job {}: {error}", row.job)))?;
            Ok((unsigned(row.job)?, returns))
        });
        returns.collect()
    }
}

/// Forgets what the attempts of a sweep returned, once its results are given up.
pub(super) async fn forget(tx: &mut Connection, sweep: SweepId) -> Result<(), Error> {
    query_file!("queries/returns/forget_returns.sql", sweep.uuid()).execute(&mut *tx).await?;
    query_file!("queries/returns/forget_calendars.sql", sweep.uuid()).execute(tx).await?;
    Ok(())
}

fn calendar_id(bytes: &[u8]) -> Result<CalendarId, Error> {
    bytes.try_into().map_err(|_| Error::Corrupt(format!("a calendar's id has {} bytes", bytes.len())))
}

fn numbers<T>(bytes: &[u8], number: fn([u8; 8]) -> T) -> Result<Vec<T>, Error> {
    let (words, rest) = bytes.as_chunks::<8>();
    match rest.is_empty() {
        true => Ok(words.iter().map(|word| number(*word)).collect()),
        false => Err(Error::Corrupt(format!("a series has {} bytes", bytes.len()))),
    }
}
