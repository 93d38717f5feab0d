//! A sweep's jobs as points in the space of their parameters, and which of them are good together with their neighbours.

use bt_model::landscape::{JobEnd, Landscape};
use bt_statistics::{Coordinate, Error, Goal, Outcome, Point, Robustness, robustness};

/// More jobs are not held against their neighbours: each takes some hundred bytes meanwhile.
const MOST_JOBS: usize = 1_000_000;

/// Ranks jobs by the median of their metric and their neighbours'. It takes a second for 100,000 jobs. An error says why
/// there is no such ranking.
pub(crate) fn rank(landscape: &Landscape, minimize: bool) -> Result<Robustness, String> {
    if landscape.jobs() > MOST_JOBS {
        return Err(format!("the sweep has {} jobs; {MOST_JOBS} is the limit", landscape.jobs()));
    }
    let points: Vec<Point> = (0..landscape.jobs()).map(|job| point(landscape, job)).collect();
    let goal = if minimize { Goal::Minimize } else { Goal::Maximize };
    robustness(&points, goal).map_err(|error: Error| error.to_string())
}

fn point(landscape: &Landscape, job: usize) -> Point {
    let coordinate = |axis: &bt_model::landscape::Axis| match axis.label(job) {
        None => Coordinate::Absent,
        Some(label) => match label.parse() {
            Ok(number) if axis.is_numeric => Coordinate::Number(number),
            _ => Coordinate::Text(label.to_owned()),
        },
    };
    let outcome = match landscape.value(job) {
        Some(value) => Outcome::Value(value),
        // What was pruned was bad enough to be given up.
        None if landscape.end(job) != JobEnd::Other => Outcome::Failed,
        None => Outcome::Unfinished,
    };
    Point { job: job as u64, coordinates: landscape.axes().iter().map(coordinate).collect(), outcome }
}
