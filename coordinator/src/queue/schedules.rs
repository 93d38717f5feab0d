//! Schedules, and what became of their times. A time of a schedule has one row, whoever notices that it is due, and the row says
//! once what became of it.

use std::time::Duration;

use bt_model::id::SweepId;
use bt_model::schedule::{CatchUp, CatchUpWindow, Overlap, RunOutcome, Sorted};
use jiff::Timestamp;
use sqlx::query_file;
use uuid::Uuid;

use super::claim::interval;
use super::connections::Transaction;
use super::row::{Pg, offset, signed, time, unsigned};
use super::{Error, Queue};

/// Runs of a schedule that are kept.
const KEPT: i64 = 1_000;

/// A schedule to be kept.
#[derive(Clone, Debug)]
pub(crate) struct NewSchedule {
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) rule: String,
    pub(crate) manifest: String,
    pub(crate) rows: Vec<String>,
    pub(crate) sweep_name: String,
    pub(crate) jobs: u32,
    pub(crate) catch_up: CatchUp,
    pub(crate) window: CatchUpWindow,
    pub(crate) overlap: Overlap,
    pub(crate) next: Option<Timestamp>,
    pub(crate) created_by: String,
}

/// A schedule as it is listed.
#[derive(Clone, Debug)]
pub(crate) struct ScheduleRow {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) rule: String,
    pub(crate) sweep_name: String,
    pub(crate) jobs: u32,
    pub(crate) catch_up: CatchUp,
    pub(crate) window: CatchUpWindow,
    pub(crate) overlap: Overlap,
    pub(crate) paused: bool,
    /// The first time of its rule that nothing was done about yet.
    pub(crate) next: Option<Timestamp>,
    pub(crate) created_by: String,
    pub(crate) created: Timestamp,
    pub(crate) last: Option<RunRow>,
}

/// What became of a time.
#[derive(Clone, Debug)]
pub(crate) struct RunRow {
    pub(crate) time: Timestamp,
    pub(crate) outcome: RunOutcome,
    pub(crate) why: Option<String>,
    pub(crate) sweep: Option<SweepId>,
    pub(crate) asked_by: Option<String>,
    pub(crate) noted: Timestamp,
}

/// A schedule of which times are due. Nothing is changed if it is dropped.
pub(crate) struct DueSchedule {
    tx: Transaction,
    id: Uuid,
    pub(crate) rule: String,
    pub(crate) catch_up: CatchUp,
    pub(crate) window: CatchUpWindow,
    pub(crate) first: Timestamp,
    pub(crate) now: Timestamp,
    /// Runs that wait.
    pub(crate) waiting: u64,
}

/// A run that this coordinator has taken.
#[derive(Clone, Debug)]
pub(crate) struct TakenRun {
    pub(crate) schedule: Uuid,
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) rule: String,
    pub(crate) manifest: String,
    pub(crate) rows: Vec<String>,
    pub(crate) overlap: Overlap,
    pub(crate) time: Timestamp,
    /// It waits for longer than one that can't be submitted is tried.
    pub(crate) is_late: bool,
}

impl Queue {
    /// What time it is, for all coordinators alike.
    pub(crate) async fn clock(&self) -> Result<Timestamp, Error> {
        time(query_file!("queries/schedules/clock.sql").fetch_one(&self.by_key).await?.now)
    }

    /// Keeps a schedule; none if its name is taken.
    pub(crate) async fn add_schedule(&self, new: &NewSchedule) -> Result<Option<Uuid>, Error> {
        let id = Uuid::new_v4();
        let inserted = query_file!(
            "queries/schedules/insert_schedule.sql",
            id,
            new.name,
            new.owner,
            new.rule,
            new.manifest,
            &new.rows,
            new.sweep_name,
            signed::<i32>(new.jobs)?,
            Pg(new.catch_up) as _,
            Pg(new.overlap) as _,
            new.next.as_ref().map(offset).transpose()?,
            new.created_by,
            signed::<i32>(new.window.seconds())?
        );
        let inserted = inserted.execute(&self.pool).await?;
        Ok((inserted.rows_affected() == 1).then_some(id))
    }

    /// All schedules, or that of one name.
    pub(crate) async fn schedules(&self, name: Option<&str>) -> Result<Vec<ScheduleRow>, Error> {
        let rows = query_file!("queries/schedules/schedules.sql", name).fetch_all(&self.pool).await?;
        rows.into_iter()
            .map(|row| {
                let last = match (row.at_time, row.outcome, row.noted_at) {
                    (Some(at), Some(Pg(outcome)), Some(noted)) => Some(RunRow {
                        time: time(at)?,
                        outcome,
                        why: row.why,
                        sweep: row.sweep_id.map(SweepId::from_uuid),
                        asked_by: row.asked_by,
                        noted: time(noted)?,
                    }),
                    _ => None,
                };
                Ok(ScheduleRow {
                    id: row.id,
                    name: row.name,
                    owner: row.owner,
                    rule: row.rule,
                    sweep_name: row.sweep_name,
                    jobs: unsigned(row.jobs)?,
                    catch_up: row.catch_up.0,
                    window: CatchUpWindow::kept(unsigned(row.catch_up_seconds)?),
                    overlap: row.overlap.0,
                    paused: row.paused,
                    next: row.next_at.map(time).transpose()?,
                    created_by: row.created_by,
                    created: time(row.created_at)?,
                    last,
                })
            })
            .collect()
    }

    /// What became of a schedule's times, or of one of them: the latest first.
    pub(crate) async fn schedule_runs(
        &self,
        schedule: Uuid,
        only: Option<Timestamp>,
        most: i64,
    ) -> Result<Vec<RunRow>, Error> {
        let only = only.as_ref().map(offset).transpose()?;
        let rows = query_file!("queries/schedules/schedule_runs.sql", schedule, only, most);
        let rows = rows.fetch_all(&self.by_key).await?;
        rows.into_iter()
            .map(|row| {
                Ok(RunRow {
                    time: time(row.at_time)?,
                    outcome: row.outcome.0,
                    why: row.why,
                    sweep: row.sweep_id.map(SweepId::from_uuid),
                    asked_by: row.asked_by,
                    noted: time(row.noted_at)?,
                })
            })
            .collect()
    }

    /// Its manifest and rows.
    pub(crate) async fn schedule_manifest(
        &self,
        schedule: Uuid,
    ) -> Result<Option<(String, Vec<String>)>, Error> {
        let row = query_file!("queries/schedules/schedule_manifest.sql", schedule);
        Ok(row.fetch_optional(&self.by_key).await?.map(|row| (row.manifest, row.rows)))
    }

    pub(crate) async fn remove_schedule(&self, schedule: Uuid) -> Result<bool, Error> {
        let removed =
            query_file!("queries/schedules/remove_schedule.sql", schedule).execute(&self.pool).await?;
        Ok(removed.rows_affected() == 1)
    }

    /// True if it was not paused.
    pub(crate) async fn pause_schedule(&self, schedule: Uuid) -> Result<bool, Error> {
        let paused =
            query_file!("queries/schedules/pause_schedule.sql", schedule).execute(&self.by_key).await?;
        Ok(paused.rows_affected() == 1)
    }

    /// Has it go on with this time. True if it was paused.
    pub(crate) async fn resume_schedule(
        &self,
        schedule: Uuid,
        next: Option<Timestamp>,
    ) -> Result<bool, Error> {
        let next = next.as_ref().map(offset).transpose()?;
        let resumed = query_file!("queries/schedules/resume_schedule.sql", schedule, next);
        Ok(resumed.execute(&self.by_key).await?.rows_affected() == 1)
    }

    /// A schedule of which times are due, if there is one that no other coordinator looks at.
    pub(crate) async fn due_schedule(&self) -> Result<Option<DueSchedule>, Error> {
        let mut tx = self.pool.begin().await?;
        let row = query_file!("queries/schedules/due_schedule.sql").fetch_optional(&mut *tx).await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(DueSchedule {
            tx,
            id: row.id,
            rule: row.rule,
            catch_up: row.catch_up.0,
            window: CatchUpWindow::kept(unsigned(row.catch_up_seconds)?),
            first: time(row.next_at)?,
            now: time(row.now)?,
            waiting: unsigned(row.waiting)?,
        }))
    }

    /// Has a schedule run for a time because somebody asks; the caller takes the run, before `lease` has passed. False if there is
    /// a run for it.
    pub(crate) async fn ask_run(
        &self,
        schedule: Uuid,
        at: Timestamp,
        asked_by: &str,
        lease: Duration,
    ) -> Result<bool, Error> {
        let waiting = Pg(RunOutcome::Waiting);
        let at = [offset(&at)?];
        let (none, lease) = (None::<&str>, interval(lease)?);
        let inserted = query_file!(
            "queries/schedules/insert_runs.sql",
            schedule,
            &at,
            waiting as _,
            none,
            asked_by,
            lease
        );
        Ok(inserted.execute(&self.by_key).await?.rows_affected() == 1)
    }

    /// Takes a run that waits, or this one, for as long as `lease`. None if there is none, or an earlier one of its schedule waits.
    pub(crate) async fn take_run(
        &self,
        only: Option<(Uuid, Timestamp)>,
        lease: Duration,
        longest: Duration,
    ) -> Result<Option<TakenRun>, Error> {
        let (lease, longest) = (interval(lease)?, interval(longest)?);
        let at = only.as_ref().map(|(_, at)| offset(at)).transpose()?;
        let only = only.map(|(schedule, _)| schedule);
        let row = query_file!("queries/schedules/take_run.sql", only, lease, longest, at);
        let Some(row) = row.fetch_optional(&self.pool).await? else { return Ok(None) };
        Ok(Some(TakenRun {
            schedule: row.id,
            name: row.name,
            owner: row.owner,
            rule: row.rule,
            manifest: row.manifest,
            rows: row.rows,
            overlap: row.overlap.0,
            time: time(row.at_time)?,
            is_late: row.is_late,
        }))
    }

    /// The latest of a schedule's sweeps that has not finished.
    pub(crate) async fn unfinished_of(&self, schedule: Uuid) -> Result<Option<(SweepId, String)>, Error> {
        let row = query_file!("queries/schedules/unfinished_sweep.sql", schedule);
        Ok(row.fetch_optional(&self.by_key).await?.map(|row| (SweepId::from_uuid(row.id), row.name)))
    }

    /// The sweep that a submit with this key has queued.
    pub(crate) async fn sweep_of_key(&self, key: &str) -> Result<Option<(SweepId, String)>, Error> {
        let row = query_file!("queries/schedules/sweep_of_key.sql", key).fetch_optional(&self.by_key).await?;
        Ok(row.map(|row| (SweepId::from_uuid(row.id), row.name)))
    }

    /// Notes what became of a run. False if that was noted before.
    pub(crate) async fn note_run(
        &self,
        run: &TakenRun,
        outcome: RunOutcome,
        why: Option<&str>,
        sweep: Option<SweepId>,
    ) -> Result<bool, Error> {
        let at = offset(&run.time)?;
        let (outcome, sweep) = (Pg(outcome), sweep.map(SweepId::uuid));
        let noted = query_file!("queries/schedules/note_run.sql", run.schedule, at, outcome as _, why, sweep);
        Ok(noted.execute(&self.by_key).await?.rows_affected() == 1)
    }

    /// Has a run wait for so long, and says why.
    pub(crate) async fn put_off_run(
        &self,
        (schedule, at): (Uuid, Timestamp),
        pause: Duration,
        why: &str,
    ) -> Result<(), Error> {
        let (at, pause) = (offset(&at)?, interval(pause)?);
        query_file!("queries/schedules/put_off_run.sql", schedule, at, pause, why)
            .execute(&self.by_key)
            .await?;
        Ok(())
    }
}

impl DueSchedule {
    /// Writes down what is to be done about its times, and goes on to the next.
    pub(crate) async fn finish(mut self, sorted: &Sorted, why_skipped: &str) -> Result<(), Error> {
        let (run, skipped) = (&sorted.run, &sorted.skipped);
        let parts = [(run, RunOutcome::Waiting, None), (skipped, RunOutcome::Skipped, Some(why_skipped))];
        for (times, outcome, why) in parts {
            let times = times.iter().map(offset).collect::<Result<Vec<_>, _>>()?;
            let (outcome, by_rule, at_once) = (Pg(outcome), None::<&str>, interval(Duration::ZERO)?);
            query_file!(
                "queries/schedules/insert_runs.sql",
                self.id,
                &times,
                outcome as _,
                why,
                by_rule,
                at_once
            )
            .execute(&mut *self.tx)
            .await?;
        }
        let next = sorted.next.as_ref().map(offset).transpose()?;
        query_file!("queries/schedules/move_on.sql", self.id, next).execute(&mut *self.tx).await?;
        query_file!("queries/schedules/prune_runs.sql", self.id, KEPT).execute(&mut *self.tx).await?;
        self.tx.commit().await?;
        Ok(())
    }
}
