//! Asking a coordinator again and again, also while none answers.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use crate::error::Error;

/// A coordinator that has not answered for so long is said to be away.
pub(crate) const SILENT: Duration = Duration::from_secs(5);
/// How long an answer is shown, and how many times as long as it took. The longest time is for one that took long because the
/// coordinator was away.
const FRESH: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(20));
const TIMES: u32 = 20;
/// How often what changes by itself, such as the time that a job has run, is drawn anew.
const REDRAW: Duration = Duration::from_millis(500);

/// How long to wait before the same is asked for again: what looks at all jobs of a sweep must not keep the coordinator busy.
pub(crate) fn pause_after(took: Duration) -> Duration {
    (took * TIMES).clamp(FRESH.0, FRESH.1)
}

/// When a coordinator was heard last.
#[derive(Debug)]
pub(crate) struct Heard {
    at: Instant,
    time: Timestamp,
}

impl Heard {
    pub(crate) fn now() -> Self {
        Self { at: Instant::now(), time: Timestamp::now() }
    }

    pub(crate) fn silence(&self) -> Duration {
        self.at.elapsed()
    }

    /// Waits for an answer. `show` is called now and then meanwhile, with the time since when no coordinator answers. The
    /// inner error is that none could be reached.
    pub(crate) async fn answer<T>(
        &mut self,
        ask: impl Future<Output = Result<T, Error>>,
        mut show: impl FnMut(Option<Timestamp>) -> Result<(), Error>,
    ) -> Result<Result<T, Error>, Error> {
        tokio::pin!(ask);
        let answer = loop {
            tokio::select! {
                answer = &mut ask => break answer,
                () = sleep(REDRAW) => show((self.silence() >= SILENT).then_some(self.time))?,
            }
        };
        match answer {
            Ok(answer) => {
                *self = Self::now();
                Ok(Ok(answer))
            }
            Err(error) if error.may_pass() => {
                show(Some(self.time))?;
                Ok(Err(error))
            }
            Err(error) => Err(error),
        }
    }
}
