//! What a command ends with: an exit code that scripts can rely on, and one message for people.

use std::io;
use std::process::ExitCode;

use tonic::{Code, Status};

/// Why a command did not do all that it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It was tried, and failed: a damaged file, a machine that lacks something.
    #[error("{0}")]
    Failed(String),
    /// The disk here is full.
    #[error("{0}")]
    NoRoom(String),
    /// A job was run, and failed.
    #[error("{0}")]
    JobFailed(String),
    /// The sweep that was waited for has jobs that did not succeed; printed already.
    #[error("")]
    SweepFailed,
    /// The command line, a manifest or a setting is wrong.
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    NotFound(String),
    /// The coordinator won't do it, for a quota or for want of a right.
    #[error("{0}")]
    Refused(String),
    /// The coordinator can't be reached.
    #[error("{0}")]
    Unreachable(String),
    /// The user pressed Ctrl-C; printed already.
    #[error("")]
    Interrupted,
    /// The reader of the output has left.
    #[error("")]
    OutputClosed,
}

impl Error {
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::OutputClosed => 0,
            Self::Failed(_) | Self::NoRoom(_) | Self::JobFailed(_) | Self::SweepFailed => 1,
            Self::Usage(_) => 2,
            Self::NotFound(_) => 3,
            Self::Refused(_) => 4,
            Self::Unreachable(_) => 5,
            Self::Interrupted => 130,
        })
    }

    /// An answer that ended before its end.
    pub(crate) fn broken_off(status: Status) -> Self {
        match is_broken_off(&status) {
            true => Self::Unreachable(format!("the coordinator's answer broke off: {}", status.message())),
            false => status.into(),
        }
    }

    /// True if the same may succeed in a moment.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }

    /// An error while writing to standard output.
    pub(crate) fn output(error: impl Into<Box<dyn std::error::Error>>) -> Self {
        let error = error.into();
        // Libraries that write hide it at different depths.
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&*error);
        while let Some(inner) = cause {
            // CSV's errors don't name their cause as others do.
            let of_csv = inner.downcast_ref::<csv::Error>().and_then(|error| match error.kind() {
                csv::ErrorKind::Io(error) => Some(error),
                _ => None,
            });
            let error = of_csv.or_else(|| inner.downcast_ref::<io::Error>());
            if error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
                return Self::OutputClosed;
            }
            cause = inner.source();
        }
        Self::Failed(format!("the output can't be written: {error}"))
    }
}

/// True if an answer may have broken off for a reason that passes: the coordinator went, or the connection did.
pub(crate) fn is_broken_off(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::Unknown
            | Code::Internal
            | Code::Cancelled
            | Code::Aborted
            | Code::DeadlineExceeded
    )
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let message = match status.message() {
            "" => status.code().description().to_owned(),
            message => message.to_owned(),
        };
        match status.code() {
            Code::InvalidArgument | Code::AlreadyExists | Code::OutOfRange => Self::Usage(message),
            Code::NotFound => Self::NotFound(message),
            Code::PermissionDenied | Code::Unauthenticated | Code::ResourceExhausted => {
                Self::Refused(message)
            }
            Code::Unavailable => Self::Unreachable(message),
            _ => Self::Failed(message),
        }
    }
}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(format!("{error:#}"))
    }
}

impl From<bt_model::manifest::Error> for Error {
    fn from(error: bt_model::manifest::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<bt_documents::Unreadable> for Error {
    fn from(error: bt_documents::Unreadable) -> Self {
        Self::Failed(format!("the coordinator answered what this btctl can't read: {error}"))
    }
}

impl From<bt_analysis::compare::Error> for Error {
    fn from(error: bt_analysis::compare::Error) -> Self {
        match error {
            bt_analysis::compare::Error::Unreadable(error) => error.into(),
            error => Self::Usage(error.to_string()),
        }
    }
}

impl From<bt_analysis::export::Error> for Error {
    fn from(error: bt_analysis::export::Error) -> Self {
        match error {
            bt_analysis::export::Error::Unreadable(error) => error.into(),
            bt_analysis::export::Error::Output(error) => Self::output(error as Box<dyn std::error::Error>),
            error @ bt_analysis::export::Error::Spool(_) => Self::Failed(error.to_string()),
        }
    }
}

impl From<bt_proto::convert::Malformed> for Error {
    fn from(error: bt_proto::convert::Malformed) -> Self {
        Self::Failed(format!("the coordinator answered what this btctl can't read: {error}"))
    }
}
