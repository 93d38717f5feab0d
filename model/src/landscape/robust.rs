//! The point that is good together with its neighbours: one that is good alone is more likely to be so by chance.

use std::collections::HashMap;

use super::{Landscape, NONE};

/// A point of the grid beside those around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The place of its job among those that were taken.
    pub job: usize,
    pub value: f64,
    /// The median of its own metric and that of its neighbours.
    pub median: f64,
    pub neighbours: usize,
}

/// The best point by itself, and the best one by the median with its neighbours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Robust {
    pub best: Point,
    pub robust: Point,
}

impl Landscape {
    /// Holds each point against its neighbours: those that differ from it in one parameter, by one step up or down among the
    /// numbers that this parameter takes. Points that are not there are left out; a neighbour that failed is worse than any
    /// other. None if no point with a metric has neighbours: parameters that are no numbers, or random points, have no steps.
    ///
    /// Of points with the same median the better one is taken, and of these the first.
    pub fn robust(&self, minimize: bool) -> Option<Robust> {
        let sign = if minimize { -1.0 } else { 1.0 };
        let grid = Grid::of(self)?;
        let robust =
            grid.points(self, sign).reduce(|best, next| if next.is_before(&best) { next } else { best })?;
        let value = |job: usize| sign * self.values[job];
        let best =
            grid.jobs(self).reduce(|best, next| if value(next) > value(best) { next } else { best })?;
        let alone = Point { job: best, value: value(best), median: value(best), neighbours: 0 };
        let best = grid.point(self, best, sign).unwrap_or(alone);
        Some(Robust { best: best.times(sign), robust: robust.times(sign) })
    }

    /// The points that have neighbours, in the order of [`robust`](Self::robust); the first so many of them.
    pub fn ranked_robust(&self, minimize: bool, limit: usize) -> Vec<Point> {
        let sign = if minimize { -1.0 } else { 1.0 };
        let Some(grid) = Grid::of(self) else { return Vec::new() };
        let mut points: Vec<Point> = grid.points(self, sign).collect();
        points.sort_by(|a, b| {
            let by_median = b.median.total_cmp(&a.median);
            by_median.then(b.value.total_cmp(&a.value)).then(a.job.cmp(&b.job))
        });
        points.truncate(limit);
        points.into_iter().map(|point| point.times(sign)).collect()
    }
}

impl Point {
    /// Of two points where more is better, the first in the order of their jobs.
    fn is_before(&self, other: &Self) -> bool {
        (self.median, self.value) > (other.median, other.value)
    }

    fn times(self, sign: f64) -> Self {
        Self { value: sign * self.value, median: sign * self.median, ..self }
    }
}

/// Which job stands at which point.
struct Grid {
    /// Of each axis, what one step on it adds to a point's key.
    strides: Vec<u128>,
    places: HashMap<u128, u32>,
}

impl Grid {
    /// None if no parameter has steps, or there are more points than can be counted.
    fn of(landscape: &Landscape) -> Option<Self> {
        let mut strides = Vec::with_capacity(landscape.axes.len());
        let mut size = 1_u128;
        for axis in &landscape.axes {
            strides.push(size);
            // One more stands for jobs without the parameter.
            size = size.checked_mul(axis.labels.len() as u128 + 1)?;
        }
        if !landscape.axes.iter().any(|axis| axis.is_numeric) {
            return None;
        }
        let mut grid = Self { strides, places: HashMap::new() };
        for job in 0..landscape.jobs() {
            if landscape.values[job].is_nan() && !landscape.failed[job] {
                continue;
            }
            let key = grid.key(landscape, job);
            // Of jobs at the same point the first that reported the metric counts.
            let known = grid.places.entry(key).or_insert(job as u32);
            if landscape.values[*known as usize].is_nan() {
                *known = job as u32;
            }
        }
        Some(grid)
    }

    fn key(&self, landscape: &Landscape, job: usize) -> u128 {
        let axes = landscape.axes.iter().zip(&self.strides);
        axes.map(|(axis, stride)| match axis.places[job] {
            NONE => 0,
            place => stride * (u128::from(place) + 1),
        })
        .sum()
    }

    /// The jobs that have reported the metric, of each point the first.
    fn jobs(&self, landscape: &Landscape) -> impl Iterator<Item = usize> {
        let stands = |job: &usize| self.places.get(&self.key(landscape, *job)) == Some(&(*job as u32));
        (0..landscape.jobs()).filter(|job| !landscape.values[*job].is_nan()).filter(stands)
    }

    /// The points with neighbours, where more is better after taking the sign times the metric.
    fn points(&self, landscape: &Landscape, sign: f64) -> impl Iterator<Item = Point> {
        self.jobs(landscape).filter_map(move |job| self.point(landscape, job, sign))
    }

    /// A point with its neighbours; none if it has none, or most of them failed.
    fn point(&self, landscape: &Landscape, job: usize, sign: f64) -> Option<Point> {
        let key = self.key(landscape, job);
        let mut values = vec![sign * landscape.values[job]];
        for (axis, stride) in landscape.axes.iter().zip(&self.strides) {
            let place = axis.places[job];
            if !axis.is_numeric || place == NONE {
                continue;
            }
            let below = (place > 0).then(|| key - stride);
            let above = (place as usize + 1 < axis.labels.len()).then(|| key + stride);
            for neighbour in below.into_iter().chain(above).filter_map(|key| self.places.get(&key)) {
                let value = landscape.values[*neighbour as usize];
                values.push(if value.is_nan() { f64::NEG_INFINITY } else { sign * value });
            }
        }
        let neighbours = values.len() - 1;
        let median = median(&mut values);
        (neighbours > 0 && median.is_finite()).then(|| Point {
            job,
            value: sign * landscape.values[job],
            median,
            neighbours,
        })
    }
}

/// Of one value at least, none of them NaN.
fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landscape::Builder;
    use crate::parameters::Parameters;

    /// Jobs of `fast` by `slow`, with their metrics; NaN for one that failed.
    fn landscape(rows: &[&[f64]]) -> Landscape {
        let mut builder = Builder::default();
        for (fast, row) in rows.iter().enumerate() {
            for (slow, value) in row.iter().enumerate() {
                let parameters = format!(r#"{{"fast": {fast}, "slow": {slow}}}"#);
                let parameters = Parameters::from_json(&parameters).unwrap();
                builder.push(&parameters, Some(*value).filter(|value| !value.is_nan()), value.is_nan());
            }
        }
        builder.finish()
    }

    #[test]
    fn a_spike_is_not_robust_and_a_plateau_is() {
        let spike = landscape(&[
            &[0.1, 0.2, 0.1, 0.0],
            &[0.2, 3.0, 0.2, 0.9],
            &[0.1, 0.2, 1.0, 1.1],
            &[0.0, 0.9, 1.1, 1.0],
        ]);
        let found = spike.robust(false).unwrap();
        assert_eq!(
            (found.best.job, found.best.value, found.best.median, found.best.neighbours),
            (5, 3.0, 0.2, 4)
        );
        assert_eq!((found.robust.job, found.robust.median, found.robust.neighbours), (15, 1.1, 2));
        let ranked: Vec<usize> = spike.ranked_robust(false, 3).iter().map(|point| point.job).collect();
        assert_eq!(ranked, [15, 11, 14]);
        let down = landscape(&[&[5.0, 1.0, 5.0], &[5.0, 4.0, 3.0], &[5.0, 3.0, 2.0]]).robust(true).unwrap();
        assert_eq!((down.best.job, down.best.value, down.best.median), (1, 1.0, 4.5));
        assert_eq!((down.robust.job, down.robust.value, down.robust.median), (8, 2.0, 3.0));
    }

    #[test]
    fn failed_neighbours_are_worse_than_any_and_missing_ones_do_not_count() {
        let nan = f64::NAN;
        let found = landscape(&[&[nan, 9.0, nan], &[1.0, 2.0, 1.0]]).robust(false).unwrap();
        // 9 has two failed neighbours and one of 2.
        assert_eq!((found.best.job, found.best.median), (1, 9.0));
        assert_eq!(found.best.neighbours, 0, "most of its neighbours failed");
        assert_eq!((found.robust.job, found.robust.median), (4, 1.5));
        let mut missing = Builder::default();
        for (fast, value) in [(1, 1.0), (2, 2.0), (4, 4.0)] {
            let parameters = Parameters::from_json(&format!(r#"{{"fast": {fast}}}"#)).unwrap();
            missing.push(&parameters, Some(value), false);
        }
        // A step goes to the next number that there is.
        assert_eq!(missing.finish().robust(false).unwrap().robust.job, 2);
    }

    #[test]
    fn what_has_no_steps_has_no_neighbours() {
        let mut words = Builder::default();
        let mut random = Builder::default();
        for (number, rule) in ["ma", "rsi", "bb"].into_iter().enumerate() {
            words.push(
                &Parameters::from_json(&format!(r#"{{"rule": "{rule}"}}"#)).unwrap(),
                Some(1.0),
                false,
            );
            let point = format!(r#"{{"a": 0.{number}3, "b": 0.{number}7}}"#);
            random.push(&Parameters::from_json(&point).unwrap(), Some(1.0), false);
        }
        assert_eq!(words.finish().robust(false), None);
        assert_eq!(random.finish().robust(false), None);
        assert_eq!(Builder::default().finish().robust(false), None);
        assert_eq!(landscape(&[&[1.0]]).robust(false), None);
    }
}
