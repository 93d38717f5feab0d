//! Prints a list row by row, as it comes; only a table needs all rows to know its columns' widths.

use std::io::{BufWriter, StdoutLock, Write, stdout};

use super::{Column, Format, Row, View};
use crate::error::Error;

/// A list that is being printed.
pub(crate) enum Printer {
    /// What a table waits for.
    Table(View, Format),
    /// With the number of rows so far.
    Json(BufWriter<StdoutLock<'static>>, u64),
    Csv(Box<csv::Writer<StdoutLock<'static>>>),
    Name(BufWriter<StdoutLock<'static>>),
}

impl Printer {
    pub(crate) fn new(columns: Vec<Column>, format: Format) -> Result<Self, Error> {
        let out = stdout().lock();
        Ok(match format {
            Format::Table | Format::Wide => Self::Table(View { columns, rows: Vec::new() }, format),
            Format::Json => Self::Json(BufWriter::new(out), 0),
            Format::Name => Self::Name(BufWriter::new(out)),
            Format::Csv => {
                let mut csv = csv::Writer::from_writer(out);
                let titles = csv.write_record(columns.iter().map(|column| &column.title));
                titles.map_err(|error| Error::output(error.into()))?;
                Self::Csv(Box::new(csv))
            }
        })
    }

    pub(crate) fn row(&mut self, row: Row) -> Result<(), Error> {
        match self {
            Self::Table(view, _) => {
                view.rows.push(row);
                Ok(())
            }
            Self::Json(out, rows) => {
                let before = if *rows == 0 { "[\n" } else { ",\n" };
                *rows += 1;
                write!(out, "{before}{}", row.json)
            }
            Self::Csv(csv) => csv.write_record(&row.cells).map_err(Into::into),
            Self::Name(out) => writeln!(out, "{}", row.name),
        }
        .map_err(Error::output)
    }

    pub(crate) fn finish(self) -> Result<(), Error> {
        match self {
            Self::Table(view, format) => return view.print(format),
            Self::Json(mut out, rows) => {
                let end = if rows == 0 { "[]" } else { "\n]" };
                writeln!(out, "{end}").and_then(|()| out.flush())
            }
            Self::Csv(mut csv) => csv.flush(),
            Self::Name(mut out) => out.flush(),
        }
        .map_err(Error::output)
    }
}
