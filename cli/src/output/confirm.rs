//! Asking before something is done that can't be undone.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::error::Error;

/// Asks on a terminal; elsewhere the user must have said --yes.
pub(crate) fn confirm(what: &str) -> Result<(), Error> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Error::Usage(format!("this would {what}; give --yes to do it")));
    }
    let mut answer = String::new();
    write!(io::stderr(), "{what}? [y/N] ").map_err(Error::output)?;
    io::stdin().lock().read_line(&mut answer).map_err(|error| Error::Failed(error.to_string()))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Error::Failed("nothing was done".to_owned())),
    }
}
