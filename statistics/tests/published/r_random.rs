//! R's default generator (Mersenne Twister, normal ones by inversion), so that what R computed can be computed again.

use bt_statistics::normal::quantile;

const N: usize = 624;

pub(crate) struct RRandom {
    state: [u32; N],
    next: usize,
}

impl RRandom {
    /// As `set.seed(seed)`.
    pub(crate) fn seeded(mut seed: u32) -> Self {
        let mut step = || {
            seed = seed.wrapping_mul(69_069).wrapping_add(1);
            seed
        };
        // The first 50 are thrown away, and the 51st holds a place.
        (0..51).for_each(|_| {
            step();
        });
        let mut state = [0; N];
        state.iter_mut().for_each(|word| *word = step());
        Self { state, next: N }
    }

    fn bits(&mut self) -> u32 {
        if self.next == N {
            for place in 0..N {
                let after = self.state[(place + 1) % N];
                let mixed = self.state[place] & 0x8000_0000 | after & 0x7fff_ffff;
                let odd = if mixed & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[place] = self.state[(place + 397) % N] ^ mixed >> 1 ^ odd;
            }
            self.next = 0;
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= word << 7 & 0x9d2c_5680;
        word ^= word << 15 & 0xefc6_0000;
        word ^ word >> 18
    }

    /// As `runif(1)`.
    fn uniform(&mut self) -> f64 {
        const ONE_BY: f64 = 2.328_306_437_080_797e-10;
        let value = f64::from(self.bits()) * 2.328_306_436_538_696_3e-10;
        value.clamp(0.5 * ONE_BY, 1.0 - 0.5 * ONE_BY)
    }

    /// As `rnorm(1)`.
    pub(crate) fn normal(&mut self) -> f64 {
        const BIG: f64 = 134_217_728.0;
        let high = (BIG * self.uniform()).floor();
        quantile((high + self.uniform()) / BIG)
    }
}
