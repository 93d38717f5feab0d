//! Says that something takes long: with a spinner on a terminal, with a line now and then elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, interval_at};

use super::say::say;
use super::terminal;

/// How long nothing is said.
const QUIET: Duration = Duration::from_secs(2);
/// How often a line is written where there is no terminal.
const LINE: Duration = Duration::from_secs(10);
/// How often the spinner moves.
const TURN: Duration = Duration::from_millis(200);

/// Speaks for as long as it lives, also while the thread that holds it is busy.
#[derive(Debug)]
pub(crate) struct Ticker {
    bar: ProgressBar,
    /// Ended with it.
    _speaking: JoinSet<()>,
}

impl Ticker {
    /// `what` is being done from now on.
    pub(crate) fn start(what: String) -> Self {
        let bar = ProgressBar::hidden();
        let mut speaking = JoinSet::new();
        if terminal::is_stderr() {
            let bar = bar.clone();
            speaking.spawn(async move {
                tokio::time::sleep(QUIET).await;
                bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
                let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
                bar.set_message(what);
                let mut turns = interval(TURN);
                loop {
                    turns.tick().await;
                    bar.tick();
                }
            });
        } else {
            speaking.spawn(async move {
                let began = Instant::now();
                let mut lines = interval_at(began + LINE, LINE);
                loop {
                    lines.tick().await;
                    say(&format!("{what}: {} s so far", began.elapsed().as_secs()));
                }
            });
        }
        Self { bar, _speaking: speaking }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
