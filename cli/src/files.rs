//! Files that a command line names. `-` is standard input where a file is read, and standard output where one is
//! written; a directory can't be either.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// The name of standard input and output.
pub(crate) const STANDARD: &str = "-";

/// True if the path stands for standard input or output.
pub(crate) fn is_standard(path: &Path) -> bool {
    path.as_os_str() == STANDARD
}

/// What messages call the file.
pub(crate) fn called(path: &Path) -> String {
    if is_standard(path) { "<stdin>".to_owned() } else { path.display().to_string() }
}

pub(crate) fn open(path: &Path) -> Result<Box<dyn Read>, Error> {
    if is_standard(path) {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    Ok(Box::new(file))
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    open(path)?.read_to_end(&mut content).map_err(|error| unreadable(path, &error))?;
    Ok(content)
}

/// The value of a flag that takes a directory.
pub(crate) fn directory(text: &str) -> Result<PathBuf, String> {
    match text {
        STANDARD => {
            Err("this is a directory, and - is standard input or output; write ./- if you mean the name"
                .into())
        }
        text => Ok(PathBuf::from(text)),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::Usage(format!("{} can't be read: {error}", called(path)))
}
