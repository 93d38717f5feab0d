//! Products of all pairs of many series, which is most of the time that correlations take.

use std::thread;

/// Series that are multiplied by one another while they are in the processor's cache.
const TILE: usize = 16;

/// A row's number, and its products with all series after it.
type Row<'a> = (usize, &'a mut [f32]);

/// The products of all pairs of different series of one length: the upper triangle without the diagonal, row by row.
pub(crate) fn products(series: &[Vec<f32>]) -> Vec<f32> {
    let count = series.len();
    let mut triangle = vec![0.0; count * count.saturating_sub(1) / 2];
    let mut rows = Vec::with_capacity(count);
    let mut rest = triangle.as_mut_slice();
    for row in 0..count {
        let (own, more) = rest.split_at_mut(count - row - 1);
        rows.push((row, own));
        rest = more;
    }
    // The first rows are the longest, so they are dealt out in turn.
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut dealt: Vec<Vec<Vec<Row>>> = (0..threads).map(|_| Vec::new()).collect();
    let mut turn = 0;
    while !rows.is_empty() {
        let tile = rows.split_off(rows.len().saturating_sub(TILE));
        dealt[turn % threads].push(tile);
        turn += 1;
    }
    thread::scope(|scope| {
        for tiles in dealt {
            scope.spawn(move || tiles.into_iter().for_each(|tile| fill(tile, series)));
        }
    });
    triangle
}

/// Fills some neighbouring rows, tile by tile.
fn fill(mut rows: Vec<Row>, series: &[Vec<f32>]) {
    let first = rows.first().map_or(0, |(row, _)| *row);
    for start in (first..series.len()).step_by(TILE) {
        for (row, products) in &mut rows {
            for column in start.max(*row + 1)..series.len().min(start + TILE) {
                products[column - *row - 1] = product(&series[*row], &series[column]);
            }
        }
    }
}

/// In sixteen sums at once, as processors add; each stays small, so f32 keeps six digits.
fn product(one: &[f32], other: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0f32; LANES];
    let (ones, others) = (one.chunks_exact(LANES), other.chunks_exact(LANES));
    let rest: f32 = ones.remainder().iter().zip(others.remainder()).map(|(a, b)| a * b).sum();
    for (one, other) in ones.zip(others) {
        for lane in 0..LANES {
            sums[lane] += one[lane] * other[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_is_in_its_place() {
        for count in [0, 1, 2, 15, 16, 17, 33, 50] {
            let series: Vec<Vec<f32>> =
                (0..count).map(|i| (0..37).map(|t| ((i * 31 + t * 7) % 11) as f32).collect()).collect();
            let mut expected = Vec::new();
            for i in 0..count {
                for j in i + 1..count {
                    expected.push(series[i].iter().zip(&series[j]).map(|(a, b)| a * b).sum::<f32>());
                }
            }
            assert_eq!(products(&series), expected, "{count}");
        }
    }
}
