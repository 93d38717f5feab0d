//! A random order of the numbers below a bound, which is the same for the same seed for ever.

use std::collections::HashMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Draws each number once. It remembers only what it has drawn, so the bound may be huge.
///
/// The stream of ChaCha8 is fixed by its specification; how numbers are made of it is fixed here, and by a test. A
/// change would give every sweep with a `sample` other jobs.
#[derive(Debug)]
pub(super) struct Draw {
    stream: ChaCha8Rng,
    drawn: u128,
    bound: u128,
    /// Fisher-Yates: where a number is not at its own place any more.
    moved: HashMap<u128, u128>,
}

impl Draw {
    pub(super) fn new(seed: u64, bound: u128) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        Self { stream: ChaCha8Rng::from_seed(key), drawn: 0, bound, moved: HashMap::new() }
    }

    /// The next number; none when all have been drawn.
    pub(super) fn next(&mut self) -> Option<u128> {
        let left = self.bound.checked_sub(self.drawn).filter(|left| *left > 0)?;
        let at = self.drawn + self.below(left);
        let number = self.moved.get(&at).copied().unwrap_or(at);
        let first = self.moved.remove(&self.drawn).unwrap_or(self.drawn);
        if at != self.drawn {
            self.moved.insert(at, first);
        }
        self.drawn += 1;
        Some(number)
    }

    /// A number below the bound, all equally likely: as many bits as the largest has, drawn again while it is too large.
    fn below(&mut self, bound: u128) -> u128 {
        let bits = 128 - (bound - 1).leading_zeros();
        if bits == 0 {
            return 0;
        }
        loop {
            let mut number = u128::from(self.stream.next_u64());
            if bits > 64 {
                number = number << 64 | u128::from(self.stream.next_u64());
            }
            let number = number & (u128::MAX >> (128 - bits));
            if number < bound {
                return number;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: u64, bound: u128, count: usize) -> Vec<u128> {
        let mut draw = Draw::new(seed, bound);
        std::iter::from_fn(|| draw.next()).take(count).collect()
    }

    #[test]
    fn every_number_comes_once() {
        for bound in [0, 1, 2, 3, 100, 1000] {
            let mut all = drawn(7, bound, usize::MAX);
            all.sort_unstable();
            assert!(all.into_iter().eq(0..bound), "{bound}");
        }
    }

    #[test]
    fn all_orders_are_equally_likely() {
        let mut seen = HashMap::new();
        for seed in 0..6000 {
            *seen.entry(drawn(seed, 3, 3)).or_insert(0) += 1;
        }
        assert_eq!(seen.len(), 6);
        assert!(seen.values().all(|count| (850..1150).contains(count)), "{seen:?}");
    }

    #[test]
    fn huge_bounds_are_drawn_from() {
        let numbers = drawn(1, u128::MAX, 100);
        assert!(numbers.iter().any(|number| *number > u128::MAX / 2));
    }
}
