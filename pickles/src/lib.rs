//! Looks into pickles without loading them: loading one runs what its author wanted to run.
//!
//! A pickle is a program for a small machine with a stack and a memo. [`inspect`] follows the program as far as names go: what
//! it would import, and what of that it would call. No object is made, and no code of the pickle runs.
//!
//! What always holds: any bytes give an [`Inspection`] or an [`Error`], in time that grows with their length and in bounded
//! memory. Texts, bytes and arrays are skipped, whatever their length.
//!
//! The machine is described in CPython's `Lib/pickletools.py`.

mod machine;
mod names;
mod opcodes;
mod reader;

use std::io::Read;

pub use machine::{Inspection, Name};
pub use names::Standing;

/// Why bytes are no pickle, or no whole one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("it can't be read: {0}")]
    Read(#[from] std::io::Error),
    #[error("it is no pickle: {0}")]
    NoPickle(String),
    #[error("byte {at}: {what}")]
    Broken { at: u64, what: String },
}

/// Follows a pickle, or several one after the other.
///
/// # Errors
///
/// [`Error::NoPickle`] if it does not begin as one, [`Error::Broken`] where the program can't go on, [`Error::Read`].
pub fn inspect(bytes: impl Read) -> Result<Inspection, Error> {
    machine::run(reader::Reader::new(bytes))
}

#[cfg(test)]
mod tests;
