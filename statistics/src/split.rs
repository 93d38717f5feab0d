//! One split of the blocks into two halves: the best trial in one, and its rank in the other.

use crate::blocks::Blocks;

/// What the best trial is chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Mean by deviation of n - 1, per observation.
    Sharpe,
    Mean,
}

/// A split, and what became of the trial that was best in sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split {
    /// A bit for each block that is in sample, the lowest for the first.
    pub in_sample_blocks: u32,
    /// The trial, by the order in which they were given.
    pub trial: u32,
    /// Its metric in sample, the highest of all, and out of sample.
    pub in_sample: f64,
    pub out_of_sample: f64,
    /// Its rank out of sample: 1 for the lowest, N for the highest, the mean rank if it is tied.
    pub rank: f64,
    pub logit: f64,
}

/// Values closer than this, by their size, differ by rounding alone.
const TIED: f64 = 1e-12;

/// The blocks in two groups. The sums of each choice of the second are kept, those of the first are computed once for all
/// splits that begin with them, so that a split costs one addition for each trial.
pub(crate) struct Halves<'a> {
    blocks: &'a Blocks,
    metric: Metric,
    trials: usize,
    /// Blocks in the first group, and in the second, which has 8 at most.
    first: usize,
    second: usize,
    /// Sums and squares of each choice of the second group's blocks, for each trial.
    kept: Vec<Sums>,
    all: Sums,
    /// Of each trial, the size of the values that are compared, where they have a unit.
    sizes: Vec<f64>,
}

#[derive(Clone, Default)]
struct Sums {
    sums: Vec<f64>,
    squares: Vec<f64>,
}

/// What a thread needs for itself.
pub(crate) struct Room {
    start: Sums,
    one: Vec<f64>,
    other: Vec<f64>,
}

impl<'a> Halves<'a> {
    pub(crate) fn new(blocks: &'a Blocks, metric: Metric) -> Self {
        let trials = blocks.trials();
        let second = (blocks.blocks / 2).min(8);
        let first = blocks.blocks - second;
        let mut halves = Self {
            blocks,
            metric,
            trials,
            first,
            second,
            kept: Vec::new(),
            all: Sums::default(),
            sizes: Vec::new(),
        };
        halves.kept = (0..1 << second).map(|choice: u32| halves.sums(choice << first)).collect();
        halves.all = halves.sums(u32::MAX >> (32 - blocks.blocks));
        let returns = (blocks.blocks * blocks.length) as f64;
        let size = |(square, mean): (&f64, &f64)| (square / returns).sqrt() + mean.abs();
        halves.sizes = halves.all.squares.iter().zip(&blocks.means).map(size).collect();
        halves
    }

    /// Sums over some blocks, for each trial.
    fn sums(&self, chosen: u32) -> Sums {
        let of = |values: &[f64]| {
            let sum = |row: &[f64]| {
                let row = row.iter().enumerate().filter(|(block, _)| chosen >> block & 1 == 1);
                row.map(|(_, value)| value).sum()
            };
            values.chunks_exact(self.blocks.blocks).map(sum).collect()
        };
        Sums { sums: of(&self.blocks.sums), squares: of(&self.blocks.squares) }
    }

    /// The choices of the first group's blocks that splits begin with. Block 0 is always among them: the mirror images of
    /// these splits are the others.
    pub(crate) fn starts(&self) -> Vec<u32> {
        let half = self.blocks.blocks as u32 / 2;
        let fits =
            |start: &u32| start.count_ones() <= half && half - start.count_ones() <= self.second as u32;
        (0..1u32 << self.first).filter(|start| start & 1 == 1).filter(fits).collect()
    }

    pub(crate) fn room(&self) -> Room {
        Room { start: Sums::default(), one: vec![0.0; self.trials], other: vec![0.0; self.trials] }
    }

    /// All splits that begin with these blocks, and their mirror images.
    pub(crate) fn splits(&self, start: u32, room: &mut Room, found: &mut Vec<Split>) {
        let missing = self.blocks.blocks as u32 / 2 - start.count_ones();
        room.start = self.sums(start);
        for (choice, kept) in self.kept.iter().enumerate() {
            let choice = choice as u32;
            if choice.count_ones() != missing {
                continue;
            }
            let chosen = start | choice << self.first;
            let mirror = !chosen & (u32::MAX >> (32 - self.blocks.blocks));
            self.values(kept, room);
            self.mend(chosen, &mut room.one);
            self.mend(mirror, &mut room.other);
            found.push(self.split(chosen, &room.one, &room.other));
            found.push(self.split(mirror, &room.other, &room.one));
        }
    }

    /// The metric of each trial in both halves.
    fn values(&self, kept: &Sums, room: &mut Room) {
        let n = (self.blocks.length * self.blocks.blocks / 2) as f64;
        let trials = self.trials;
        let (one, other) = (&mut room.one[..trials], &mut room.other[..trials]);
        let (means, start, kept, all) = (&self.blocks.means[..trials], &room.start, kept, &self.all);
        let sums = (&start.sums[..trials], &kept.sums[..trials], &all.sums[..trials]);
        if self.metric == Metric::Mean {
            for trial in 0..trials {
                let sum = sums.0[trial] + sums.1[trial];
                one[trial] = means[trial] + sum / n;
                other[trial] = means[trial] + (sums.2[trial] - sum) / n;
            }
            return;
        }
        let squares = (&start.squares[..trials], &kept.squares[..trials], &all.squares[..trials]);
        let (by_n, degrees) = (1.0 / n, n - 1.0);
        for trial in 0..trials {
            let (sum, square) = (sums.0[trial] + sums.1[trial], squares.0[trial] + squares.1[trial]);
            let (rest, rest_square) = (sums.2[trial] - sum, squares.2[trial] - square);
            let variance = (square - sum * sum * by_n) / degrees;
            let rest_variance = (rest_square - rest * rest * by_n) / degrees;
            one[trial] = (means[trial] + sum * by_n) / variance.max(f64::MIN_POSITIVE).sqrt();
            other[trial] = (means[trial] + rest * by_n) / rest_variance.max(f64::MIN_POSITIVE).sqrt();
        }
    }

    /// Sharpe ratios of trials that do not vary in a half: rounding must not decide them.
    fn mend(&self, half: u32, values: &mut [f64]) {
        for still in self.blocks.still.iter().filter(|still| still.blocks & half == half) {
            values[still.trial] = match self.metric {
                Metric::Mean => still.value,
                Metric::Sharpe if still.value == 0.0 => 0.0,
                Metric::Sharpe => still.value.signum() * f64::INFINITY,
            };
        }
    }

    fn split(&self, chosen: u32, inside: &[f64], outside: &[f64]) -> Split {
        let highest = inside.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let size = |trial: usize, value: f64| match self.metric {
            _ if value.is_infinite() => 0.0,
            Metric::Sharpe => 1.0 + value.abs(),
            Metric::Mean => self.sizes[trial],
        };
        let is_tied = |trial: usize, value: f64, with: f64| {
            value == with || (value - with).abs() <= TIED * size(trial, value)
        };
        let best = inside.iter().enumerate().position(|(trial, value)| is_tied(trial, *value, highest));
        let best = best.unwrap_or_default();
        let (in_sample, out_of_sample) = (inside[best], outside[best]);
        let room = TIED * size(best, out_of_sample);
        let (mut below, mut tied) = (0usize, 0usize);
        for value in outside {
            let distance = value - out_of_sample;
            below += usize::from(distance < -room);
            // Two infinite ones have a distance that is no number.
            tied += usize::from(distance.abs() <= room || *value == out_of_sample);
        }
        let rank = below as f64 + (tied as f64 + 1.0) / 2.0;
        let above = self.trials as f64 + 1.0 - rank;
        Split {
            in_sample_blocks: chosen,
            trial: best as u32,
            in_sample,
            out_of_sample,
            rank,
            logit: (rank / above).ln(),
        }
    }
}
