//! Why an engine did not do what it was asked, and what that means for the attempt that asked.

use std::time::Duration;

use bt_model::id::AttemptId;
use bt_model::reason::Reason;

/// Why an engine did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("the container engine did not answer `{call}` within {}", humantime::format_duration(*.after))]
    Timeout { call: &'static str, after: Duration },
    /// The engine is not there, or hung up. It may come back.
    #[error("{message}")]
    Unreachable { message: String },
    /// The image is not on this machine and its registry does not have it either.
    #[error("no such image: {image}: {message}")]
    NoSuchImage { image: String, message: String },
    /// The registry did not give the image; perhaps it would later, or to another agent.
    #[error("image {image} can't be pulled: {message}")]
    ImageRefused { image: String, message: String },
    /// The image has nothing to run, or the command is not in it or is not executable.
    #[error("{message}")]
    NoSuchCommand { message: String },
    /// The image has a file where a directory is to be mounted, or a directory where a file is.
    #[error("{message}")]
    Unmountable { message: String },
    #[error("{message}")]
    Volume { message: String },
    #[error("the disk of the container engine is full: {message}")]
    DiskFull { message: String },
    /// The container is not there any more; someone else removed it.
    #[error("the container of attempt {attempt} is gone; something other than this agent removed it")]
    Gone { attempt: AttemptId },
    /// The container was never started, so it can't be waited for.
    #[error("the container of attempt {attempt} was never started: {message}")]
    NotStarted { attempt: AttemptId, message: String },
    /// Anything else that the engine refused, in its own words.
    #[error("the container engine refused `{call}`: {message}")]
    Engine { call: &'static str, status: Option<u16>, message: String },
}

impl Error {
    /// True when the engine, not the request, is at fault, so that the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Unreachable { .. } | Self::DiskFull { .. } => true,
            Self::ImageRefused { .. } => true,
            Self::Engine { status, .. } => status.is_none_or(|status| status >= 500),
            Self::NoSuchImage { .. }
            | Self::NoSuchCommand { .. }
            | Self::Unmountable { .. }
            | Self::Volume { .. }
            | Self::Gone { .. }
            | Self::NotStarted { .. } => false,
        }
    }

    /// What an attempt that ends by this error failed of.
    pub fn reason(&self) -> Reason {
        match self {
            Self::NoSuchImage { .. }
            | Self::ImageRefused { .. }
            | Self::NoSuchCommand { .. }
            | Self::Unmountable { .. } => Reason::Image(self.to_string()),
            Self::Volume { .. } => Reason::Volume(self.to_string()),
            Self::Timeout { .. }
            | Self::Unreachable { .. }
            | Self::DiskFull { .. }
            | Self::Gone { .. }
            | Self::NotStarted { .. }
            | Self::Engine { .. } => Reason::Agent(self.to_string()),
        }
    }
}
