//! Tables for people: columns aligned, no lines, long texts cut unless `wide` is asked for.

use std::io::{self, Write};

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

use super::View;

/// Characters that a cell shows in a table that is not wide.
const LONGEST_CELL: usize = 60;

pub(super) fn write(view: &View, wide: bool, out: &mut impl Write) -> io::Result<()> {
    let shown: Vec<usize> =
        (0..view.columns.len()).filter(|index| wide || !view.columns[*index].wide).collect();
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(shown.iter().map(|index| view.columns[*index].title.to_uppercase()));
    for row in &view.rows {
        table.add_row(shown.iter().map(|index| cell(&row.cells[*index], wide)));
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        let last = index + 1 == shown.len();
        column.set_padding((0, if last { 0 } else { 2 }));
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// One line, and not too long a one.
fn cell(text: &str, wide: bool) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if wide || line.chars().count() <= LONGEST_CELL {
        return line;
    }
    let start: String = line.chars().take(LONGEST_CELL - 1).collect();
    start + "…"
}
