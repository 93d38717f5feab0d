//! What is left out of a table, and why a table can't be cut.

use std::io;

use tokio_util::sync::CancellationToken;

use super::dates;

/// What is left out of tables.
pub(super) struct Cut<'c> {
    /// Rows from this time on, in seconds since 1970.
    pub(super) from: i64,
    /// The column of the dates; absent: it is looked for.
    pub(super) date: Option<&'c str>,
    pub(super) end: &'c CancellationToken,
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotCut {
    /// The file is not one that can be cut, here or elsewhere.
    #[error("{0}")]
    Data(String),
    #[error("it can't be read: {0}")]
    Unreadable(io::Error),
    #[error("its copy can't be written: {0}")]
    Unwritable(io::Error),
    #[error("the agent stops")]
    Ended,
}

impl From<io::Error> for NotCut {
    fn from(error: io::Error) -> Self {
        Self::Unwritable(error)
    }
}

impl Cut<'_> {
    /// The place of the dates among columns of these names.
    pub(super) fn column(&self, names: &[&str]) -> Result<usize, NotCut> {
        let found = match self.date {
            Some(date) => names.iter().position(|name| *name == date),
            None => dates::find(names, None),
        };
        found.ok_or_else(|| {
            let missing = match self.date {
                Some(date) => format!("column {date:?}"),
                None => "column of dates".to_owned(),
            };
            let listed = dates::listed(names);
            NotCut::Data(format!(
                "it has no {missing}: it has {listed}; let `holdout.date` name the one with its dates"
            ))
        })
    }
}
