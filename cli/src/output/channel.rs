//! Where a command shows how something stands: on standard output if that is what it is for, else on standard error.

use std::io::{self, Write};

use super::print::print;
use super::say::say;
use super::{out, terminal};
use crate::error::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    Stdout,
    Stderr,
}

impl Channel {
    pub(crate) fn is_terminal(self) -> bool {
        match self {
            Self::Stdout => terminal::is_stdout(),
            Self::Stderr => terminal::is_stderr(),
        }
    }

    /// Columns and rows of the terminal, as they are now.
    pub(crate) fn size(self) -> (usize, usize) {
        let size = match self {
            Self::Stdout => out::terminal_size(),
            Self::Stderr => terminal::stderr_size(),
        };
        size.unwrap_or((80, 24))
    }

    /// Prints a line, or several.
    pub(crate) fn say(self, text: &str) -> Result<(), Error> {
        match self {
            Self::Stdout => print(text),
            Self::Stderr => {
                say(text);
                Ok(())
            }
        }
    }

    /// Writes what is harmless already.
    pub(super) fn write(self, bytes: &[u8]) -> Result<(), Error> {
        match self {
            Self::Stdout => out::write_at_once(bytes),
            Self::Stderr => {
                // Standard error may be closed; nothing is left to report that on.
                io::stderr().lock().write_all(bytes).ok();
                Ok(())
            }
        }
    }
}
