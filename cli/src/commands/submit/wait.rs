//! Waiting for a sweep's end, with progress: a bar on a terminal, a line now and then elsewhere.

use std::time::Duration;

use bt_documents::SweepReport;
use bt_proto::v1;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, sleep};

use super::reuse;
use crate::client::Client;
use crate::error::Error;
use crate::output::{reasons, say, terminal, words};

/// How often the coordinator is asked.
const LOOK: Duration = Duration::from_millis(500);
/// How often a line is written where there is no terminal.
const LINE: Duration = Duration::from_secs(10);
/// How long nothing may run before the reasons are printed.
const QUIET: Duration = Duration::from_secs(3);
/// Reasons that a line names.
const REASONS: usize = 3;
/// How long the coordinator may be away.
const AWAY: Duration = Duration::from_secs(600);

/// Waits until every job is finished. Ctrl-C ends the waiting, not the sweep.
pub(crate) async fn wait(client: &Client, id: &str, name: &str) -> Result<(), Error> {
    tokio::select! {
        ended = watch(client, id) => {
            let shown = ended?;
            summarise(&shown)
        }
        pressed = tokio::signal::ctrl_c() => {
            if let Err(error) = pressed {
                return Err(Error::Failed(format!("Ctrl-C can't be heard: {error}")));
            }
            // A newer sweep may have taken the name meanwhile.
            let resolved = client.resolve(name).await.is_ok_and(|sweep| sweep.id == id);
            let address = if resolved { name } else { id };
            say(&format!(
                "\nthe sweep goes on: btctl wait {address} shows its progress again, btctl cancel {address} stops it"
            ));
            Err(Error::Interrupted)
        }
    }
}

async fn watch(client: &Client, id: &str) -> Result<SweepReport, Error> {
    let mut display = Display::new();
    let mut heard = Instant::now();
    loop {
        match client.show(id).await {
            Ok(shown) => {
                heard = Instant::now();
                // A canary that failed holds the rest back until somebody decides.
                let is_held = shown.sweep.pause_reason.is_some() && shown.counts.running == 0;
                if is_held || shown.counts.queued + shown.counts.running == 0 {
                    display.finish();
                    return Ok(shown);
                }
                display.update(&shown);
            }
            // It comes back, and the sweep with it.
            Err(Error::Unreachable(error)) if heard.elapsed() < AWAY => display.away(&error),
            Err(error) => return Err(error),
        }
        sleep(LOOK).await;
    }
}

struct Display {
    bar: Option<ProgressBar>,
    line: Option<Instant>,
    /// Since when nothing has run.
    quiet: Option<Instant>,
    told: String,
}

impl Display {
    fn new() -> Self {
        Self {
            bar: terminal::is_stderr().then(|| {
                let bar = ProgressBar::new(0);
                let style =
                    ProgressStyle::with_template("[{elapsed}] {bar:30} {pos}/{len} {msg}, {eta} left");
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                bar.enable_steady_tick(LOOK);
                bar
            }),
            line: None,
            quiet: None,
            told: String::new(),
        }
    }

    fn update(&mut self, shown: &SweepReport) {
        let v1::Counts { queued, running, succeeded, failed, cancelled } = shown.counts;
        let ended = succeeded + failed + cancelled;
        let total = words::total(&shown.counts);
        let failures = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        let attached = match shown.reuse.as_ref().map_or(0, |reuse| reuse.attached) {
            0 => String::new(),
            jobs => format!(", of these {jobs} for identical jobs"),
        };
        match &self.bar {
            Some(bar) => {
                bar.set_length(total.into());
                bar.set_position(ended.into());
                bar.set_message(format!("({running} running, {queued} queued{attached}{failures})"));
            }
            None if self.line.is_none_or(|line| line.elapsed() >= LINE) => {
                say(&format!(
                    "{ended}/{total} finished ({running} running, {queued} queued{attached}{failures})"
                ));
                self.line = Some(Instant::now());
            }
            None => {}
        }
        self.tell_why_it_waits(shown);
    }

    /// Says why nothing runs, or what the running jobs wait for, once.
    fn tell_why_it_waits(&mut self, shown: &SweepReport) {
        let noted = shown.progressing.iter().find(|attempt| !attempt.note.is_empty());
        if shown.counts.running > 0 && noted.is_none() {
            self.quiet = None;
            return;
        }
        if self.quiet.get_or_insert_with(Instant::now).elapsed() < QUIET {
            return;
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
        if !why.is_empty() && why != self.told {
            self.say(&format!("waiting: {why}"));
            self.told = why;
        }
    }

    fn away(&mut self, error: &str) {
        if self.told != error {
            self.say(&format!("the coordinator is away ({error}); waiting for it"));
            self.told = error.to_owned();
        }
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Prints the sweep's outcome.
fn summarise(shown: &SweepReport) -> Result<(), Error> {
    let address = words::address(&shown.sweep);
    let name = &shown.sweep.name;
    let v1::Counts { succeeded, failed, cancelled, .. } = shown.counts;
    let took = words::between(shown.sweep.created.as_ref(), shown.sweep.finished.as_ref())?;
    let mut parts = vec![format!("{succeeded} succeeded")];
    for (count, word) in [(failed, "failed"), (cancelled, "were cancelled")] {
        if count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    say(&format!("sweep {name} finished in {took}: {}", parts.join(", ")));
    if let Some(reuse) = &shown.reuse {
        say(&format!("  {}", reuse::words(reuse, words::total(&shown.counts))));
    }
    for failures in &shown.failures {
        let reason = words::reason(failures.reason.clone())?.unwrap_or_default();
        say(&format!("  {}: {reason}; see btctl logs {address}/{}", failures.jobs, failures.first_job));
    }
    if shown.counts.queued > 0 {
        say(&format!(
            "  {} are held back, because {}: btctl resume {address} runs them all the same, btctl cancel {address} drops them",
            shown.counts.queued,
            shown.sweep.pause_reason()
        ));
        return Err(Error::SweepFailed);
    }
    match failed + cancelled {
        0 => Ok(()),
        _ => Err(Error::SweepFailed),
    }
}
