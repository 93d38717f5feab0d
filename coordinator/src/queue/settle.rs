//! The ends of attempts.
//!
//! However an attempt ends (published, failed, lost, cancelled), it ends here: its rows are locked, the model decides
//! what becomes of the job, and statements that name the expected states write it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bt_model::id::{AgentId, AttemptId, SweepId};
use bt_model::reason::{Reason, ReasonKind};
use bt_model::retry::{self, Budget, Ending, Spent};
use bt_model::returns::Returns;
use bt_model::state::{AttemptState, JobState};
use serde_json::Value;
use sqlx::query_file;
use uuid::Uuid;

use super::connections::Connection;
use super::files::{Files, PublishedFile};
use super::grown::growth;
use super::reasons::Reasons;
use super::returns::ReturnsRows;
use super::row::{Pg, signed, unsigned};
use super::{Error, Queue, READY, TAKEN, measured, notify};

/// Who ends an attempt, and what must therefore be true of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fence {
    /// An agent speaks: the attempt must be its own. Whoever asks has held its session.
    Agent(AgentId),
    /// The reconciler takes leases away: this one must have run out.
    Expired,
    /// The coordinator found that the agent never received it: it must not have got further.
    Unreceived,
    /// The coordinator judges what its job has reported: its container must not have ended.
    Running,
    /// The coordinator decides, for a user or by comparing with what an agent holds.
    None,
}

/// What is published when an attempt succeeded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Publication {
    pub(crate) files: Vec<PublishedFile>,
    /// The JSON object of the metrics; of a pruned job, what it reported last.
    pub(crate) metrics: Option<String>,
    /// What its job returned period by period, if it reported that.
    pub(crate) returns: Option<Arc<Returns>>,
}

/// An attempt's end, as it is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Settlement {
    pub(crate) attempt: AttemptId,
    pub(crate) fence: Fence,
    pub(crate) ending: Ending,
    /// Only with [`Ending::Published`], and of [`Ending::Pruned`] the metrics.
    pub(crate) publication: Publication,
    /// The image that its container runs, where its start is heard of together with its end.
    pub(crate) image_id: Option<String>,
    pub(crate) measured: Measured,
    pub(crate) given: Given,
    /// What its owner should know besides how it ended.
    pub(crate) remark: String,
}

/// What an attempt was given that is not the same everywhere, where its agent said so.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Given {
    /// What the volumes held: a JSON object, by their names.
    pub(crate) fingerprints: Option<Value>,
    /// All else: a JSON object.
    pub(crate) circumstances: Option<Value>,
}

/// What an attempt's container used; what was not measured is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Measured {
    pub(crate) peak_memory_bytes: Option<u64>,
    /// Millionths of a second.
    pub(crate) cpu_micros: Option<u64>,
    pub(crate) written_bytes: Option<u64>,
    /// How long it ran.
    pub(crate) wall_millis: Option<u64>,
}

impl Settlement {
    pub(crate) fn of(attempt: AttemptId, fence: Fence, ending: Ending) -> Self {
        Self {
            attempt,
            fence,
            ending,
            publication: Publication::default(),
            image_id: None,
            measured: Measured::default(),
            given: Given::default(),
            remark: String::new(),
        }
    }
}

impl Measured {
    /// As Postgres has it, in the order of the fields.
    pub(super) fn read([memory, cpu, written, wall]: [Option<i64>; 4]) -> Result<Self, Error> {
        Ok(Self {
            peak_memory_bytes: memory.map(unsigned).transpose()?,
            cpu_micros: cpu.map(unsigned).transpose()?,
            written_bytes: written.map(unsigned).transpose()?,
            wall_millis: wall.map(unsigned).transpose()?,
        })
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// This call ended the attempt; its job is now in this state.
    Now(JobState),
    /// The attempt had ended before, like this.
    Before(AttemptState),
    /// The lease was renewed, or the attempt came further, in the meantime.
    Renewed,
    /// There is no such attempt, or it is another agent's.
    Unknown,
}

impl Queue {
    /// Ends attempts, all in one transaction. The answers are in the order of the questions.
    pub(crate) async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, Error> {
        if settlements.is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = self.by_key.begin().await?;
        let settled = settle_in(&mut tx, settlements).await?;
        tx.commit().await?;
        measured::ended(settlements, &settled);
        Ok(settled)
    }
}

impl Settled {
    /// True if the attempt ended as asked, now or before.
    pub(super) fn agrees(&self, ending: &Ending) -> bool {
        match self {
            Self::Now(_) => true,
            Self::Before(state) => AttemptState::Leased.next(ending.event()) == Ok(*state),
            Self::Renewed | Self::Unknown => false,
        }
    }
}

/// One attempt and its job, locked.
struct Locked {
    attempt: AttemptId,
    sweep: SweepId,
    job: u32,
    agent: AgentId,
    state: AttemptState,
    expired: bool,
    /// Its container has started.
    started: bool,
    job_state: JobState,
    budget: Budget,
}

pub(super) async fn settle_in(
    tx: &mut Connection,
    settlements: &[Settlement],
) -> Result<Vec<Settled>, Error> {
    if settlements.is_empty() {
        return Ok(Vec::new());
    }
    let locked = lock(tx, settlements).await?;
    let mut attempts = AttemptEnds::default();
    let mut jobs = JobEnds::default();
    let mut answers = Vec::with_capacity(settlements.len());
    let mut published = Vec::new();
    for settlement in settlements {
        let Some(row) = locked.get(&settlement.attempt) else {
            answers.push(Settled::Unknown);
            continue;
        };
        if let Some(refusal) = refusal(settlement.fence, row) {
            answers.push(refusal);
            continue;
        }
        let verdict = retry::verdict(&settlement.ending, &row.budget);
        let (Ok(attempt_state), Ok(job_state)) =
            (row.state.next(settlement.ending.event()), row.job_state.next(verdict.event))
        else {
            // The schema's foreign keys and the locks make this impossible; if it happens, nothing may change.
            return Err(Error::Corrupt(format!(
                "attempt {} is {} while its job is {}",
                row.attempt, row.state, row.job_state
            )));
        };
        attempts.push(settlement, attempt_state);
        let metrics = settlement.publication.metrics.clone();
        jobs.push(row, job_state, &verdict, metrics)?;
        let started = row.started || settlement.image_id.is_some();
        jobs.returned
            .push(i32::from(matches!(settlement.ending, Ending::Returned | Ending::MadeRoom) && !started));
        if settlement.ending == Ending::Published {
            published.push((row, &settlement.publication));
        }
        answers.push(Settled::Now(job_state));
    }
    attempts.write(tx).await?;
    jobs.write(tx).await?;
    publish(tx, &published).await?;
    if answers.contains(&Settled::Now(JobState::Queued)) {
        notify(tx, READY).await?;
    }
    // An agent knows what it said itself.
    let taken = |(settlement, answer): (&Settlement, &Settled)| {
        !matches!(settlement.fence, Fence::Agent(_)) && matches!(answer, Settled::Now(_))
    };
    if settlements.iter().zip(&answers).any(taken) {
        notify(tx, TAKEN).await?;
    }
    Ok(answers)
}

async fn lock(tx: &mut Connection, settlements: &[Settlement]) -> Result<HashMap<AttemptId, Locked>, Error> {
    let ids: Vec<_> = settlements.iter().map(|s| s.attempt.uuid()).collect();
    query_file!("queries/settle/hold_sweeps.sql", &ids).fetch_all(&mut *tx).await?;
    let rows = query_file!("queries/settle/lock_attempts.sql", &ids).fetch_all(tx).await?;
    rows.into_iter()
        .map(|row| {
            let attempt = AttemptId::from_uuid(row.id);
            let locked = Locked {
                attempt,
                sweep: SweepId::from_uuid(row.sweep_id),
                job: unsigned(row.job)?,
                agent: AgentId::from_uuid(row.agent_id),
                state: row.state.0,
                expired: row.expired.unwrap_or(false),
                started: row.started,
                job_state: row.job_state.0,
                budget: Budget {
                    spent: Spent {
                        failures: unsigned(row.failures)?,
                        ooms: unsigned(row.ooms)?,
                        losses: unsigned(row.losses)?,
                        preemptions: unsigned(row.preemptions)?,
                    },
                    retries: Spent {
                        failures: unsigned(row.retries)?,
                        ooms: unsigned(row.oom_retries)?,
                        losses: unsigned(row.loss_retries)?,
                        preemptions: unsigned(row.preemption_retries)?,
                    },
                    retry_on: row.retry_on.into_iter().map(|Pg(kind)| kind).collect(),
                    growth: growth(row.oom_factor, row.oom_max_bytes)?,
                    memory_bytes: unsigned(row.memory_bytes)?,
                    cancelled: row.cancelled,
                },
            };
            Ok((attempt, locked))
        })
        .collect()
}

fn refusal(fence: Fence, row: &Locked) -> Option<Settled> {
    match fence {
        Fence::Agent(agent) if agent != row.agent => Some(Settled::Unknown),
        _ if !row.state.is_live() => Some(Settled::Before(row.state)),
        Fence::Expired if !row.expired => Some(Settled::Renewed),
        Fence::Unreceived if row.state != AttemptState::Leased => Some(Settled::Renewed),
        Fence::Running if row.state == AttemptState::Publishing => Some(Settled::Renewed),
        _ => None,
    }
}

/// The columns of `end_attempts.sql`.
#[derive(Default)]
struct AttemptEnds {
    ids: Vec<Uuid>,
    states: Vec<Pg<AttemptState>>,
    reasons: Reasons,
    images: Vec<Option<String>>,
    memory: Vec<Option<i64>>,
    cpu: Vec<Option<i64>>,
    written: Vec<Option<i64>>,
    wall: Vec<Option<i64>>,
    fingerprints: Vec<Option<Value>>,
    circumstances: Vec<Option<Value>>,
    remarks: Vec<String>,
}

impl AttemptEnds {
    fn push(&mut self, settlement: &Settlement, state: AttemptState) {
        self.ids.push(settlement.attempt.uuid());
        self.states.push(Pg(state));
        self.images.push(settlement.image_id.clone());
        // What does not fit into Postgres's numbers was not measured.
        let amount = |amount: Option<u64>| amount.and_then(|amount| i64::try_from(amount).ok());
        let Measured { peak_memory_bytes, cpu_micros, written_bytes, wall_millis } = settlement.measured;
        self.memory.push(amount(peak_memory_bytes));
        self.cpu.push(amount(cpu_micros));
        self.written.push(amount(written_bytes));
        self.wall.push(amount(wall_millis));
        self.fingerprints.push(settlement.given.fingerprints.clone());
        self.circumstances.push(settlement.given.circumstances.clone());
        self.remarks.push(settlement.remark.clone());
        match &settlement.ending {
            Ending::Failed(reason) | Ending::Hindered(reason) => self.reasons.push(Some(reason)),
            Ending::Pruned(why) => self.reasons.push(Some(&Reason::Pruned(why.clone()))),
            _ => self.reasons.push(None),
        }
    }

    async fn write(&self, tx: &mut Connection) -> Result<(), Error> {
        let ended = query_file!(
            "queries/settle/end_attempts.sql",
            &self.ids,
            &self.states as _,
            &self.reasons.kinds as _,
            &self.reasons.codes as _,
            &self.reasons.messages as _,
            &self.images as _,
            &self.memory as _,
            &self.cpu as _,
            &self.written as _,
            &self.wall as _,
            &self.fingerprints as _,
            &self.circumstances as _,
            &self.remarks,
        )
        .execute(tx)
        .await?;
        expect_rows("attempts", self.ids.len(), ended.rows_affected())
    }
}

/// The columns of `end_jobs.sql`.
#[derive(Default)]
struct JobEnds {
    sweeps: Vec<Uuid>,
    numbers: Vec<i32>,
    expected: Vec<Pg<JobState>>,
    states: Vec<Pg<JobState>>,
    failures: Vec<i32>,
    ooms: Vec<i32>,
    losses: Vec<i32>,
    preemptions: Vec<i32>,
    waits: Vec<i64>,
    metrics: Vec<Option<String>>,
    reasons: Reasons,
    /// 1 for an attempt that was handed back before it had started, else 0.
    returned: Vec<i32>,
    /// What they need from now on, where that is more than before.
    memory: Vec<Option<i64>>,
}

impl JobEnds {
    fn push(
        &mut self,
        row: &Locked,
        state: JobState,
        verdict: &retry::Verdict,
        metrics: Option<String>,
    ) -> Result<(), Error> {
        self.sweeps.push(row.sweep.uuid());
        self.numbers.push(signed(row.job)?);
        self.expected.push(Pg(row.job_state));
        self.states.push(Pg(state));
        let Spent { failures, ooms, losses, preemptions } = verdict.spent;
        self.failures.push(signed(failures)?);
        self.ooms.push(signed(ooms)?);
        self.losses.push(signed(losses)?);
        self.preemptions.push(signed(preemptions)?);
        self.waits.push(millis(verdict.wait)?);
        self.metrics.push(metrics);
        self.memory.push(verdict.memory_bytes.map(signed).transpose()?);
        self.reasons.push(verdict.reason.as_ref());
        Ok(())
    }

    async fn write(&self, tx: &mut Connection) -> Result<(), Error> {
        let ended = query_file!(
            "queries/settle/end_jobs.sql",
            &self.sweeps,
            &self.numbers,
            &self.expected as _,
            &self.states as _,
            &self.failures,
            &self.ooms,
            &self.losses,
            &self.preemptions,
            &self.waits,
            &self.metrics as _,
            &self.reasons.kinds as _,
            &self.reasons.codes as _,
            &self.reasons.messages as _,
            &self.returned,
            &self.memory as _,
        )
        .execute(tx)
        .await?;
        expect_rows("jobs", self.numbers.len(), ended.rows_affected())
    }
}

/// Writes the results of attempts that succeeded, with their files.
async fn publish(tx: &mut Connection, published: &[(&Locked, &Publication)]) -> Result<(), Error> {
    if published.is_empty() {
        return Ok(());
    }
    let (mut sweeps, mut jobs, mut attempts) = (Vec::new(), Vec::new(), Vec::new());
    let mut files = Files::default();
    let mut returns = ReturnsRows::default();
    for (row, publication) in published {
        if let Some(reported) = &publication.returns {
            returns.push(row.sweep, row.attempt, reported);
        }
        sweeps.push(row.sweep.uuid());
        jobs.push(signed::<i32>(row.job)?);
        attempts.push(row.attempt.uuid());
        files.push(row.sweep.uuid(), row.job, &publication.files)?;
    }
    query_file!("queries/settle/insert_results.sql", &sweeps, &jobs, &attempts).execute(&mut *tx).await?;
    returns.write(tx).await?;
    files.write(tx).await
}

/// The rows are locked and their states known, so each statement changes all of them or something is badly wrong.
fn expect_rows(what: &str, expected: usize, changed: u64) -> Result<(), Error> {
    if changed == expected as u64 {
        return Ok(());
    }
    Err(Error::Corrupt(format!("{changed} of {expected} {what} could be ended")))
}

fn millis(wait: Duration) -> Result<i64, Error> {
    let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    signed(millis)
}
