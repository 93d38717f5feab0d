//! Schedules as clients see them: added when all of it was checked, listed, paused, removed, and asked to run.

mod fire;
mod service;

use std::time::Duration;

use bt_measures::{SCHEDULE_NEXT, SCHEDULES_ENDING};
use bt_model::manifest::Manifest;
use bt_model::nearest::nearest;
use bt_model::schedule::{CatchUp, CatchUpWindow, Overlap, Rule, RuleText, check_name};
use bt_proto::convert::{self, present, timestamp};
use bt_proto::v1;
use jiff::Timestamp;
use serde_json::json;
use tonic::Status;
use tracing::info;

use super::Clients;
use crate::access::call;
use crate::queue::{self, NewSchedule, RunRow, ScheduleRow};
use crate::rpc::status;

pub(crate) use fire::Fired;
use fire::{LEASE, filled};

/// Schedules at most.
const MOST: usize = 1_000;
/// Bytes of a manifest with its rows.
const LARGEST: usize = 8 << 20;
/// Times that are shown of what comes, and of what was.
const NEXT: usize = 5;
const SHOWN: i64 = 100;
/// Whose a schedule is that nobody says anything of.
const NOBODY: &str = "api";

impl Clients {
    pub(crate) async fn add(&self, asked: v1::AddScheduleRequest) -> Result<v1::Schedule, Status> {
        let wrong = Status::invalid_argument;
        check_name(&asked.name).map_err(wrong)?;
        let owner = call::owner(&asked.owner, NOBODY).map_err(Status::permission_denied)?;
        let calendar = present(asked.calendar).map(|text| serde_json::from_str(&text)).transpose();
        let calendar = calendar.map_err(|error| wrong(format!("the calendar can't be read: {error}")))?;
        let (cron, zone, at) = (present(asked.cron), present(asked.zone), present(asked.at));
        let text = RuleText { cron, zone, calendar, at };
        let rule = Rule::new(&text).map_err(wrong)?;
        let named = |name: String, otherwise: &str| if name.is_empty() { otherwise.to_owned() } else { name };
        let catch_up = CatchUp::of(&named(asked.catch_up, "none"));
        let catch_up = catch_up.map_err(|why| wrong(format!("catch-up: {why}")))?;
        let window = asked.catch_up_seconds.map(CatchUpWindow::of_seconds).transpose();
        let window = window.map_err(|why| wrong(format!("catch-up window: {why}")))?.unwrap_or_default();
        let overlap =
            Overlap::of(&named(asked.overlap, "skip")).map_err(|why| wrong(format!("overlap: {why}")))?;
        let size = asked.manifest.len() + asked.rows.iter().map(String::len).sum::<usize>();
        if size > LARGEST {
            return Err(wrong(format!(
                "the manifest and its rows have {size} bytes; a schedule keeps {} MiB at most",
                LARGEST >> 20
            )));
        }
        let now = self.queue.clock().await.map_err(status::queue)?;
        if let Some(why) = rule.never(now) {
            return Err(wrong(why));
        }
        let all = self.queue.schedules(None).await.map_err(status::queue)?;
        if all.len() >= MOST {
            return Err(Status::resource_exhausted(format!("there are {MOST} schedules, which is the most")));
        }
        if let Some(taken) = all.iter().find(|schedule| schedule.name == asked.name) {
            return Err(name_is_taken(&taken.name, &taken.owner));
        }
        let manifest = Manifest::from_json(&asked.manifest).map_err(super::submit::invalid)?;
        let (sweep_name, written) = (manifest.name.clone(), manifest.to_json());
        // As at its first time.
        let manifest = filled(&rule, rule.after(now).unwrap_or(now), &written, &asked.rows)?;
        let jobs = self.check_fire(&asked.name, &owner, &rule, manifest, now).await?;
        let created_by =
            call::identity().map(|identity| identity.name.clone()).filter(|name| !name.is_empty());
        let new = NewSchedule {
            name: asked.name.clone(),
            created_by: created_by.unwrap_or_else(|| owner.clone()),
            owner,
            rule: json!(text).to_string(),
            manifest: written,
            rows: asked.rows,
            sweep_name,
            jobs,
            catch_up,
            window,
            overlap,
            next: rule.after(now),
        };
        if asked.dry_run {
            call::changes_nothing();
            return Ok(planned(new, &text, &rule, now));
        }
        let Some(id) = self.queue.add_schedule(&new).await.map_err(status::queue)? else {
            return Err(name_is_taken(&new.name, "somebody"));
        };
        call::about(&new.name, &id.to_string());
        call::changed(
            &json!(null),
            &json!({ "rule": text_of(&text), "owner": new.owner, "sweep": new.sweep_name }),
        );
        info!("the schedule {} of {} is kept", new.name, new.owner);
        let row = self.schedule(&new.name).await?;
        shown(row, now)
    }

    pub(crate) async fn all_schedules(&self) -> Result<Vec<v1::Schedule>, Status> {
        let now = self.queue.clock().await.map_err(status::queue)?;
        let rows = self.queue.schedules(None).await.map_err(status::queue)?;
        rows.into_iter().map(|row| shown(row, now)).collect()
    }

    pub(crate) async fn shown_schedule(&self, name: &str) -> Result<v1::ShowScheduleReply, Status> {
        let now = self.queue.clock().await.map_err(status::queue)?;
        let row = self.schedule(name).await?;
        let runs = self.queue.schedule_runs(row.id, None, SHOWN).await.map_err(status::queue)?;
        let manifest = self.queue.schedule_manifest(row.id).await.map_err(status::queue)?;
        Ok(v1::ShowScheduleReply {
            schedule: Some(shown(row, now)?),
            runs: runs.into_iter().map(run).collect(),
            manifest: manifest.map(|(manifest, _)| manifest).unwrap_or_default(),
        })
    }

    pub(crate) async fn forget(&self, name: &str) -> Result<(), Status> {
        let row = self.schedule_to_change(name).await?;
        self.queue.remove_schedule(row.id).await.map_err(status::queue)?;
        call::changed(&json!({ "owner": row.owner, "sweep": row.sweep_name }), &json!(null));
        info!("the schedule {name} is removed");
        Ok(())
    }

    pub(crate) async fn hold(&self, name: &str, paused: bool) -> Result<v1::PauseScheduleReply, Status> {
        let row = self.schedule_to_change(name).await?;
        let changed = match paused {
            true => self.queue.pause_schedule(row.id).await,
            false => {
                let now = self.queue.clock().await.map_err(status::queue)?;
                self.queue.resume_schedule(row.id, rule_of(&row.rule)?.after(now)).await
            }
        };
        let changed = changed.map_err(status::queue)?;
        call::changed(&json!({ "paused": row.paused }), &json!({ "paused": paused }));
        let now = self.queue.clock().await.map_err(status::queue)?;
        let schedule = shown(self.schedule(name).await?, now)?;
        Ok(v1::PauseScheduleReply { changed, schedule: Some(schedule) })
    }

    /// Has it run for a time. What cannot be submitted is an answer, too: it says why.
    pub(crate) async fn run_now(
        &self,
        asked: v1::RunScheduleRequest,
    ) -> Result<v1::RunScheduleReply, Status> {
        let row = self.schedule_to_change(&asked.name).await?;
        let now = self.queue.clock().await.map_err(status::queue)?;
        let time = asked.time.as_ref().map(convert::time).transpose().map_err(status::malformed)?;
        let time = time.unwrap_or(now);
        // Postgres keeps microseconds.
        let time = Timestamp::from_microsecond(time.as_microsecond());
        let time = time.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let caller = call::identity().map(|identity| identity.name.clone()).filter(|name| !name.is_empty());
        let caller = caller.unwrap_or_else(|| row.owner.clone());
        let is_new = self.queue.ask_run(row.id, time, &caller, LEASE).await.map_err(status::queue)?;
        if is_new && self.fire_one(Some((row.id, time))).await.map_err(status::queue)?.is_none() {
            let why = "an earlier time of the schedule waits";
            let put_off = self.queue.put_off_run((row.id, time), Duration::ZERO, why).await;
            put_off.map_err(status::queue)?;
        }
        let runs = self.queue.schedule_runs(row.id, Some(time), 1).await.map_err(status::queue)?;
        let found = runs.into_iter().next();
        let found = found.ok_or_else(|| Status::not_found(format!("the schedule {} is gone", asked.name)))?;
        call::changed(
            &json!(null),
            &json!({ "time": time, "outcome": found.outcome.name(), "sweep": found.sweep.map(|id| id.to_string()) }),
        );
        Ok(v1::RunScheduleReply { run: Some(run(found)), existed: !is_new })
    }

    /// Notes for monitoring when the next time is, and how many calendars end soon. Of each of these a sentence.
    pub(crate) async fn measure_schedules(&self) -> Result<Vec<String>, queue::Error> {
        let now = self.queue.clock().await?;
        let rows = self.queue.schedules(None).await?;
        let going_on = || rows.iter().filter(|row| !row.paused);
        let next = going_on().filter_map(|row| row.next).min();
        SCHEDULE_NEXT.set([], next.map_or(f64::NAN, |next| next.as_second() as f64));
        let ending = going_on().filter_map(|row| {
            let (_, rule) = read_rule(&row.rule).ok()?;
            let ends = rule.ends_soon(now)?;
            let name = &row.name;
            Some(format!(
                "the calendar of the schedule {name} ends on {ends}; nothing is submitted after that"
            ))
        });
        let ending: Vec<_> = ending.collect();
        SCHEDULES_ENDING.set([], ending.len() as f64);
        Ok(ending)
    }

    async fn schedule(&self, name: &str) -> Result<ScheduleRow, Status> {
        let found = self.queue.schedules(Some(name)).await.map_err(status::queue)?;
        if let Some(row) = found.into_iter().next() {
            return Ok(row);
        }
        let all = self.queue.schedules(None).await.map_err(status::queue)?;
        let near = nearest(name, all.iter().map(|schedule| schedule.name.as_str()));
        let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        let short: String = name.chars().take(80).collect();
        Err(Status::not_found(format!("there is no schedule {short:?}{hint}")))
    }

    async fn schedule_to_change(&self, name: &str) -> Result<ScheduleRow, Status> {
        let row = self.schedule(name).await?;
        call::about(&row.name, &row.id.to_string());
        match call::may_change(&row.owner) {
            true => Ok(row),
            false => Err(Status::permission_denied(format!(
                "the schedule {} belongs to {}; its owner or an operator changes it",
                row.name, row.owner
            ))),
        }
    }
}

fn name_is_taken(name: &str, owner: &str) -> Status {
    Status::already_exists(format!(
        "there is a schedule {name} of {owner} already; choose another name, or remove it first (btctl schedule rm {name})"
    ))
}

fn rule_of(text: &str) -> Result<Rule, Status> {
    let (_, rule) = read_rule(text).map_err(Status::internal)?;
    Ok(rule)
}

/// A rule as it is kept.
fn read_rule(text: &str) -> Result<(RuleText, Rule), String> {
    let unreadable = |why: String| format!("the rule of a schedule can't be read: {why}");
    let text: RuleText = serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
    let rule = Rule::new(&text).map_err(unreadable)?;
    Ok((text, rule))
}

/// In a word, for the audit log.
fn text_of(text: &RuleText) -> String {
    match text {
        RuleText { cron: Some(cron), .. } => cron.clone(),
        RuleText { calendar: Some(calendar), at, .. } => {
            format!("{} {}", calendar.name, at.as_deref().unwrap_or_default())
        }
        RuleText { .. } => "when it is asked to".to_owned(),
    }
}

fn planned(new: NewSchedule, text: &RuleText, rule: &Rule, now: Timestamp) -> v1::Schedule {
    v1::Schedule {
        name: new.name,
        owner: new.owner,
        sweep: new.sweep_name,
        jobs: new.jobs,
        catch_up: new.catch_up.name().to_owned(),
        catch_up_seconds: new.window.seconds(),
        overlap: new.overlap.name().to_owned(),
        created_by: new.created_by,
        ..of_rule(text, rule, now)
    }
}

fn of_rule(text: &RuleText, rule: &Rule, now: Timestamp) -> v1::Schedule {
    v1::Schedule {
        cron: text.cron.clone(),
        zone: rule.zone_name.clone(),
        calendar: text.calendar.as_ref().map(|calendar| calendar.name.clone()),
        at: text.at.clone(),
        ends: rule.ends().map(|date| date.to_string()),
        next: rule.next(now, NEXT).into_iter().map(timestamp).collect(),
        ..v1::Schedule::default()
    }
}

fn shown(row: ScheduleRow, now: Timestamp) -> Result<v1::Schedule, Status> {
    let (text, rule) = read_rule(&row.rule).map_err(Status::internal)?;
    let schedule = v1::Schedule {
        id: row.id.to_string(),
        name: row.name,
        owner: row.owner,
        sweep: row.sweep_name,
        jobs: row.jobs,
        catch_up: row.catch_up.name().to_owned(),
        catch_up_seconds: row.window.seconds(),
        overlap: row.overlap.name().to_owned(),
        paused: row.paused,
        created_by: row.created_by,
        created: Some(timestamp(row.created)),
        last: row.last.map(run),
        ..of_rule(&text, &rule, now)
    };
    let next = if row.paused { Vec::new() } else { schedule.next };
    Ok(v1::Schedule { next, ..schedule })
}

fn run(row: RunRow) -> v1::ScheduleRun {
    v1::ScheduleRun {
        time: Some(timestamp(row.time)),
        outcome: row.outcome.name().to_owned(),
        why: row.why,
        sweep: row.sweep.map(|sweep| sweep.to_string()),
        asked_by: row.asked_by,
        noted: Some(timestamp(row.noted)),
    }
}
