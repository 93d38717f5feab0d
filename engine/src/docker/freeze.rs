//! Containers that stand still: the kernel gives their processes no time until they are thawed. They keep their memory.

use bt_model::id::AttemptId;

use super::{Docker, name, within};
use crate::Error;

impl Docker {
    pub(super) async fn freeze(&self, container: AttemptId) -> Result<(), Error> {
        let name = name(container);
        let call = self.client.pause_container(&name);
        done(within("pause", self.deadline, Some(container), call).await)
    }

    pub(super) async fn thaw(&self, container: AttemptId) -> Result<(), Error> {
        let name = name(container);
        let call = self.client.unpause_container(&name);
        done(within("unpause", self.deadline, Some(container), call).await)
    }
}

/// One that is frozen or thawed already, or has ended, is refused with a conflict; Docker 20.10 calls some of these its own
/// fault.
fn done(answer: Result<(), Error>) -> Result<(), Error> {
    const SAID: [&str; 4] = ["already paused", "not paused", "not running", "no such container"];
    match answer {
        Err(Error::Gone { .. } | Error::Engine { status: Some(409), .. }) => Ok(()),
        Err(Error::Engine { status: Some(304), .. }) => Ok(()),
        Err(Error::Engine { message, .. })
            if SAID.iter().any(|said| message.to_lowercase().contains(said)) =>
        {
            Ok(())
        }
        other => other,
    }
}
