//! How a sweep stands where there is no terminal: a line when something has changed, but not too often.

use std::time::Duration;

use bt_documents::SweepReport;
use bt_proto::v1;
use tokio::time::Instant;

use crate::error::Error;
use crate::output::{Channel, reasons, words};

/// The shortest time between two lines.
const LINE: Duration = Duration::from_secs(5);
/// How long nothing may run before the reasons are printed.
const QUIET: Duration = Duration::from_secs(3);
/// Reasons that a line names.
const REASONS: usize = 3;

#[derive(Debug)]
pub(super) struct Lines {
    channel: Channel,
    /// What was said last of the jobs, and when.
    said: Option<(Instant, String)>,
    /// Since when nothing has run.
    quiet: Option<Instant>,
    why: String,
    is_away: bool,
}

impl Lines {
    pub(super) fn on(channel: Channel) -> Self {
        Self { channel, said: None, quiet: None, why: String::new(), is_away: false }
    }

    pub(super) fn update(&mut self, shown: &SweepReport) -> Result<(), Error> {
        if std::mem::take(&mut self.is_away) {
            self.channel.say("the coordinator is back")?;
        }
        let v1::Counts { queued, running, succeeded, failed, cancelled, pruned } = shown.counts;
        let ended = succeeded + failed + cancelled + pruned;
        let total = words::total(&shown.counts);
        let mut failures = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        if pruned > 0 {
            failures += &format!(", {pruned} pruned");
        }
        let attached = match shown.reuse.as_ref().map_or(0, |reuse| reuse.attached) {
            0 => String::new(),
            jobs => format!(", of these {jobs} for identical jobs"),
        };
        let open = if shown.sweep.open { "; open for more jobs" } else { "" };
        let line = format!(
            "{ended}/{total} finished ({running} running, {queued} queued{attached}{failures}){open}"
        );
        if self.said.as_ref().is_none_or(|(at, said)| *said != line && at.elapsed() >= LINE) {
            self.channel.say(&line)?;
            self.said = Some((Instant::now(), line));
        }
        self.say_why_it_waits(shown)
    }

    /// Says why nothing runs, or what the running jobs wait for, once.
    fn say_why_it_waits(&mut self, shown: &SweepReport) -> Result<(), Error> {
        let noted = shown.progressing.iter().find(|attempt| !attempt.note.is_empty());
        if shown.counts.running > 0 && noted.is_none() {
            self.quiet = None;
            return Ok(());
        }
        if self.quiet.get_or_insert_with(Instant::now).elapsed() < QUIET {
            return Ok(());
        }
        let why = match noted {
            Some(attempt) => format!("job {} on agent {}: {}", attempt.job, attempt.agent, attempt.note),
            None => {
                let (whys, more) = reasons::first(reasons::lines(&shown.waiting), REASONS);
                match more {
                    0 => whys.join("; "),
                    more => format!(
                        "{}; and {more} more reasons, as btctl explain {} says",
                        whys.join("; "),
                        shown.sweep.name
                    ),
                }
            }
        };
        if !why.is_empty() && why != self.why {
            self.channel.say(&format!("waiting: {why}"))?;
            self.why = why;
        }
        Ok(())
    }

    /// Says that no coordinator answers, once each time.
    pub(super) fn away(&mut self, line: &str) -> Result<(), Error> {
        match std::mem::replace(&mut self.is_away, true) {
            true => Ok(()),
            false => self.channel.say(line),
        }
    }
}
