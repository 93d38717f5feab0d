//! All jobs over several parameters at once: a line for each job from axis to axis, counted where lines go the same way.

use super::{Axis, Importance, Landscape, NONE, part_of_range};

/// Parts of an axis, at most: lines are counted between them.
pub const PARTS: usize = 12;
/// Parameters that have axes, at most; the last axis is the metric's.
pub const MOST_PARALLEL: usize = 7;

/// The metric and the parameters side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Parallel {
    /// Which of the landscape's axes the first ones are; the one after them is the metric's.
    pub axes: Vec<usize>,
    /// The metric's lowest and highest value.
    pub lowest: f64,
    pub highest: f64,
    /// Between each axis and the next.
    pub gaps: Vec<Vec<Strand>>,
}

/// Jobs that go from one part of an axis to one part of the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strand {
    /// Where it begins and ends, from 0 (lowest) to 1 (highest).
    pub from: f64,
    pub to: f64,
    pub jobs: u32,
}

impl Landscape {
    /// The parameters that matter most beside the metric, in rising order of what they matter; else the first ones. Only jobs
    /// that have reported the metric and have all of the parameters. None where there are none, or no parameter differs.
    pub fn parallel(&self, importance: &[Importance]) -> Option<Parallel> {
        let mut axes: Vec<usize> = importance.iter().take(MOST_PARALLEL).map(|one| one.axis).collect();
        let others = (0..self.axes.len()).filter(|axis| !importance.iter().any(|one| one.axis == *axis));
        axes.extend(others.take(MOST_PARALLEL - axes.len()));
        // What matters most stands beside the metric.
        axes.reverse();
        let values = || self.values.iter().copied().filter(|value| !value.is_nan());
        let (lowest, highest) =
            (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        if axes.is_empty() || lowest > highest {
            return None;
        }
        let mut parallel = Parallel { axes, lowest, highest, gaps: Vec::new() };
        let parts: Vec<usize> = parallel
            .axes
            .iter()
            .map(|axis| self.axes[*axis].labels.len().min(PARTS))
            .chain([PARTS])
            .collect();
        let mut counts: Vec<Vec<u32>> = parts.windows(2).map(|two| vec![0; two[0] * two[1]]).collect();
        let mut line = vec![0.0; parts.len()];
        for job in 0..self.values.len() {
            if !self.line(&parallel, job, &mut line) {
                continue;
            }
            for (gap, counts) in counts.iter_mut().enumerate() {
                let [from, to] = [gap, gap + 1].map(|axis| part_of(line[axis], parts[axis]));
                counts[from * parts[gap + 1] + to] += 1;
            }
        }
        parallel.gaps = counts
            .iter()
            .enumerate()
            .map(|(gap, counts)| {
                let strand = |(at, jobs): (usize, &u32)| Strand {
                    from: middle(at / parts[gap + 1], parts[gap]),
                    to: middle(at % parts[gap + 1], parts[gap + 1]),
                    jobs: *jobs,
                };
                counts.iter().enumerate().filter(|(_, jobs)| **jobs > 0).map(strand).collect()
            })
            .collect();
        Some(parallel)
    }

    /// Where a job's line crosses each axis, from 0 (lowest) to 1 (highest); empty if it has none.
    pub fn line_of(&self, parallel: &Parallel, job: usize) -> Vec<f64> {
        let mut line = vec![0.0; parallel.axes.len() + 1];
        if job >= self.values.len() || !self.line(parallel, job, &mut line) {
            line.clear();
        }
        line
    }

    fn line(&self, parallel: &Parallel, job: usize, line: &mut [f64]) -> bool {
        let value = self.values[job];
        if value.is_nan() {
            return false;
        }
        for (at, axis) in line.iter_mut().zip(&parallel.axes) {
            let axis: &Axis = &self.axes[*axis];
            let place = axis.places[job];
            if place == NONE {
                return false;
            }
            *at = match axis.labels.len() {
                1 => 0.5,
                labels => f64::from(place) / (labels - 1) as f64,
            };
        }
        if let Some(last) = line.last_mut() {
            *last = part_of_range(value, parallel.lowest, parallel.highest);
        }
        true
    }
}

fn part_of(at: f64, parts: usize) -> usize {
    ((at * parts as f64) as usize).min(parts - 1)
}

/// Where a part is drawn: the lowest at 0, the highest at 1.
fn middle(part: usize, parts: usize) -> f64 {
    match parts {
        0 | 1 => 0.5,
        parts => part as f64 / (parts - 1) as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::grid;
    use super::*;

    #[test]
    fn each_job_is_in_one_strand_of_each_gap() {
        let landscape = grid(4, 3, |x, y| (x + y > 0).then(|| f64::from(10 * x + y)));
        let parallel = landscape.parallel(&landscape.importance()).unwrap();
        let names: Vec<_> = parallel.axes.iter().map(|axis| landscape.axes()[*axis].name.as_str()).collect();
        assert_eq!(names, ["y", "x"], "what matters most stands beside the metric");
        assert_eq!(parallel.gaps.len(), 2);
        for gap in &parallel.gaps {
            assert_eq!(gap.iter().map(|strand| strand.jobs).sum::<u32>(), 11);
        }
        assert_eq!(parallel.gaps[0].len(), 11, "each pair of values once");
        assert_eq!(landscape.line_of(&parallel, 0), [0.0; 0], "it has reported nothing");
        let job = landscape.values.iter().position(|value| *value == 32.0).unwrap();
        assert_eq!(landscape.line_of(&parallel, job), [1.0, 1.0, 1.0]);
        assert_eq!(landscape.line_of(&parallel, 99), [0.0; 0]);
    }

    #[test]
    fn its_size_does_not_depend_on_the_jobs() {
        let landscape = grid(300, 300, |x, y| Some(f64::from(x * y)));
        let parallel = landscape.parallel(&landscape.importance()).unwrap();
        assert!(parallel.gaps.iter().all(|gap| gap.len() <= PARTS * PARTS));
        let jobs: u32 = parallel.gaps[1].iter().map(|strand| strand.jobs).sum();
        assert_eq!(jobs, 90_000);
    }

    #[test]
    fn equal_values_and_no_values_have_a_picture_or_none() {
        let flat = grid(2, 2, |_, _| Some(5.0));
        let parallel = flat.parallel(&flat.importance()).unwrap();
        assert_eq!(flat.line_of(&parallel, 0)[2], 0.5);
        assert!(grid(2, 2, |_, _| None).parallel(&[]).is_none());
        assert!(grid(1, 1, |_, _| Some(1.0)).parallel(&[]).is_none());
    }
}
