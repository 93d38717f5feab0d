//! A list of things, before it has a form.

use bt_model::nearest::nearest;

use super::cell::Cell;
use super::form::{Form, OutputFormat};
use crate::error::Error;
use crate::output::Json;

/// A column of a list. CSV has all columns, under their names.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// In CSV and in `--columns`.
    pub(crate) name: String,
    /// Another name for `--columns`, if it is not empty: the one that expressions know it by.
    pub(super) alias: String,
    /// In tables.
    pub(super) heading: String,
    /// Only `wide` tables show it.
    pub(super) wide: bool,
    /// Stands above a table that has the same value in all rows.
    pub(super) folds: bool,
    /// Is no part of a table that has no value for it.
    pub(super) optional: bool,
    /// Where a table does not fit, columns with a small rank stay.
    pub(super) rank: u8,
}

/// The rank of a column that has none of its own.
const RANK: u8 = 5;

impl Column {
    pub(crate) fn always(name: impl Into<String>) -> Self {
        let name = name.into();
        let heading = name.to_uppercase();
        Self { name, alias: String::new(), heading, wide: false, folds: false, optional: false, rank: RANK }
    }

    pub(crate) fn wide(name: impl Into<String>) -> Self {
        Self { wide: true, ..Self::always(name) }
    }

    /// Another name that `--columns` takes: `params.fast`.
    pub(crate) fn alias(self, alias: String) -> Self {
        Self { alias, ..self }
    }

    /// What stands above it in tables, where that is not its name.
    pub(crate) fn headed(self, heading: &str) -> Self {
        Self { heading: heading.to_uppercase(), ..self }
    }

    pub(crate) fn folds(self) -> Self {
        Self { folds: true, ..self }
    }

    pub(crate) fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    pub(crate) fn rank(self, rank: u8) -> Self {
        Self { rank, ..self }
    }
}

/// A list of things, ready to be printed in any form.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
}

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) cells: Vec<Cell>,
    pub(crate) json: Json,
    pub(crate) name: String,
}

impl View {
    /// The columns that were asked for, in this order; all if none was.
    pub(super) fn shown(&self, form: &Form) -> Result<Vec<usize>, Error> {
        if form.columns.is_empty() {
            return Ok((0..self.columns.len()).collect());
        }
        if matches!(form.format, OutputFormat::Json | OutputFormat::Name) {
            return Err(Error::Usage(
                "--columns chooses columns of tables and CSV; write -o table, -o wide or -o csv with it, or leave it \
                 out: JSON has all keys"
                    .to_owned(),
            ));
        }
        let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        let index = |wanted: &String| {
            let named = names.iter().position(|name| name == wanted);
            let known = || self.columns.iter().position(|column| column.alias == *wanted);
            named.or_else(|| known().filter(|_| !wanted.is_empty())).ok_or_else(|| {
                let hint = match nearest(wanted, names.iter().copied()) {
                    Some(name) => format!("did you mean `{name}`? The columns are"),
                    None => "the columns are".to_owned(),
                };
                let all = names.join(", ");
                Error::Usage(format!("--columns: there is no column {wanted:?}; {hint} {all}"))
            })
        };
        form.columns.iter().map(index).collect()
    }
}
