//! What becomes of a job when an attempt at it ends.

use std::time::Duration;

use crate::reason::{Reason, ReasonKind};
use crate::state::{AttemptEvent, JobEvent};

/// A job that was lost this often is given up, so that one that kills its machine does not kill all machines.
pub const LOSS_LIMIT: u32 = 10;

/// The wait before the second try; it doubles with each failure up to [`LONGEST_WAIT`].
pub const FIRST_WAIT: Duration = Duration::from_secs(1);
pub const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// A job whose machines were taken back this often is given up.
pub const PREEMPTION_LIMIT: u32 = 100;

const MIB: u64 = 1 << 20;
/// No machine has more memory, and Postgres can count it.
const MOST_MEMORY: u64 = 1 << 50;

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// Its outputs are published.
    Published,
    Failed(Reason),
    /// What it needs could not be had now, such as an image of a registry that does not answer; later, or on another
    /// machine, it may.
    Hindered(Reason),
    /// Its agent was not heard of until the lease had run out.
    Lost,
    /// Its agent's machine was taken back by its owner, as spot machines are.
    Preempted,
    /// Its agent never received it, or handed it back of its own will: this costs nothing.
    Returned,
    /// It was ended to make room for a sweep of a higher priority, which costs nothing either.
    MadeRoom,
    /// A user cancelled it.
    Cancelled,
    /// What it reported was not worth going on; why.
    Pruned(String),
}

/// What a job has spent, and what it may spend; each kind of end has an account of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    pub spent: Spent,
    /// How often each may be tried again.
    pub retries: Spent,
    /// The reasons that are worth another try.
    pub retry_on: Vec<ReasonKind>,
    /// How a job that ran out of memory gets more.
    pub growth: Option<Growth>,
    /// What the attempt had.
    pub memory_bytes: u64,
    /// The sweep was cancelled: nothing is tried again.
    pub cancelled: bool,
}

/// How much more memory a job gets for each attempt that ran out of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    pub factor: f64,
    pub max_bytes: Option<u64>,
}

impl Growth {
    /// What follows an attempt with so much memory; none where it had the most that is allowed.
    pub fn after(&self, bytes: u64) -> Option<u64> {
        let most = self.max_bytes.unwrap_or(MOST_MEMORY).min(MOST_MEMORY);
        // Whole MiB, so that jobs of one sweep have few sizes.
        let grown = (bytes as f64 * self.factor / MIB as f64).ceil() as u64;
        let grown = grown.saturating_mul(MIB).min(most);
        (grown > bytes).then_some(grown)
    }
}

/// Attempts that ended in each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// By the job's own doing, but for memory.
    pub failures: u32,
    pub ooms: u32,
    pub losses: u32,
    pub preemptions: u32,
}

/// What happens to the job.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub event: JobEvent,
    /// What this attempt adds to the job's accounts.
    pub spent: Spent,
    /// How long the job waits before it may be leased again.
    pub wait: Duration,
    /// Why the job failed, if it is given up, or was pruned.
    pub reason: Option<Reason>,
    /// What its next attempt gets, where that is more than before.
    pub memory_bytes: Option<u64>,
}

impl Ending {
    pub fn event(&self) -> AttemptEvent {
        match self {
            Self::Published => AttemptEvent::Published,
            Self::Failed(_) | Self::Hindered(_) => AttemptEvent::Failed,
            Self::Lost | Self::Preempted => AttemptEvent::Lost,
            Self::Returned | Self::MadeRoom => AttemptEvent::Returned,
            Self::Cancelled | Self::Pruned(_) => AttemptEvent::Cancelled,
        }
    }
}

/// Decides what becomes of a job whose attempt ended like this.
pub fn verdict(ending: &Ending, budget: &Budget) -> Verdict {
    let simply = |event| Verdict {
        event,
        spent: Spent::default(),
        wait: Duration::ZERO,
        reason: None,
        memory_bytes: None,
    };
    match ending {
        Ending::Published => simply(JobEvent::Published),
        Ending::Cancelled => simply(JobEvent::Cancelled),
        Ending::Pruned(why) => {
            Verdict { reason: Some(Reason::Pruned(why.clone())), ..simply(JobEvent::Pruned) }
        }
        Ending::Returned | Ending::MadeRoom if budget.cancelled => simply(JobEvent::Cancelled),
        Ending::Returned | Ending::MadeRoom => simply(JobEvent::TriesAgain),
        Ending::Lost => after_loss(budget, None),
        Ending::Preempted => after_preemption(budget),
        Ending::Hindered(reason) => after_loss(budget, Some(reason)),
        Ending::Failed(reason) if is_the_machines(reason) => after_loss(budget, Some(reason)),
        Ending::Failed(reason) => after_failure(budget, reason),
    }
}

/// True for failures that another machine may not have.
fn is_the_machines(reason: &Reason) -> bool {
    matches!(reason.kind(), ReasonKind::Agent | ReasonKind::Volume)
}

fn after_failure(budget: &Budget, reason: &Reason) -> Verdict {
    let (spent, allowed, before) = match reason {
        Reason::Oom => {
            let spent = Spent { ooms: 1, ..Spent::default() };
            (spent, budget.retries.ooms, budget.spent.ooms)
        }
        _ => {
            let spent = Spent { failures: 1, ..Spent::default() };
            (spent, budget.retries.failures, budget.spent.failures)
        }
    };
    let growth = budget.growth.filter(|_| *reason == Reason::Oom);
    let memory_bytes = growth.and_then(|growth| growth.after(budget.memory_bytes));
    // With the memory that it had it would run out of it again.
    let cannot_grow = growth.is_some() && memory_bytes.is_none();
    let gives_up = before >= allowed || !budget.retry_on.contains(&reason.kind()) || cannot_grow;
    let event = event(budget.cancelled, gives_up);
    Verdict {
        event,
        spent,
        wait: backoff(before),
        reason: (gives_up && !budget.cancelled).then(|| reason.clone()),
        memory_bytes: memory_bytes.filter(|_| event == JobEvent::TriesAgain),
    }
}

fn after_loss(budget: &Budget, reason: Option<&Reason>) -> Verdict {
    let losses = budget.spent.losses + 1;
    let gives_up = losses > budget.retries.losses;
    let why = || match reason {
        Some(reason) => reason.clone(),
        None => Reason::Agent(format!("lost {losses} times")),
    };
    Verdict {
        event: event(budget.cancelled, gives_up),
        spent: Spent { losses: 1, ..Spent::default() },
        wait: match reason {
            Some(_) => backoff(budget.spent.losses),
            None => Duration::ZERO,
        },
        reason: (gives_up && !budget.cancelled).then(why),
        memory_bytes: None,
    }
}

fn after_preemption(budget: &Budget) -> Verdict {
    let preemptions = budget.spent.preemptions + 1;
    let gives_up = preemptions > budget.retries.preemptions;
    Verdict {
        event: event(budget.cancelled, gives_up),
        spent: Spent { preemptions: 1, ..Spent::default() },
        wait: Duration::ZERO,
        reason: (gives_up && !budget.cancelled)
            .then(|| Reason::Agent(format!("preempted {preemptions} times"))),
        memory_bytes: None,
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

    fn allowing(failures: u32) -> Budget {
        Budget {
            spent: Spent::default(),
            retries: Spent { failures, ooms: 1, losses: LOSS_LIMIT, preemptions: PREEMPTION_LIMIT },
            retry_on: ReasonKind::OF_JOBS.to_vec(),
            growth: None,
            memory_bytes: 1 << 30,
            cancelled: false,
        }
    }

    fn events(ending: &Ending, mut budget: Budget, times: usize) -> Vec<JobEvent> {
        let mut seen = Vec::new();
        for _ in 0..times {
            let verdict = verdict(ending, &budget);
            budget.spent.failures += verdict.spent.failures;
            budget.spent.ooms += verdict.spent.ooms;
            budget.spent.losses += verdict.spent.losses;
            budget.spent.preemptions += verdict.spent.preemptions;
            seen.push(verdict.event);
        }
        seen
    }

    #[test]
    fn a_failure_is_tried_again_as_often_as_the_manifest_says() {
        use JobEvent::{GaveUp, TriesAgain};
        let failed = Ending::Failed(Reason::Exit(1));
        assert_eq!(events(&failed, allowing(0), 1), [GaveUp]);
        assert_eq!(events(&failed, allowing(2), 3), [TriesAgain, TriesAgain, GaveUp]);
    }

    #[test]
    fn each_kind_of_end_has_an_account_of_its_own() {
        use JobEvent::{GaveUp, TriesAgain};
        let oom = Ending::Failed(Reason::Oom);
        assert_eq!(events(&oom, allowing(0), 2), [TriesAgain, GaveUp]);
        assert_eq!(events(&oom, allowing(5), 2), [TriesAgain, GaveUp]);
        let mut budget = allowing(1);
        budget.spent = Spent { ooms: 1, losses: LOSS_LIMIT, preemptions: PREEMPTION_LIMIT, failures: 0 };
        assert_eq!(events(&Ending::Failed(Reason::Exit(1)), budget, 2), [TriesAgain, GaveUp]);
    }

    #[test]
    fn each_escalation_has_more_memory_until_the_times_or_the_most_are_reached() {
        let grown = |times: u32, factor: f64, max_mib: Option<u64>, attempts: usize| {
            let mut budget = allowing(0);
            budget.retries.ooms = times;
            budget.memory_bytes = 100 << 20;
            budget.growth = Some(Growth { factor, max_bytes: max_mib.map(|mib| mib << 20) });
            let mut seen = Vec::new();
            for _ in 0..attempts {
                let verdict = verdict(&Ending::Failed(Reason::Oom), &budget);
                assert_eq!(verdict.reason.is_some(), verdict.memory_bytes.is_none());
                budget.spent.ooms += verdict.spent.ooms;
                budget.memory_bytes = verdict.memory_bytes.unwrap_or(budget.memory_bytes);
                seen.push(verdict.memory_bytes.map(|bytes| bytes >> 20));
            }
            seen
        };
        assert_eq!(grown(2, 1.5, None, 3), [Some(150), Some(225), None]);
        assert_eq!(grown(5, 2.0, Some(250), 3), [Some(200), Some(250), None]);
        assert_eq!(grown(5, 2.0, Some(100), 1), [None]);
        assert_eq!(grown(0, 2.0, None, 1), [None]);
        let other = verdict(&Ending::Failed(Reason::Exit(1)), &allowing(1));
        assert_eq!(other.memory_bytes, None);
        assert_eq!(Growth { factor: 16.0, max_bytes: None }.after(u64::MAX / 2), None);
    }

    #[test]
    fn what_the_engine_refuses_of_a_manifest_is_not_tried_again() {
        let reason = Reason::Manifest("no such limit".to_owned());
        assert_eq!(events(&Ending::Failed(reason), allowing(5), 1), [JobEvent::GaveUp]);
    }

    #[test]
    fn only_the_reasons_that_were_asked_for_are_tried_again() {
        let mut budget = allowing(5);
        budget.retry_on = vec![ReasonKind::Timeout];
        let of = |reason| verdict(&Ending::Failed(reason), &budget).event;
        assert_eq!(of(Reason::Timeout), JobEvent::TriesAgain);
        assert_eq!(of(Reason::Exit(1)), JobEvent::GaveUp);
        assert_eq!(of(Reason::Agent("its disk broke".into())), JobEvent::TriesAgain);
    }

    #[test]
    fn losses_and_preemptions_are_free_up_to_their_limits() {
        for (ending, limit, why) in [
            (Ending::Lost, LOSS_LIMIT, "lost 11 times"),
            (Ending::Preempted, PREEMPTION_LIMIT, "preempted 101 times"),
        ] {
            let events = events(&ending, allowing(0), limit as usize + 1);
            let (last, before) = events.split_last().expect("there are some");
            assert!(before.iter().all(|event| *event == JobEvent::TriesAgain));
            assert_eq!(*last, JobEvent::GaveUp);
            let mut budget = allowing(0);
            budget.spent = Spent { losses: limit, preemptions: limit, ..Spent::default() };
            assert_eq!(verdict(&ending, &budget).reason, Some(Reason::Agent(why.into())));
        }
    }

    #[test]
    fn what_could_not_be_had_now_is_tried_again_with_growing_waits() {
        let hindered = Ending::Hindered(Reason::Image("the registry does not answer".into()));
        let mut budget = allowing(0);
        let first = verdict(&hindered, &budget);
        assert_eq!((first.event, first.wait), (JobEvent::TriesAgain, FIRST_WAIT));
        budget.spent.losses = LOSS_LIMIT;
        let last = verdict(&hindered, &budget);
        assert!(matches!(last.reason, Some(Reason::Image(_))) && last.event == JobEvent::GaveUp);
    }

    #[test]
    fn what_was_handed_back_costs_nothing() {
        for ending in [Ending::Returned, Ending::MadeRoom] {
            let verdict = verdict(&ending, &allowing(0));
            assert_eq!((verdict.event, verdict.spent), (JobEvent::TriesAgain, Spent::default()));
        }
    }

    #[test]
    fn nothing_of_a_cancelled_sweep_is_tried_again() {
        let budget = Budget { cancelled: true, ..allowing(5) };
        let failed = Ending::Failed(Reason::Oom);
        for ending in [Ending::Lost, Ending::Preempted, Ending::Returned, Ending::MadeRoom, failed] {
            let verdict = verdict(&ending, &budget);
            assert_eq!((verdict.event, verdict.reason), (JobEvent::Cancelled, None));
        }
    }

    #[test]
    fn what_is_pruned_says_why_and_costs_nothing() {
        for cancelled in [false, true] {
            let budget = Budget { cancelled, ..allowing(5) };
            let verdict = verdict(&Ending::Pruned("x < 0: x is -1".to_owned()), &budget);
            assert_eq!((verdict.event, verdict.spent), (JobEvent::Pruned, Spent::default()));
            assert_eq!(verdict.reason.unwrap().to_string(), "pruned(x < 0: x is -1)");
        }
    }

    #[test]
    fn waits_double_and_stay_bounded() {
        let waits: Vec<_> = [0, 1, 2, 8, 9, 40].map(|n| backoff(n).as_secs()).into();
        assert_eq!(waits, [1, 2, 4, 256, 300, 300]);
    }
}
