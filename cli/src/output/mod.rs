//! What commands print: one view of a list, in the form that was asked for. Only the list goes to standard output;
//! remarks about it go to standard error.

mod cell;
mod confirm;
mod indent;
mod out;
mod printer;
pub(crate) mod reasons;
mod table;
pub(crate) mod terminal;
mod ticker;
pub(crate) mod tries;
pub(crate) mod words;

use std::io::{self, Write};

use bt_model::manifest::suggestion;
pub(crate) use cell::Cell;
pub(crate) use confirm::confirm;
pub(crate) use out::{Out, reader_left};
pub(crate) use printer::Printer;
pub(crate) use ticker::Ticker;

use self::table::Extent;
use crate::documents::Json;
use crate::error::Error;

/// The form of a command's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people: fits the terminal. Scripts should use json or csv.
    #[default]
    Table,
    /// A table with all columns, and nothing cut off.
    Wide,
    /// Numbers in base units (bytes, seconds), times in RFC 3339; docs/OUTPUT.md describes it.
    Json,
    /// All columns, with the values of json.
    Csv,
    /// Names to pass to other commands, one on each line.
    Name,
}

impl Format {
    /// True for a form that people read.
    pub(crate) fn is_for_people(self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }
}

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct OutputArgs {
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM", env = "BTCTL_OUTPUT")]
    pub(crate) output: Format,
}

/// The form of a list whose columns can be chosen.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    form: OutputArgs,
    /// Columns of a table or CSV, in this order; the first line of `-o csv` names all columns.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    columns: Vec<String>,
}

impl ListArgs {
    pub(crate) fn format(&self) -> Format {
        self.form.output
    }
}

/// A format, and the columns that were asked for: all if none is named.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    format: Format,
    columns: Vec<String>,
}

impl Form {
    pub(crate) fn format(&self) -> Format {
        self.format
    }
}

impl From<Format> for Form {
    fn from(format: Format) -> Self {
        Self { format, columns: Vec::new() }
    }
}

impl From<&ListArgs> for Form {
    fn from(args: &ListArgs) -> Self {
        Self { format: args.form.output, columns: args.columns.clone() }
    }
}

/// A column of a list. CSV has all columns, under their names.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// In CSV and in `--columns`.
    pub(crate) name: String,
    /// In tables.
    heading: String,
    /// Only `wide` tables show it.
    wide: bool,
    /// Stands above a table that has the same value in all rows.
    folds: bool,
    /// Is no part of a table that has no value for it.
    optional: bool,
    /// Where a table does not fit, columns with a small rank stay.
    rank: u8,
}

/// The rank of a column that has none of its own.
const RANK: u8 = 5;

impl Column {
    pub(crate) fn always(name: impl Into<String>) -> Self {
        let name = name.into();
        let heading = name.to_uppercase();
        Self { name, heading, wide: false, folds: false, optional: false, rank: RANK }
    }

    pub(crate) fn wide(name: impl Into<String>) -> Self {
        Self { wide: true, ..Self::always(name) }
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

    fn print_table(mut self, form: &Form) -> Result<(), Error> {
        let extent = match (form.columns.is_empty(), form.format) {
            (false, _) => Extent::Chosen,
            (true, Format::Wide) => Extent::All,
            (true, _) => Extent::Fit(out::width()),
        };
        let shown = self.shown(form)?;
        self.columns = shown.iter().map(|index| self.columns[*index].clone()).collect();
        for row in &mut self.rows {
            row.cells = shown.iter().map(|index| row.cells[*index].clone()).collect();
        }
        let mut out = Out::stdout();
        table::write(&self, extent, &mut out).map_err(Error::output)?;
        out.finish()
    }

    /// The columns that were asked for, in this order; all if none was.
    fn shown(&self, form: &Form) -> Result<Vec<usize>, Error> {
        if form.columns.is_empty() {
            return Ok((0..self.columns.len()).collect());
        }
        if matches!(form.format, Format::Json | Format::Name) {
            return Err(Error::Usage(
                "--columns chooses columns of tables and CSV; write -o table, -o wide or -o csv with it, or leave it \
                 out: JSON has all keys"
                    .to_owned(),
            ));
        }
        let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        let index = |wanted: &String| {
            let found = names.iter().position(|name| name == wanted);
            found.ok_or_else(|| {
                let hint = suggestion(wanted, names.iter().copied(), "columns");
                Error::Usage(format!("--columns: there is no column {wanted:?}{hint}"))
            })
        };
        form.columns.iter().map(index).collect()
    }
}

/// Prints a line, or several, on standard output.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    let mut out = Out::stdout();
    writeln!(out, "{text}").map_err(Error::output)?;
    out.finish()
}

/// Prints one thing as JSON.
pub(crate) fn print_json(document: &Json) -> Result<(), Error> {
    print(&indent::indented(document.text()))
}

/// Prints one thing's names and values, for people as lines. A name of a number of bytes ends with `_bytes`, which
/// people don't read, because the size that they read has its unit.
pub(crate) fn print_facts(
    facts: impl Iterator<Item = (impl Into<String>, Cell)>,
    json: &Json,
    format: Format,
) -> Result<(), Error> {
    if format == Format::Json {
        return print_json(json);
    }
    let facts = facts.map(|(name, value)| (name.into(), value));
    let facts: Vec<(String, Cell)> = facts.filter(|(_, value)| !value.is_none()).collect();
    if format == Format::Csv {
        let columns = ["name", "value"].map(Column::always).into();
        let row = |(name, value): (String, Cell)| Row {
            cells: vec![Cell::text(name.clone()), value],
            json: Json::none(),
            name,
        };
        return View { columns, rows: facts.into_iter().map(row).collect() }.print(format);
    }
    let facts: Vec<_> = facts.iter().map(|(name, value)| (name.trim_end_matches("_bytes"), value)).collect();
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = facts.iter().map(|(name, value)| {
        let (name, value) = (terminal::visible(name), terminal::visible(&value.people()));
        format!("{name:<width$}  {value}")
    });
    print(&lines.collect::<Vec<_>>().join("\n"))
}

/// Prints a remark for people on standard error, with control characters shown.
pub(crate) fn say(text: &str) {
    // Standard error may be closed; nothing is left to report that on.
    // A terminal that a shell has in raw mode needs the carriage return.
    let (text, end) = text.strip_suffix('\r').map_or((text, "\n"), |text| (text, "\r\n"));
    write!(io::stderr().lock(), "{}{end}", terminal::visible(text)).ok();
}
