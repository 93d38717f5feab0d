//! Metrics that come after their jobs have ended.

use std::collections::{BTreeSet, HashMap};

use bt_model::id::SweepId;
use bt_model::state::JobState;
use serde_json::{Map, Value};
use sqlx::query_file;

use super::connections::Transaction;
use super::row::{Pg, signed, unsigned};
use super::{Changeable, Error, Queue};

/// A job's number, and metrics.
pub(crate) type JobMetrics = (u32, Map<String, Value>);

/// Metrics on their way to the jobs of a sweep: all of them, or none.
pub(crate) struct Import {
    tx: Transaction,
    sweep: SweepId,
}

/// What metrics change of a job.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// The job has these metrics now, of which some are new, and some had another value.
    Merged { metrics: Map<String, Value>, added: BTreeSet<String>, overwritten: BTreeSet<String> },
    /// It had them all.
    None,
    /// It has not succeeded.
    NotSucceeded(JobState),
}

impl Queue {
    pub(crate) async fn begin_import(&self, sweep: Changeable) -> Result<Import, Error> {
        Ok(Import { tx: self.pool.patient().begin().await?, sweep: sweep.id() })
    }
}

impl Import {
    /// Holds jobs, and says what these metrics change of each; in the order of the jobs given.
    pub(crate) async fn compare(&mut self, given: &[JobMetrics]) -> Result<Vec<Change>, Error> {
        let numbers = given.iter().map(|(job, _)| signed::<i32>(*job)).collect::<Result<Vec<_>, _>>()?;
        let rows = query_file!("queries/import/lock_succeeded.sql", self.sweep.uuid(), &numbers)
            .fetch_all(&mut *self.tx)
            .await?;
        let mut known = HashMap::with_capacity(rows.len());
        for row in rows {
            let metrics = match row.metrics.as_deref().map(serde_json::from_str).transpose() {
                Ok(metrics) => metrics.unwrap_or_default(),
                Err(error) => return Err(Error::Corrupt(format!("metrics: {error}"))),
            };
            known.insert(unsigned::<u32>(row.number)?, (row.state.0, metrics));
        }
        let mut changes = Vec::with_capacity(given.len());
        for (job, metrics) in given {
            let found = known.remove(job);
            let (state, before) = found.ok_or_else(|| Error::Corrupt(format!("job {job} is not there")))?;
            changes.push(match state {
                JobState::Succeeded => merged(before, metrics),
                state => Change::NotSucceeded(state),
            });
        }
        Ok(changes)
    }

    /// Writes metrics of jobs that were compared before.
    pub(crate) async fn write(&mut self, jobs: &[JobMetrics]) -> Result<(), Error> {
        let numbers = jobs.iter().map(|(job, _)| signed::<i32>(*job)).collect::<Result<Vec<_>, _>>()?;
        let metrics: Vec<String> =
            jobs.iter().map(|(_, metrics)| Value::Object(metrics.clone()).to_string()).collect();
        query_file!("queries/import/import_metrics.sql", self.sweep.uuid(), &numbers, &metrics)
            .execute(&mut *self.tx)
            .await?;
        query_file!("queries/import/revise_results.sql", self.sweep.uuid(), &numbers)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    pub(crate) async fn commit(self) -> Result<(), Error> {
        Ok(self.tx.commit().await?)
    }

    pub(crate) async fn roll_back(self) -> Result<(), Error> {
        Ok(self.tx.rollback().await?)
    }
}

fn merged(before: Map<String, Value>, given: &Map<String, Value>) -> Change {
    let (mut added, mut overwritten) = (BTreeSet::new(), BTreeSet::new());
    let mut metrics = before;
    for (name, value) in given {
        match metrics.insert(name.clone(), value.clone()) {
            None => added.insert(name.clone()),
            // Postgres writes 1e3 as 1000.
            Some(old) if old == *value || old.as_f64() == value.as_f64() => false,
            Some(_) => overwritten.insert(name.clone()),
        };
    }
    match added.is_empty() && overwritten.is_empty() {
        true => Change::None,
        false => Change::Merged { metrics, added, overwritten },
    }
}
