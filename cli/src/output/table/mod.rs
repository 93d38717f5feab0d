//! Tables for people. On a terminal they are no wider than it is: parameters and metrics that have one value in all rows
//! stand above the table, and columns that don't fit are named below it. Numbers of a column are aligned to one precision.

mod numbers;

use std::io::{self, Write};

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use unicode_width::UnicodeWidthStr;

use super::cell::Cell;
use super::terminal::shown;
use super::view::{Column, View};

/// Characters that a cell shows in a table that is not wide.
const LONGEST_CELL: usize = 60;
/// A text is cut to what is left of a line if it is at least as much as this.
const SHORTEST_TEXT: usize = 12;
/// Spaces between two columns.
const GAP: usize = 2;

/// What a table shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All columns, nothing cut.
    All,
    /// The columns that were asked for.
    Chosen,
    /// What people look at first, in lines of this width if there is a limit.
    Fit(Option<usize>),
}

/// One column, ready to be printed.
struct Block<'v> {
    column: &'v Column,
    cells: Vec<String>,
    right: bool,
    width: usize,
}

pub(super) fn write(view: &View, extent: Extent, out: &mut impl Write) -> io::Result<()> {
    let mut shown: Vec<usize> = (0..view.columns.len()).collect();
    if let Extent::Fit(width) = extent {
        shown.retain(|index| !view.columns[*index].wide && !is_idle(view, *index));
        // Whatever reads a pipe line by line finds each value in its row.
        let folds = |index: &usize| width.is_some() && is_constant(view, *index);
        let constant: Vec<usize> = shown.iter().copied().filter(folds).collect();
        shown.retain(|index| !constant.contains(index));
        let named = constant.iter().map(|index| {
            let value = view.rows[0].cells[*index].people().into_owned();
            format!("{}={}", view.columns[*index].name, line(&value))
        });
        list("In all rows:", named.collect(), width, out)?;
    }
    let mut blocks: Vec<Block<'_>> = shown.iter().map(|index| block(view, *index, extent)).collect();
    let left_out = match extent {
        Extent::Fit(Some(width)) => fit(&mut blocks, width),
        _ => Vec::new(),
    };
    write_blocks(&blocks, view.rows.len(), out)?;
    if let Extent::Fit(width) = extent
        && !left_out.is_empty()
    {
        list("Not shown (-o wide shows all, --columns a,b,c chooses):", left_out, width, out)?;
    }
    Ok(())
}

/// A column that says nothing in any row, and is of interest only if it does.
fn is_idle(view: &View, index: usize) -> bool {
    view.columns[index].optional && view.rows.iter().all(|row| row.cells[index].is_none())
}

/// A parameter or a metric that has the same value in all of several rows.
fn is_constant(view: &View, index: usize) -> bool {
    let [first, rest @ ..] = view.rows.as_slice() else { return false };
    let same = rest.iter().all(|row| row.cells[index] == first.cells[index]);
    view.columns[index].folds && !rest.is_empty() && same
}

fn block<'v>(view: &'v View, index: usize, extent: Extent) -> Block<'v> {
    let column = &view.columns[index];
    let cells: Vec<&Cell> = view.rows.iter().map(|row| &row.cells[index]).collect();
    let right = cells.iter().any(|cell| cell.is_quantity())
        && cells.iter().all(|cell| cell.is_quantity() || matches!(cell, Cell::None | Cell::Remark(_)));
    let are_numbers = cells.iter().all(|cell| matches!(cell, Cell::Number(_) | Cell::None));
    let texts: Vec<_> = cells.iter().map(|cell| cell.people()).collect();
    let cells: Vec<String> = match extent {
        Extent::All => texts.iter().map(|text| line(text)).collect(),
        _ if right && are_numbers => numbers::align(&texts.iter().map(AsRef::as_ref).collect::<Vec<_>>()),
        _ => texts.iter().map(|text| cut(&line(text), LONGEST_CELL)).collect(),
    };
    let width = cells.iter().map(|cell| cell.width()).chain([column.heading.width()]).max().unwrap_or(0);
    Block { column, cells, right, width }
}

/// Leaves out what doesn't fit into the width, the least important columns first; returns their names.
fn fit(blocks: &mut Vec<Block<'_>>, width: usize) -> Vec<String> {
    let mut order: Vec<usize> = (0..blocks.len()).collect();
    order.sort_by_key(|index| blocks[*index].column.rank);
    let (mut used, mut kept) = (0, vec![false; blocks.len()]);
    for index in order {
        let block = &mut blocks[index];
        let gap = if used == 0 { 0 } else { GAP };
        let left = width.saturating_sub(used + gap);
        let shortest = SHORTEST_TEXT.max(block.column.heading.width());
        if block.width > left && !block.right && left >= shortest {
            block.cells.iter_mut().for_each(|cell| *cell = cut(cell, left));
            block.width = left;
        }
        // Something must be shown, however narrow the terminal is.
        if block.width <= left || used == 0 {
            used += gap + block.width;
            kept[index] = true;
        }
    }
    let named = blocks.iter().zip(&kept).filter(|(_, kept)| !**kept);
    let left_out = named.map(|(block, _)| block.column.name.clone()).collect();
    let mut kept = kept.into_iter();
    blocks.retain(|_| kept.next().unwrap_or(true));
    left_out
}

/// Numbers with one precision.
pub(crate) fn figures(numbers: &[&str]) -> Vec<String> {
    numbers::align(numbers)
}

/// A number with as many digits as people read.
pub(crate) fn figure(number: &str) -> String {
    numbers::align(&[number]).pop().unwrap_or_default()
}

fn write_blocks(blocks: &[Block<'_>], rows: usize, out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(blocks.iter().map(|block| block.column.heading.as_str()));
    for row in 0..rows {
        table.add_row(blocks.iter().map(|block| block.cells[row].as_str()));
    }
    for (column, block) in table.column_iter_mut().zip(blocks) {
        let is_last = blocks.last().is_some_and(|last| std::ptr::eq(last, block));
        column.set_padding((0, if is_last { 0 } else { GAP as u16 }));
        column.set_cell_alignment(if block.right { CellAlignment::Right } else { CellAlignment::Left });
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// A title and items, wrapped between items so that no line is wider than the limit. Nothing if there are no items.
fn list(title: &str, items: Vec<String>, width: Option<usize>, out: &mut impl Write) -> io::Result<()> {
    if items.is_empty() {
        return Ok(());
    }
    let (mut text, last) = (title.to_owned(), items.len() - 1);
    for (index, item) in items.into_iter().enumerate() {
        let item = if index == last { item } else { item + "," };
        if width.is_some_and(|width| text.width() + 1 + item.width() > width) {
            writeln!(out, "{text}")?;
            text = " ".to_owned();
        }
        text += " ";
        text += &item;
    }
    writeln!(out, "{text}")
}

/// The text on one line, with its control characters shown.
fn line(text: &str) -> String {
    text.chars().map(|c| if "\n\r\t".contains(c) { ' ' } else { shown(c) }).collect()
}

/// The beginning of a text that is wider than the limit, with a mark that it goes on.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut start = String::new();
    for c in text.chars() {
        let with = start.clone() + c.encode_utf8(&mut [0; 4]);
        if with.width() + 1 > width {
            break;
        }
        start = with;
    }
    start + "…"
}

#[cfg(test)]
mod tests;
