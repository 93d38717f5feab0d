//! Walk-forward in two phases: the jobs that test the best of their window's training.

use bt_model::id::SweepId;
use bt_model::manifest::{Goal, Select};
use sqlx::query_file;

use super::claim::Written;
use super::connections::Transaction;
use super::reuse::Place;
use super::row::{signed, unsigned};
use super::{Error, Queue, READY, notify};

/// Tests that one pass looks after at most.
const DUE: i64 = 1_000;

/// A test whose window's training has ended, held: it gets its parameters or fails, or waits on if this is dropped.
pub(crate) struct Choice {
    tx: Transaction,
    test: Place,
    pub(crate) window: u32,
    /// The window's training jobs.
    pub(crate) first: u32,
    pub(crate) last: u32,
    /// None if no training job reported the metric.
    pub(crate) best: Option<Best>,
}

/// The best of a window's training jobs.
#[derive(Clone, Debug)]
pub(crate) struct Best {
    pub(crate) job: u32,
    pub(crate) parameters: Written,
    value: f64,
    /// How many of the training jobs reported the metric.
    reported: u32,
}

/// A test, and how far its window is.
#[derive(Clone, Debug)]
pub(crate) struct TestRow {
    pub(crate) job: u32,
    pub(crate) window: u32,
    pub(crate) first: u32,
    pub(crate) last: u32,
    /// How many of the training jobs have ended.
    pub(crate) ended: u32,
    pub(crate) chosen: Option<ChosenRow>,
}

/// Whose parameters a test has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChosenRow {
    pub(crate) job: u32,
    /// As it was when it was chosen.
    pub(crate) value: f64,
    pub(crate) reported: u32,
}

impl Queue {
    /// The tests that can get their parameters.
    pub(crate) async fn due_tests(&self) -> Result<Vec<Place>, Error> {
        let rows = query_file!("queries/walk/due_tests.sql", DUE).fetch_all(&self.by_key).await?;
        let place = |sweep, job| Ok(Place { sweep: SweepId::from_uuid(sweep), job: unsigned(job)? });
        rows.into_iter().map(|row| place(row.sweep_id, row.job)).collect()
    }

    /// Holds a test and the best of its window's training. None if it has its parameters already, or has to wait.
    pub(crate) async fn begin_choice(&self, test: Place, select: &Select) -> Result<Option<Choice>, Error> {
        let (sweep, job) = (test.sweep.uuid(), signed::<i32>(test.job)?);
        let mut tx = self.by_key.begin().await?;
        let held = query_file!("queries/walk/hold_sweep.sql", sweep).fetch_optional(&mut *tx).await?;
        if held.is_none() {
            return Ok(None);
        }
        let row = query_file!("queries/walk/hold_test.sql", sweep, job).fetch_optional(&mut *tx).await?;
        let Some(row) = row else { return Ok(None) };
        let best = query_file!(
            "queries/walk/best_of_training.sql",
            sweep,
            row.first_job,
            row.last_job,
            select.metric,
            select.goal == Goal::Minimize
        );
        let best = best.fetch_optional(&mut *tx).await?;
        let best = best.map(|best| {
            Ok::<_, Error>(Best {
                job: unsigned(best.number)?,
                parameters: Written::of(best.parameters, best.point, best.number)?,
                value: best.value,
                reported: unsigned(best.reported)?,
            })
        });
        Ok(Some(Choice {
            tx,
            test,
            window: unsigned(row.window_number)?,
            first: unsigned(row.first_job)?,
            last: unsigned(row.last_job)?,
            best: best.transpose()?,
        }))
    }

    /// A sweep's tests, or the one that this job is.
    pub(crate) async fn window_tests(&self, sweep: SweepId, job: Option<u32>) -> Result<Vec<TestRow>, Error> {
        let job = job.map(signed::<i32>).transpose()?;
        let rows =
            query_file!("queries/walk/tests_of_sweep.sql", sweep.uuid(), job).fetch_all(&self.by_key).await?;
        rows.into_iter()
            .map(|row| {
                let chosen = row.chosen_job.zip(row.chosen_value).zip(row.reported);
                let chosen = chosen.map(|((job, value), reported)| {
                    Ok::<_, Error>(ChosenRow { job: unsigned(job)?, value, reported: unsigned(reported)? })
                });
                Ok(TestRow {
                    job: unsigned(row.job)?,
                    window: unsigned(row.window_number)?,
                    first: unsigned(row.first_job)?,
                    last: unsigned(row.last_job)?,
                    ended: unsigned(row.ended)?,
                    chosen: chosen.transpose()?,
                })
            })
            .collect()
    }

    /// How many queued jobs of a sweep wait for a window.
    pub(crate) async fn waiting_tests(&self, sweep: SweepId) -> Result<u32, Error> {
        let row =
            query_file!("queries/walk/waiting_of_sweep.sql", sweep.uuid()).fetch_one(&self.by_key).await?;
        unsigned(row.waiting)
    }

    /// The windows whose tests keep their parameters though some of these training jobs (none: any) are queued again.
    pub(crate) async fn tests_that_stay(
        &self,
        sweep: SweepId,
        jobs: Option<&[u32]>,
    ) -> Result<Vec<u32>, Error> {
        let jobs = jobs.map(|jobs| jobs.iter().map(|job| signed::<i32>(*job)).collect());
        let jobs: Option<Vec<i32>> = jobs.transpose()?;
        let rows = query_file!("queries/walk/tests_that_stay.sql", sweep.uuid(), jobs.as_deref())
            .fetch_all(&self.by_key)
            .await?;
        rows.into_iter().map(|row| unsigned(row.window_number)).collect()
    }
}

impl Choice {
    /// Gives the test these parameters, which are those of the best.
    pub(crate) async fn give(mut self, best: &Best, parameters: &Written) -> Result<(), Error> {
        let (sweep, job) = (self.test.sweep.uuid(), signed::<i32>(self.test.job)?);
        let (point, text) = match parameters {
            Written::Out(text) => (None, Some(text.as_str())),
            Written::Point(point) => (Some(signed::<i64>(*point)?), None),
        };
        query_file!("queries/walk/give_parameters.sql", sweep, job, point, text)
            .execute(&mut *self.tx)
            .await?;
        let (chosen, reported) = (signed::<i32>(best.job)?, signed::<i32>(best.reported)?);
        query_file!("queries/walk/note_choice.sql", sweep, job, chosen, best.value, reported)
            .execute(&mut *self.tx)
            .await?;
        query_file!("queries/walk/look_again.sql", sweep).execute(&mut *self.tx).await?;
        notify(&mut self.tx, READY).await?;
        Ok(self.tx.commit().await?)
    }

    /// The test fails, since there is nothing to choose from.
    pub(crate) async fn fail(mut self, why: &str) -> Result<(), Error> {
        let (sweep, job) = (self.test.sweep.uuid(), signed::<i32>(self.test.job)?);
        query_file!("queries/walk/fail_test.sql", sweep, job, why).execute(&mut *self.tx).await?;
        Ok(self.tx.commit().await?)
    }
}
