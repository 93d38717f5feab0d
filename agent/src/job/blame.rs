//! Who is to blame when the engine does not start a job's container. A job pays for what it asks for itself, once; a
//! machine's trouble costs the job nothing.
//!
//! Where the engine's words do not tell, the agent asks for a plain container: the job's image, and nothing of what its
//! manifest asks for. If that one starts, the engine refused a value of the manifest.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bt_engine::Error;
use bt_model::id::SweepId;
use bt_model::reason::Reason;
use tokio::time::Instant;

/// Sweeps whose refusals are remembered.
const MOST_SWEEPS: usize = 256;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The job fails by this, and pays from its own account.
    Job(Reason),
    /// This machine can't start jobs of the sweep; others may. It costs nothing.
    Agent(String),
    /// Nothing starts here now. It costs the machine's account.
    Now(Reason),
}

/// What became of a plain container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    Starts,
    Fails,
}

/// True if only a plain container can tell who is to blame.
pub(crate) fn is_open(error: &Error) -> bool {
    matches!(error, Error::Engine { .. })
}

/// Decides by the error, by what became of a plain container if one was asked for, and by whether containers of other
/// sweeps have started since this sweep was first refused.
pub(crate) fn of(error: &Error, plain: Option<Plain>, others_start: bool) -> Blame {
    let told = error.to_string();
    match error {
        Error::NoSuchCommand { .. } | Error::Unmountable { .. } => Blame::Job(Reason::Image(told)),
        Error::Volume { .. } => Blame::Agent(told),
        // It was there a moment ago: somebody has removed it.
        Error::NoSuchImage { .. } => Blame::Agent(told),
        Error::Engine { .. } => match (plain, others_start) {
            (Some(Plain::Starts), _) => Blame::Job(Reason::Manifest(told)),
            (Some(Plain::Fails), true) => Blame::Job(Reason::Image(told)),
            (Some(Plain::Fails), false) => Blame::Agent(format!("can't start containers: {told}")),
            (None, _) => Blame::Now(error.reason()),
        },
        Error::Timeout { .. }
        | Error::Unreachable { .. }
        | Error::ImageRefused { .. }
        | Error::DiskFull { .. }
        | Error::Gone { .. }
        | Error::NotStarted { .. } => Blame::Now(error.reason()),
    }
}

/// When containers started, and which sweeps were refused.
#[derive(Debug, Default)]
pub(crate) struct Starts(Mutex<StartHistory>);

#[derive(Debug, Default)]
struct StartHistory {
    /// The latest two starts of different sweeps, the later first.
    started: Vec<(SweepId, Instant)>,
    /// When a sweep was first refused, until it starts.
    refused: HashMap<SweepId, Instant>,
}

impl Starts {
    fn lock(&self) -> MutexGuard<'_, StartHistory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn started(&self, sweep: SweepId, now: Instant) {
        let mut seen = self.lock();
        seen.refused.remove(&sweep);
        seen.started.retain(|(known, _)| *known != sweep);
        seen.started.insert(0, (sweep, now));
        seen.started.truncate(2);
    }

    /// Notes a refusal; true if containers of other sweeps have started since the sweep's first one.
    pub(crate) fn refused(&self, sweep: SweepId, now: Instant) -> bool {
        let mut seen = self.lock();
        if seen.refused.len() >= MOST_SWEEPS
            && !seen.refused.contains_key(&sweep)
            && let Some(oldest) = seen.refused.iter().min_by_key(|(_, since)| **since).map(|(id, _)| *id)
        {
            seen.refused.remove(&oldest);
        }
        let first = *seen.refused.entry(sweep).or_insert(now);
        seen.started.iter().any(|(other, at)| *other != sweep && *at > first)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_table_holds() {
        let says = |message: &str| message.to_owned();
        let engine =
            |status| Error::Engine { call: "start", status: Some(status), message: says("invalid argument") };
        let job = |error: &Error, plain, others| matches!(of(error, plain, others), Blame::Job(_));
        let (starts, fails) = (Some(Plain::Starts), Some(Plain::Fails));
        for status in [400, 409, 500] {
            let error = engine(status);
            assert!(is_open(&error));
            // A value of the manifest: a plain container starts.
            let expected =
                Blame::Job(Reason::Manifest("the container engine refused `start`: invalid argument".into()));
            assert_eq!(of(&error, starts, false), expected);
            assert_eq!(of(&error, starts, true), expected);
            // Not even a plain one of this image starts, and others do: the image's.
            assert!(matches!(of(&error, fails, true), Blame::Job(Reason::Image(_))));
            // Nothing starts: this machine's.
            assert!(matches!(of(&error, fails, false), Blame::Agent(_)));
            // It could not be asked.
            assert!(matches!(of(&error, None, false), Blame::Now(Reason::Agent(_))));
        }
        for error in [Error::NoSuchCommand { message: says("x") }, Error::Unmountable { message: says("x") }]
        {
            assert!(!is_open(&error) && job(&error, None, false));
        }
        for error in [
            Error::Volume { message: says("x") },
            Error::NoSuchImage { image: says("x"), message: says("gone") },
        ] {
            assert!(matches!(of(&error, None, false), Blame::Agent(_)), "{error:?}");
        }
        for error in [
            Error::Timeout { call: "start", after: Duration::from_secs(1) },
            Error::Unreachable { message: says("x") },
            Error::DiskFull { message: says("x") },
        ] {
            assert!(matches!(of(&error, None, true), Blame::Now(_)), "{error:?}");
        }
    }

    #[test]
    fn others_count_that_start_after_the_first_refusal() {
        let (bad, good) = (SweepId::random(), SweepId::random());
        let at = |base: Instant, seconds| base + Duration::from_secs(seconds);
        let (seen, base) = (Starts::default(), Instant::now());
        seen.started(good, base);
        assert!(!seen.refused(bad, at(base, 1)));
        assert!(!seen.refused(bad, at(base, 2)));
        seen.started(good, at(base, 3));
        assert!(seen.refused(bad, at(base, 4)));
        seen.started(bad, at(base, 5));
        assert!(!seen.refused(bad, at(base, 6)), "it has started itself since");
        for _ in 0..2 * MOST_SWEEPS {
            seen.refused(SweepId::random(), at(base, 7));
        }
        assert!(seen.lock().refused.len() <= MOST_SWEEPS);
    }
}
