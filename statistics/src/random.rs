//! Random numbers for bootstraps: SplitMix64, seeded, the same on every machine.
//!
//! Steele, Lea, Flood (2014), Fast Splittable Pseudorandom Number Generators. Its 64 bits of state pass BigCrush and are
//! enough for some thousand draws; nothing secret is made of them.

/// A generator with a seed.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        scramble(self.state)
    }

    /// Uniform, at least 0 and below 1.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A whole number below a bound, which must not be 0; uniform but for one part in 2^64 by the bound.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// Standard normal, by the quantile of a uniform one.
    pub fn normal(&mut self) -> f64 {
        // Between the steps, so never at an end.
        crate::normal::quantile(((self.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64)
    }
}

/// The first 64 bits of the seed.
pub(crate) fn mix(seed: u64) -> u64 {
    scramble(seed.wrapping_add(STEP))
}

fn scramble(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_splitmix64s() {
        // The reference program by Vigna, seed 1234567.
        let mut random = Random::new(1_234_567);
        let first = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([random.bits(), random.bits(), random.bits()], first);
    }

    #[test]
    fn normal_ones_are_normal() {
        let mut random = Random::new(1);
        let values: Vec<f64> = (0..100_000).map(|_| random.normal()).collect();
        let moments = crate::Moments::of(0, &values).unwrap();
        assert!(moments.mean.abs() < 0.01 && (moments.deviation - 1.0).abs() < 0.01, "{moments:?}");
        assert!(moments.skew.abs() < 0.03 && (moments.kurtosis - 3.0).abs() < 0.06, "{moments:?}");
        assert!((0..1000).all(|_| random.below(7) < 7 && random.uniform() < 1.0));
    }
}
