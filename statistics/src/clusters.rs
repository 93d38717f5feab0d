//! How many different things a sweep tried: clusters of trials whose returns move together.

use std::collections::HashMap;

use kodama::{Dendrogram, Method, linkage};

use crate::sample::Sample;

/// Clusters of trials.
#[derive(Clone, Debug, PartialEq)]
pub struct Clusters {
    /// How many there are.
    pub number: u64,
    /// Of each trial of the sample, in its order, its cluster's number, from 0.
    pub of: Vec<u32>,
    /// Mean by deviation of the silhouettes: how clearly the clusters are apart. None if there is one cluster, or each
    /// trial is as clear as the others.
    pub quality: Option<f64>,
}

/// The correlations of a sample's trials: the upper triangle without the diagonal, row by row.
#[derive(Clone, Debug)]
pub struct Triangle {
    pub(crate) trials: usize,
    /// Returns that each correlation was computed from.
    pub(crate) observations: usize,
    pub(crate) values: Vec<f32>,
}

impl Triangle {
    /// Of all pairs of a sample. Takes time for trials squared by observations; on as many threads as there are processors.
    pub fn of(sample: &Sample) -> Self {
        let observations = sample.series.first().map_or(0, Vec::len);
        Self { trials: sample.series.len(), observations, values: crate::products::products(&sample.series) }
    }

    /// The mean of the squared correlations of two different trials; 0 for fewer than two.
    pub fn mean_square(&self) -> f64 {
        let sum: f64 = self.values.iter().map(|value| f64::from(*value) * f64::from(*value)).sum();
        if self.values.is_empty() { 0.0 } else { sum / self.values.len() as f64 }
    }

    /// The whole matrix by rows, of at most so many trials, chosen evenly.
    pub(crate) fn rows(&self, most: usize) -> Vec<Vec<f64>> {
        let count = self.trials.min(most);
        let chosen: Vec<usize> = (0..count).map(|n| crate::sample::even(n, count, self.trials)).collect();
        let entry = |one: usize, other: usize| {
            let (row, column) = (one.min(other), one.max(other));
            match row == column {
                true => 1.0,
                // Rows before it have one entry less each.
                false => f64::from(self.values[row * (2 * self.trials - row - 1) / 2 + column - row - 1]),
            }
        };
        chosen.iter().map(|one| chosen.iter().map(|other| entry(*one, *other)).collect()).collect()
    }

    /// Clusters by average linkage on the distance sqrt((1 - correlation)/2), cut where the silhouettes' mean by deviation
    /// is highest, the fewest clusters of several. The same input has the same clusters, as no random starts are drawn.
    ///
    /// Trials that have nothing in common can be cut in two as well as in any other way. So a cluster whose mean correlation
    /// is not above sqrt(2 ln N/T), about the highest that N independent trials of T returns show by chance, is no cluster:
    /// each of its trials counts. No silhouette is defined for one cluster, so at least 2 are found unless all series are
    /// the same.
    ///
    /// The distance and the choice of the cut are those of Lopez de Prado, Lewis (2019), Detection of False Investment
    /// Strategies Using Unsupervised Learning Methods, Quantitative Finance 19(9), which clusters by k-means.
    pub fn clusters(&self) -> Clusters {
        let trials = self.trials;
        let distances: Vec<f32> =
            self.values.iter().map(|value| ((1.0 - value) / 2.0).max(0.0).sqrt()).collect();
        // What rounding makes of equal series.
        let farthest = distances.iter().copied().fold(0.0, f32::max);
        if trials < 2 || farthest < 1e-3 {
            let number = trials.min(1) as u64;
            return Clusters { number, of: vec![0; trials], quality: None };
        }
        let dendrogram = linkage(&mut distances.clone(), trials, Method::Average);
        let best = Cutting::new(trials, &distances).best_cut(&dendrogram);
        let of = self.without_chance(cut(&dendrogram, trials, best.clusters), best.clusters);
        let number = of.iter().max().map_or(0, |last| u64::from(*last) + 1);
        Clusters { number, of, quality: best.quality.is_finite().then_some(best.quality) }
    }

    /// Takes clusters apart whose trials are no more alike than chance makes them.
    fn without_chance(&self, of: Vec<u32>, clusters: usize) -> Vec<u32> {
        let mut inner = vec![(0.0, 0u64); clusters];
        let pairs = (0..self.trials).flat_map(|one| (one + 1..self.trials).map(move |other| (one, other)));
        for ((one, other), correlation) in pairs.zip(&self.values) {
            if of[one] == of[other] {
                let (sum, count) = &mut inner[of[one] as usize];
                *sum += f64::from(*correlation);
                *count += 1;
            }
        }
        let chance = (2.0 * (self.trials as f64).ln() / self.observations as f64).sqrt();
        let holds = |cluster: u32| {
            let (sum, count) = inner[cluster as usize];
            count > 0 && sum / count as f64 > chance
        };
        let mut numbers = HashMap::new();
        let mut next = 0;
        let mut number = |cluster: u32| {
            let mut new = || {
                next += 1;
                next - 1
            };
            match holds(cluster) {
                true => *numbers.entry(cluster).or_insert_with(new),
                false => new(),
            }
        };
        of.into_iter().map(&mut number).collect()
    }
}

/// The clusters after so many are left.
fn cut(dendrogram: &Dendrogram<f32>, trials: usize, clusters: usize) -> Vec<u32> {
    let mut parent: Vec<usize> = (0..2 * trials - 1).collect();
    for (step, merge) in dendrogram.steps()[..trials - clusters].iter().enumerate() {
        parent[merge.cluster1] = trials + step;
        parent[merge.cluster2] = trials + step;
    }
    let root = |mut node: usize| {
        while parent[node] != node {
            node = parent[node];
        }
        node
    };
    let mut numbers = HashMap::new();
    let mut number = |trial: usize| {
        let next = numbers.len() as u32;
        *numbers.entry(root(trial)).or_insert(next)
    };
    (0..trials).map(&mut number).collect()
}

/// Follows the merges and keeps, for each trial, its distances to all clusters summed up.
struct Cutting {
    trials: usize,
    /// Of each cluster that is still there, by a row of its own: the sum of the distances to each trial.
    sums: Vec<Vec<f32>>,
    sizes: Vec<u32>,
    alive: Vec<usize>,
    /// Of each trial, the row of its cluster and that of the nearest other one, with the mean distance to it.
    own: Vec<usize>,
    nearest: Vec<(usize, f32)>,
}

struct Cut {
    clusters: usize,
    quality: f64,
}

impl Cutting {
    fn new(trials: usize, distances: &[f32]) -> Self {
        let mut sums = vec![vec![0.0; trials]; trials];
        let pairs = (0..trials).flat_map(|one| (one + 1..trials).map(move |other| (one, other)));
        for ((one, other), distance) in pairs.zip(distances) {
            sums[one][other] = *distance;
            sums[other][one] = *distance;
        }
        let rows = || 0..trials;
        let mut cutting = Self {
            trials,
            sums,
            sizes: vec![1; trials],
            alive: rows().collect(),
            own: rows().collect(),
            nearest: vec![(0, 0.0); trials],
        };
        for trial in rows() {
            cutting.look(trial);
        }
        cutting
    }

    /// Finds the nearest other cluster of a trial.
    fn look(&mut self, trial: usize) {
        let mut nearest = (usize::MAX, f32::INFINITY);
        for row in self.alive.iter().copied().filter(|row| *row != self.own[trial]) {
            let mean = self.sums[row][trial] / self.sizes[row] as f32;
            if mean < nearest.1 {
                nearest = (row, mean);
            }
        }
        self.nearest[trial] = nearest;
    }

    fn best_cut(mut self, dendrogram: &Dendrogram<f32>) -> Cut {
        // The rows of clusters by the dendrogram's names.
        let mut rows: Vec<usize> = (0..self.trials).collect();
        let mut best = Cut { clusters: self.trials, quality: 0.0 };
        for merge in &dendrogram.steps()[..self.trials - 2] {
            let (one, other) = (rows[merge.cluster1], rows[merge.cluster2]);
            self.merge(one, other);
            rows.push(one);
            let quality = self.quality();
            if quality >= best.quality {
                best = Cut { clusters: self.alive.len(), quality };
            }
        }
        best
    }

    fn merge(&mut self, one: usize, other: usize) {
        let gone = std::mem::take(&mut self.sums[other]);
        self.sums[one].iter_mut().zip(&gone).for_each(|(sum, more)| *sum += more);
        self.sizes[one] += self.sizes[other];
        self.alive.retain(|row| *row != other);
        for trial in 0..self.trials {
            let is_member = [one, other].contains(&self.own[trial]);
            if is_member {
                self.own[trial] = one;
            }
            // The mean distance to the merged one lies between those to both, so for others nothing gets nearer.
            if is_member || [one, other].contains(&self.nearest[trial].0) {
                self.look(trial);
            }
        }
    }

    /// Mean by deviation of the silhouettes, where a cluster of one has 0; infinite if they are all the same, above 0.
    fn quality(&self) -> f64 {
        let (mut sum, mut squares) = (0.0, 0.0);
        for trial in 0..self.trials {
            let (own, (_, beside)) = (self.own[trial], self.nearest[trial]);
            let others = self.sizes[own] - 1;
            if others > 0 {
                let within = self.sums[own][trial] / others as f32;
                let widest = within.max(beside);
                let silhouette = if widest > 0.0 { f64::from((beside - within) / widest) } else { 0.0 };
                sum += silhouette;
                squares += silhouette * silhouette;
            }
        }
        let n = self.trials as f64;
        let mean = sum / n;
        let variance = squares / n - mean * mean;
        match variance > 1e-10 {
            true => mean / variance.sqrt(),
            false if mean > 0.0 => f64::INFINITY,
            false => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Collector, Random, Wanted};

    /// Groups of trials, each with a factor that its trials share.
    fn sample(groups: usize, trials: usize, share: f64, seed: u64) -> Sample {
        let mut random = Random::new(seed);
        let mut collector = Collector::new(252, Wanted { blocks: None, sample: 2_000 }).unwrap();
        for group in 0..groups {
            let factor: Vec<f64> = (0..252).map(|_| random.normal()).collect();
            for trial in 0..trials {
                let own = (1.0 - share * share).sqrt();
                let returns: Vec<f64> =
                    factor.iter().map(|factor| share * factor + own * random.normal()).collect();
                collector.push((group * trials + trial) as u64, &returns).unwrap();
            }
        }
        collector.finish().sample
    }

    #[test]
    fn groups_are_found() {
        for (groups, trials, share) in [(2, 30, 0.9), (5, 20, 0.8), (12, 10, 0.9), (40, 5, 0.9)] {
            let sample = sample(groups, trials, share, 1);
            let clusters = Triangle::of(&sample).clusters();
            assert_eq!(clusters.number, groups as u64, "{groups} of {trials}: {:?}", clusters.quality);
            for (place, cluster) in sample.places().iter().zip(&clusters.of) {
                let first = sample.places().iter().position(|other| other / trials == place / trials);
                assert_eq!(*cluster, clusters.of[first.unwrap()], "{place}");
            }
        }
    }

    #[test]
    fn what_has_nothing_in_common_is_many() {
        for (trials, seed) in
            [20, 40, 100, 200].into_iter().flat_map(|trials| (0..10).map(move |seed| (trials, seed)))
        {
            let number = Triangle::of(&sample(trials, 1, 0.0, seed)).clusters().number;
            // Some of them look alike by chance.
            assert!(number >= trials as u64 / 2, "{number} of {trials}");
        }
    }

    #[test]
    fn one_group_is_cut_in_two() {
        // There is no silhouette of one cluster, so 2 is the fewest that is found.
        for share in [0.7, 0.9, 0.99] {
            assert_eq!(Triangle::of(&sample(1, 200, share, 3)).clusters().number, 2);
        }
    }

    #[test]
    fn equal_series_are_one_trial() {
        let mut collector = Collector::new(5, Wanted { blocks: None, sample: 10 }).unwrap();
        for trial in 0..5 {
            collector.push(trial, &[0.1, 0.2, 0.1, 0.4, -0.1]).unwrap();
        }
        let clusters = Triangle::of(&collector.finish().sample).clusters();
        assert_eq!((clusters.number, clusters.of), (1, vec![0; 5]));
        assert_eq!(Triangle::of(&Sample::default()).clusters().number, 0);
    }
}
