//! What commands print: one view of a list, in the form that was asked for. Only lists of things go to standard
//! output; all that is said about them goes to standard error.

mod printer;
mod table;
pub(crate) mod terminal;
pub(crate) mod words;

use std::io::{self, Write};

use serde_json::Value;

pub(crate) use printer::Printer;

use crate::error::Error;

/// The form of a command's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people; scripts should use json or csv.
    #[default]
    Table,
    /// A table with more columns, and nothing cut off.
    Wide,
    Json,
    Csv,
    /// What addresses each thing in other commands, one a line.
    Name,
}

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct OutputArgs {
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM", env = "BTCTL_OUTPUT")]
    pub(crate) output: Format,
}

/// A column's title, and whether only `wide` shows it. CSV has all columns.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) title: String,
    pub(crate) wide: bool,
}

impl Column {
    pub(crate) fn always(title: impl Into<String>) -> Self {
        Self { title: title.into(), wide: false }
    }

    pub(crate) fn wide(title: impl Into<String>) -> Self {
        Self { title: title.into(), wide: true }
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
    pub(crate) cells: Vec<String>,
    pub(crate) json: Value,
    pub(crate) name: String,
}

impl View {
    /// Prints the list; as JSON, an array.
    pub(crate) fn print(&self, format: Format) -> Result<(), Error> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        self.write(format, &mut out).and_then(|()| out.flush()).map_err(Error::output)
    }

    /// The same, but no empty table for people, who are told otherwise that there is nothing.
    pub(crate) fn print_unless_empty(&self, format: Format) -> Result<(), Error> {
        match format {
            Format::Table | Format::Wide if self.rows.is_empty() => Ok(()),
            format => self.print(format),
        }
    }

    fn write(&self, format: Format, out: &mut impl Write) -> io::Result<()> {
        match format {
            Format::Table | Format::Wide => table::write(self, format == Format::Wide, out),
            Format::Json => {
                let rows: Vec<_> = self.rows.iter().map(|row| &row.json).collect();
                serde_json::to_writer_pretty(&mut *out, &rows)?;
                writeln!(out)
            }
            Format::Csv => self.write_csv(out),
            Format::Name => self.rows.iter().try_for_each(|row| writeln!(out, "{}", row.name)),
        }
    }

    fn write_csv(&self, out: &mut impl Write) -> io::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(self.columns.iter().map(|column| &column.title))?;
        for row in &self.rows {
            csv.write_record(&row.cells)?;
        }
        csv.flush()
    }
}

/// Prints lines on standard output.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    writeln!(io::stdout().lock(), "{text}").map_err(Error::output)
}

/// Prints one thing as JSON.
pub(crate) fn print_json(value: &Value) -> Result<(), Error> {
    print(&format!("{value:#}"))
}

/// Prints one thing's names and values, for people as lines.
pub(crate) fn print_facts(
    facts: impl Iterator<Item = (impl Into<String>, String)>,
    json: &Value,
    format: Format,
) -> Result<(), Error> {
    if format == Format::Json {
        return print_json(json);
    }
    let facts = facts.map(|(name, value)| (name.into(), value));
    let facts: Vec<(String, String)> = facts.filter(|(_, value)| !value.is_empty()).collect();
    if format == Format::Csv {
        let columns = ["name", "value"].map(Column::always).into();
        let row = |(name, value): (String, String)| Row {
            cells: vec![name.clone(), value],
            json: Value::Null,
            name,
        };
        return View { columns, rows: facts.into_iter().map(row).collect() }.print(format);
    }
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    facts.iter().try_for_each(|(name, value)| print(&format!("{name:<width$}  {value}")))
}

/// Says something to the user; nobody's script reads it.
pub(crate) fn say(text: &str) {
    // Standard error may be closed; there is nobody left to tell.
    writeln!(io::stderr().lock(), "{text}").ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> View {
        let row = |name: &str, reason: &str| Row {
            cells: vec![name.to_owned(), reason.to_owned()],
            json: serde_json::json!({ "name": name }),
            name: name.to_owned(),
        };
        View {
            columns: vec![Column::always("name"), Column::wide("reason")],
            rows: vec![row("a", "x, \"y\""), row("bb", "")],
        }
    }

    fn written(format: Format) -> String {
        let mut out = Vec::new();
        view().write(format, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_list_has_its_forms() {
        assert_eq!(written(Format::Table), "NAME\na\nbb\n");
        assert_eq!(written(Format::Wide), "NAME  REASON\na     x, \"y\"\nbb\n");
        assert_eq!(written(Format::Csv), "name,reason\na,\"x, \"\"y\"\"\"\nbb,\n");
        assert_eq!(written(Format::Name), "a\nbb\n");
        let json: Value = serde_json::from_str(&written(Format::Json)).unwrap();
        assert_eq!(json[1]["name"], "bb");
    }
}
