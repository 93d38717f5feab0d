//! Prints one thing: a text, a JSON document, names and values.

use std::io::Write;

use super::cell::Cell;
use super::form::OutputFormat;
use super::out::Out;
use super::view::{Column, Row, View};
use super::{indent, terminal};
use crate::error::Error;
use crate::output::Json;

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
    format: OutputFormat,
) -> Result<(), Error> {
    if format == OutputFormat::Json {
        return print_json(json);
    }
    let facts = facts.map(|(name, value)| (name.into(), value));
    let facts: Vec<(String, Cell)> = facts.filter(|(_, value)| !value.is_none()).collect();
    if format == OutputFormat::Csv {
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
