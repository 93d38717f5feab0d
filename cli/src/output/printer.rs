//! Prints a list row by row, as it comes; only a table needs all rows to know its columns' widths.

use std::io::Write;

use super::{Column, Form, Format, Out, Row, View};
use crate::error::Error;

/// A list that is being printed.
pub(crate) struct Printer {
    form: Form,
    to: To,
}

enum To {
    /// A table waits for its last row.
    Table(View),
    /// With the number of rows so far.
    Json(Out, u64),
    /// With the columns that are printed.
    Csv(Box<csv::Writer<Out>>, Vec<usize>),
    Name(Out),
}

impl Printer {
    pub(crate) fn new(columns: Vec<Column>, form: impl Into<Form>) -> Result<Self, Error> {
        let form = form.into();
        let view = View { columns, rows: Vec::new() };
        let shown = view.shown(&form)?;
        let to = match form.format {
            Format::Table | Format::Wide => To::Table(view),
            Format::Json => To::Json(Out::stdout(), 0),
            Format::Name => To::Name(Out::stdout()),
            Format::Csv => {
                let mut csv = csv::Writer::from_writer(Out::stdout());
                let titles = shown.iter().map(|index| &view.columns[*index].name);
                csv.write_record(titles).map_err(Error::output)?;
                To::Csv(Box::new(csv), shown)
            }
        };
        Ok(Self { form, to })
    }

    pub(crate) fn row(&mut self, row: Row) -> Result<(), Error> {
        match &mut self.to {
            To::Table(view) => view.rows.push(row),
            To::Json(out, rows) => {
                let before = if *rows == 0 { "[\n" } else { ",\n" };
                *rows += 1;
                write!(out, "{before}{}", row.json.text()).map_err(Error::output)?;
            }
            To::Csv(csv, shown) => {
                let cells = shown.iter().map(|index| row.cells[*index].machine());
                csv.write_record(cells.map(|cell| cell.into_owned())).map_err(Error::output)?;
            }
            To::Name(out) => writeln!(out, "{}", row.name).map_err(Error::output)?,
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<(), Error> {
        match self.to {
            To::Table(view) => view.print_table(&self.form),
            To::Json(mut out, rows) => {
                out.put(if rows == 0 { "[]\n" } else { "\n]\n" })?;
                out.finish()
            }
            To::Csv(mut csv, _) => csv.flush().map_err(Error::output),
            To::Name(out) => out.finish(),
        }
    }
}
