//! Commands in containers: those of jobs that share one, and a user's shell.

use std::pin::Pin;

use bt_model::log::LogLine;
use futures_util::stream::BoxStream;
use tokio::io::AsyncWrite;

use crate::Error;

/// A command for a container that is there already.
#[derive(Clone, Debug)]
pub struct Task {
    pub command: Vec<String>,
    pub env: Vec<(String, String)>,
    /// Uid and gid; the image's user when absent.
    pub user: Option<(u32, u32)>,
    pub working_dir: Option<String>,
}

/// A command that runs.
pub struct RunningCommand {
    /// The engine's id of it.
    pub id: String,
    /// What it prints, until it ends.
    pub lines: BoxStream<'static, Result<LogLine, Error>>,
}

/// A container's first process, for a user.
pub struct Shell {
    pub output: BoxStream<'static, Result<ShellOutput, Error>>,
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
}

/// What it prints; with a terminal all is standard output.
pub enum ShellOutput {
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
}
