//! Schedules, and what became of their times.

use bt_proto::v1;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Unreadable, instant};

/// A schedule.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Schedule {
    /// Null if it was only asked what would be kept.
    pub id: Option<String>,
    pub name: String,
    pub owner: String,
    /// The name of its sweeps.
    pub sweep: String,
    /// Jobs of each sweep.
    pub jobs: u32,
    /// Null: it follows a calendar, or runs when it is asked to.
    pub cron: Option<String>,
    /// Of its times, and of what its jobs are told.
    pub zone: String,
    /// The calendar's name.
    pub calendar: Option<String>,
    /// When in the calendar's days, such as `open+30m`.
    pub at: Option<String>,
    /// The last day that its calendar knows: nothing is submitted after it.
    pub ends: Option<String>,
    /// What is done about times that were missed: none, last or all.
    pub catch_up: String,
    /// How late a time may be made up.
    pub catch_up_seconds: u64,
    /// What is done while an earlier sweep has not finished: skip, queue or allow.
    pub overlap: String,
    pub paused: bool,
    pub created_by: String,
    pub created: Option<Timestamp>,
    /// The next times, five at most; none while it is paused.
    pub next: Vec<Timestamp>,
    /// What became of the latest time; null if nothing was due yet.
    pub last: Option<ScheduleRun>,
}

/// What became of a time.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ScheduleRun {
    pub time: Option<Timestamp>,
    /// waiting, submitted, skipped or failed.
    pub outcome: String,
    /// Why it waits, was skipped or failed.
    pub why: Option<String>,
    /// The id of the sweep that was submitted.
    pub sweep: Option<String>,
    /// Who asked for it; null: the schedule's rule.
    pub asked_by: Option<String>,
    pub noted: Option<Timestamp>,
}

/// Schedules, by name.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Schedules {
    pub schedules: Vec<Schedule>,
}

/// A schedule with its history.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ShownSchedule {
    #[serde(flatten)]
    pub schedule: Schedule,
    /// The latest first, 100 at most.
    pub runs: Vec<ScheduleRun>,
    /// As it is submitted, but for the variables that tell its jobs the time.
    pub manifest: serde_json::Value,
}

/// A time that a schedule was asked to run for.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AskedRun {
    #[serde(flatten)]
    pub run: ScheduleRun,
    /// True: there was a run for this time, and nothing was done now.
    pub existed: bool,
}

impl TryFrom<&v1::Schedule> for Schedule {
    type Error = Unreadable;

    fn try_from(schedule: &v1::Schedule) -> Result<Self, Unreadable> {
        let next = schedule.next.iter().map(|time| instant(Some(time)));
        Ok(Self {
            id: Some(schedule.id.clone()).filter(|id| !id.is_empty()),
            name: schedule.name.clone(),
            owner: schedule.owner.clone(),
            sweep: schedule.sweep.clone(),
            jobs: schedule.jobs,
            cron: schedule.cron.clone(),
            zone: schedule.zone.clone(),
            calendar: schedule.calendar.clone(),
            at: schedule.at.clone(),
            ends: schedule.ends.clone(),
            catch_up: schedule.catch_up.clone(),
            catch_up_seconds: schedule.catch_up_seconds,
            overlap: schedule.overlap.clone(),
            paused: schedule.paused,
            created_by: schedule.created_by.clone(),
            created: instant(schedule.created.as_ref())?,
            next: next.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect(),
            last: schedule.last.as_ref().map(ScheduleRun::try_from).transpose()?,
        })
    }
}

impl TryFrom<&v1::ScheduleRun> for ScheduleRun {
    type Error = Unreadable;

    fn try_from(run: &v1::ScheduleRun) -> Result<Self, Unreadable> {
        Ok(Self {
            time: instant(run.time.as_ref())?,
            outcome: run.outcome.clone(),
            why: run.why.clone(),
            sweep: run.sweep.clone(),
            asked_by: run.asked_by.clone(),
            noted: instant(run.noted.as_ref())?,
        })
    }
}

impl TryFrom<&v1::ShowScheduleReply> for ShownSchedule {
    type Error = Unreadable;

    fn try_from(reply: &v1::ShowScheduleReply) -> Result<Self, Unreadable> {
        Ok(Self {
            schedule: Schedule::try_from(&reply.schedule.clone().unwrap_or_default())?,
            runs: reply.runs.iter().map(ScheduleRun::try_from).collect::<Result<_, _>>()?,
            manifest: serde_json::from_str(&reply.manifest).unwrap_or_default(),
        })
    }
}

impl TryFrom<&v1::RunScheduleReply> for AskedRun {
    type Error = Unreadable;

    fn try_from(reply: &v1::RunScheduleReply) -> Result<Self, Unreadable> {
        let run = ScheduleRun::try_from(&reply.run.clone().unwrap_or_default())?;
        Ok(Self { run, existed: reply.existed })
    }
}
