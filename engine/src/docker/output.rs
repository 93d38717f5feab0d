//! What a container, or a command in one, writes: byte for byte, cut into lines.
//!
//! The Engine's log drivers are no copy of it: `json-file` turns what is not UTF-8 into U+FFFD, also where it cuts a
//! valid character in two, and a follower of either driver loses what is rotated away before it is read. So the agent is
//! attached to a container before it starts, and reads the driver's log only where that connection broke.

use bollard::container::LogOutput;
use bollard::errors::Error as Fault;
use bollard::query_parameters::AttachContainerOptionsBuilder;
use bt_model::id::AttemptId;
use bt_model::log::{LogLine, Stream as Source};
use futures_util::{Stream, StreamExt};

use crate::Error;
use crate::docker::fault::within;
use crate::docker::{ContainerOutput, Docker, name};

impl Docker {
    /// Attaches to a container that has not started yet.
    pub(super) async fn attach(&self, attempt: AttemptId) -> Result<ContainerOutput, Error> {
        let options = AttachContainerOptionsBuilder::new().stream(true).stdout(true).stderr(true).build();
        let name = name(attempt);
        let attaching = self.client.attach_container(&name, Some(options));
        let attached = within("attach", self.deadline, Some(attempt), attaching).await?;
        Ok(lines(attached.output).boxed())
    }
}

/// Cuts output into lines, as [`crate::lines`] does.
pub(super) fn lines(
    output: impl Stream<Item = Result<LogOutput, Fault>> + Send + 'static,
) -> impl Stream<Item = Result<LogLine, Fault>> + Send + 'static {
    crate::lines::lines(output.map(|piece| {
        Ok(match piece? {
            LogOutput::StdErr { message } => (Source::Stderr, message),
            piece => (Source::Stdout, piece.into_bytes()),
        })
    }))
}
