//! A container with a user at its keyboard.

use bollard::container::LogOutput;
use bollard::query_parameters::{AttachContainerOptionsBuilder, ResizeContainerTTYOptionsBuilder};
use bt_model::id::AttemptId;
use futures_util::StreamExt;

use crate::docker::fault::{self, within};
use crate::docker::{Docker, READ_DEADLINE, body, name};
use crate::{ContainerSpec, Error, Shell, ShellOutput};

impl Docker {
    /// Makes and starts a container whose first process has a keyboard, and a terminal if asked.
    pub(crate) async fn shell(&self, spec: &ContainerSpec, tty: bool) -> Result<Shell, Error> {
        let mut body = body::of(spec);
        body.tty = Some(tty);
        body.open_stdin = Some(true);
        body.stdin_once = Some(true);
        body.attach_stdin = Some(true);
        self.create_with(spec, body).await?;
        let options =
            AttachContainerOptionsBuilder::new().stream(true).stdin(true).stdout(true).stderr(true).build();
        let name = name(spec.attempt);
        let attaching = self.client.attach_container(&name, Some(options));
        let attached = within("attach", self.deadline, Some(spec.attempt), attaching).await?;
        let _turn = self.turn().await;
        self.start_unattached(spec.attempt).await?;
        let output = attached.output.map(|piece| match piece {
            Ok(LogOutput::StdErr { message }) => Ok(ShellOutput::Stderr(message.into())),
            Ok(piece) => Ok(ShellOutput::Stdout(piece.into_bytes().into())),
            Err(fault) => Err(fault::of("attach", None, fault)),
        });
        Ok(Shell { output: output.boxed(), input: attached.input })
    }

    /// Tells a shell how large its user's terminal is. That it can't be told does no harm.
    pub(crate) async fn resize(&self, attempt: AttemptId, rows: u32, columns: u32) {
        let size = |lines: u32| i32::try_from(lines.clamp(1, 10_000)).unwrap_or(80);
        let options = ResizeContainerTTYOptionsBuilder::new().h(size(rows)).w(size(columns)).build();
        let name = name(attempt);
        let resizing = self.client.resize_container_tty(&name, options);
        if let Err(error) = within("resize", READ_DEADLINE, Some(attempt), resizing).await {
            tracing::debug!(%attempt, %error, "a terminal keeps its size");
        }
    }
}
