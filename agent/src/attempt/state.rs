//! The way of an attempt on this machine, as a pure state machine: what it does in a state is the driver's (`attempt`),
//! what comes after it is decided here and nowhere else.
//!
//! What always holds: an ending is reported once it is decided, and no later event changes it; an attempt that was taken
//! away reports nothing; whatever came before, the container is removed and the attempt forgotten.

use bt_engine::{self, Exit};
use bt_model::reason::Reason;

use crate::record::ending::{Ending, Halt, Outcome, outcome};

/// Where an attempt is. The driver does the work of the state and reports the outcome as an [`Event`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Looks on the disk for what an earlier run of the agent has done.
    New,
    /// Waits for room among the jobs of this machine.
    Waiting,
    /// Gets the image and the volumes, and starts the container.
    Preparing,
    /// The container runs.
    Running,
    /// Its outputs go into the store.
    Publishing,
    /// It did not succeed: what it has left goes into the store, within limits.
    Saving(Ending),
    /// The ending is written down and reported until it is acknowledged; the container is removed.
    Reporting(Ending),
    /// Nothing is reported: the container is removed, and the log kept.
    Discarding,
    /// What is on disk for it is removed.
    Forgetting,
    Over,
}

/// The outcome of a state's work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Nothing is known of an ending.
    Fresh,
    /// An earlier run of the agent had decided how it ends.
    Ended(Ending),
    /// There is room for it.
    Room,
    /// Its container was started, now or by an earlier run of the agent.
    Started,
    /// Its container finished, with what to do next.
    Exited(Outcome),
    /// A step did not succeed.
    Stopped {
        stop: Stop,
        had_started: bool,
    },
    /// Its outputs are in the store.
    Published(Ending),
    /// What it has left is in the store, or took too long.
    Saved,
    /// A coordinator has the report, or has taken the attempt away.
    Acknowledged,
    /// The container is removed.
    Removed,
    Forgotten,
}

/// A step that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Halted(Halt),
    Failed(Reason),
    /// What the job needs can't be had now; later, or on another machine, it may.
    Hindered(Reason),
    /// This machine can't start jobs of this sweep; others may.
    Refused(String),
}

/// An event that can't come in a state: a fault of the driver.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Illegal(String);

impl State {
    /// What follows.
    pub(super) fn next(self, event: Event) -> Result<Self, Illegal> {
        Ok(match (self, event) {
            (Self::New, Event::Fresh) => Self::Waiting,
            (Self::New, Event::Ended(ending)) => Self::Reporting(ending),
            (Self::Waiting, Event::Room) => Self::Preparing,
            (Self::Preparing, Event::Started) => Self::Running,
            (Self::Running, Event::Exited(outcome)) => match outcome {
                Outcome::Publish => Self::Publishing,
                Outcome::End(ending) => Self::Saving(ending),
                Outcome::Discard => Self::Discarding,
            },
            (Self::Publishing, Event::Published(ending)) => Self::Reporting(ending),
            (
                Self::New | Self::Waiting | Self::Preparing | Self::Running | Self::Publishing,
                Event::Stopped { stop, had_started },
            ) => match (stop.ending(), had_started) {
                (None, _) => Self::Discarding,
                (Some(ending), true) => Self::Saving(ending),
                // There is nothing of it that could be saved.
                (Some(ending), false) => Self::Reporting(ending),
            },
            (Self::Saving(ending), Event::Saved) => Self::Reporting(ending),
            (Self::Reporting(_), Event::Acknowledged) | (Self::Discarding, Event::Removed) => {
                Self::Forgetting
            }
            (Self::Forgetting, Event::Forgotten) => Self::Over,
            (state, event) => return Err(Illegal(format!("{event:?} can't come in the state {state:?}"))),
        })
    }
}

impl Stop {
    /// How the attempt ends because of it; nothing if it was taken away.
    fn ending(self) -> Option<Ending> {
        match self {
            Self::Failed(reason) => Some(Ending::failed(&reason)),
            Self::Hindered(reason) => Some(Ending::hindered(&reason)),
            Self::Refused(why) => Some(Ending::Released { why, preempted: false, refused: true }),
            Self::Halted(halt) => match outcome(&Exit::stopped(), Some(&halt)) {
                Outcome::End(ending) => Some(ending),
                Outcome::Publish | Outcome::Discard => None,
            },
        }
    }
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self::Failed(reason)
    }
}

impl From<bt_engine::Error> for Stop {
    fn from(error: bt_engine::Error) -> Self {
        match error.is_transient() {
            true => Self::Hindered(error.reason()),
            false => Self::Failed(error.reason()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Ending {
        Ending::failed(&Reason::Exit(3))
    }

    fn succeeded() -> Ending {
        Ending::Succeeded { outputs: Vec::new(), metrics: String::new(), returns: None }
    }

    fn states() -> Vec<State> {
        vec![
            State::New,
            State::Waiting,
            State::Preparing,
            State::Running,
            State::Publishing,
            State::Saving(failed()),
            State::Reporting(failed()),
            State::Discarding,
            State::Forgetting,
            State::Over,
        ]
    }

    fn stopped(stop: Stop, had_started: bool) -> Event {
        Event::Stopped { stop, had_started }
    }

    fn events() -> Vec<Event> {
        vec![
            Event::Fresh,
            Event::Ended(succeeded()),
            Event::Room,
            Event::Started,
            Event::Exited(Outcome::Publish),
            Event::Exited(Outcome::End(failed())),
            Event::Exited(Outcome::Discard),
            stopped(Stop::Failed(Reason::Exit(3)), false),
            stopped(Stop::Failed(Reason::Exit(3)), true),
            stopped(Stop::Halted(Halt::TakenAway), true),
            Event::Published(succeeded()),
            Event::Saved,
            Event::Acknowledged,
            Event::Removed,
            Event::Forgotten,
        ]
    }

    /// Every state with every event; what is not in the table is illegal.
    #[test]
    fn the_table_of_states_and_events() {
        let stops = |state: &State| {
            let (reported, saved) = (State::Reporting(failed()), State::Saving(failed()));
            [(7, reported), (8, saved), (9, State::Discarding)]
                .map(|(event, next)| (state.clone(), events()[event].clone(), next))
        };
        let mut table = vec![
            (State::New, Event::Fresh, State::Waiting),
            (State::New, Event::Ended(succeeded()), State::Reporting(succeeded())),
            (State::Waiting, Event::Room, State::Preparing),
            (State::Preparing, Event::Started, State::Running),
            (State::Running, Event::Exited(Outcome::Publish), State::Publishing),
            (State::Running, Event::Exited(Outcome::End(failed())), State::Saving(failed())),
            (State::Running, Event::Exited(Outcome::Discard), State::Discarding),
            (State::Publishing, Event::Published(succeeded()), State::Reporting(succeeded())),
            (State::Saving(failed()), Event::Saved, State::Reporting(failed())),
            (State::Reporting(failed()), Event::Acknowledged, State::Forgetting),
            (State::Discarding, Event::Removed, State::Forgetting),
            (State::Forgetting, Event::Forgotten, State::Over),
        ];
        for state in [State::New, State::Waiting, State::Preparing, State::Running, State::Publishing] {
            table.extend(stops(&state));
        }
        for state in states() {
            for event in events() {
                let expected = table.iter().find(|(from, on, _)| *from == state && *on == event);
                let next = state.clone().next(event.clone());
                match expected {
                    Some((_, _, to)) => assert_eq!(next.as_ref(), Ok(to), "{state:?} on {event:?}"),
                    None => assert!(next.is_err(), "{state:?} on {event:?} leads to {next:?}"),
                }
            }
        }
    }

    /// Who pays: an agent's trouble is handed back or costs the machine's account, never the job's.
    #[test]
    fn each_stop_ends_as_its_blame_says() {
        let agent = || Reason::Agent("x".to_owned());
        let released =
            |why: &str, refused| Ending::Released { why: why.to_owned(), preempted: false, refused };
        let cases = [
            (Stop::Failed(Reason::Nproc), Some(Ending::failed(&Reason::Nproc))),
            (Stop::Hindered(agent()), Some(Ending::hindered(&agent()))),
            (Stop::Refused("offers no network".into()), Some(released("offers no network", true))),
            (Stop::Halted(Halt::Release("it drains".into())), Some(released("it drains", false))),
            (Stop::Halted(Halt::Timeout), Some(Ending::failed(&Reason::Timeout))),
            (Stop::Halted(Halt::TakenAway), None),
        ];
        for (stop, ending) in cases {
            assert_eq!(stop.clone().ending(), ending, "{stop:?}");
        }
        let wedged = bt_engine::Error::Unreachable { message: "x".to_owned() };
        assert!(matches!(Stop::from(wedged), Stop::Hindered(_)));
    }
}
