//! The lives of a job and of an attempt: every state, every event, and the one function that decides each move.
//!
//! ```text
//! job       queued ──leased──▶ running ──published──▶ succeeded   (queued ──reused──▶ succeeded,
//!              ▲  ▲               │ │                               queued ──nothing chosen──▶ failed)
//!              ▲  ▲               │ │ └─────gave up──▶ failed ────┐
//!              │  └─tries again───┘ │├─────cancelled─▶ cancelled ─┤
//!              │                    │└─────pruned────▶ pruned ────┤
//!              └─────────────────────retried──────────────────────┘   (queued ──cancelled──▶ cancelled)
//!
//! attempt   leased ─▶ preparing ─▶ running ─▶ publishing ─▶ succeeded
//!              └───────────┴──────────┴────────────┴──────▶ failed | cancelled | lost | returned
//! ```
//!
//! A report of an earlier step may be lost with an agent's restart, so an attempt may skip steps, but it never goes back.
//! The coordinator's SQL makes these moves and no others; a test holds each statement against `next`.

use std::fmt;

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobState {
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
    /// Stopped for what it had reported so far, as its manifest or a search asks: a trial that was given up early.
    Pruned,
}

/// What moves a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobEvent {
    /// An agent got the lease of a new attempt.
    Leased,
    /// The attempt's outputs were published.
    Published,
    /// An identical job has succeeded, and its result counts for this one too.
    Reused,
    /// The attempt failed or was lost, and another is allowed.
    TriesAgain,
    /// The attempt failed or was lost, and no other is allowed.
    GaveUp,
    /// It waited for parameters, and there was nothing to choose them from.
    NothingChosen,
    /// A user cancelled it.
    Cancelled,
    /// What it reported while it ran was not worth going on.
    Pruned,
    /// A user wants a job that failed, was cancelled or was pruned to run again.
    Retried,
}

/// A move that the life of a job or an attempt does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} can't happen to what is {from:?}")]
pub struct IllegalMove<S: fmt::Debug, E: fmt::Debug> {
    pub from: S,
    pub event: E,
}

impl JobState {
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled, Self::Pruned];

    pub fn next(self, event: JobEvent) -> Result<Self, IllegalMove<Self, JobEvent>> {
        match (self, event) {
            (Self::Queued, JobEvent::Leased) => Ok(Self::Running),
            (Self::Running, JobEvent::Published) => Ok(Self::Succeeded),
            (Self::Queued, JobEvent::Reused) => Ok(Self::Succeeded),
            (Self::Running, JobEvent::TriesAgain) => Ok(Self::Queued),
            (Self::Running, JobEvent::GaveUp) | (Self::Queued, JobEvent::NothingChosen) => Ok(Self::Failed),
            (Self::Queued | Self::Running, JobEvent::Cancelled) => Ok(Self::Cancelled),
            (Self::Running, JobEvent::Pruned) => Ok(Self::Pruned),
            (Self::Failed | Self::Cancelled | Self::Pruned, JobEvent::Retried) => Ok(Self::Queued),
            (from, event) => Err(IllegalMove { from, event }),
        }
    }

    /// True for the states that only a user's retry leaves.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::Pruned)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Pruned => "pruned",
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How far a sweep is with taking the results of identical jobs, where that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReuseState {
    /// It is not known yet which there are; no job of it starts.
    Pending,
    /// What there was is taken; the other jobs run, or wait for identical ones.
    Settled,
    /// It can't be known which there are; all jobs run.
    Declined,
}

impl ReuseState {
    pub const ALL: [Self; 3] = [Self::Pending, Self::Settled, Self::Declined];

    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Settled => "settled",
            Self::Declined => "declined",
        }
    }
}

/// What users are told of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SweepEvent {
    /// All of its jobs have finished.
    Finished,
    /// It starts no more jobs, because its canary failed.
    Paused,
}

impl SweepEvent {
    pub const ALL: [Self; 2] = [Self::Finished, Self::Paused];

    pub fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Paused => "paused",
        }
    }
}

/// Where an attempt is, in the order of its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttemptState {
    /// Claimed for an agent that has not spoken of it yet.
    Leased,
    /// The agent fetches the image and makes the container.
    Preparing,
    /// The container runs.
    Running,
    /// The container has stopped; its outputs are being sent to the store.
    Publishing,
    Succeeded,
    Failed,
    Cancelled,
    /// The agent was not heard of until the lease had run out, or its machine was taken back.
    Lost,
    /// The agent never received it, or handed it back of its own will.
    Returned,
}

/// What moves an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttemptEvent {
    Prepares,
    Runs,
    Publishes,
    Published,
    Failed,
    Cancelled,
    Lost,
    Returned,
}

impl AttemptState {
    pub const ALL: [Self; 9] = [
        Self::Leased,
        Self::Preparing,
        Self::Running,
        Self::Publishing,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Lost,
        Self::Returned,
    ];

    pub fn next(self, event: AttemptEvent) -> Result<Self, IllegalMove<Self, AttemptEvent>> {
        match (self, event) {
            (Self::Leased, AttemptEvent::Prepares) => Ok(Self::Preparing),
            (Self::Leased | Self::Preparing, AttemptEvent::Runs) => Ok(Self::Running),
            (Self::Leased | Self::Preparing | Self::Running, AttemptEvent::Publishes) => Ok(Self::Publishing),
            (live, AttemptEvent::Published) if live.is_live() => Ok(Self::Succeeded),
            (live, AttemptEvent::Failed) if live.is_live() => Ok(Self::Failed),
            (live, AttemptEvent::Cancelled) if live.is_live() => Ok(Self::Cancelled),
            (live, AttemptEvent::Lost) if live.is_live() => Ok(Self::Lost),
            (live, AttemptEvent::Returned) if live.is_live() => Ok(Self::Returned),
            (from, event) => Err(IllegalMove { from, event }),
        }
    }

    /// True while the attempt holds a lease.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Leased | Self::Preparing | Self::Running | Self::Publishing)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Leased => "leased",
            Self::Preparing => "preparing",
            Self::Running => "running",
            Self::Publishing => "publishing",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
            Self::Returned => "returned",
        }
    }
}

impl fmt::Display for AttemptState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
