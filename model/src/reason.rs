//! Why an attempt or a job failed, or a job was pruned.

use std::fmt;

/// The typed reason of a failure, or of a job that was pruned. People read: `exit(1)`, `oom`, `image(no such image: x:1)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The container's main process ended with this code, 1..=255.
    Exit(i32),
    /// The container's main process was ended by this signal.
    Signal(i32),
    /// The kernel killed the container, or a process in it, for exceeding its memory.
    Oom,
    /// It ran longer than the manifest's `timeout`.
    Timeout,
    /// It failed because it could start no more processes or threads.
    Nproc,
    /// The container engine refuses what the manifest asks for, on a machine where other containers start.
    Manifest(String),
    /// The image can't be had, or its command can't be started.
    Image(String),
    /// A volume can't be mounted.
    Volume(String),
    /// The outputs can't be read, or are not what was agreed.
    Outputs(String),
    /// The agent or its engine failed, or the job was lost too often.
    Agent(String),
    /// No failure: it was stopped for what it had reported so far, such as `drawdown < -0.5: drawdown is -0.53`.
    Pruned(String),
}

/// The kind of a [`Reason`], without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReasonKind {
    Exit,
    Signal,
    Oom,
    Timeout,
    Nproc,
    Manifest,
    Image,
    Volume,
    Outputs,
    Agent,
    Pruned,
}

impl ReasonKind {
    pub const ALL: [Self; 11] = [
        Self::Exit,
        Self::Signal,
        Self::Oom,
        Self::Timeout,
        Self::Nproc,
        Self::Manifest,
        Self::Image,
        Self::Volume,
        Self::Outputs,
        Self::Agent,
        Self::Pruned,
    ];

    /// Those of failures.
    pub fn of_failures() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|kind| *kind != Self::Pruned)
    }

    /// A job's own that another try may not have. Others are its machine's, but for `Manifest`, which no try changes.
    pub const OF_JOBS: [Self; 7] =
        [Self::Exit, Self::Signal, Self::Oom, Self::Timeout, Self::Nproc, Self::Image, Self::Outputs];

    pub fn name(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Signal => "signal",
            Self::Oom => "oom",
            Self::Timeout => "timeout",
            Self::Nproc => "nproc",
            Self::Manifest => "manifest",
            Self::Image => "image",
            Self::Volume => "volume",
            Self::Outputs => "outputs",
            Self::Agent => "agent",
            Self::Pruned => "pruned",
        }
    }
}

impl Reason {
    pub fn kind(&self) -> ReasonKind {
        match self {
            Self::Exit(_) => ReasonKind::Exit,
            Self::Signal(_) => ReasonKind::Signal,
            Self::Oom => ReasonKind::Oom,
            Self::Timeout => ReasonKind::Timeout,
            Self::Nproc => ReasonKind::Nproc,
            Self::Manifest(_) => ReasonKind::Manifest,
            Self::Image(_) => ReasonKind::Image,
            Self::Volume(_) => ReasonKind::Volume,
            Self::Outputs(_) => ReasonKind::Outputs,
            Self::Agent(_) => ReasonKind::Agent,
            Self::Pruned(_) => ReasonKind::Pruned,
        }
    }

    /// The exit code or the signal, where there is one.
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Exit(code) | Self::Signal(code) => Some(*code),
            _ => None,
        }
    }

    pub fn message(&self) -> Option<&str> {
        match self {
            Self::Manifest(text)
            | Self::Image(text)
            | Self::Volume(text)
            | Self::Outputs(text)
            | Self::Agent(text)
            | Self::Pruned(text) => Some(text),
            _ => None,
        }
    }

    /// The inverse of [`kind`](Self::kind), [`code`](Self::code) and [`message`](Self::message).
    pub fn from_parts(kind: ReasonKind, code: Option<i32>, message: Option<String>) -> Self {
        let code = code.unwrap_or_default();
        let message = message.unwrap_or_default();
        match kind {
            ReasonKind::Exit => Self::Exit(code),
            ReasonKind::Signal => Self::Signal(code),
            ReasonKind::Oom => Self::Oom,
            ReasonKind::Timeout => Self::Timeout,
            ReasonKind::Nproc => Self::Nproc,
            ReasonKind::Manifest => Self::Manifest(message),
            ReasonKind::Image => Self::Image(message),
            ReasonKind::Volume => Self::Volume(message),
            ReasonKind::Outputs => Self::Outputs(message),
            ReasonKind::Agent => Self::Agent(message),
            ReasonKind::Pruned => Self::Pruned(message),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind().name();
        match (self.code(), self.message()) {
            (Some(code), _) => write!(f, "{kind}({code})"),
            (None, Some(message)) => write!(f, "{kind}({message})"),
            (None, None) => f.write_str(kind),
        }
    }
}
