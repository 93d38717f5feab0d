//! What is done about a time of a schedule: its sweep is submitted in its owner's name, or it is said why not.
//!
//! The submit's idempotency key is made of schedule and time. So a time makes one sweep, however many coordinators take it, and
//! also if one is killed between the submit and its note: whoever takes it next finds the sweep by its key.

use std::sync::Arc;
use std::time::Duration;

use bt_measures::SCHEDULE_RUNS;
use bt_model::excerpt::excerpt;
use bt_model::id::SweepId;
use bt_model::manifest::Manifest;
use bt_model::parameters::Parameters;
use bt_model::role::Role;
use bt_model::schedule::{MOST_CAUGHT_UP, Overlap, Rule, RunOutcome, sort};
use bt_model::template::literal;
use bt_proto::v1;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use tokio::time::timeout;
use tonic::{Code, Status};
use tracing::{info, warn};
use uuid::Uuid;

use super::{Clients, read_rule};
use crate::access::Identity;
use crate::access::call::{Call, answering};
use crate::queue::{self, TakenRun};

/// How long a run is its coordinator's that has taken it, and how long a submit may take: longer than that no try lasts.
pub(super) const LEASE: Duration = Duration::from_secs(180);
const SUBMIT: Duration = Duration::from_secs(120);
/// How long it takes until what can't be done now is tried again, and how long it is tried.
const AGAIN: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(3600);
/// Characters of a reason that are kept.
const WORDS: usize = 500;
/// What jobs are told.
const NAME: &str = "BTCTL_SCHEDULE";
const TIME: &str = "BTCTL_SCHEDULE_TIME";
const DATE: &str = "BTCTL_SCHEDULE_DATE";

/// What was done about a time.
#[derive(Clone, Debug)]
pub(crate) struct Fired {
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) time: Timestamp,
    pub(crate) outcome: RunOutcome,
    pub(crate) why: Option<String>,
    pub(crate) sweep: Option<(SweepId, String)>,
}

impl Clients {
    /// Finds out which times of a schedule are due. False if there was none.
    pub(crate) async fn look_at_schedules(&self) -> Result<bool, queue::Error> {
        let Some(due) = self.queue.due_schedule().await? else { return Ok(false) };
        let (_, rule) = read_rule(&due.rule).map_err(queue::Error::Corrupt)?;
        let mut sorted = sort(&rule, due.first, due.now, due.catch_up, due.window);
        let mut why = "it was missed: nobody was there to submit it in time".to_owned();
        let room = (MOST_CAUGHT_UP as u64).saturating_sub(due.waiting) as usize;
        if sorted.run.len() > room {
            let late = sorted.run.split_off(room);
            sorted.skipped.extend(late);
            why = format!("it was missed, or {MOST_CAUGHT_UP} times wait already");
        }
        if sorted.more > 0 {
            why += &format!("; so were {} more, before those that are listed", sorted.more);
        }
        let skipped = sorted.skipped.len() as u64;
        due.finish(&sorted, &why).await?;
        SCHEDULE_RUNS.add([RunOutcome::Skipped.name()], skipped);
        Ok(true)
    }

    /// Does what is to be done about one time that waits, or about this one; none if there is none.
    pub(crate) async fn fire_one(
        &self,
        only: Option<(Uuid, Timestamp)>,
    ) -> Result<Option<Option<Fired>>, queue::Error> {
        let Some(run) = self.queue.take_run(only, LEASE, LONGEST).await? else { return Ok(None) };
        let key = format!("schedule/{}/{}", run.schedule, run.time);
        let queued = self.queue.sweep_of_key(&key).await?;
        if queued.is_none()
            && run.overlap != Overlap::Allow
            && let Some((_, name)) = self.queue.unfinished_of(run.schedule).await?
        {
            let why = format!("an earlier sweep of the schedule has not finished: {name}");
            if run.overlap == Overlap::Queue {
                self.queue.put_off_run((run.schedule, run.time), AGAIN, &why).await?;
                return Ok(Some(None));
            }
            return self.note(&run, RunOutcome::Skipped, Some(why), None).await.map(Some);
        }
        if queued.is_some() {
            return self.note(&run, RunOutcome::Submitted, None, queued).await.map(Some);
        }
        match timeout(SUBMIT, self.submit_run(&run, key)).await {
            Ok(Ok(sweep)) => self.note(&run, RunOutcome::Submitted, None, Some(sweep)).await.map(Some),
            Ok(Err(refused)) if is_lasting(refused.code()) || run.is_late => {
                let why = excerpt(refused.message(), WORDS);
                self.note(&run, RunOutcome::Failed, Some(why), None).await.map(Some)
            }
            Ok(Err(refused)) => {
                let why = excerpt(refused.message(), WORDS);
                self.queue.put_off_run((run.schedule, run.time), AGAIN, &why).await?;
                Ok(Some(None))
            }
            // The submit may go through yet: its key finds it.
            Err(_) => {
                self.queue
                    .put_off_run((run.schedule, run.time), AGAIN, "the submit takes long; it is tried again")
                    .await?;
                Ok(Some(None))
            }
        }
    }

    async fn note(
        &self,
        run: &TakenRun,
        outcome: RunOutcome,
        why: Option<String>,
        sweep: Option<(SweepId, String)>,
    ) -> Result<Option<Fired>, queue::Error> {
        let id = sweep.as_ref().map(|(id, _)| *id);
        if !self.queue.note_run(run, outcome, why.as_deref(), id).await? {
            return Ok(None);
        }
        SCHEDULE_RUNS.add([outcome.name()], 1);
        let (name, time) = (run.name.clone(), run.time);
        match (&sweep, &why) {
            (Some((id, _)), _) => {
                info!(sweep.id = %id, "the schedule {name} has submitted its sweep for {time}")
            }
            (None, Some(why)) => warn!("the schedule {name} did not submit its sweep for {time}: {why}"),
            (None, None) => {}
        }
        Ok(Some(Fired { name, owner: run.owner.clone(), time, outcome, why, sweep }))
    }

    async fn submit_run(&self, run: &TakenRun, key: String) -> Result<(SweepId, String), Status> {
        let (_, rule) = read_rule(&run.rule).map_err(Status::internal)?;
        let manifest = filled(&rule, run.time, &run.manifest, &run.rows)?;
        let messages = messages(&run.name, &run.owner, &rule, manifest, run.time, key);
        let submitting = self.receive_submit(stream::iter(messages).map(Ok).boxed());
        let submitted = answering(in_name_of(&run.owner), submitting).await?;
        Ok((submitted.id, submitted.name))
    }

    /// Checks what a schedule would submit, as its owner. How many jobs it has.
    pub(super) async fn check_fire(
        &self,
        name: &str,
        owner: &str,
        rule: &Rule,
        manifest: Manifest,
        time: Timestamp,
    ) -> Result<u32, Status> {
        if let Some(taken) = [NAME, TIME, DATE].into_iter().find(|name| manifest.env.contains_key(*name)) {
            return Err(Status::invalid_argument(format!(
                "`env` sets {taken}, which the schedule sets itself; take another name"
            )));
        }
        let messages = messages(name, owner, rule, manifest, time, "check".to_owned());
        let checking = self.check_submit(stream::iter(messages).map(Ok).boxed());
        answering(in_name_of(owner), checking).await.map(|checked| checked.jobs)
    }
}

/// The manifest for a time: what stands for the time in its texts and in its rows is replaced.
pub(super) fn filled(
    rule: &Rule,
    time: Timestamp,
    manifest: &str,
    rows: &[String],
) -> Result<Manifest, Status> {
    let fill = |text: &str| rule.filled(text, time).map_err(Status::invalid_argument);
    let parsed = rows.iter().map(|row| {
        Parameters::from_json(&fill(row)?).map_err(|error| Status::invalid_argument(error.to_string()))
    });
    let rows = parsed.collect::<Result<Vec<_>, _>>()?;
    let manifest = Manifest::from_json(&fill(manifest)?).map_err(super::super::submit::invalid)?;
    Ok(if rows.is_empty() { manifest } else { manifest.with_rows(rows) })
}

/// What is submitted for a time.
fn messages(
    name: &str,
    owner: &str,
    rule: &Rule,
    mut manifest: Manifest,
    time: Timestamp,
    key: String,
) -> Vec<v1::SubmitRequest> {
    let (told, date) = rule.told(time);
    for (variable, value) in [(NAME, name), (TIME, &told), (DATE, &date)] {
        manifest.env.insert(variable.to_owned(), literal(value));
    }
    let header = v1::SubmitHeader {
        idempotency_key: key,
        owner: owner.to_owned(),
        tags: vec![format!("schedule:{name}")],
        ..v1::SubmitHeader::default()
    };
    bt_proto::submit::messages(&manifest, header)
}

/// A schedule may do what its owner may, and no more, whoever has added it.
fn in_name_of(owner: &str) -> Arc<Call> {
    let identity = Identity {
        name: owner.to_owned(),
        role: Role::Submitter,
        owners: vec![owner.to_owned()],
        is_known: true,
        ..Identity::anybody()
    };
    Call::new(Arc::new(identity), None, true)
}

/// Whether the same submit would be refused again.
fn is_lasting(code: Code) -> bool {
    !matches!(
        code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Aborted
            | Code::Internal
            | Code::Unknown
    )
}
