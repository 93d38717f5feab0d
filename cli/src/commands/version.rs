//! `btctl version`.

use crate::error::Error;
use crate::output::print;

/// Print the version.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Version {}

impl Version {
    pub(crate) fn run(self) -> Result<(), Error> {
        print(&format!("btctl {}", env!("CARGO_PKG_VERSION")))
    }
}
