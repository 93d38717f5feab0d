//! Prints a list row by row, as it comes; only a table needs all rows to know its columns' widths.

use std::io::Write;

use bt_model::rfc4180::without_formula;

use super::form::{Form, OutputFormat};
use super::out::{self, Out};
use super::table::{self, Extent};
use super::view::{Column, Row, View};
use crate::error::Error;

/// A list that is being printed.
pub(crate) struct Printer {
    form: Form,
    to: PrinterSink,
}

enum PrinterSink {
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
            OutputFormat::Table | OutputFormat::Wide => PrinterSink::Table(view),
            OutputFormat::Json => PrinterSink::Json(Out::stdout(), 0),
            OutputFormat::Name => PrinterSink::Name(Out::stdout()),
            OutputFormat::Csv => {
                let mut csv = csv::Writer::from_writer(Out::stdout());
                let titles = shown.iter().map(|index| without_formula(&view.columns[*index].name));
                csv.write_record(titles.map(|title| title.into_owned())).map_err(Error::output)?;
                PrinterSink::Csv(Box::new(csv), shown)
            }
        };
        Ok(Self { form, to })
    }

    pub(crate) fn row(&mut self, row: Row) -> Result<(), Error> {
        match &mut self.to {
            PrinterSink::Table(view) => view.rows.push(row),
            PrinterSink::Json(out, rows) => {
                let before = if *rows == 0 { "[\n" } else { ",\n" };
                *rows += 1;
                write!(out, "{before}{}", row.json.text()).map_err(Error::output)?;
            }
            PrinterSink::Csv(csv, shown) => {
                let cells = shown.iter().map(|index| row.cells[*index].machine());
                csv.write_record(cells.map(|cell| without_formula(&cell).into_owned()))
                    .map_err(Error::output)?;
            }
            PrinterSink::Name(out) => writeln!(out, "{}", row.name).map_err(Error::output)?,
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<(), Error> {
        match self.to {
            PrinterSink::Table(view) => view.print_table(&self.form),
            PrinterSink::Json(mut out, rows) => {
                out.put(if rows == 0 { "[]\n" } else { "\n]\n" })?;
                out.finish()
            }
            PrinterSink::Csv(mut csv, _) => csv.flush().map_err(Error::output),
            PrinterSink::Name(out) => out.finish(),
        }
    }
}

impl View {
    /// Prints the list; as JSON, an array.
    pub(crate) fn print(self, form: impl Into<Form>) -> Result<(), Error> {
        let Self { columns, rows } = self;
        let mut printer = Printer::new(columns, form)?;
        rows.into_iter().try_for_each(|row| printer.row(row))?;
        printer.finish()
    }

    /// The same, but no empty table for people; a remark says that there is nothing.
    pub(crate) fn print_unless_empty(self, form: impl Into<Form>) -> Result<(), Error> {
        let form = form.into();
        if form.format.is_for_people() && self.rows.is_empty() {
            self.shown(&form)?;
            return Ok(());
        }
        self.print(form)
    }

    fn print_table(self, form: &Form) -> Result<(), Error> {
        let mut out = Out::stdout();
        self.write_table(form, out::width(), &mut out)?;
        out.finish()
    }

    /// The list as a table, of this width at most if the form fits it.
    pub(crate) fn table(self, form: impl Into<Form>, width: usize) -> Result<String, Error> {
        let mut text = Vec::new();
        self.write_table(&form.into(), Some(width), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn write_table(mut self, form: &Form, width: Option<usize>, out: &mut impl Write) -> Result<(), Error> {
        let extent = match (form.columns.is_empty(), form.format) {
            (false, _) => Extent::Chosen,
            (true, OutputFormat::Wide) => Extent::All,
            (true, _) => Extent::Fit(width),
        };
        let shown = self.shown(form)?;
        self.columns = shown.iter().map(|index| self.columns[*index].clone()).collect();
        for row in &mut self.rows {
            row.cells = shown.iter().map(|index| row.cells[*index].clone()).collect();
        }
        table::write(&self, extent, out).map_err(Error::output)
    }
}
