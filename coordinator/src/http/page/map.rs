//! A sweep by one of its metrics, at a glance: the metric over two parameters, which parameters matter, and how it is
//! distributed. All of it is drawn here, as tables and SVG whose size does not depend on the number of jobs.

use bt_model::landscape::{Axis, Cell, HeatMap, Importance, Landscape, part_of_range};

use super::ranking::{Decimals, cut, figure};

/// Colours of the map, from the lowest to the highest.
const COLOURS: usize = 9;
/// A map with more columns shows its numbers only where a cell is pointed at.
const READABLE: usize = 16;
/// Characters of a label.
const LABEL: usize = 40;
/// Bins of the distribution, and parameters of the table.
const BINS: usize = 40;
const MOST_IMPORTANT: usize = 12;

/// What a cell may show of its jobs.
pub(super) const CELLS: [&str; 3] = ["mean", "highest", "lowest"];

/// What of a sweep is to be drawn.
#[derive(Debug, Default)]
pub(super) struct Drawn<'d> {
    /// Names of parameters; empty: those that matter most.
    pub(super) across: &'d str,
    pub(super) down: &'d str,
    /// One of [`CELLS`]; empty: the mean.
    pub(super) cell: &'d str,
}

pub(super) struct Map {
    pub(super) across: String,
    pub(super) down: String,
    pub(super) cell: &'static str,
    pub(super) lowest: String,
    pub(super) highest: String,
    pub(super) is_dense: bool,
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Row>,
}

pub(super) struct Row {
    pub(super) label: String,
    pub(super) cells: Vec<Square>,
}

pub(super) struct Square {
    pub(super) class: &'static str,
    pub(super) text: String,
}

impl Map {
    /// None where there are not two parameters to draw it over, or no job has reported the metric.
    pub(super) fn of(landscape: &Landscape, importance: &[Importance], drawn: &Drawn<'_>) -> Option<Self> {
        let (across, down) = landscape.two_axes(importance, drawn.across, drawn.down)?;
        let axes = landscape.axes();
        let cell = CELLS.into_iter().find(|cell| *cell == drawn.cell).unwrap_or(CELLS[0]);
        let map = landscape.heat_map(across, down)?;
        Self::draw(&map, [&axes[across], &axes[down]], cell)
    }

    fn draw(map: &HeatMap, [across, down]: [&Axis; 2], cell: &'static str) -> Option<Self> {
        let value = |found: &Cell| match cell {
            "highest" => found.highest,
            "lowest" => found.lowest,
            _ => found.mean,
        };
        let values = || map.cells.iter().filter(|cell| cell.reported > 0).map(value);
        let (lowest, highest) =
            (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        if lowest > highest {
            return None;
        }
        let decimals = Decimals::of(values());
        let square = |found: &Cell| match (found.reported, found.failed, found.pruned, found.jobs) {
            (1.., ..) => {
                Square { class: colour(value(found), lowest, highest), text: decimals.figure(value(found)) }
            }
            (0, 1.., ..) => Square { class: "failed", text: "failed".to_owned() },
            (0, 0, 1.., _) => Square { class: "pruned", text: "pruned".to_owned() },
            (0, 0, 0, 1..) => Square { class: "waits", text: "...".to_owned() },
            (0, 0, 0, 0) => Square { class: "none", text: String::new() },
        };
        let rows = map.rows.iter().zip(map.cells.chunks(map.columns.len()));
        Some(Self {
            across: across.name.clone(),
            down: down.name.clone(),
            cell,
            lowest: decimals.figure(lowest),
            highest: decimals.figure(highest),
            is_dense: map.columns.len() > READABLE,
            columns: map.columns.iter().map(|label| cut(label, LABEL)).collect(),
            rows: rows
                .map(|(label, cells)| Row {
                    label: cut(label, LABEL),
                    cells: cells.iter().map(square).collect(),
                })
                .collect(),
        })
    }
}

/// The colour of a value between the lowest and the highest.
fn colour(value: f64, lowest: f64, highest: f64) -> &'static str {
    const NAMES: [&str; COLOURS] = ["q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8"];
    let part = part_of_range(value, lowest, highest);
    NAMES[((part * COLOURS as f64) as usize).min(COLOURS - 1)]
}

/// How much a parameter matters.
pub(super) struct Weight {
    pub(super) name: String,
    pub(super) share: String,
    pub(super) percent: f64,
    pub(super) direction: String,
}

pub(super) fn weights(landscape: &Landscape, importance: &[Importance]) -> Vec<Weight> {
    let weight = |one: &Importance| Weight {
        name: landscape.axes()[one.axis].name.clone(),
        share: format!("{:.1} %", 100.0 * one.share),
        percent: 100.0 * one.share,
        direction: match one.correlation {
            None => String::new(),
            Some(rho) if rho.abs() < 0.1 => format!("none ({rho:.2})"),
            Some(rho) if rho > 0.0 => format!("more is higher ({rho:.2})"),
            Some(rho) => format!("more is lower ({rho:.2})"),
        },
    };
    importance.iter().take(MOST_IMPORTANT).map(weight).collect()
}

/// How the metric is distributed.
pub(super) struct Bars {
    pub(super) bars: Vec<Bar>,
    /// In words.
    pub(super) text: String,
}

pub(super) struct Bar {
    /// Parts of 100, from the top.
    pub(super) top: f64,
    pub(super) height: f64,
    pub(super) text: String,
}

pub(super) fn bars(landscape: &Landscape) -> Option<Bars> {
    let spread = landscape.spread(BINS)?;
    let most = f64::from(*spread.bins.iter().max()?);
    let width = (spread.highest / 2.0 - spread.lowest / 2.0) / spread.bins.len() as f64 * 2.0;
    let bar = |(bin, jobs): (usize, &u32)| {
        let height = 100.0 * f64::from(*jobs) / most;
        let from = spread.lowest + width * bin as f64;
        let text = format!("{} to {}: {jobs}", figure(from), figure(from + width));
        Bar { top: 100.0 - height, height, text }
    };
    let reported = landscape.reported();
    let text = match spread.lowest == spread.highest {
        true => {
            format!("All {reported} jobs that reported it have the same value, {}.", figure(spread.lowest))
        }
        false => format!(
            "{reported} jobs reported it, from {} to {}; half of them are below {}.",
            figure(spread.lowest),
            figure(spread.highest),
            figure(spread.median)
        ),
    };
    Some(Bars { bars: spread.bins.iter().enumerate().map(bar).collect(), text })
}

#[cfg(test)]
mod tests {
    use bt_model::landscape::{Builder, JobEnd};
    use bt_model::parameters::Parameters;

    use super::*;

    fn landscape(jobs: &[(&str, Option<f64>)]) -> Landscape {
        let mut builder = Builder::default();
        for (parameters, value) in jobs {
            // What reported a negative value was pruned.
            let end = match value {
                None => JobEnd::Failed,
                Some(value) if *value < 0.0 => JobEnd::Pruned,
                Some(_) => JobEnd::Other,
            };
            let value = value.filter(|value| *value >= 0.0);
            builder.push(&Parameters::from_json(parameters).unwrap(), value, end);
        }
        builder.finish()
    }

    fn drawn(landscape: &Landscape, drawn: &Drawn<'_>) -> Option<Map> {
        Map::of(landscape, &landscape.importance(), drawn)
    }

    #[test]
    fn the_map_is_of_what_matters_most_unless_it_is_told() {
        let mut jobs = Vec::new();
        for (a, b, c) in (0..27).map(|job| (job / 9, job / 3 % 3, job % 3)) {
            jobs.push((format!(r#"{{"a": {a}, "b": {b}, "c": {c}}}"#), Some(f64::from(b * 10 + c))));
        }
        let jobs: Vec<_> = jobs.iter().map(|(parameters, value)| (parameters.as_str(), *value)).collect();
        let landscape = landscape(&jobs);
        let map = drawn(&landscape, &Drawn::default()).unwrap();
        assert_eq!((map.across.as_str(), map.down.as_str(), map.cell), ("b", "c", "mean"));
        assert_eq!((map.lowest.as_str(), map.highest.as_str()), ("0", "22"));
        let square = &map.rows[2].cells[1];
        assert_eq!((square.class, square.text.as_str()), ("q4", "12"));
        let map = drawn(&landscape, &Drawn { across: "a", down: "c", cell: "highest" }).unwrap();
        assert_eq!((map.across.as_str(), map.down.as_str(), map.cell), ("a", "c", "highest"));
        let map = drawn(&landscape, &Drawn { across: "c", down: "c", cell: "x" }).unwrap();
        assert_eq!((map.across.as_str(), map.down.as_str(), map.cell), ("c", "b", "mean"));
    }

    #[test]
    fn failed_pruned_and_missing_jobs_are_told_apart() {
        let jobs = [
            (r#"{"a": 1, "b": 1}"#, Some(1.0)),
            (r#"{"a": 2, "b": 2}"#, None),
            (r#"{"a": 2, "b": 1}"#, Some(1.0)),
            (r#"{"a": 3, "b": 1}"#, Some(-1.0)),
        ];
        let map = drawn(&landscape(&jobs), &Drawn { across: "a", down: "b", cell: "" }).unwrap();
        let classes: Vec<_> = map.rows.iter().flat_map(|row| &row.cells).map(|square| square.class).collect();
        assert_eq!(
            classes,
            ["q4", "q4", "pruned", "none", "failed", "none"],
            "equal values have the middle colour"
        );
    }

    #[test]
    fn one_parameter_or_no_metric_makes_no_map() {
        assert!(
            drawn(&landscape(&[(r#"{"a": 1}"#, Some(1.0)), (r#"{"a": 2}"#, Some(2.0))]), &Drawn::default())
                .is_none()
        );
        let none = landscape(&[(r#"{"a": 1, "b": 1}"#, None), (r#"{"a": 2, "b": 2}"#, None)]);
        assert!(drawn(&none, &Drawn::default()).is_none() && bars(&none).is_none());
    }
}
