//! Lines over time, drawn by the server as an SVG: one panel below the other, with figures at their left and times below.

use super::ranking::figure;

/// The picture's width, and of that what is beside the lines.
pub(super) const WIDTH: f64 = 640.0;
pub(super) const LEFT: f64 = 64.0;
const RIGHT: f64 = 24.0;
/// Above a panel, and below the last.
const ABOVE: f64 = 22.0;
const BELOW: f64 = 24.0;
/// Figures at a panel's left, and times below the last one.
const FIGURES: usize = 4;
const TIMES: usize = 5;
/// Points of a line between which no eye tells a difference: of more, the highest and the lowest of each place are drawn.
const POINTS: usize = 1_200;

pub(super) struct Plot {
    pub(super) width: f64,
    pub(super) height: f64,
    /// What it shows, for those who do not see it.
    pub(super) about: String,
    pub(super) panels: Vec<Panel>,
    pub(super) times: Vec<Mark>,
}

pub(super) struct Panel {
    pub(super) title: String,
    pub(super) top: f64,
    pub(super) bottom: f64,
    pub(super) figures: Vec<Mark>,
    pub(super) traces: Vec<Trace>,
}

/// Where something is written, and what.
pub(super) struct Mark {
    pub(super) at: f64,
    pub(super) text: String,
}

pub(super) struct Trace {
    pub(super) class: &'static str,
    pub(super) path: String,
}

/// What a panel shows.
pub(super) struct Lines {
    pub(super) title: String,
    pub(super) height: f64,
    /// The lowest figure is zero, whatever the lines say.
    pub(super) from_zero: bool,
    pub(super) write: fn(f64) -> String,
    pub(super) lines: Vec<LineOf>,
}

pub(super) struct LineOf {
    /// `line`, `offered`, `used` or `under`, the last two of which are filled up to zero.
    pub(super) class: &'static str,
    /// In the order of their times. A time that is not a number is a gap.
    pub(super) points: Vec<(f64, f64)>,
}

impl Plot {
    /// With what is written at a time below it. None without two times.
    pub(super) fn of(about: String, panels: &[Lines], write: impl Fn(f64) -> String) -> Option<Self> {
        let times = panels.iter().flat_map(|panel| &panel.lines).flat_map(|line| &line.points);
        let (first, last) = ends(times.map(|(time, _)| *time))?;
        if first >= last {
            return None;
        }
        let across = |time: f64| LEFT + (WIDTH - LEFT - RIGHT) * (time - first) / (last - first);
        let mut top = 0.0;
        let mut drawn = Vec::new();
        for panel in panels {
            let (highest, lowest) = (top + ABOVE, top + ABOVE + panel.height);
            drawn.push(Panel::of(panel, highest, lowest, &across)?);
            top = lowest;
        }
        let marks = (0..TIMES).map(|mark| first + (last - first) * mark as f64 / (TIMES - 1) as f64);
        let times = marks.map(|time| Mark { at: across(time), text: write(time) });
        Some(Self { width: WIDTH, height: top + BELOW, about, panels: drawn, times: times.collect() })
    }
}

impl Panel {
    fn of(shown: &Lines, top: f64, bottom: f64, across: &dyn Fn(f64) -> f64) -> Option<Self> {
        let numbers = shown.lines.iter().flat_map(|line| &line.points).map(|(_, number)| *number);
        let zero = shown.from_zero.then_some(0.0);
        let (low, high) = ends(numbers.chain(zero))?;
        // A line that goes straight on is drawn in the middle.
        let (low, high) = match high - low {
            0.0 if shown.from_zero => (low, low + 1.0),
            0.0 => (low - high.abs().max(1.0) / 10.0, high + high.abs().max(1.0) / 10.0),
            _ => (low, high),
        };
        let down = |number: f64| bottom - (bottom - top) * (number - low) / (high - low);
        let traces = shown.lines.iter().map(|line| {
            let points = thinned(&line.points);
            let mut path = String::new();
            let mut is_open = false;
            // Where the part began that is being drawn.
            let mut begun = 0.0;
            let mut before = 0.0;
            let is_filled = matches!(line.class, "used" | "under");
            let close = |path: &mut String, from: f64, to: f64| {
                if is_filled {
                    path.push_str(&format!(
                        "L{to:.1} {zero:.1}L{from:.1} {zero:.1}Z",
                        zero = down(0.0_f64.clamp(low, high))
                    ));
                }
            };
            for (time, number) in points {
                if !time.is_finite() || !number.is_finite() {
                    if is_open {
                        close(&mut path, begun, before);
                    }
                    is_open = false;
                    continue;
                }
                let (x, y) = (across(time), down(number));
                path.push_str(&format!("{}{x:.1} {y:.1}", if is_open { "L" } else { "M" }));
                if !is_open {
                    begun = x;
                }
                (is_open, before) = (true, x);
            }
            if is_open {
                close(&mut path, begun, before);
            }
            Trace { class: line.class, path }
        });
        let figures =
            round(low, high).into_iter().map(|number| Mark { at: down(number), text: (shown.write)(number) });
        Some(Self {
            title: shown.title.clone(),
            top,
            bottom,
            traces: traces.collect(),
            figures: figures.collect(),
        })
    }
}

/// A figure with the fewest digits: `1.2M`, `25k`, `0.5`.
pub(super) fn short(number: f64) -> String {
    let (number, unit) = match number.abs() {
        size if size >= 1e9 => (number / 1e9, "G"),
        size if size >= 1e6 => (number / 1e6, "M"),
        size if size >= 1e4 => (number / 1e3, "k"),
        _ => (number, ""),
    };
    let text = figure(number);
    let text = match text.contains('.') && !text.contains('e') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    format!("{text}{unit}")
}

fn ends(numbers: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let numbers = numbers.filter(|number| number.is_finite());
    numbers.fold(None, |ends, number| match ends {
        None => Some((number, number)),
        Some((low, high)) => Some((f64::min(low, number), f64::max(high, number))),
    })
}

/// Round figures between two: multiples of 1, 2 or 5 times a power of ten.
pub(super) fn round(low: f64, high: f64) -> Vec<f64> {
    let rough = (high - low) / FIGURES as f64;
    let power = 10.0_f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let step = steps.into_iter().find(|step| *step >= rough).unwrap_or(rough);
    let first = (low / step).ceil();
    // Multiplied, not added up, so that zero is zero; and rounded to what the step has of digits.
    let digits = 10.0_f64.powf((1.0 - power.log10()).clamp(-300.0, 300.0));
    let figures = (0..=FIGURES * 3).map(|count| ((first + count as f64) * step * digits).round() / digits);
    figures.take_while(|figure| *figure <= high).collect()
}

/// Of many points those that are seen: of each place the first, the lowest, the highest and the last. Gaps stay.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= POINTS {
        return points.to_vec();
    }
    let size = points.len().div_ceil(POINTS / 4);
    let seen = |chunk: &[(f64, f64)]| -> Vec<(f64, f64)> {
        let by_number = |one: &&(f64, f64), other: &&(f64, f64)| one.1.total_cmp(&other.1);
        let (lowest, highest) = (chunk.iter().min_by(by_number), chunk.iter().max_by(by_number));
        let seen = [chunk.first(), lowest, highest, chunk.last()];
        let mut seen: Vec<_> = seen.into_iter().flatten().copied().collect();
        seen.sort_by(|one, other| one.0.total_cmp(&other.0));
        seen.dedup();
        seen
    };
    let parts = points.split(|(time, number)| !time.is_finite() || !number.is_finite());
    let parts: Vec<Vec<_>> = parts.map(|part| part.chunks(size).flat_map(seen).collect()).collect();
    parts.join(&(f64::NAN, f64::NAN))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(class: &'static str, points: &[(f64, f64)]) -> Vec<Lines> {
        let lines = vec![LineOf { class, points: points.to_vec() }];
        vec![Lines { title: "t".to_owned(), height: 100.0, from_zero: false, write: short, lines }]
    }

    #[test]
    fn a_line_goes_from_corner_to_corner_and_a_gap_stays_one() {
        let plot = Plot::of("about".to_owned(), &line("line", &[(0.0, 1.0), (1.0, 3.0)]), short).unwrap();
        assert_eq!(plot.panels[0].traces[0].path, "M64.0 122.0L616.0 22.0");
        let figures: Vec<_> = plot.panels[0].figures.iter().map(|mark| mark.text.as_str()).collect();
        assert_eq!(figures, ["1", "1.5", "2", "2.5", "3"]);
        let gap = [(0.0, 0.0), (1.0, 2.0), (f64::NAN, 0.0), (3.0, 2.0), (4.0, 0.0)];
        let plot = Plot::of(String::new(), &line("used", &gap), short).unwrap();
        let path = &plot.panels[0].traces[0].path;
        assert_eq!((path.matches('M').count(), path.matches('Z').count()), (2, 2), "{path}");
    }

    #[test]
    fn what_has_no_two_times_is_not_drawn_and_what_is_flat_is() {
        for nothing in [&[][..], &[(1.0, 1.0)], &[(f64::NAN, 1.0), (2.0, 1.0)]] {
            assert!(Plot::of(String::new(), &line("line", nothing), short).is_none(), "{nothing:?}");
        }
        let flat = Plot::of(String::new(), &line("line", &[(0.0, 5.0), (1.0, 5.0)]), short).unwrap();
        assert_eq!(flat.panels[0].traces[0].path, "M64.0 72.0L616.0 72.0");
    }

    #[test]
    fn of_many_points_the_peaks_are_kept() {
        let mut points: Vec<(f64, f64)> = (0..100_000).map(|at| (f64::from(at), 0.0)).collect();
        points[54_321].1 = 9.0;
        points[54_322].1 = -9.0;
        let thin = thinned(&points);
        assert!(thin.len() <= POINTS, "{}", thin.len());
        assert!(thin.contains(&(54_321.0, 9.0)) && thin.contains(&(54_322.0, -9.0)));
        assert_eq!((thin[0], thin[thin.len() - 1]), (points[0], points[99_999]));
        points[50_000] = (f64::NAN, f64::NAN);
        let thin = thinned(&points);
        let gap = thin.iter().position(|(time, _)| time.is_nan()).unwrap();
        assert_eq!((thin[gap - 1].0, thin[gap + 1].0), (49_999.0, 50_001.0));
    }

    #[test]
    fn figures_are_round_and_short() {
        assert_eq!(round(-0.35, 0.02), [-0.3, -0.2, -0.1, 0.0]);
        assert_eq!(round(98_000.0, 131_000.0), [100_000.0, 110_000.0, 120_000.0, 130_000.0]);
        assert_eq!(
            [1_250_000.0, 25_000.0, 0.5, -0.1, 100.0].map(short),
            ["1.25M", "25k", "0.5", "-0.1", "100"]
        );
    }
}
