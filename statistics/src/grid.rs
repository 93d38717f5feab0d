//! Jobs as points in the space of their parameters, and which of them are neighbours.

use std::collections::HashMap;

/// A parameter's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Coordinate {
    Number(f64),
    /// A word, such as a kind of average; truth values are words too.
    Text(String),
    /// The job does not have the parameter.
    Absent,
}

/// What a job has reported.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    Value(f64),
    /// It failed, or reported no finite number.
    Failed,
    /// It has not ended.
    Unfinished,
}

/// A job in the space of its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    pub job: u64,
    /// One for each parameter, in the same order for all jobs.
    pub coordinates: Vec<Coordinate>,
    pub outcome: Outcome,
}

/// All points with the same values of all parameters.
#[derive(Debug)]
pub(crate) struct Cell {
    /// The place on each axis.
    pub(crate) place: Vec<u32>,
    /// Jobs that have reported a value, by their places among the points.
    pub(crate) reported: Vec<usize>,
    pub(crate) failed: u64,
    /// The median of the values; none: no job has reported one.
    pub(crate) value: Option<f64>,
}

#[derive(Debug)]
pub(crate) struct Grid {
    pub(crate) cells: Vec<Cell>,
    by_place: HashMap<Vec<u32>, usize>,
    /// Of each axis, the number of its values if these are numbers; none for words.
    pub(crate) lengths: Vec<Option<u32>>,
}

/// A cell's neighbours: those one step away on one axis of numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Neighbours {
    /// Cells with a value.
    pub(crate) reported: Vec<usize>,
    /// Cells without one, because their jobs failed or have not ended.
    pub(crate) silent: u64,
    /// Places within the axes that no job has.
    pub(crate) empty: u64,
}

impl Grid {
    pub(crate) fn new(points: &[Point]) -> Self {
        let axes = points.iter().map(|point| point.coordinates.len()).max().unwrap_or(0);
        let axes: Vec<Axis> = (0..axes).map(|axis| Axis::new(points, axis)).collect();
        let mut grid = Self {
            cells: Vec::new(),
            by_place: HashMap::new(),
            lengths: axes.iter().map(Axis::length).collect(),
        };
        for (number, point) in points.iter().enumerate() {
            let place: Vec<u32> =
                axes.iter().enumerate().map(|(axis, own)| own.place(point.coordinates.get(axis))).collect();
            let next = grid.cells.len();
            let cell = *grid.by_place.entry(place.clone()).or_insert(next);
            if cell == next {
                grid.cells.push(Cell { place, reported: Vec::new(), failed: 0, value: None });
            }
            match point.outcome {
                Outcome::Value(value) if value.is_finite() => grid.cells[cell].reported.push(number),
                Outcome::Failed | Outcome::Value(_) => grid.cells[cell].failed += 1,
                Outcome::Unfinished => {}
            }
        }
        for cell in &mut grid.cells {
            let values = cell.reported.iter().filter_map(|number| match points[*number].outcome {
                Outcome::Value(value) => Some(value),
                _ => None,
            });
            cell.value = median(values.collect());
        }
        grid
    }

    /// The axes along which cells have neighbours: numbers with more than one value.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (usize, u32)> {
        let lengths = self.lengths.iter().enumerate();
        lengths.filter_map(|(axis, length)| length.filter(|length| *length > 1).map(|length| (axis, length)))
    }

    pub(crate) fn neighbours(&self, cell: usize) -> Neighbours {
        let mut found = Neighbours::default();
        let mut place = self.cells[cell].place.clone();
        for (axis, length) in self.steps() {
            let own = place[axis];
            // A job without the parameter is on no place of the axis.
            if own >= length {
                continue;
            }
            for next in [own.wrapping_sub(1), own + 1].into_iter().filter(|next| *next < length) {
                place[axis] = next;
                match self.by_place.get(&place) {
                    Some(near) if self.cells[*near].value.is_some() => found.reported.push(*near),
                    Some(_) => found.silent += 1,
                    None => found.empty += 1,
                }
            }
            place[axis] = own;
        }
        found
    }
}

/// The values of a parameter.
enum Axis {
    /// In rising order.
    Numbers(Vec<f64>),
    Words(HashMap<String, u32>),
}

impl Axis {
    fn new(points: &[Point], axis: usize) -> Self {
        let values = || points.iter().filter_map(|point| point.coordinates.get(axis));
        let are_numbers = values().all(|value| !matches!(value, Coordinate::Text(_)));
        if are_numbers {
            let numbers = values().filter_map(|value| match value {
                // The same number whatever its sign.
                Coordinate::Number(number) => Some(number + 0.0),
                _ => None,
            });
            let mut numbers: Vec<f64> = numbers.collect();
            numbers.sort_by(f64::total_cmp);
            numbers.dedup();
            return Self::Numbers(numbers);
        }
        let mut words = HashMap::new();
        for value in values() {
            let next = words.len() as u32;
            words.entry(word(value)).or_insert(next);
        }
        Self::Words(words)
    }

    fn length(&self) -> Option<u32> {
        match self {
            Self::Numbers(numbers) => Some(numbers.len() as u32),
            Self::Words(_) => None,
        }
    }

    fn place(&self, value: Option<&Coordinate>) -> u32 {
        let found = match (self, value) {
            (Self::Numbers(numbers), Some(Coordinate::Number(number))) => {
                let number = number + 0.0;
                numbers.binary_search_by(|other| other.total_cmp(&number)).ok().map(|place| place as u32)
            }
            (Self::Words(words), Some(value)) => words.get(&word(value)).copied(),
            _ => None,
        };
        found.unwrap_or(u32::MAX)
    }
}

/// A value among words; a number is not the word that looks like it.
fn word(value: &Coordinate) -> String {
    match value {
        Coordinate::Text(text) => format!("t{text}"),
        Coordinate::Number(number) => format!("n{number}"),
        Coordinate::Absent => String::new(),
    }
}

/// The middle value, or the mean of the two in the middle; none of none.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        // As halves: the sum of two finite numbers need not be finite.
        _ => Some(values[middle - 1] / 2.0 + values[middle] / 2.0),
    }
}
