//! A bounded choice among trials whose number is not known beforehand.

use crate::correlation::scale;
use crate::moments::Moments;

/// Series of some of the trials, for their correlations with each other.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// The places of the chosen trials in the order in which they were taken, by rising Sharpe ratio.
    pub(crate) places: Vec<usize>,
    /// Their series, standardised so that a product of two is their correlation.
    pub(crate) series: Vec<Vec<f32>>,
    /// Trials that were chosen among: all whose series vary.
    pub(crate) among: usize,
}

impl Sample {
    /// The places of the chosen trials in the order in which they were taken, by rising Sharpe ratio.
    pub fn places(&self) -> &[usize] {
        &self.places
    }

    /// Trials that were chosen among: all whose series vary.
    pub fn among(&self) -> usize {
        self.among
    }
}

/// Keeps between `most` and twice as many series: when there are more, it keeps those whose hash is in the lower half of
/// what was kept so far, so each trial is as likely to be kept as any other, whenever it comes. In the end `most` are
/// chosen of them, evenly over the ranks of their Sharpe ratios.
#[derive(Clone, Debug)]
pub(crate) struct Sampler {
    most: usize,
    /// Hashes up to here are kept.
    limit: u64,
    kept: Vec<Kept>,
    among: usize,
}

#[derive(Clone, Debug)]
struct Kept {
    place: usize,
    sharpe: f64,
    series: Vec<f32>,
}

impl Sampler {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, limit: u64::MAX, kept: Vec::new(), among: 0 }
    }

    pub(crate) fn push<T: Copy + Into<f64>>(
        &mut self,
        place: usize,
        sharpe: f64,
        returns: &[T],
        moments: &Moments,
    ) {
        self.among += 1;
        if self.most == 0 || hash(place) > self.limit {
            return;
        }
        let scale = scale(moments);
        let standard = |value: &T| (((*value).into() - moments.mean) * scale) as f32;
        self.kept.push(Kept { place, sharpe, series: returns.iter().map(standard).collect() });
        while self.kept.len() > 2 * self.most {
            self.limit /= 2;
            let limit = self.limit;
            self.kept.retain(|kept| hash(kept.place) <= limit);
        }
    }

    pub(crate) fn finish(mut self) -> Sample {
        self.kept.sort_by(|a, b| a.sharpe.total_cmp(&b.sharpe).then(a.place.cmp(&b.place)));
        let (count, kept) = (self.most.min(self.kept.len()), self.kept.len());
        let mut sample = Sample { among: self.among, ..Sample::default() };
        let mut wanted = 0;
        for (rank, kept_one) in self.kept.into_iter().enumerate() {
            // The first and the last are among them.
            if wanted < count && rank == even(wanted, count, kept) {
                sample.places.push(kept_one.place);
                sample.series.push(kept_one.series);
                wanted += 1;
            }
        }
        sample
    }
}

/// The place of the nth of `count` among `all`, evenly.
pub(crate) fn even(n: usize, count: usize, all: usize) -> usize {
    if count <= 1 { 0 } else { n * (all - 1) / (count - 1) }
}

/// SplitMix64's mixing function: the bits of neighbouring places have nothing to do with each other.
fn hash(place: usize) -> u64 {
    crate::random::mix(place as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(trials: usize, most: usize) -> Sample {
        let mut sampler = Sampler::new(most);
        let returns = [0.1, 0.2, 0.4];
        let moments = Moments::of(0, &returns).unwrap();
        for place in 0..trials {
            // Worst first.
            sampler.push(place, place as f64, &returns, &moments);
            assert!(sampler.kept.len() <= 2 * most);
        }
        sampler.finish()
    }

    #[test]
    fn few_are_all_chosen_and_more_evenly() {
        assert_eq!(sample(3, 5).places, [0, 1, 2]);
        assert_eq!(sample(9, 5).places, [0, 2, 4, 6, 8]);
        assert_eq!(sample(4, 0).places, []);
        assert_eq!(sample(2, 1).places, [0]);
    }

    #[test]
    fn many_are_chosen_whenever_they_come() {
        let sample = sample(100_000, 500);
        assert_eq!((sample.places.len(), sample.among, sample.series.len()), (500, 100_000, 500));
        let late = sample.places.iter().filter(|place| **place >= 50_000).count();
        assert!((200..300).contains(&late), "{late}");
    }

    #[test]
    fn a_product_of_a_series_with_itself_is_one() {
        let series = &sample(1, 1).series[0];
        let product: f32 = series.iter().map(|value| value * value).sum();
        assert!((product - 1.0).abs() < 1e-6, "{product}");
    }
}
