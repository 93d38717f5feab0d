//! A series of numbers in one line: `▁▂▄▇`.

/// From the lowest to the highest.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Characters of a longer series; of its numbers only so many are drawn, evenly chosen, the first and the last among them.
const WIDTH: usize = 30;

/// The shape of a series; nothing where there is none, because it has no two numbers or all are the same.
pub(crate) fn line(values: &[f64]) -> String {
    let drawn = values.len().min(WIDTH);
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let range = values.iter().copied().fold(f64::NEG_INFINITY, f64::max) - low;
    if drawn < 2 || !range.is_finite() || range <= 0.0 {
        return String::new();
    }
    let level = |value: f64| LEVELS[((value - low) / range * (LEVELS.len() - 1) as f64).round() as usize];
    (0..drawn).map(|at| level(values[at * (values.len() - 1) / (drawn - 1)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_from_the_lowest_to_the_highest() {
        assert_eq!(line(&[0.0, 1.0, 2.0, 7.0]), "▁▂▃█");
        assert_eq!(line(&[3.0, -4.0]), "█▁");
        let long: Vec<_> = (0..1_000).map(f64::from).collect();
        let drawn = line(&long);
        assert!(drawn.starts_with('▁') && drawn.ends_with('█') && drawn.chars().count() == WIDTH, "{drawn}");
        for nothing in [&[][..], &[1.0], &[2.0, 2.0], &[f64::MIN, f64::MAX]] {
            assert_eq!(line(nothing), "");
        }
    }
}
