//! Remarks for people, on standard error.

use std::io::{self, Write};

use super::terminal;

/// Prints a remark for people on standard error, with control characters shown.
pub(crate) fn say(text: &str) {
    // Standard error may be closed; nothing is left to report that on.
    // A terminal that a shell has in raw mode needs the carriage return.
    let (text, end) = text.strip_suffix('\r').map_or((text, "\n"), |text| (text, "\r\n"));
    write!(io::stderr().lock(), "{}{end}", terminal::visible(text)).ok();
}
