//! How alike the trials' returns are, from one pass over them.

use crate::moments::Moments;

/// The mean correlation of all pairs, by the sum of the standardised series: (|sum z|^2/T - N)/(N (N - 1)).
#[derive(Clone, Debug)]
pub(crate) struct Correlations {
    sum: Vec<f64>,
    trials: f64,
}

impl Correlations {
    pub(crate) fn new(observations: usize) -> Self {
        Self { sum: vec![0.0; observations], trials: 0.0 }
    }

    pub(crate) fn push<T: Copy + Into<f64>>(&mut self, returns: &[T], moments: &Moments) {
        let scale = scale(moments);
        for (sum, value) in self.sum.iter_mut().zip(returns) {
            *sum += ((*value).into() - moments.mean) * scale;
        }
        self.trials += 1.0;
    }

    pub(crate) fn mean(&self) -> Option<f64> {
        let n = self.trials;
        let square: f64 = self.sum.iter().map(|sum| sum * sum).sum();
        (n >= 2.0).then(|| ((square - n) / (n * (n - 1.0))).clamp(-1.0, 1.0))
    }
}

/// What a distance from the mean is multiplied by, so that a series' squares sum up to 1.
pub(crate) fn scale(moments: &Moments) -> f64 {
    1.0 / (moments.deviation * ((moments.observations - 1) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_correlation_is_that_of_all_pairs() {
        let series = [[0.1, 0.2, 0.3, 0.5], [0.1, 0.0, 0.3, 0.1], [-0.1, 0.2, 0.2, 0.1]];
        let mut correlations = Correlations::new(4);
        assert_eq!(correlations.mean(), None);
        for returns in &series {
            correlations.push(returns, &Moments::of(0, returns).unwrap());
        }
        // numpy.corrcoef, the mean of what is above the diagonal.
        assert!(
            (correlations.mean().unwrap() - 0.2650827271680405).abs() < 1e-14,
            "{:?}",
            correlations.mean()
        );
    }
}
