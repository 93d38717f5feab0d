//! Values of flags, as clap reads them.

use bt_model::manifest::{parse_cpus, parse_size};

/// Cpus, in thousandths.
pub(crate) fn cpu_millis(text: &str) -> Result<u64, String> {
    parse_cpus(text).map_err(|error| error.to_string())
}

/// A size, in bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    parse_size(text).map_err(|error| error.to_string())
}

/// A label.
pub(crate) fn label(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    pair.map(|(key, value)| (key.to_owned(), value.to_owned())).ok_or_else(|| "write KEY=VALUE".to_owned())
}
