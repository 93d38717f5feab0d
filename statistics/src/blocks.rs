//! Sums of blocks of each trial's returns: what the probability of backtest overfitting is computed from.

use crate::error::Error;

/// Most blocks; C(24, 12) is 2.7 million splits.
pub const MOST_BLOCKS: usize = 24;

/// Of each trial, what its returns sum up to in each of an even number of contiguous blocks of the same length.
#[derive(Clone, Debug)]
pub struct Blocks {
    pub(crate) blocks: usize,
    /// Returns in a block.
    pub(crate) length: usize,
    /// Returns at the start of each series that are in no block.
    pub(crate) dropped: usize,
    /// Of each trial, the mean of its whole series.
    pub(crate) means: Vec<f64>,
    /// Of each trial, the sum of its returns' distances from that mean, block by block, and that of their squares.
    pub(crate) sums: Vec<f64>,
    pub(crate) squares: Vec<f64>,
    /// Trials that do not vary in half of the blocks or more.
    pub(crate) still: Vec<Still>,
}

/// A trial's blocks in which all returns have one value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Still {
    pub(crate) trial: usize,
    pub(crate) blocks: u32,
    pub(crate) value: f64,
}

impl Blocks {
    /// Room for the sums of series of so many returns. Those that are left over, `observations` modulo `blocks`, are
    /// dropped at the start, as the most recent ones matter most.
    ///
    /// # Errors
    ///
    /// [`Error::Blocks`] if the number is odd, 0 or above [`MOST_BLOCKS`], [`Error::ShortBlocks`] if half of the blocks
    /// would have fewer than two returns.
    pub fn new(observations: usize, blocks: usize) -> Result<Self, Error> {
        if blocks == 0 || !blocks.is_multiple_of(2) || blocks > MOST_BLOCKS {
            return Err(Error::Blocks { given: blocks as u64, most: MOST_BLOCKS as u64 });
        }
        let length = observations / blocks;
        if length * blocks / 2 < 2 {
            let least = if blocks == 2 { 4 } else { blocks as u64 };
            return Err(Error::ShortBlocks {
                observations: observations as u64,
                blocks: blocks as u64,
                least,
            });
        }
        let dropped = observations - length * blocks;
        let (sums, squares, still) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { blocks, length, dropped, means: Vec::new(), sums, squares, still })
    }

    /// Takes the next trial's series, whose length and mean the caller has checked.
    pub(crate) fn push<T: Copy + Into<f64>>(&mut self, returns: &[T], mean: f64) {
        let trial = self.means.len();
        let mut still: Vec<Still> = Vec::new();
        for (number, block) in returns[self.dropped..].chunks_exact(self.length).enumerate() {
            let (mut sum, mut squares) = (0.0, 0.0);
            let first: f64 = block[0].into();
            let mut varies = false;
            for value in block {
                let value: f64 = (*value).into();
                varies |= value != first;
                let distance = value - mean;
                sum += distance;
                squares += distance * distance;
            }
            self.sums.push(sum);
            self.squares.push(squares);
            if !varies {
                match still.iter_mut().find(|still| still.value == first) {
                    Some(still) => still.blocks |= 1 << number,
                    None => still.push(Still { trial, blocks: 1 << number, value: first }),
                }
            }
        }
        self.means.push(mean);
        let half = self.blocks as u32 / 2;
        self.still.extend(still.into_iter().filter(|still| still.blocks.count_ones() >= half));
    }

    /// Trials that were taken.
    pub fn trials(&self) -> usize {
        self.means.len()
    }

    /// Returns at the start of each series that are in no block.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// Returns in a block.
    pub fn length(&self) -> usize {
        self.length
    }

    /// How many blocks there are.
    pub fn blocks(&self) -> usize {
        self.blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_blocks_that_can_not_be_is_refused() {
        for wrong in [0, 1, 3, 15, 26] {
            let error = Blocks::new(100, wrong).unwrap_err().to_string();
            assert_eq!(error, format!("blocks is {wrong}; it must be an even number from 2 to 24"));
        }
        let error = Blocks::new(15, 16).unwrap_err().to_string();
        assert!(error.contains("15 observations are too few for 16 blocks"), "{error}");
        assert!(error.contains("at least 16"), "{error}");
        assert!(Blocks::new(3, 2).unwrap_err().to_string().contains("at least 4"));
        assert!(Blocks::new(4, 2).is_ok() && Blocks::new(4, 4).is_ok());
    }

    #[test]
    fn what_is_left_over_is_dropped_at_the_start() {
        let mut blocks = Blocks::new(11, 4).unwrap();
        assert_eq!((blocks.dropped(), blocks.length()), (3, 2));
        blocks.push(&[9.0, 9.0, 9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 5.0, 5.0, 5.0f32], 0.0);
        assert_eq!(blocks.sums, [3.0, 7.0, 10.0, 10.0]);
        assert_eq!(blocks.squares, [5.0, 25.0, 50.0, 50.0]);
        assert_eq!((blocks.still.len(), blocks.still[0].blocks, blocks.still[0].value), (1, 0b1100, 5.0));
    }
}
