//! Points of a `sample` that are spread over all axes more evenly than random ones: no axis has a gap by chance.
//!
//! What always holds: each candidate comes once, also where the axes have few values; the same seed gives the same ones for
//! ever.

use std::collections::HashSet;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::draw::Draw;
use super::sobol::Sobol;
use crate::manifest::SampleMethod;

/// After so many points in a row that came before, the others are drawn at random.
const MOST_REPEATED: u32 = 1_000;
/// The bases of Halton's sequence, one for each axis that a matrix may have.
const PRIMES: [u32; 64] = [
    2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103,
    107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167, 173, 179, 181, 191, 193, 197, 199, 211, 223,
    227, 229, 233, 239, 241, 251, 257, 263, 269, 271, 277, 281, 283, 293, 307, 311,
];

/// Chooses candidates one by one.
#[derive(Debug)]
pub(super) struct Spread {
    points: Points,
    /// How many values each axis has; the last one turns fastest.
    lengths: Vec<u64>,
    drawn: HashSet<u128>,
    /// All candidates, for when the points give no new ones.
    rest: Draw,
    is_exhausted: bool,
}

/// Where points come from: each has a coordinate for each axis, a binary fraction of 64 digits.
#[derive(Debug)]
enum Points {
    Sobol { sequence: Sobol, shifts: Vec<u32> },
    Halton { next: u64, digits: Vec<Vec<u32>> },
    Lhs { strata: Vec<Draw>, count: u32, stream: Box<ChaCha8Rng>, round: u64, seed: u64 },
}

impl Spread {
    /// None for a method that draws at random. `bound` is how many candidates there are: the axes' combinations come first.
    pub(super) fn new(
        method: SampleMethod,
        count: u32,
        seed: u64,
        lengths: Vec<u64>,
        bound: u128,
    ) -> Option<Self> {
        let mut stream = stream(seed, 0);
        let axes = lengths.len();
        let points = match method {
            SampleMethod::Random => return None,
            SampleMethod::Sobol => {
                let shifts = (0..axes).map(|_| stream.next_u32()).collect();
                Points::Sobol { sequence: Sobol::new(axes), shifts }
            }
            SampleMethod::Halton => {
                let digits = PRIMES.iter().take(axes).map(|base| shuffled(*base, &mut stream)).collect();
                Points::Halton { next: 0, digits }
            }
            SampleMethod::Lhs => Points::Lhs {
                strata: Vec::new(),
                count: count.max(1),
                stream: Box::new(stream),
                round: 0,
                seed,
            },
        };
        Some(Self {
            points,
            lengths,
            drawn: HashSet::new(),
            rest: Draw::new(seed, bound),
            is_exhausted: false,
        })
    }

    /// The next candidate; none when all have been drawn.
    pub(super) fn next(&mut self) -> Option<u128> {
        let mut repeated = 0;
        while !self.is_exhausted {
            let Some(place) = self.place() else {
                self.is_exhausted = true;
                break;
            };
            if self.drawn.insert(place) {
                return Some(place);
            }
            repeated += 1;
            self.is_exhausted = repeated >= MOST_REPEATED;
        }
        loop {
            let place = self.rest.next()?;
            if !self.drawn.contains(&place) {
                return Some(place);
            }
        }
    }

    fn place(&mut self) -> Option<u128> {
        let point = self.points.next(self.lengths.len())?;
        let mut place = 0_u128;
        for (coordinate, length) in point.into_iter().zip(&self.lengths) {
            let length = u128::from(*length);
            place = place.checked_mul(length)?.checked_add((u128::from(coordinate) * length) >> 64)?;
        }
        Some(place)
    }
}

impl Points {
    fn next(&mut self, axes: usize) -> Option<Vec<u64>> {
        match self {
            Self::Sobol { sequence, shifts } => {
                let point = sequence.next()?.iter().zip(shifts.iter());
                Some(point.map(|(coordinate, shift)| u64::from(coordinate ^ shift) << 32).collect())
            }
            Self::Halton { next, digits } => {
                let number = *next;
                *next = number.checked_add(1)?;
                Some(digits.iter().map(|digits| radical_inverse(number, digits)).collect())
            }
            Self::Lhs { strata, count, stream, round, seed } => {
                let parts = u64::from(*count);
                let mut taken: Option<Vec<u128>> = strata.iter_mut().map(Draw::next).collect();
                if strata.is_empty() || taken.is_none() {
                    // A new hypercube, with other orders of the same parts.
                    *round += 1;
                    let order = |axis: usize| {
                        let mut key = stream_of_order(*seed, *round, axis as u64);
                        Draw::new(key.next_u64(), parts.into())
                    };
                    *strata = (0..axes).map(order).collect();
                    taken = strata.iter_mut().map(Draw::next).collect();
                }
                let point = taken?.into_iter().map(|stratum| {
                    // Anywhere in the part.
                    let within = u128::from(stream.next_u64());
                    (((stratum << 64) + within) / u128::from(parts)) as u64
                });
                Some(point.collect())
            }
        }
    }
}

fn stream(seed: u64, kind: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    // Other numbers than those of random samples.
    key[8..16].copy_from_slice(&(kind + 1).to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

fn stream_of_order(seed: u64, round: u64, axis: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (part, number) in [seed, 2, round, axis].into_iter().enumerate() {
        key[8 * part..8 * part + 8].copy_from_slice(&number.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

/// The digits of a base in a random order: without it, the axes of large bases resemble each other.
fn shuffled(base: u32, stream: &mut ChaCha8Rng) -> Vec<u32> {
    let mut draw = Draw::new(stream.next_u64(), base.into());
    std::iter::from_fn(|| draw.next()).map(|digit| digit as u32).collect()
}

/// The digits of a number in the base of so many digits, exchanged by these and read behind the point in reverse order.
fn radical_inverse(mut number: u64, digits: &[u32]) -> u64 {
    let base = digits.len() as u64;
    let (mut inverse, mut part) = (0_u128, 1_u128 << 64);
    loop {
        part /= u128::from(base);
        if part == 0 {
            return inverse as u64;
        }
        inverse += u128::from(digits[(number % base) as usize]) * part;
        number /= base;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(method: SampleMethod, count: u32, seed: u64, lengths: &[u64]) -> Vec<u128> {
        let bound = lengths.iter().map(|length| u128::from(*length)).product();
        let mut spread = Spread::new(method, count, seed, lengths.to_vec(), bound).unwrap();
        std::iter::from_fn(|| spread.next()).take(count as usize).collect()
    }

    const METHODS: [SampleMethod; 3] = [SampleMethod::Sobol, SampleMethod::Halton, SampleMethod::Lhs];

    #[test]
    fn every_candidate_comes_once() {
        for method in METHODS {
            for lengths in [&[1][..], &[7], &[2, 3, 5], &[20, 20]] {
                let all: u64 = lengths.iter().product();
                let mut every = drawn(method, all as u32, 3, lengths);
                every.sort_unstable();
                assert!(every.into_iter().eq(0..u128::from(all)), "{method} {lengths:?}");
            }
        }
    }

    #[test]
    fn no_axis_has_a_gap() {
        for seed in 0..20 {
            for (method, count) in
                [(SampleMethod::Sobol, 64), (SampleMethod::Lhs, 64), (SampleMethod::Halton, 64)]
            {
                // Halton's first axis has the base 2.
                let axes = if method == SampleMethod::Halton { 1 } else { 3 };
                let places = drawn(method, count, seed, &[64, 64, 64]);
                for axis in 0..axes {
                    let value = |place: &u128| (place / 64_u128.pow(2 - axis)) % 64;
                    let values: HashSet<u128> = places.iter().map(value).collect();
                    assert_eq!(values.len(), 64, "{method}, seed {seed}, axis {axis}");
                }
            }
        }
    }

    #[test]
    fn a_seed_is_a_choice() {
        for method in METHODS {
            let of = |seed| drawn(method, 50, seed, &[1000, 1000]);
            assert_eq!(of(7), of(7));
            assert_ne!(of(7), of(8));
        }
    }

    #[test]
    fn what_a_seed_chooses_stays() {
        let first = |method| drawn(method, 5, 7, &[10, 10, 10]);
        let made = METHODS.map(first);
        assert_eq!(made, EXPECTED, "every sweep with such a sample would get other jobs");
    }

    const EXPECTED: [[u128; 5]; 3] =
        [[80, 535, 763, 218, 476], [907, 461, 739, 225, 883], [960, 548, 682, 216, 135]];

    #[test]
    fn more_combinations_than_can_be_numbered_are_drawn_at_random() {
        let lengths = vec![u64::MAX; 4];
        let mut spread = Spread::new(SampleMethod::Sobol, 10, 1, lengths, u128::MAX).unwrap();
        assert_eq!(std::iter::from_fn(|| spread.next()).take(10).collect::<HashSet<_>>().len(), 10);
    }
}
