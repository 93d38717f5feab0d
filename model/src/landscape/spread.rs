//! How a metric's values are distributed.

use super::{Landscape, part_of_range};

/// A histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    pub lowest: f64,
    pub highest: f64,
    pub median: f64,
    /// Jobs in each of equally wide bins from the lowest to the highest value.
    pub bins: Vec<u32>,
}

impl Landscape {
    /// The distribution in so many bins; one, if all values are equal. None if no job has reported the metric.
    pub fn spread(&self, bins: usize) -> Option<Spread> {
        let mut values: Vec<f64> = self.values.iter().copied().filter(|value| !value.is_nan()).collect();
        values.sort_by(f64::total_cmp);
        let (lowest, highest) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            1 => values[middle],
            // Not the half of the sum, which may be too large for a number.
            _ => values[middle - 1] / 2.0 + values[middle] / 2.0,
        };
        let bins = if lowest == highest { 1 } else { bins.max(1) };
        let mut counts = vec![0; bins];
        for value in values {
            let bin = (part_of_range(value, lowest, highest) * bins as f64) as usize;
            counts[bin.min(bins - 1)] += 1;
        }
        Some(Spread { lowest, highest, median, bins: counts })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::grid;

    #[test]
    fn every_value_is_in_one_bin() {
        let spread = grid(10, 10, |x, y| (x + y > 0).then(|| f64::from(x * 10 + y))).spread(9).unwrap();
        assert_eq!((spread.lowest, spread.highest, spread.median), (1.0, 99.0, 50.0));
        assert_eq!(spread.bins.iter().sum::<u32>(), 99);
        assert!(spread.bins.iter().all(|jobs| *jobs == 11), "{spread:?}");
    }

    #[test]
    fn equal_and_extreme_values_have_bins() {
        assert_eq!(grid(2, 2, |_, _| Some(5.0)).spread(40).unwrap().bins, [4]);
        let spread = grid(2, 1, |x, _| Some(if x == 0 { f64::MIN } else { f64::MAX })).spread(4).unwrap();
        assert_eq!((spread.bins, spread.median), (vec![1, 0, 0, 1], 0.0));
    }
}
