//! What can be wrong with a results directory, told to the job's owner.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no output {path}")]
    NotFound { path: String },
    #[error("{path:?} is not a path within the results directory")]
    Outside { path: String },
    #[error("the output {path} is {why}; only regular files are outputs")]
    NotRegular { path: String, why: SkipReason },
    #[error("the name of the output `{path}` {why}; give it another name")]
    Name { path: String, why: &'static str },
    #[error("there are more than {most} files and directories in {}; pack them into fewer", root.display())]
    TooMany { root: PathBuf, most: usize },
    #[error(
        "the paths of the files and directories in {} are longer than {most} bytes together; give them shorter names, or \
         pack them into fewer", root.display()
    )]
    LongNames { root: PathBuf, most: usize },
    #[error(
        "the output {path} can't be read: it belongs to uid {uid} with mode {mode:04o}; let the job make its files \
         readable for others (umask 022), or run it with `user: auto`"
    )]
    Unreadable { path: String, uid: u32, mode: u32 },
    #[error("read {}: {source}", place.display())]
    Read { place: PathBuf, source: io::Error },
}

impl Error {
    pub(super) fn not_regular(path: &str, why: SkipReason) -> Self {
        Self::NotRegular { path: path.to_owned(), why }
    }

    pub(super) fn read(root: &Path, path: &str, source: io::Error) -> Self {
        Self::Read { place: root.join(path), source }
    }
}

/// Something in a results directory that is no output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    pub path: String,
    pub why: SkipReason,
}

/// What something is instead of a regular file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    Directory,
    Symlink,
    Pipe,
    Socket,
    /// A device, or what the system has no word for.
    Special,
}

impl SkipReason {
    pub(super) fn of(kind: FileType) -> Self {
        match kind {
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            FileType::Fifo => Self::Pipe,
            FileType::Socket => Self::Socket,
            _ => Self::Special,
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Directory => "a directory",
            Self::Symlink => "a symbolic link or behind one",
            Self::Pipe => "a named pipe",
            Self::Socket => "a socket",
            Self::Special => "a device or another special file",
        })
    }
}
