//! How much each parameter matters to the metric, by ranks: what outliers do to a metric does nothing to ranks.

use super::{Landscape, NONE};

/// Groups of neighbouring values that a parameter's values are put into, if there are more.
const GROUPS: usize = 64;

/// How much a parameter matters.
#[derive(Clone, Debug, PartialEq)]
pub struct Importance {
    /// Its place among the axes.
    pub axis: usize,
    /// The share of the variance of the metric's ranks that lies between groups of jobs with the same value: the correlation
    /// ratio of the ranks, eta squared, 0 to 1. It is H / (n - 1) with the H of Kruskal and Wallis (1952), and needs no
    /// direction: a metric that is best in the middle of a parameter depends on it. By chance alone it is (k - 1) / (n - 1) with k
    /// groups, so that this is subtracted as in epsilon squared (Kelley 1935), and less than nothing is 0.
    pub share: f64,
    /// Spearman's rank correlation, -1 to 1, where the parameter's values are numbers.
    pub correlation: Option<f64>,
}

impl Landscape {
    /// How much each axis matters, the most important first. Empty where no three jobs have reported different values.
    pub fn importance(&self) -> Vec<Importance> {
        let jobs: Vec<usize> = (0..self.values.len()).filter(|job| !self.values[*job].is_nan()).collect();
        let values: Vec<f64> = jobs.iter().map(|job| self.values[*job]).collect();
        let ranks = ranks(&values);
        if jobs.len() < 3 || ranks.iter().all(|rank| *rank == ranks[0]) {
            return Vec::new();
        }
        let mut all: Vec<_> = (0..self.axes.len())
            .map(|axis| {
                let places: Vec<u32> = jobs.iter().map(|job| self.axes[axis].places[*job]).collect();
                Importance {
                    axis,
                    share: share(&places, self.axes[axis].labels.len(), &ranks),
                    correlation: self.axes[axis].is_numeric.then(|| correlation(&places, &ranks)).flatten(),
                }
            })
            .collect();
        // Of equals the first in the manifest is the first here.
        all.sort_by(|a, b| b.share.total_cmp(&a.share));
        all
    }
}

/// The ranks of these values, from 1 on; equal ones have the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut from = 0;
    while from < order.len() {
        let mut to = from + 1;
        while to < order.len() && values[order[to]] == values[order[from]] {
            to += 1;
        }
        let mean = (from + to + 1) as f64 / 2.0;
        for job in &order[from..to] {
            ranks[*job] = mean;
        }
        from = to;
    }
    ranks
}

fn share(places: &[u32], labels: usize, ranks: &[f64]) -> f64 {
    let group = |place: u32| match place {
        NONE => GROUPS.min(labels),
        place if labels <= GROUPS => place as usize,
        place => place as usize * GROUPS / labels,
    };
    let mut groups = vec![(0.0, 0_u32); GROUPS.min(labels) + 1];
    for (place, rank) in places.iter().zip(ranks) {
        let (sum, count) = &mut groups[group(*place)];
        *sum += rank;
        *count += 1;
    }
    let jobs = ranks.len() as f64;
    let mean = ranks.iter().sum::<f64>() / jobs;
    let total: f64 = ranks.iter().map(|rank| (rank - mean).powi(2)).sum();
    let filled = groups.iter().filter(|(_, count)| *count > 0);
    let between: f64 =
        filled.clone().map(|(sum, count)| f64::from(*count) * (sum / f64::from(*count) - mean).powi(2)).sum();
    let free = jobs - filled.count() as f64;
    if free <= 0.0 {
        // Each job is a group of its own, which says nothing.
        return 0.0;
    }
    (1.0 - (total - between) / total * (jobs - 1.0) / free).max(0.0)
}

/// Of the places, whose order is that of the numbers, with the ranks; jobs without the parameter are left out.
fn correlation(places: &[u32], ranks: &[f64]) -> Option<f64> {
    let both = || places.iter().zip(ranks).filter(|(place, _)| **place != NONE);
    let numbers: Vec<f64> = both().map(|(place, _)| f64::from(*place)).collect();
    let values: Vec<f64> = both().map(|(_, rank)| *rank).collect();
    let (a, b) = (self::ranks(&numbers), self::ranks(&values));
    let mean = (a.len() as f64 + 1.0) / 2.0;
    let sum = |of: &dyn Fn(usize) -> f64| (0..a.len()).map(of).sum::<f64>();
    let covariance = sum(&|job| (a[job] - mean) * (b[job] - mean));
    let (of_a, of_b) = (sum(&|job| (a[job] - mean).powi(2)), sum(&|job| (b[job] - mean).powi(2)));
    (of_a > 0.0 && of_b > 0.0).then(|| covariance / (of_a * of_b).sqrt())
}

#[cfg(test)]
mod tests {
    use super::super::tests::grid;
    use super::*;

    #[test]
    fn ranks_of_equals_are_their_mean() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
    }

    #[test]
    fn what_decides_comes_first_with_its_direction() {
        // x decides, y breaks ties.
        let landscape = grid(10, 10, |x, y| Some(-f64::from(x) * 100.0 + f64::from(y)));
        let importance = landscape.importance();
        let names: Vec<_> = importance.iter().map(|one| landscape.axes()[one.axis].name.as_str()).collect();
        assert_eq!(names, ["x", "y"]);
        assert!(importance[0].share > 0.98 && importance[1].share < 0.02, "{importance:?}");
        assert!(importance[0].correlation.unwrap() < -0.98, "{importance:?}");
        assert!((importance[1].correlation.unwrap() - 0.0995).abs() < 0.02, "{importance:?}");
    }

    #[test]
    fn a_peak_in_the_middle_matters_although_it_has_no_direction() {
        let landscape = grid(11, 7, |x, y| Some(-f64::from((x - 5).pow(2)) + f64::from(y) * 0.01));
        let x = &landscape.importance()[0];
        assert_eq!(landscape.axes()[x.axis].name, "x");
        assert!(x.share > 0.95 && x.correlation.unwrap().abs() < 0.05, "{x:?}");
    }

    #[test]
    fn equal_values_or_two_jobs_say_nothing() {
        assert!(grid(5, 5, |_, _| Some(1.0)).importance().is_empty());
        assert!(grid(2, 1, |x, _| Some(f64::from(x))).importance().is_empty());
        assert!(grid(5, 5, |_, _| None).importance().is_empty());
    }

    #[test]
    fn spearman_is_what_r_says() {
        // R: cor(c(106,86,100,101,99,103,97,113,112,110), c(7,0,27,50,28,29,20,12,6,17), method = "spearman")
        let (iq, hours) =
            ([106, 86, 100, 101, 99, 103, 97, 113, 112, 110], [7, 0, 27, 50, 28, 29, 20, 12, 6, 17]);
        let places: Vec<u32> = iq.into_iter().collect();
        let ranks = ranks(&hours.map(f64::from));
        assert!((correlation(&places, &ranks).unwrap() + 0.175_757_575_757_575).abs() < 1e-12);
    }
}
