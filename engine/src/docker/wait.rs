//! Waiting for a container's end.
//!
//! The Engine's word that a container has ended is a hint; what an inspection shows is the truth. So a word that never
//! comes costs one interval, and a restarted Engine is asked again.

use std::sync::LazyLock;
use std::time::Duration;

use bollard::models::ContainerStateStatusEnum;
use bollard::query_parameters::{LogsOptionsBuilder, WaitContainerOptionsBuilder};
use bt_model::id::AttemptId;
use futures_util::StreamExt;
use tokio::time::Instant;

use crate::docker::fault::within;
use crate::docker::{Docker, READ_DEADLINE, name, podman};
use crate::{Error, Exit};

/// How often a container is inspected while the Engine says nothing of it.
const INSPECT_INTERVAL: Duration = Duration::from_secs(5);
/// When a container that Podman may have ended before it was asked is inspected for the first time.
const FIRST_LOOK: Duration = Duration::from_millis(250);
/// The longest line that init may have written.
const LONGEST_WORDS: usize = 16 << 10;
/// How long an Engine may be away (restarted, upgraded) before a wait for one of its containers ends with an error.
pub(super) const AWAY_LIMIT: Duration = Duration::from_secs(10 * 60);
/// The pause before an Engine that hung up is asked again.
pub(super) const AWAY_PAUSE: Duration = Duration::from_millis(500);

impl Docker {
    /// Waits until the container has ended.
    ///
    /// Ends with [`Error::Gone`] when the container was removed, with [`Error::NotStarted`] when there is nothing to
    /// wait for, and with the last error when the Engine stays away for ten minutes. Of a command that the image does
    /// not have, [`Error::NoSuchCommand`] tells.
    pub(crate) async fn wait(&self, attempt: AttemptId) -> Result<Exit, Error> {
        let name = name(attempt);
        // Podman before 4.6 spins on a core for everyone who waits until a container is not running. It does not while it
        // waits for the next exit, of which an exit that has been tells nothing.
        let (condition, first) = match self.podman {
            true => ("next-exit", FIRST_LOOK),
            false => ("not-running", INSPECT_INTERVAL),
        };
        let mut away_since = None;
        let mut was_away = false;
        loop {
            let options = WaitContainerOptionsBuilder::new().condition(condition).build();
            let mut ended = self.client.wait_container(&name, Some(options)).boxed();
            let mut patience = first;
            loop {
                let hint = tokio::time::timeout(patience, ended.next()).await;
                patience = INSPECT_INTERVAL;
                match self.end_of(attempt).await {
                    Ok(Some(mut exit)) => {
                        exit.oom = exit.oom || self.memory.was_told_of_kill(attempt).await;
                        exit.interrupted |= was_away || self.goes_away_after(&exit).await;
                        return self.checked(attempt, exit).await;
                    }
                    Ok(None) => away_since = None,
                    Err(error @ (Error::Unreachable { .. } | Error::Timeout { .. })) => {
                        was_away = true;
                        let since: Instant = *away_since.get_or_insert_with(Instant::now);
                        if since.elapsed() > AWAY_LIMIT {
                            return Err(error);
                        }
                    }
                    Err(error) => return Err(error),
                }
                if hint.is_ok() {
                    break;
                }
            }
            tokio::time::sleep(AWAY_PAUSE).await;
        }
    }

    /// An Engine that is being stopped ends its containers first, as a user would by SIGTERM and SIGKILL; only then is it
    /// gone.
    async fn goes_away_after(&self, exit: &Exit) -> bool {
        if exit.oom || !matches!(exit.code, 137 | 143) {
            return false;
        }
        tokio::time::sleep(AWAY_PAUSE).await;
        self.version().await.is_err()
    }

    /// How the container ended; `None` while it runs.
    pub(super) async fn end_of(&self, attempt: AttemptId) -> Result<Option<Exit>, Error> {
        let found = self.inspect(attempt).await?;
        let state = found.state.unwrap_or_default();
        let killed = || self.memory.killed_in(attempt, &found.id.unwrap_or_default());
        let error = state.error.unwrap_or_default();
        let started = state.started_at.map(|started| started.to_string()).unwrap_or_default();
        match state.status {
            Some(ContainerStateStatusEnum::EXITED | ContainerStateStatusEnum::DEAD) => Ok(Some(Exit {
                code: state.exit_code.unwrap_or_default(),
                oom: state.oom_killed.unwrap_or_default() || killed(),
                error,
                ran: state.finished_at.and_then(|finished| between(&started, &finished.to_string())),
                interrupted: is_before_boot(&started),
            })),
            Some(ContainerStateStatusEnum::REMOVING) => Err(Error::Gone { attempt }),
            Some(ContainerStateStatusEnum::CREATED) => Err(Error::NotStarted { attempt, message: error }),
            _ => Ok(None),
        }
    }

    /// The container's init, not the Engine, starts the command, so a command that can't be started looks like one
    /// that failed. Only init's last words on stderr tell the two apart.
    async fn checked(&self, attempt: AttemptId, exit: Exit) -> Result<Exit, Error> {
        if !matches!(exit.code, 1 | 126 | 127) {
            return Ok(exit);
        }
        match self.complaint(attempt).await {
            Ok(Some((command, why))) => {
                let message = format!("the command `{command}` can't be started in the image: {why}");
                Err(Error::NoSuchCommand { message })
            }
            Ok(None) => Ok(exit),
            Err(error) => {
                tracing::debug!(attempt = %attempt, %error, "can't read the last line of a failed container");
                Ok(exit)
            }
        }
    }

    /// The command that init could not start, and why.
    async fn complaint(&self, attempt: AttemptId) -> Result<Option<(String, String)>, Error> {
        let words = self.last_words(attempt).await?;
        if let Some(why) = podman::init_complaint(&words) {
            // Its init does not name the command.
            let arguments = self.inspect(attempt).await?.args.unwrap_or_default();
            let command = arguments.into_iter().find(|argument| argument != "--").unwrap_or_default();
            return Ok(Some((command, why.to_owned())));
        }
        Ok(init_complaint(&words).map(|(command, why)| (command.to_owned(), why.to_owned())))
    }

    /// The last line on stderr; nothing if it is longer than any of init's.
    async fn last_words(&self, attempt: AttemptId) -> Result<String, Error> {
        // Init's words are all that is in a log if they are in it; Podman tears lines apart when it is asked for the last.
        let tail = if self.podman { "all" } else { "1" };
        let options = LogsOptionsBuilder::new().stdout(self.podman).stderr(true).tail(tail).build();
        let name = name(attempt);
        let mut pieces = self.client.logs(&name, Some(options)).boxed();
        let mut line = Vec::new();
        while let Some(piece) =
            within("logs", READ_DEADLINE, Some(attempt), async { pieces.next().await.transpose() }).await?
        {
            line.extend_from_slice(&piece.into_bytes());
            if line.len() > LONGEST_WORDS {
                return Ok(String::new());
            }
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}

/// The time between two points as the Engine writes them.
fn between(started: &str, finished: &str) -> Option<Duration> {
    let [started, finished] = [started, finished].map(|time| time.parse::<jiff::Timestamp>().ok());
    Duration::try_from(finished?.duration_since(started?)).ok()
}

/// True if the machine was started anew after this time: what ran then was not ended by itself.
fn is_before_boot(started: &str) -> bool {
    static BOOTED: LazyLock<Option<i64>> = LazyLock::new(|| {
        let stat = std::fs::read_to_string("/proc/stat").ok()?;
        stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
    });
    let booted = *BOOTED;
    let started = started.parse::<jiff::Timestamp>().ok();
    matches!((started, booted), (Some(started), Some(booted)) if started.as_second() > 0 && started.as_second() < booted)
}

/// Reads tini's `[FATAL tini (7)] exec nosuch failed: No such file or directory`.
fn init_complaint(line: &str) -> Option<(&str, &str)> {
    let (_, rest) = line.trim().strip_prefix("[FATAL tini (")?.split_once(")] exec ")?;
    rest.rsplit_once(" failed: ")
}

#[cfg(test)]
mod tests {
    use super::init_complaint;

    #[test]
    fn only_the_words_of_init_are_a_missing_command() {
        assert_eq!(
            init_complaint("[FATAL tini (7)] exec no such failed: No such file or directory\n"),
            Some(("no such", "No such file or directory"))
        );
        assert_eq!(init_complaint("sh: nosuch: not found\n"), None);
        assert_eq!(init_complaint("[FATAL tini (7)] something else"), None);
    }
}
