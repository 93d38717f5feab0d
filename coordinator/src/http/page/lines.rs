//! Parallel coordinates: how many jobs go which way from parameter to parameter to the metric, and the best in front.

use bt_model::landscape::{Importance, Landscape, Strand};

use super::ranking::{cut, figure};

/// The picture's height between the lowest and the highest value, and what is above it.
const HEIGHT: f64 = 220.0;
const ABOVE: f64 = 40.0;
/// Between two axes, and beside the first and the last.
const GAP: f64 = 200.0;
const BESIDE: f64 = 70.0;
/// Shades of strands, from few jobs to many.
const SHADES: usize = 4;
/// Characters of a name or a value at an axis.
const SHOWN: usize = 18;

pub(super) struct Lines {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) bottom: f64,
    pub(super) axes: Vec<Upright>,
    /// Of each shade the strands, as the path of an SVG.
    pub(super) shades: Vec<String>,
    pub(super) best: Vec<Line>,
}

/// An axis.
pub(super) struct Upright {
    pub(super) x: f64,
    pub(super) name: String,
    pub(super) lowest: String,
    pub(super) highest: String,
}

pub(super) struct Line {
    pub(super) job: u32,
    pub(super) path: String,
    pub(super) text: String,
}

impl Lines {
    /// With the lines of these jobs, the best first, in front. None where there is nothing to draw.
    pub(super) fn of(
        landscape: &Landscape,
        importance: &[Importance],
        metric: &str,
        best: &[(u32, String)],
    ) -> Option<Self> {
        let parallel = landscape.parallel(importance)?;
        let parameters = parallel.axes.iter().map(|axis| {
            let axis = &landscape.axes()[*axis];
            let label = |label: Option<&String>| cut(label.map_or("", String::as_str), SHOWN);
            (cut(&axis.name, SHOWN), label(axis.labels.first()), label(axis.labels.last()))
        });
        let last = (cut(metric, SHOWN), figure(parallel.lowest), figure(parallel.highest));
        let axes: Vec<Upright> = parameters
            .chain([last])
            .enumerate()
            .map(|(axis, (name, lowest, highest))| Upright { x: across(axis), name, lowest, highest })
            .collect();
        let most = parallel.gaps.iter().flatten().map(|strand| strand.jobs).max().unwrap_or(1);
        let mut shades = vec![String::new(); SHADES];
        for (gap, strands) in parallel.gaps.iter().enumerate() {
            for strand in strands {
                let Strand { from, to, jobs } = *strand;
                let shade = shade(jobs, most);
                let piece =
                    format!("M{:.0} {:.0}L{:.0} {:.0}", across(gap), down(from), across(gap + 1), down(to));
                shades[shade].push_str(&piece);
            }
        }
        let best = best.iter().filter_map(|(job, value)| {
            let line = landscape.line_of(&parallel, *job as usize);
            let mut points =
                line.iter().enumerate().map(|(axis, at)| format!("{:.0} {:.1}", across(axis), down(*at)));
            let first = points.next()?;
            let path = points.fold(format!("M{first}"), |path, point| path + "L" + &point);
            Some(Line { job: *job, path, text: format!("job {job}: {metric} {value}") })
        });
        let mut best: Vec<Line> = best.collect();
        // Drawn last, so that the best is in front.
        best.reverse();
        Some(Self {
            width: across(axes.len() - 1) + BESIDE,
            height: ABOVE + HEIGHT + 24.0,
            bottom: ABOVE + HEIGHT,
            axes,
            shades,
            best,
        })
    }
}

fn across(axis: usize) -> f64 {
    BESIDE + GAP * axis as f64
}

fn down(at: f64) -> f64 {
    ABOVE + HEIGHT * (1.0 - at)
}

/// By the order of magnitude: a strand of many jobs must not make all others invisible.
fn shade(jobs: u32, most: u32) -> usize {
    let part = f64::from(jobs + 1).ln() / f64::from(most + 1).ln();
    ((part * SHADES as f64) as usize).min(SHADES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_jobs_are_pale() {
        assert_eq!([1, 10, 1_000].map(|jobs| shade(jobs, 1_000)), [0, 1, 3]);
        assert_eq!(shade(1, 1), 3);
    }
}
