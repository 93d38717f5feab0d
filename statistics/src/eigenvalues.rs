//! Eigenvalues of a symmetric matrix: Householder's tridiagonal form, then QL steps with implicit shifts.
//!
//! Golub, Van Loan (2013), Matrix Computations, sections 8.3.1 and 8.3.3.

/// Steps for one eigenvalue; three are usual.
const MOST_STEPS: u32 = 60;

/// The eigenvalues of a symmetric matrix, whose rows are given; its upper triangle is not read. In no order. Takes time for
/// 4/3 n^3.
pub(crate) fn eigenvalues(mut matrix: Vec<Vec<f64>>) -> Vec<f64> {
    let (mut diagonal, mut beside) = tridiagonal(&mut matrix);
    ql(&mut diagonal, &mut beside);
    diagonal
}

/// The diagonal, and what is below it: entry i is beside diagonal i and i + 1.
fn tridiagonal(matrix: &mut [Vec<f64>]) -> (Vec<f64>, Vec<f64>) {
    let n = matrix.len();
    let mut beside = vec![0.0; n];
    for last in (2..n).rev() {
        // The row left of the diagonal is reflected onto its last entry.
        let mut v: Vec<f64> = matrix[last][..last].to_vec();
        let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        let end = v[last - 1];
        let alpha = if end > 0.0 { -length } else { length };
        beside[last - 1] = alpha;
        if length == 0.0 {
            continue;
        }
        v[last - 1] -= alpha;
        let square: f64 = v.iter().map(|x| x * x).sum();
        let beta = 2.0 / square;
        let mut p = vec![0.0; last];
        for (i, row) in matrix[..last].iter().enumerate() {
            // The lower triangle alone: entry (i, j) stands for (j, i) too.
            let (own, vi) = (&row[..=i], v[i]);
            let mut sum = 0.0;
            for (j, entry) in own[..i].iter().enumerate() {
                sum += entry * v[j];
                p[j] += entry * vi;
            }
            p[i] += sum + own[i] * vi;
        }
        p.iter_mut().for_each(|x| *x *= beta);
        let half = beta / 2.0 * p.iter().zip(&v).map(|(p, v)| p * v).sum::<f64>();
        p.iter_mut().zip(&v).for_each(|(p, v)| *p -= half * v);
        for (i, row) in matrix[..last].iter_mut().enumerate() {
            let (vi, pi) = (v[i], p[i]);
            for (entry, (v, p)) in row[..=i].iter_mut().zip(v.iter().zip(&p)) {
                *entry -= vi * p + pi * v;
            }
        }
    }
    if n >= 2 {
        beside[0] = matrix[1][0];
    }
    (matrix.iter().enumerate().map(|(i, row)| row[i]).collect(), beside)
}

fn ql(diagonal: &mut [f64], beside: &mut [f64]) {
    let n = diagonal.len();
    for first in 0..n {
        for _ in 0..MOST_STEPS {
            let small =
                |i: &usize| beside[*i].abs() <= f64::EPSILON * (diagonal[*i].abs() + diagonal[*i + 1].abs());
            let last = (first..n.saturating_sub(1)).find(small).unwrap_or(n - 1);
            if last == first {
                break;
            }
            let mut g = (diagonal[first + 1] - diagonal[first]) / (2.0 * beside[first]);
            let mut r = g.hypot(1.0);
            g = diagonal[last] - diagonal[first] + beside[first] / (g + r.copysign(g));
            let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
            let mut is_split = false;
            for i in (first..last).rev() {
                let (f, b) = (s * beside[i], c * beside[i]);
                r = f.hypot(g);
                beside[i + 1] = r;
                if r == 0.0 {
                    diagonal[i + 1] -= p;
                    beside[last] = 0.0;
                    is_split = true;
                    break;
                }
                s = f / r;
                c = g / r;
                g = diagonal[i + 1] - p;
                r = (diagonal[i] - g) * s + 2.0 * c * b;
                p = s * r;
                diagonal[i + 1] = g + p;
                g = c * r - b;
            }
            if !is_split {
                diagonal[first] -= p;
                beside[first] = g;
                beside[last] = 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;

    fn sorted(matrix: Vec<Vec<f64>>) -> Vec<f64> {
        let mut values = eigenvalues(matrix);
        values.sort_by(f64::total_cmp);
        values
    }

    #[test]
    fn known_ones_are_found() {
        assert_eq!(sorted(Vec::new()), []);
        assert_eq!(sorted(vec![vec![3.0]]), [3.0]);
        let two = sorted(vec![vec![2.0, 1.0], vec![1.0, 2.0]]);
        assert!((two[0] - 1.0).abs() < 1e-15 && (two[1] - 3.0).abs() < 1e-15, "{two:?}");
        // All ones, and the identity.
        let ones = sorted(vec![vec![1.0; 20]; 20]);
        assert!((ones[19] - 20.0).abs() < 1e-12 && ones[18].abs() < 1e-12, "{ones:?}");
        let unit = |i: usize| (0..9).map(|j| f64::from(u8::from(i == j))).collect();
        assert_eq!(sorted((0..9).map(unit).collect()), [1.0; 9]);
        // 2 on the diagonal, -1 beside it: 2 - 2 cos(k pi/(n + 1)).
        let n = 50;
        let entry = |i: usize, j: usize| match i.abs_diff(j) {
            0 => 2.0,
            1 => -1.0,
            _ => 0.0,
        };
        let found = sorted((0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect());
        for (k, value) in found.iter().enumerate() {
            let angle = (k + 1) as f64 * std::f64::consts::PI / (n + 1) as f64;
            assert!((value - (2.0 - 2.0 * angle.cos())).abs() < 1e-13, "{k}: {value}");
        }
    }

    #[test]
    fn sums_of_powers_are_traces() {
        let mut random = Random::new(5);
        let n = 60;
        let mut matrix = vec![vec![0.0; n]; n];
        for (i, j) in (0..n).flat_map(|i| (0..=i).map(move |j| (i, j))) {
            matrix[i][j] = random.normal();
            matrix[j][i] = matrix[i][j];
        }
        let trace: f64 = (0..n).map(|i| matrix[i][i]).sum();
        let squares: f64 = matrix.iter().flatten().map(|x| x * x).sum();
        let found = eigenvalues(matrix);
        assert!((found.iter().sum::<f64>() - trace).abs() < 1e-11);
        assert!((found.iter().map(|x| x * x).sum::<f64>() - squares).abs() < 1e-9);
    }
}
