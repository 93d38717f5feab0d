//! Waiting for a container's end.
//!
//! The Engine's word that a container has ended is a hint; what an inspection shows is the truth. So a word that never
//! comes costs one interval, and a restarted Engine is asked again.

use std::time::Duration;

use bollard::models::ContainerStateStatusEnum;
use bollard::query_parameters::{LogsOptionsBuilder, WaitContainerOptionsBuilder};
use bt_model::id::AttemptId;
use futures_util::StreamExt;
use tokio::time::Instant;

use crate::engine::docker::fault::within;
use crate::engine::docker::{Docker, READ_DEADLINE, name, podman};
use crate::engine::{Error, Exit};

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
        loop {
            let options = WaitContainerOptionsBuilder::new().condition(condition).build();
            let mut ended = self.client.wait_container(&name, Some(options)).boxed();
            let mut patience = first;
            loop {
                let hint = tokio::time::timeout(patience, ended.next()).await;
                patience = INSPECT_INTERVAL;
                match self.end_of(attempt).await {
                    Ok(Some(exit)) => return self.checked(attempt, exit).await,
                    Ok(None) => away_since = None,
                    Err(error @ (Error::Unreachable { .. } | Error::Timeout { .. })) => {
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

    /// How the container ended; `None` while it runs.
    pub(super) async fn end_of(&self, attempt: AttemptId) -> Result<Option<Exit>, Error> {
        let state = self.inspect(attempt).await?.state.unwrap_or_default();
        let error = state.error.unwrap_or_default();
        match state.status {
            Some(ContainerStateStatusEnum::EXITED | ContainerStateStatusEnum::DEAD) => Ok(Some(Exit {
                code: state.exit_code.unwrap_or_default(),
                oom: state.oom_killed.unwrap_or_default(),
                error,
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
