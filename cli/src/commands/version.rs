//! `btctl version`.

use crate::error::Error;
use crate::output::print;

/// Commit that the program was built from, and its date; nothing in a build by hand.
const COMMIT: Option<&str> = option_env!("BTCTL_COMMIT");
const COMMIT_DATE: Option<&str> = option_env!("BTCTL_COMMIT_DATE");

/// Print the version, and of a release the commit that it was built from.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Version {}

impl Version {
    pub(crate) fn run(self) -> Result<(), Error> {
        print(&told(env!("CARGO_PKG_VERSION"), COMMIT, COMMIT_DATE))
    }
}

fn told(version: &str, commit: Option<&str>, date: Option<&str>) -> String {
    match (commit.filter(|commit| !commit.is_empty()), date.filter(|date| !date.is_empty())) {
        (Some(commit), Some(date)) => format!("btctl {version} ({commit}, {date})"),
        (Some(commit), None) => format!("btctl {version} ({commit})"),
        (None, _) => format!("btctl {version}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_says_its_commit() {
        assert_eq!(
            told("1.2.3", Some("0123456789ab"), Some("2026-11-28")),
            "btctl 1.2.3 (0123456789ab, 2026-11-28)"
        );
        assert_eq!(told("1.2.3", Some("0123456789ab"), None), "btctl 1.2.3 (0123456789ab)");
        assert_eq!(told("1.2.3", Some(""), Some("")), "btctl 1.2.3");
        assert_eq!(told("1.2.3", None, None), "btctl 1.2.3");
    }
}
