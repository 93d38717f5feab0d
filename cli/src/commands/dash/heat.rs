//! A map of a metric over two parameters, in the cells of a terminal.

use bt_model::landscape::part_of_range;
use bt_proto::v1;
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use crate::output::figures;

/// Colours of the map, from the lowest to the highest, and whether what is written on them is black.
const COLOURS: [(u8, bool); 9] = [
    (17, false),
    (19, false),
    (25, false),
    (31, false),
    (37, true),
    (72, true),
    (108, true),
    (150, true),
    (228, true),
];
/// The same without colours.
const SHADES: [char; 9] = [' ', '·', '░', '░', '▒', '▒', '▓', '▓', '█'];
/// No label of a row is wider.
const LABEL: usize = 12;

/// Cells of the map together, where the terminal has not room for all of them.
#[derive(Clone, Copy, Debug, Default)]
struct Square {
    sum: f64,
    reported: u32,
    failed: u32,
    pruned: u32,
    jobs: u32,
}

impl Square {
    fn take(&mut self, cell: &v1::HeatCell) {
        self.sum += cell.mean.unwrap_or_default() * f64::from(cell.reported);
        self.reported += cell.reported;
        self.failed += cell.failed;
        self.pruned += cell.pruned;
        self.jobs += cell.jobs;
    }

    fn mean(&self) -> Option<f64> {
        (self.reported > 0).then(|| self.sum / f64::from(self.reported))
    }
}

/// The map in so many columns and rows of the terminal.
pub(super) fn lines(map: &v1::HeatMap, width: usize, height: usize) -> Vec<Line<'static>> {
    let rows: Vec<String> = map.rows.iter().map(|label| crate::output::one_line(label)).collect();
    let label = rows.iter().map(|label| label.width()).max().unwrap_or(0).min(LABEL);
    // The line of the columns' labels, and the one below the map.
    let most = (width.saturating_sub(label + 1) / 2, height.saturating_sub(2));
    if most.0 == 0 || most.1 == 0 || map.columns.is_empty() {
        return Vec::new();
    }
    let together = (map.columns.len().div_ceil(most.0), rows.len().div_ceil(most.1));
    let (across, down) = (map.columns.len().div_ceil(together.0), rows.len().div_ceil(together.1));
    let mut squares = vec![Square::default(); across * down];
    for (index, cell) in map.cells.iter().enumerate() {
        let (column, row) = (index % map.columns.len(), index / map.columns.len());
        if let Some(square) = squares.get_mut(row / together.1 * across + column / together.0) {
            square.take(cell);
        }
    }
    let means: Vec<f64> = squares.iter().filter_map(Square::mean).collect();
    let lowest = means.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let texts: Vec<String> = means.iter().map(|mean| format!("{mean:.4}")).collect();
    let texts = figures(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let numbers = texts.iter().map(|text| text.width()).max().unwrap_or(0) + 2;
    let cell = if across * numbers <= width.saturating_sub(label + 1) { numbers } else { 2 };
    let mut texts = texts.into_iter();
    let mut lines = vec![head(map, label, cell, across, together.0)];
    for (row, squares) in squares.chunks(across).enumerate() {
        let name = rows.get(row * together.1).map(String::as_str).unwrap_or_default();
        let name: String = name.chars().take(label).collect();
        let mut spans = vec![Span::raw(format!("{name:>label$} "))];
        for square in squares {
            let text = square.mean().and_then(|_| texts.next());
            spans.push(draw(square, text.filter(|_| cell > 2), cell, lowest, highest));
        }
        lines.push(Line::from(spans));
    }
    if lowest <= highest {
        let ends = figures(&[&lowest.to_string(), &highest.to_string()]);
        lines.push(Line::from(format!("{:label$} {} to {} on average", "", ends[0], ends[1])));
    }
    lines
}

/// The labels of the columns; of narrow ones the first and the last.
fn head(map: &v1::HeatMap, label: usize, cell: usize, across: usize, together: usize) -> Line<'static> {
    let name = |column: usize| crate::output::one_line(&map.columns[column * together]);
    let mut text = " ".repeat(label + 1);
    let all: Vec<String> = (0..across).map(name).collect();
    if all.iter().all(|name| name.width() < cell) {
        text.extend(all.iter().map(|name| format!("{name:>0$} ", cell - 1)));
    } else if let (Some(first), Some(last)) = (all.first(), all.last()) {
        let width = (across * cell).saturating_sub(first.width());
        text = format!("{text}{first}{last:>width$}");
    }
    Line::from(text)
}

fn draw(square: &Square, text: Option<String>, width: usize, lowest: f64, highest: f64) -> Span<'static> {
    let Some(mean) = square.mean() else {
        let sign = match (square.failed, square.pruned, square.jobs) {
            (1.., ..) => 'x',
            (0, 1.., _) => '~',
            (0, 0, 1..) => '.',
            (0, 0, 0) => ' ',
        };
        return Span::raw(format!("{sign:>0$} ", width - 1));
    };
    let part = part_of_range(mean, lowest, highest);
    let place = ((part * COLOURS.len() as f64) as usize).min(COLOURS.len() - 1);
    if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        let shade = SHADES[place].to_string().repeat(width);
        return Span::raw(text.map_or(shade, |text| format!("{text:>width$}")));
    }
    let (colour, is_light) = COLOURS[place];
    let ink = if is_light { Color::Black } else { Color::White };
    let text = text.unwrap_or_default();
    Span::styled(format!("{text:>0$}", width - 1) + " ", Style::new().bg(Color::Indexed(colour)).fg(ink))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(columns: usize, rows: usize) -> v1::HeatMap {
        let cell = |index: usize| v1::HeatCell {
            jobs: 1,
            failed: u32::from(index == 1),
            reported: u32::from(index != 1),
            mean: (index != 1).then_some(index as f64),
            ..v1::HeatCell::default()
        };
        v1::HeatMap {
            across: "fast".to_owned(),
            down: "slow".to_owned(),
            columns: (0..columns).map(|column| column.to_string()).collect(),
            rows: (0..rows).map(|row| (row * 10).to_string()).collect(),
            cells: (0..columns * rows).map(cell).collect(),
        }
    }

    fn texts(map: &v1::HeatMap, width: usize, height: usize) -> Vec<String> {
        lines(map, width, height).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn there_are_numbers_where_there_is_room() {
        let drawn = texts(&map(3, 2), 40, 10);
        assert_eq!(drawn, ["    0  1  2 ", " 0  0  x  2 ", "10  3  4  5 ", "   0 to 5 on average"]);
    }

    #[test]
    fn it_fits_any_size() {
        for (columns, rows) in [(1, 1), (3, 2), (40, 40)] {
            for (width, height) in [(0, 0), (3, 3), (8, 4), (38, 18), (60, 50), (200, 60)] {
                let drawn = texts(&map(columns, rows), width, height);
                assert!(drawn.len() <= height, "{columns}x{rows} in {width}x{height}: {drawn:#?}");
                let cells = &drawn[..drawn.len().saturating_sub(1)];
                assert!(cells.iter().skip(1).all(|line| line.width() <= width), "{width}: {drawn:#?}");
            }
        }
    }
}
