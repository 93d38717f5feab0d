//! The metric over two parameters, in so many cells at most.

use super::{Axis, Importance, JobEnd, Landscape, NONE};

/// Cells along each of the two parameters, at most. More values share cells with their neighbours.
pub const MOST_CELLS: usize = 40;

/// The metric over two parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct HeatMap {
    /// What each column stands for: a value, or `10 to 19`.
    pub columns: Vec<String>,
    pub rows: Vec<String>,
    /// Row by row.
    pub cells: Vec<Cell>,
}

/// The jobs with two parameters' values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cell {
    /// How many there are.
    pub jobs: u32,
    /// How many of them failed.
    pub failed: u32,
    /// How many of them were pruned.
    pub pruned: u32,
    /// How many have reported the metric.
    pub reported: u32,
    /// Of those that have reported it; NaN if none has.
    pub mean: f64,
    pub lowest: f64,
    pub highest: f64,
}

impl Landscape {
    /// The axes of these two parameters, the column first; instead of one that is not named, or is no axis, one of those that
    /// matter most. None where there are not two.
    pub fn two_axes(&self, importance: &[Importance], across: &str, down: &str) -> Option<(usize, usize)> {
        let named = |name: &str| self.axes.iter().position(|axis| axis.name == name);
        // A parameter that few values have is drawn as well as one that all jobs have.
        let mut most = importance.iter().map(|one| one.axis).chain(0..self.axes.len());
        Some(match (named(across), named(down)) {
            (Some(across), Some(down)) if across != down => (across, down),
            (Some(across), _) => (across, most.find(|axis| *axis != across)?),
            (None, Some(down)) => (most.find(|axis| *axis != down)?, down),
            (None, None) => {
                let first = most.next()?;
                let second = most.find(|axis| *axis != first)?;
                // The one with more values goes across.
                let is_longer = self.axes[second].labels.len() > self.axes[first].labels.len();
                if is_longer { (second, first) } else { (first, second) }
            }
        })
    }

    /// The metric over these two axes. Jobs that lack one of them are left out.
    pub fn heat_map(&self, column: usize, row: usize) -> Option<HeatMap> {
        let (x, y) = (self.axes.get(column)?, self.axes.get(row)?);
        let (columns, rows) = (cells_of(x), cells_of(y));
        let mut cells = vec![Cell::default(); columns * rows];
        for job in 0..self.values.len() {
            let (at_x, at_y) = (x.places[job], y.places[job]);
            if at_x == NONE || at_y == NONE {
                continue;
            }
            let cell = &mut cells[cell_of(at_y, y, rows) * columns + cell_of(at_x, x, columns)];
            cell.take(self.values[job], self.ends[job]);
        }
        for cell in &mut cells {
            // It held the sum so far.
            cell.mean = if cell.reported == 0 { f64::NAN } else { cell.mean / f64::from(cell.reported) };
        }
        Some(HeatMap { columns: labels(x, columns), rows: labels(y, rows), cells })
    }
}

impl Cell {
    fn take(&mut self, value: f64, end: JobEnd) {
        self.jobs += 1;
        self.failed += u32::from(end == JobEnd::Failed);
        self.pruned += u32::from(end == JobEnd::Pruned);
        if value.is_nan() {
            return;
        }
        let is_first = self.reported == 0;
        self.reported += 1;
        self.mean += value;
        self.lowest = if is_first { value } else { self.lowest.min(value) };
        self.highest = if is_first { value } else { self.highest.max(value) };
    }
}

fn cells_of(axis: &Axis) -> usize {
    axis.labels.len().min(MOST_CELLS)
}

/// Neighbours share cells evenly.
fn cell_of(place: u32, axis: &Axis, cells: usize) -> usize {
    place as usize * cells / axis.labels.len()
}

fn labels(axis: &Axis, cells: usize) -> Vec<String> {
    let count = axis.labels.len();
    let first = |cell: usize| (cell * count).div_ceil(cells);
    (0..cells)
        .map(|cell| {
            let (from, to) = (first(cell), first(cell + 1) - 1);
            match from == to {
                true => axis.labels[from].clone(),
                false if axis.is_numeric => format!("{} to {}", axis.labels[from], axis.labels[to]),
                false => format!("{} and {} more", axis.labels[from], to - from),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::grid;
    use super::*;

    #[test]
    fn each_cell_has_its_jobs() {
        let landscape = grid(3, 2, |x, y| (x != 1 || y != 1).then(|| f64::from(x * 10 + y)));
        let map = landscape.heat_map(0, 1).unwrap();
        assert_eq!(
            (map.columns, map.rows),
            (vec!["0".into(), "1".into(), "2".into()], vec!["0".into(), "1".into()])
        );
        let means: Vec<f64> = map.cells.iter().map(|cell| cell.mean).collect();
        assert_eq!(means[..4], [0.0, 10.0, 20.0, 1.0]);
        assert!(
            means[4].is_nan() && map.cells[4].failed == 1 && map.cells[4].jobs == 1,
            "{:?}",
            map.cells[4]
        );
    }

    #[test]
    fn many_values_share_cells_and_none_is_lost() {
        let landscape = grid(95, 3, |x, _| Some(f64::from(x)));
        let map = landscape.heat_map(0, 1).unwrap();
        assert_eq!((map.columns.len(), map.rows.len()), (MOST_CELLS, 3));
        assert_eq!(map.cells.iter().map(|cell| cell.jobs).sum::<u32>(), 95 * 3);
        assert_eq!((map.columns[0].as_str(), map.columns[MOST_CELLS - 1].as_str()), ("0 to 2", "93 to 94"));
        for (column, label) in map.columns.iter().enumerate() {
            let (from, to) = label.split_once(" to ").unwrap_or((label, label));
            let cell = map.cells[column];
            assert_eq!((cell.lowest, cell.highest), (from.parse().unwrap(), to.parse().unwrap()), "{label}");
        }
    }
}
