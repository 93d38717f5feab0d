//! What becomes of a job when an attempt at it has ended.

use std::time::Duration;

use crate::reason::{Reason, ReasonKind};
use crate::state::{AttemptEvent, JobEvent};

/// A job that was lost this often is given up, so that one that kills its machine does not kill all machines.
pub const LOSS_LIMIT: u32 = 10;

/// The wait before the second try; it doubles with each failure up to [`LONGEST_WAIT`].
pub const FIRST_WAIT: Duration = Duration::from_secs(1);
pub const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// Its outputs are published.
    Published,
    Failed(Reason),
    /// Its agent was not heard of until the lease had run out.
    Lost,
    /// Its agent never received it, or handed it back of its own will: this costs nothing.
    Returned,
    /// A user cancelled it.
    Cancelled,
}

/// What a job has spent, and what it may spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Attempts that failed by the job's own doing, and how many of these may be tried again.
    pub failures: u32,
    pub retries: u32,
    /// Attempts that were lost, of which [`LOSS_LIMIT`] are free.
    pub losses: u32,
    /// The sweep was cancelled: nothing is tried again.
    pub cancelled: bool,
}

/// What happens to the job.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub event: JobEvent,
    /// What this attempt adds to the job's account.
    pub failures: u32,
    pub losses: u32,
    /// How long the job waits before it may be leased again.
    pub wait: Duration,
    /// Why the job failed, if it is given up.
    pub reason: Option<Reason>,
}

impl Ending {
    pub fn event(&self) -> AttemptEvent {
        match self {
            Self::Published => AttemptEvent::Published,
            Self::Failed(_) => AttemptEvent::Failed,
            Self::Lost | Self::Returned => AttemptEvent::Lost,
            Self::Cancelled => AttemptEvent::Cancelled,
        }
    }
}

/// Decides what becomes of a job whose attempt ended like this.
pub fn verdict(ending: &Ending, budget: Budget) -> Verdict {
    let simply = |event| Verdict { event, failures: 0, losses: 0, wait: Duration::ZERO, reason: None };
    match ending {
        Ending::Published => simply(JobEvent::Published),
        Ending::Cancelled => simply(JobEvent::Cancelled),
        Ending::Returned if budget.cancelled => simply(JobEvent::Cancelled),
        Ending::Returned => simply(JobEvent::TriesAgain),
        Ending::Lost => after_loss(budget, None),
        Ending::Failed(reason) if is_the_machines(reason) => after_loss(budget, Some(reason)),
        Ending::Failed(reason) => after_failure(budget, reason),
    }
}

/// True for failures that another machine may not have.
fn is_the_machines(reason: &Reason) -> bool {
    matches!(reason.kind(), ReasonKind::Agent | ReasonKind::Volume)
}

fn after_failure(budget: Budget, reason: &Reason) -> Verdict {
    let gives_up = budget.failures >= budget.retries;
    Verdict {
        event: event(budget.cancelled, gives_up),
        failures: 1,
        losses: 0,
        wait: backoff(budget.failures),
        reason: (gives_up && !budget.cancelled).then(|| reason.clone()),
    }
}

fn after_loss(budget: Budget, reason: Option<&Reason>) -> Verdict {
    let losses = budget.losses + 1;
    let gives_up = losses >= LOSS_LIMIT;
    let why = || match reason {
        Some(reason) => reason.clone(),
        None => Reason::Agent(format!("lost {losses} times")),
    };
    Verdict {
        event: event(budget.cancelled, gives_up),
        failures: 0,
        losses: 1,
        wait: match reason {
            Some(_) => backoff(budget.losses),
            None => Duration::ZERO,
        },
        reason: (gives_up && !budget.cancelled).then(why),
    }
}

fn event(cancelled: bool, gives_up: bool) -> JobEvent {
    match (cancelled, gives_up) {
        (true, _) => JobEvent::Cancelled,
        (false, true) => JobEvent::GaveUp,
        (false, false) => JobEvent::TriesAgain,
    }
}

fn backoff(before: u32) -> Duration {
    let factor = 2_u32.saturating_pow(before.min(16));
    FIRST_WAIT.saturating_mul(factor).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: Budget = Budget { failures: 0, retries: 0, losses: 0, cancelled: false };

    fn events(ending: &Ending, mut budget: Budget, times: usize) -> Vec<JobEvent> {
        let mut seen = Vec::new();
        for _ in 0..times {
            let verdict = verdict(ending, budget);
            budget.failures += verdict.failures;
            budget.losses += verdict.losses;
            seen.push(verdict.event);
        }
        seen
    }

    #[test]
    fn a_failure_is_tried_again_as_often_as_the_manifest_says() {
        use JobEvent::{GaveUp, TriesAgain};
        let failed = Ending::Failed(Reason::Exit(1));
        assert_eq!(events(&failed, FRESH, 1), [GaveUp]);
        let budget = Budget { retries: 2, ..FRESH };
        assert_eq!(events(&failed, budget, 3), [TriesAgain, TriesAgain, GaveUp]);
    }

    #[test]
    fn losses_are_free_up_to_the_limit() {
        let events = events(&Ending::Lost, FRESH, 10);
        assert_eq!(events[..9], [JobEvent::TriesAgain; 9]);
        assert_eq!(events[9], JobEvent::GaveUp);
        let last = verdict(&Ending::Lost, Budget { losses: 9, ..FRESH });
        assert_eq!(last.reason, Some(Reason::Agent("lost 10 times".into())));
    }

    #[test]
    fn what_was_handed_back_costs_nothing() {
        let verdict = verdict(&Ending::Returned, Budget { losses: 9, ..FRESH });
        assert_eq!((verdict.event, verdict.losses), (JobEvent::TriesAgain, 0));
    }

    #[test]
    fn nothing_of_a_cancelled_sweep_is_tried_again() {
        let budget = Budget { retries: 5, cancelled: true, ..FRESH };
        for ending in [Ending::Lost, Ending::Returned, Ending::Failed(Reason::Oom)] {
            let verdict = verdict(&ending, budget);
            assert_eq!((verdict.event, verdict.reason), (JobEvent::Cancelled, None));
        }
    }

    #[test]
    fn waits_double_and_stay_bounded() {
        let waits: Vec<_> = [0, 1, 2, 8, 9, 40].map(|n| backoff(n).as_secs()).into();
        assert_eq!(waits, [1, 2, 4, 256, 300, 300]);
    }
}
