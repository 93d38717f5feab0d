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

/// One line, and not too long a one; a number with as many digits as people read.
fn cell(text: &str, wide: bool) -> String {
    if !wide && let Some(number) = rounded(text) {
        return number;
    }
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if wide || line.chars().count() <= LONGEST_CELL {
        return line;
    }
    let start: String = line.chars().take(LONGEST_CELL - 1).collect();
    start + "…"
}

/// A long decimal fraction to six significant digits; none for anything else.
fn rounded(text: &str) -> Option<String> {
    if text.len() <= 8 || !text.contains('.') {
        return None;
    }
    let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
    let whole_digits = number.abs().max(1.0).log10() as usize + 1;
    let rounded = format!("{number:.*}", 6_usize.saturating_sub(whole_digits));
    // A tiny number is not nothing.
    if number != 0.0 && rounded.parse() == Ok(0.0) {
        return Some(format!("{number:.3e}"));
    }
    match rounded.contains('.') {
        true => Some(rounded.trim_end_matches('0').trim_end_matches('.').to_owned()),
        false => Some(rounded),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_are_rounded_for_people() {
        let shown = [
            "0.5212568063781154",
            "-42.365571648191406",
            "1234567.891",
            "0.00000012345",
            "319.7516010000005",
        ]
        .map(|text| cell(text, false));
        assert_eq!(shown, ["0.52126", "-42.3656", "1234568", "1.235e-7", "319.752"]);
        for text in ["0.3", "12345678901", "2020-01-01.csv", "exit(1)"] {
            assert_eq!(cell(text, false), text);
        }
        assert_eq!(cell("0.5212568063781154", true), "0.5212568063781154");
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(cell(&"x".repeat(100), false).chars().count(), LONGEST_CELL);
        assert_eq!(cell("a\nb", false), "a b");
    }
}
