//! The moves of attempts: on their way, and to their end.
//!
//! However an attempt ends (published, failed, lost, cancelled), it ends here: its rows are locked, the model decides
//! what becomes of the job, and statements that name the expected states write it.

use std::time::Duration;

use bt_model::id::{AgentId, AttemptId, SweepId};
use bt_model::reason::{Reason, ReasonKind};
use bt_model::retry::{self, Budget, Ending};
use bt_model::state::{AttemptEvent, AttemptState, JobState};
use sqlx::{PgConnection, query_file};
use uuid::Uuid;

use super::row::{Pg, signed, unsigned};
use super::session::hold_session;
use super::{Error, Queue, READY, TAKEN, notify};

/// Who ends the attempts, and what must therefore be true of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fence {
    /// An agent speaks: the attempts must be its own, and its session the newest.
    Agent(AgentId, u64),
    /// The reconciler takes leases away: they must have run out.
    Expired,
    /// The coordinator decides, for a user or by comparing with what an agent holds.
    None,
}

/// What is published when an attempt succeeded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Publication {
    /// Path, size and SHA-256 of each output.
    pub(crate) files: Vec<(String, u64, [u8; 32])>,
    /// The JSON object of the metrics.
    pub(crate) metrics: Option<String>,
}

/// An attempt's end, as it is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Settlement {
    pub(crate) attempt: AttemptId,
    pub(crate) ending: Ending,
    /// Only with [`Ending::Published`].
    pub(crate) publication: Publication,
}

impl Settlement {
    pub(crate) fn of(attempt: AttemptId, ending: Ending) -> Self {
        Self { attempt, ending, publication: Publication::default() }
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// This call ended the attempt; its job is now in this state.
    Now(JobState),
    /// The attempt had ended before, like this.
    Before(AttemptState),
    /// The lease was renewed in the meantime.
    Renewed,
    /// There is no such attempt, or it is another agent's.
    Unknown,
}

impl Queue {
    /// Ends attempts, all in one transaction. The answers are in the order of the questions.
    pub(crate) async fn settle(
        &self,
        fence: Fence,
        settlements: &[Settlement],
    ) -> Result<Vec<Settled>, Error> {
        let mut tx = self.pool.begin().await?;
        if let Fence::Agent(agent, session) = fence {
            hold_session(&mut tx, agent, session).await?;
        }
        let settled = settle_in(&mut tx, fence, settlements).await?;
        tx.commit().await?;
        Ok(settled)
    }

    /// Notes that an attempt has come further. False when it is not live any more, or not this agent's.
    pub(crate) async fn advance(
        &self,
        agent: AgentId,
        session: u64,
        attempt: AttemptId,
        event: AttemptEvent,
        image_id: Option<&str>,
    ) -> Result<bool, Error> {
        let mut tx = self.pool.begin().await?;
        hold_session(&mut tx, agent, session).await?;
        let from = AttemptState::ALL.map(|state| (state, state.next(event)));
        let Some(to) = from.iter().find_map(|(_, to)| to.ok()) else {
            return Ok(false);
        };
        let from: Vec<_> = from.iter().filter(|(_, to)| to.is_ok()).map(|(state, _)| Pg(*state)).collect();
        let moved = query_file!(
            "queries/advance_attempt.sql",
            attempt.uuid(),
            agent.uuid(),
            Pg(to) as _,
            image_id,
            &from as _,
        )
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        if moved.is_some() {
            return Ok(true);
        }
        // A report that is sent again finds its work done.
        Ok(self.taken_away(agent, &[attempt]).await?.is_empty())
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
    job_state: JobState,
    budget: Budget,
}

pub(super) async fn settle_in(
    tx: &mut PgConnection,
    fence: Fence,
    settlements: &[Settlement],
) -> Result<Vec<Settled>, Error> {
    let locked = lock(tx, settlements).await?;
    let mut attempts = AttemptEnds::default();
    let mut jobs = JobEnds::default();
    let mut answers = Vec::with_capacity(settlements.len());
    let mut published = Vec::new();
    for settlement in settlements {
        let Some(row) = locked.iter().find(|row| row.attempt == settlement.attempt) else {
            answers.push(Settled::Unknown);
            continue;
        };
        if let Some(refusal) = refusal(fence, row) {
            answers.push(refusal);
            continue;
        }
        let verdict = retry::verdict(&settlement.ending, row.budget);
        let (Ok(attempt_state), Ok(job_state)) =
            (row.state.next(settlement.ending.event()), row.job_state.next(verdict.event))
        else {
            // The schema's foreign keys and the locks make this impossible; if it happens, nothing may change.
            return Err(Error::Corrupt(format!(
                "attempt {} is {} while its job is {}",
                row.attempt, row.state, row.job_state
            )));
        };
        attempts.push(row.attempt, attempt_state, &settlement.ending);
        let metrics = settlement.publication.metrics.clone();
        jobs.push(row, job_state, &verdict, metrics)?;
        if settlement.ending == Ending::Published {
            published.push((row, &settlement.publication));
        }
        answers.push(Settled::Now(job_state));
    }
    attempts.write(tx).await?;
    jobs.write(tx).await?;
    for (row, publication) in published {
        publish(tx, row, publication).await?;
    }
    if answers.contains(&Settled::Now(JobState::Queued)) {
        notify(tx, READY).await?;
    }
    let by_agent = matches!(fence, Fence::Agent(..));
    if !by_agent && answers.iter().any(|answer| matches!(answer, Settled::Now(_))) {
        notify(tx, TAKEN).await?;
    }
    Ok(answers)
}

async fn lock(tx: &mut PgConnection, settlements: &[Settlement]) -> Result<Vec<Locked>, Error> {
    let ids: Vec<_> = settlements.iter().map(|s| s.attempt.uuid()).collect();
    query_file!("queries/hold_sweeps.sql", &ids).fetch_all(&mut *tx).await?;
    let rows = query_file!("queries/lock_attempts.sql", &ids).fetch_all(tx).await?;
    rows.into_iter()
        .map(|row| {
            Ok(Locked {
                attempt: AttemptId::from_uuid(row.id),
                sweep: SweepId::from_uuid(row.sweep_id),
                job: unsigned(row.job)?,
                agent: AgentId::from_uuid(row.agent_id),
                state: row.state.0,
                expired: row.expired.unwrap_or(false),
                job_state: row.job_state.0,
                budget: Budget {
                    failures: unsigned(row.failures)?,
                    retries: unsigned(row.retries)?,
                    losses: unsigned(row.losses)?,
                    cancelled: row.cancelled,
                },
            })
        })
        .collect()
}

fn refusal(fence: Fence, row: &Locked) -> Option<Settled> {
    match fence {
        Fence::Agent(agent, _) if agent != row.agent => Some(Settled::Unknown),
        _ if !row.state.is_live() => Some(Settled::Before(row.state)),
        Fence::Expired if !row.expired => Some(Settled::Renewed),
        _ => None,
    }
}

/// The columns of `end_attempts.sql`.
#[derive(Default)]
struct AttemptEnds {
    ids: Vec<Uuid>,
    states: Vec<Pg<AttemptState>>,
    reasons: Reasons,
}

impl AttemptEnds {
    fn push(&mut self, id: AttemptId, state: AttemptState, ending: &Ending) {
        self.ids.push(id.uuid());
        self.states.push(Pg(state));
        self.reasons.push(match ending {
            Ending::Failed(reason) => Some(reason),
            _ => None,
        });
    }

    async fn write(&self, tx: &mut PgConnection) -> Result<(), Error> {
        let ended = query_file!(
            "queries/end_attempts.sql",
            &self.ids,
            &self.states as _,
            &self.reasons.kinds as _,
            &self.reasons.codes as _,
            &self.reasons.messages as _,
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
    losses: Vec<i32>,
    waits: Vec<i64>,
    metrics: Vec<Option<String>>,
    reasons: Reasons,
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
        self.failures.push(signed(verdict.failures)?);
        self.losses.push(signed(verdict.losses)?);
        self.waits.push(millis(verdict.wait)?);
        self.metrics.push(metrics);
        self.reasons.push(verdict.reason.as_ref());
        Ok(())
    }

    async fn write(&self, tx: &mut PgConnection) -> Result<(), Error> {
        let ended = query_file!(
            "queries/end_jobs.sql",
            &self.sweeps,
            &self.numbers,
            &self.expected as _,
            &self.states as _,
            &self.failures,
            &self.losses,
            &self.waits,
            &self.metrics as _,
            &self.reasons.kinds as _,
            &self.reasons.codes as _,
            &self.reasons.messages as _,
        )
        .execute(tx)
        .await?;
        expect_rows("jobs", self.numbers.len(), ended.rows_affected())
    }
}

/// Reasons as Postgres has them: a kind, and a code or a message where the kind has one.
#[derive(Default)]
struct Reasons {
    kinds: Vec<Option<Pg<ReasonKind>>>,
    codes: Vec<Option<i32>>,
    messages: Vec<Option<String>>,
}

impl Reasons {
    fn push(&mut self, reason: Option<&Reason>) {
        self.kinds.push(reason.map(|reason| Pg(reason.kind())));
        self.codes.push(reason.and_then(Reason::code));
        let message = reason.and_then(Reason::message);
        // Postgres keeps no NUL in a text.
        self.messages.push(message.map(|text| text.replace('\0', "\u{fffd}")));
    }
}

async fn publish(tx: &mut PgConnection, row: &Locked, publication: &Publication) -> Result<(), Error> {
    let job = signed::<i32>(row.job)?;
    query_file!("queries/insert_result.sql", row.sweep.uuid(), job, row.attempt.uuid())
        .execute(&mut *tx)
        .await?;
    let files = &publication.files;
    let paths: Vec<_> = files.iter().map(|(path, ..)| path.clone()).collect();
    let sizes = files.iter().map(|(_, size, _)| signed::<i64>(*size));
    let sizes = sizes.collect::<Result<Vec<_>, _>>()?;
    let hashes: Vec<_> = files.iter().map(|(_, _, hash)| hash.to_vec()).collect();
    query_file!("queries/insert_result_files.sql", row.sweep.uuid(), job, &paths, &sizes, &hashes)
        .execute(tx)
        .await?;
    Ok(())
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
