//! Which event wakes which loop. Whoever changes something rings the bell, and need not know who waits for it.
//!
//! A ring is a hint, as a notification of Postgres is: each loop also looks by itself every now and then, and asks
//! Postgres what there is to do.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// A loop that can be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sleeper {
    /// Sends jobs to agents.
    Dispatcher,
    /// Writes `result.json`.
    Publisher,
    /// Looks for results that sweeps can reuse.
    Settling,
    /// Looks after jobs that wait for identical ones.
    Following,
    /// Gives tests their parameters.
    Choosing,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    SweepQueued {
        /// It asks for results of identical jobs.
        reuses: bool,
    },
    JobsRetried,
    JobsCancelled,
    SweepPaused,
    SweepResumed,
    AgentConnected,
    /// An operator took an agent out of service, or put it back.
    AgentDrained,
    /// Attempts ended, whatever their outcome.
    AttemptsEnded {
        /// Some of them were published.
        published: bool,
    },
    /// Jobs took the results of identical ones.
    ResultsReused,
    /// Jobs that waited for their windows have their parameters.
    TestsReady,
    /// Some `result.json` has to be written again.
    ResultsDamaged,
    /// An agent said which image a sweep runs, or that it can't find out.
    ImageAnswered,
    ImagePushed,
    LimitSet,
    /// Another coordinator, or a transaction of this one, says that jobs may be ready.
    HeardReady,
    /// Likewise: attempts were taken from their agents.
    HeardTaken,
    /// Notifications are heard from now on; earlier ones may be lost.
    ListeningBegan,
}

impl Event {
    /// Which loops have something to do after it.
    fn wakes(self) -> &'static [Sleeper] {
        use Sleeper::{Choosing, Dispatcher, Following, Publisher, Settling};
        match self {
            Self::SweepQueued { reuses: false } => &[Dispatcher],
            Self::SweepQueued { reuses: true } | Self::TestsReady => &[Dispatcher, Settling],
            Self::JobsRetried => &[Dispatcher, Settling, Choosing],
            // Jobs that waited for these wait for others, or run.
            Self::JobsCancelled => &[Following, Choosing],
            Self::SweepPaused => &[Following],
            Self::SweepResumed => &[Dispatcher, Following],
            Self::HeardTaken => &[Dispatcher, Following, Choosing],
            // It may be able to say what an image stands for.
            Self::AgentConnected | Self::HeardReady => &[Dispatcher, Settling],
            Self::AttemptsEnded { published: false } => &[Dispatcher, Following, Choosing],
            Self::AttemptsEnded { published: true } => &[Dispatcher, Following, Publisher, Choosing],
            Self::ResultsReused => &[Publisher, Choosing],
            Self::ResultsDamaged => &[Publisher],
            Self::ImageAnswered => &[Settling],
            Self::AgentDrained | Self::ImagePushed | Self::LimitSet | Self::ListeningBegan => &[Dispatcher],
        }
    }
}

/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bell {
    waits: Arc<Waits>,
}

#[derive(Debug, Default)]
struct Waits {
    dispatcher: Notify,
    publisher: Notify,
    settling: Notify,
    following: Notify,
    choosing: Notify,
}

impl Bell {
    /// Wakes the loops that an event concerns. One that is at work makes another pass.
    pub(crate) fn ring(&self, event: Event) {
        for sleeper in event.wakes() {
            self.wait_of(*sleeper).notify_one();
        }
    }

    /// Ends when the bell rings for this loop. A ring before it is awaited is kept, also one from before this call.
    pub(crate) fn rung(&self, sleeper: Sleeper) -> Notified<'_> {
        self.wait_of(sleeper).notified()
    }

    fn wait_of(&self, sleeper: Sleeper) -> &Notify {
        match sleeper {
            Sleeper::Dispatcher => &self.waits.dispatcher,
            Sleeper::Publisher => &self.waits.publisher,
            Sleeper::Settling => &self.waits.settling,
            Sleeper::Following => &self.waits.following,
            Sleeper::Choosing => &self.waits.choosing,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const ALL: [Sleeper; 5] =
        [Sleeper::Dispatcher, Sleeper::Publisher, Sleeper::Settling, Sleeper::Following, Sleeper::Choosing];

    fn woken(bell: &Bell) -> Vec<Sleeper> {
        ALL.into_iter().filter(|sleeper| bell.rung(*sleeper).now_or_never().is_some()).collect()
    }

    #[test]
    fn an_event_wakes_those_that_it_concerns_and_no_others() {
        let bell = Bell::default();
        assert_eq!(woken(&bell), []);
        bell.ring(Event::AttemptsEnded { published: true });
        let all_but_settling =
            [Sleeper::Dispatcher, Sleeper::Publisher, Sleeper::Following, Sleeper::Choosing];
        assert_eq!(woken(&bell), all_but_settling);
        bell.ring(Event::SweepQueued { reuses: false });
        assert_eq!(woken(&bell), [Sleeper::Dispatcher]);
        bell.ring(Event::JobsCancelled);
        assert_eq!(woken(&bell), [Sleeper::Following, Sleeper::Choosing]);
        assert_eq!(woken(&bell), []);
    }

    #[test]
    fn a_ring_during_a_pass_is_kept_and_many_rings_are_one() {
        let bell = Bell::default();
        let other_hand = bell.clone();
        (0..3).for_each(|_| other_hand.ring(Event::ResultsDamaged));
        assert_eq!(woken(&bell), [Sleeper::Publisher]);
        assert_eq!(woken(&bell), []);
    }
}
