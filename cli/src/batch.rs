//! Work on several things: one that fails never stops the others. Each failure is printed with the name of its thing,
//! and the command exits with 1 at the end. Only what every other thing would meet too ends the work: the coordinator
//! or the store is away, the disk is full, or the user left.

use crate::error::Error;
use crate::output::say;

/// Things in a row that found the coordinator or the store away before the rest is given up.
const AWAY: usize = 3;

/// The outcome so far.
#[derive(Debug)]
pub(crate) struct BatchOutcome {
    things: usize,
    /// The user named one thing, whose error is the command's.
    is_single: bool,
    failed: usize,
    away_in_a_row: usize,
}

impl BatchOutcome {
    /// Things that the user named. If it is only one, its error is the command's, with its exit code.
    pub(crate) fn of_named(things: usize) -> Self {
        Self { things, is_single: things == 1, failed: 0, away_in_a_row: 0 }
    }

    /// Things that the command found by itself.
    pub(crate) fn of_found(things: usize) -> Self {
        Self { things, is_single: false, failed: 0, away_in_a_row: 0 }
    }

    /// Notes the outcome of one thing; nothing is returned for one that failed. An error ends the batch.
    pub(crate) fn note<T>(&mut self, thing: &str, outcome: Result<T, Error>) -> Result<Option<T>, Error> {
        let error = match outcome {
            Ok(value) => {
                self.away_in_a_row = 0;
                return Ok(Some(value));
            }
            Err(error) => error,
        };
        self.away_in_a_row = if error.may_pass() { self.away_in_a_row + 1 } else { 0 };
        let is_everyones = matches!(error, Error::Interrupted | Error::OutputClosed | Error::NoRoom(_));
        if self.is_single || is_everyones || self.away_in_a_row == AWAY {
            return Err(error);
        }
        let message = error.to_string();
        match message.starts_with(thing) {
            true => say(&format!("btctl: {message}")),
            false => say(&format!("btctl: {thing}: {message}")),
        }
        self.failed += 1;
        Ok(None)
    }

    /// True if nothing has failed so far.
    pub(crate) fn is_good(&self) -> bool {
        self.failed == 0
    }

    /// An error if any thing failed.
    pub(crate) fn finish(self) -> Result<(), Error> {
        match self.failed {
            0 => Ok(()),
            failed => Err(Error::Failed(format!("{failed} of {} failed, as listed above", self.things))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing() -> Result<(), Error> {
        Err(Error::NotFound("it is not there".into()))
    }

    fn away() -> Result<(), Error> {
        Err(Error::Unreachable("nothing answers".into()))
    }

    #[test]
    fn one_that_fails_does_not_stop_the_others() {
        let mut batch = BatchOutcome::of_named(3);
        assert!(batch.note("a", Ok(1)).unwrap().is_some());
        assert!(batch.note("b", missing()).unwrap().is_none());
        assert!(batch.note("c", Ok(3)).unwrap().is_some());
        assert_eq!(batch.finish().unwrap_err().to_string(), "1 of 3 failed, as listed above");
    }

    #[test]
    fn a_single_thing_keeps_its_error() {
        assert!(matches!(BatchOutcome::of_named(1).note("a", missing()), Err(Error::NotFound(_))));
    }

    #[test]
    fn what_all_would_meet_ends_the_batch() {
        let mut batch = BatchOutcome::of_found(9);
        assert!(matches!(batch.note("a", Err::<(), _>(Error::Interrupted)), Err(Error::Interrupted)));
        batch.note("b", away()).unwrap();
        batch.note("c", Ok(())).unwrap();
        batch.note("d", away()).unwrap();
        batch.note("e", away()).unwrap();
        assert!(matches!(batch.note("f", away()), Err(Error::Unreachable(_))));
    }
}
