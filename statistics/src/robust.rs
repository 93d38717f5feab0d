//! Is the best point a spike, or does its neighbourhood hold too?

use crate::error::Error;
use crate::grid::{Grid, Neighbours, Outcome, Point, median};

/// Of points that form no grid, so many of the best are looked at; fewer of very many, so that it takes seconds at most.
const MOST_CANDIDATES: usize = 1_000;
const MOST_DISTANCES: usize = 100_000_000;

/// What is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    Maximize,
    Minimize,
}

/// The best point by its own value, and by its neighbourhood.
#[derive(Clone, Debug, PartialEq)]
pub struct Robustness {
    pub raw: Winner,
    /// The point whose neighbourhood is best: the median of its value and its neighbours'. None if `why` says so.
    pub robust: Option<Winner>,
    pub why: Option<&'static str>,
    pub neighbourhood: Neighbourhood,
    /// All points that were considered, the best neighbourhood first.
    pub ranked: Vec<Winner>,
}

/// Which points are neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbourhood {
    /// One step away on the axis of one parameter whose values are numbers, all else the same.
    Grid,
    /// The points form no grid: the nearest ones with the same words, two for each parameter whose values are numbers, by
    /// the ranks of their values.
    Nearest,
}

/// A point, and what is around it.
#[derive(Clone, Debug, PartialEq)]
pub struct Winner {
    pub job: u64,
    pub value: f64,
    /// Of its value and its neighbours'; its own if it has none.
    pub median: f64,
    /// Neighbours with a value.
    pub neighbours: u64,
    /// Neighbours that failed or have not ended.
    pub silent: u64,
    /// Places beside it that no job has.
    pub empty: u64,
}

impl Robustness {
    /// True if both are the same point.
    pub fn agree(&self) -> bool {
        self.robust.as_ref().is_some_and(|robust| robust.job == self.raw.job)
    }
}

/// Ranks points by the median of each and its neighbours. Jobs with the same values of all parameters are one point, whose
/// value is their median and whose job is the first of the best. A point with fewer neighbours that have a value than such
/// that have none is not considered, unless no other is. Of several that are as good the first wins.
///
/// # Errors
///
/// [`Error::TooFew`] if no job has reported a finite value.
pub fn robustness(points: &[Point], goal: Goal) -> Result<Robustness, Error> {
    let grid = Grid::new(points);
    let sign = if goal == Goal::Maximize { 1.0 } else { -1.0 };
    let mut ranked: Vec<(usize, f64)> =
        grid.cells.iter().enumerate().filter_map(|(cell, own)| Some((cell, own.value?))).collect();
    ranked.sort_by(|a, b| (sign * b.1).total_cmp(&(sign * a.1)));
    let Some((best, _)) = ranked.first().copied() else {
        return Err(Error::TooFew { what: "jobs with a value", given: 0, least: 1 });
    };
    let neighbours: Vec<Neighbours> = ranked.iter().map(|(cell, _)| grid.neighbours(*cell)).collect();
    let with_some = neighbours.iter().filter(|near| !near.reported.is_empty()).count();
    let is_grid = 2 * with_some >= ranked.len();
    let steps = grid.steps().count();
    let (candidates, neighbourhood) = match is_grid || steps == 0 {
        true => (neighbours, Neighbourhood::Grid),
        false => {
            let most = MOST_CANDIDATES.min(MOST_DISTANCES / ranked.len().max(1) / steps).max(10);
            let near = |(cell, _): &(usize, f64)| nearest(&grid, &ranked, *cell);
            (ranked.iter().take(most).map(near).collect(), Neighbourhood::Nearest)
        }
    };
    let winner = |cell: usize, near: &Neighbours| winner(&grid, points, sign, cell, near);
    let around = || ranked.iter().map(|(cell, _)| *cell).zip(&candidates);
    let is_known = |near: &Neighbours| near.reported.len() as u64 >= (near.silent + near.empty).max(1);
    let all: Vec<(bool, Winner)> =
        around().map(|(cell, near)| (is_known(near), winner(cell, near))).collect();
    let any_known = all.iter().any(|(known, _)| *known);
    let considered = all.iter().filter(|(known, one)| if any_known { *known } else { one.neighbours > 0 });
    let mut ranked_around: Vec<Winner> = considered.map(|(_, winner)| winner.clone()).collect();
    ranked_around.sort_by(|a, b| (sign * b.median).total_cmp(&(sign * a.median)).then(a.job.cmp(&b.job)));
    let robust = ranked_around.first();
    let raw = all
        .iter()
        .map(|(_, winner)| winner)
        .find(|winner| grid.cells[best].reported.iter().any(|number| points[*number].job == winner.job));
    let why = match (steps, &robust) {
        (_, Some(_)) => None,
        (0, None) => Some("no parameter has several numbers as its values, so no point has a neighbour"),
        (_, None) => Some("no point has a neighbour that has reported a value"),
    };
    Ok(Robustness {
        raw: raw.cloned().unwrap_or_else(|| winner(best, &Neighbours::default())),
        robust: robust.cloned(),
        why,
        neighbourhood,
        ranked: ranked_around,
    })
}

fn winner(grid: &Grid, points: &[Point], sign: f64, cell: usize, near: &Neighbours) -> Winner {
    let own = &grid.cells[cell];
    let value = own.value.unwrap_or_default();
    let score = |number: usize| match points[number].outcome {
        Outcome::Value(value) => sign * value,
        _ => f64::NEG_INFINITY,
    };
    let first =
        own.reported.iter().copied().reduce(|best, next| if score(next) > score(best) { next } else { best });
    let around = near.reported.iter().filter_map(|near| grid.cells[*near].value);
    Winner {
        job: first.map_or(0, |number| points[number].job),
        value,
        median: median(around.chain([value]).collect()).unwrap_or(value),
        neighbours: near.reported.len() as u64,
        silent: near.silent,
        empty: near.empty,
    }
}

/// The nearest cells with a value, by the ranks of the numbers.
fn nearest(grid: &Grid, ranked: &[(usize, f64)], cell: usize) -> Neighbours {
    let own = &grid.cells[cell].place;
    let is_step: Vec<Option<f64>> = {
        let mut steps = vec![None; own.len()];
        grid.steps().for_each(|(axis, length)| steps[axis] = Some(1.0 / f64::from(length - 1)));
        steps
    };
    let distance = |other: &[u32]| {
        let mut square = 0.0;
        for (axis, step) in is_step.iter().enumerate() {
            match step {
                Some(step) if own[axis] != u32::MAX && other[axis] != u32::MAX => {
                    let away = f64::from(own[axis].abs_diff(other[axis])) * step;
                    square += away * away;
                }
                _ if own[axis] != other[axis] => return None,
                _ => {}
            }
        }
        Some(square)
    };
    let others = ranked.iter().filter(|(other, _)| *other != cell);
    let mut found: Vec<(f64, usize)> =
        others.filter_map(|(other, _)| Some((distance(&grid.cells[*other].place)?, *other))).collect();
    let count = (2 * grid.steps().count()).min(found.len());
    if count > 0 && count < found.len() {
        found.select_nth_unstable_by(count - 1, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    }
    Neighbours {
        reported: found.into_iter().take(count).map(|(_, cell)| cell).collect(),
        ..Neighbours::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Coordinate, Random};

    fn point(job: u64, numbers: &[f64], outcome: Outcome) -> Point {
        Point { job, coordinates: numbers.iter().map(|x| Coordinate::Number(*x)).collect(), outcome }
    }

    /// A hill around (6, 6), and a spike at (1, 8).
    fn hill(sign: f64) -> Vec<Point> {
        let height = |x: f64, y: f64| {
            if (x, y) == (1.0, 8.0) { 3.0 } else { 2.0 - ((x - 6.0).powi(2) + (y - 6.0).powi(2)) / 20.0 }
        };
        let all = (0..100).map(|job| (job, (job / 10) as f64, (job % 10) as f64));
        all.map(|(job, x, y)| point(job, &[10.0 * x, y], Outcome::Value(sign * height(x, y)))).collect()
    }

    #[test]
    fn a_spike_is_not_robust() {
        for (sign, goal) in [(1.0, Goal::Maximize), (-1.0, Goal::Minimize)] {
            let found = robustness(&hill(sign), goal).unwrap();
            let robust = found.robust.clone().unwrap();
            assert_eq!((found.raw.job, robust.job, found.agree()), (18, 66, false), "{robust:?}");
            let medians: Vec<f64> = found.ranked.iter().map(|winner| sign * winner.median).collect();
            assert!(medians.is_sorted_by(|a, b| a >= b) && found.ranked[0] == robust);
            assert_eq!((found.raw.value, found.neighbourhood), (sign * 3.0, Neighbourhood::Grid));
            assert_eq!((robust.neighbours, robust.silent, robust.empty), (4, 0, 0));
            assert!(sign * found.raw.median < sign * robust.median);
        }
    }

    #[test]
    fn words_are_no_steps() {
        let kinds = ["sma", "ema"];
        let mut points = Vec::new();
        for (number, kind) in kinds.into_iter().enumerate() {
            for x in 0..5u8 {
                // One kind is a plateau, the other a spike at 2.
                let value = if number == 0 { 1.0 } else { 2.0 * f64::from(u8::from(x == 2)) };
                let coordinates = vec![Coordinate::Text(kind.into()), Coordinate::Number(x.into())];
                points.push(Point { job: points.len() as u64, coordinates, outcome: Outcome::Value(value) });
            }
        }
        let found = robustness(&points, Goal::Maximize).unwrap();
        assert_eq!((found.raw.job, found.robust.unwrap().job), (7, 0));
        let only_words: Vec<Point> = points
            .iter()
            .map(|point| Point { coordinates: point.coordinates[..1].to_vec(), ..point.clone() })
            .collect();
        let found = robustness(&only_words, Goal::Maximize).unwrap();
        assert!(found.robust.is_none() && found.why.unwrap().contains("no parameter has several numbers"));
    }

    #[test]
    fn one_parameter_has_two_neighbours() {
        let values = [0.1, 0.2, 0.9, 0.1, 0.5, 0.6, 0.5];
        let points: Vec<Point> =
            (0..7).map(|x| point(x as u64, &[x as f64], Outcome::Value(values[x]))).collect();
        let found = robustness(&points, Goal::Maximize).unwrap();
        let robust = found.robust.unwrap();
        // At the edge the median of two is 0.55, in the middle of three 0.5.
        assert_eq!((found.raw.job, robust.job, robust.median), (2, 6, 0.55));
    }

    #[test]
    fn failed_and_missing_neighbours_are_counted_and_not_ranked() {
        let mut points = hill(1.0);
        // Three of the four neighbours of the top fail, or are not there.
        points[56].outcome = Outcome::Failed;
        points[76].outcome = Outcome::Value(f64::NAN);
        points.remove(67);
        let found = robustness(&points, Goal::Maximize).unwrap();
        assert!(found.robust.unwrap().job != 66);
        let mut points = hill(1.0);
        points[17].outcome = Outcome::Unfinished;
        let raw = robustness(&points, Goal::Maximize).unwrap().raw;
        assert_eq!((raw.job, raw.neighbours, raw.silent, raw.empty), (18, 3, 1, 0));
    }

    #[test]
    fn points_without_a_grid_have_their_nearest() {
        let mut random = Random::new(4);
        let mut points: Vec<Point> = (0..400)
            .map(|job| {
                let (x, y) = (random.uniform(), random.uniform());
                let value = 2.0 - 4.0 * ((x - 0.6).powi(2) + (y - 0.6).powi(2));
                point(job, &[x, y], Outcome::Value(value))
            })
            .collect();
        points.push(point(400, &[0.1, 0.1], Outcome::Value(5.0)));
        let found = robustness(&points, Goal::Maximize).unwrap();
        let robust = found.robust.unwrap();
        assert_eq!((found.raw.job, found.neighbourhood, robust.neighbours), (400, Neighbourhood::Nearest, 4));
        assert!(robust.value < 2.0 && robust.median > 1.95, "{robust:?}");
    }

    #[test]
    fn the_same_point_many_times_is_one() {
        let values = [9.0, 1.0, 1.2, 2.0, 2.0, 2.1];
        let points: Vec<Point> =
            (0..6).map(|job| point(job as u64, &[(job / 3) as f64], Outcome::Value(values[job]))).collect();
        let found = robustness(&points, Goal::Maximize).unwrap();
        assert_eq!((found.raw.job, found.raw.value), (5, 2.0));
    }

    #[test]
    fn nothing_reported_is_said() {
        let points = [point(0, &[1.0], Outcome::Failed)];
        let error = robustness(&points, Goal::Maximize).unwrap_err().to_string();
        assert_eq!(error, "there are 0 jobs with a value; at least 1 are needed");
        let one = robustness(&[point(3, &[1.0], Outcome::Value(1.0))], Goal::Maximize).unwrap();
        assert_eq!((one.raw.job, one.robust), (3, None));
        let two = [point(0, &[1.0, 1.0], Outcome::Value(1.0)), point(1, &[2.0, 2.0], Outcome::Failed)];
        assert!(robustness(&two, Goal::Maximize).unwrap().why.unwrap().contains("no point has a neighbour"));
    }
}
