//! What the process logs. How it is changed, its owner knows.

/// How to read and to change what is logged.
#[derive(Clone, Copy, Debug)]
pub struct LogFilter {
    pub read: fn() -> String,
    /// The error says what is wrong with the filter.
    pub change: fn(&str) -> Result<(), String>,
}
