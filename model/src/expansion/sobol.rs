//! The Sobol sequence: the first 2^k points have one in each of 2^k equal parts of every axis.
//!
//! Direction numbers are those of Joe and Kuo (2008), Constructing Sobol sequences with better two-dimensional projections,
//! SIAM J. Sci. Comput. 30(5), from their file new-joe-kuo-6.21201, which SciPy uses too. Points come in the order of the Gray
//! code (Antonov, Saleev 1979).

/// Axes that there are direction numbers for; a matrix has no more.
pub(super) const MOST_AXES: usize = POLYNOMIALS.len() + 1;
/// Binary digits of a coordinate.
const BITS: usize = 32;

/// Of each axis after the first, its primitive polynomial, a bit for each coefficient, and the first direction numbers.
const POLYNOMIALS: [(u32, &[u32]); 63] = [
    (3, &[1]),
    (7, &[1, 3]),
    (11, &[1, 3, 1]),
    (13, &[1, 1, 1]),
    (19, &[1, 1, 3, 3]),
    (25, &[1, 3, 5, 13]),
    (37, &[1, 1, 5, 5, 17]),
    (41, &[1, 1, 5, 5, 5]),
    (47, &[1, 1, 7, 11, 19]),
    (55, &[1, 1, 5, 1, 1]),
    (59, &[1, 1, 1, 3, 11]),
    (61, &[1, 3, 5, 5, 31]),
    (67, &[1, 3, 3, 9, 7, 49]),
    (91, &[1, 1, 1, 15, 21, 21]),
    (97, &[1, 3, 1, 13, 27, 49]),
    (103, &[1, 1, 1, 15, 7, 5]),
    (109, &[1, 3, 1, 15, 13, 25]),
    (115, &[1, 1, 5, 5, 19, 61]),
    (131, &[1, 3, 7, 11, 23, 15, 103]),
    (137, &[1, 3, 7, 13, 13, 15, 69]),
    (143, &[1, 1, 3, 13, 7, 35, 63]),
    (145, &[1, 3, 5, 9, 1, 25, 53]),
    (157, &[1, 3, 1, 13, 9, 35, 107]),
    (167, &[1, 3, 1, 5, 27, 61, 31]),
    (171, &[1, 1, 5, 11, 19, 41, 61]),
    (185, &[1, 3, 5, 3, 3, 13, 69]),
    (191, &[1, 1, 7, 13, 1, 19, 1]),
    (193, &[1, 3, 7, 5, 13, 19, 59]),
    (203, &[1, 1, 3, 9, 25, 29, 41]),
    (211, &[1, 3, 5, 13, 23, 1, 55]),
    (213, &[1, 3, 7, 3, 13, 59, 17]),
    (229, &[1, 3, 1, 3, 5, 53, 69]),
    (239, &[1, 1, 5, 5, 23, 33, 13]),
    (241, &[1, 1, 7, 7, 1, 61, 123]),
    (247, &[1, 1, 7, 9, 13, 61, 49]),
    (253, &[1, 3, 3, 5, 3, 55, 33]),
    (285, &[1, 3, 1, 15, 31, 13, 49, 245]),
    (299, &[1, 3, 5, 15, 31, 59, 63, 97]),
    (301, &[1, 3, 1, 11, 11, 11, 77, 249]),
    (333, &[1, 3, 1, 11, 27, 43, 71, 9]),
    (351, &[1, 1, 7, 15, 21, 11, 81, 45]),
    (355, &[1, 3, 7, 3, 25, 31, 65, 79]),
    (357, &[1, 3, 1, 1, 19, 11, 3, 205]),
    (361, &[1, 1, 5, 9, 19, 21, 29, 157]),
    (369, &[1, 3, 7, 11, 1, 33, 89, 185]),
    (391, &[1, 3, 3, 3, 15, 9, 79, 71]),
    (397, &[1, 3, 7, 11, 15, 39, 119, 27]),
    (425, &[1, 1, 3, 1, 11, 31, 97, 225]),
    (451, &[1, 1, 1, 3, 23, 43, 57, 177]),
    (463, &[1, 3, 7, 7, 17, 17, 37, 71]),
    (487, &[1, 3, 1, 5, 27, 63, 123, 213]),
    (501, &[1, 1, 3, 5, 11, 43, 53, 133]),
    (529, &[1, 3, 5, 5, 29, 17, 47, 173, 479]),
    (539, &[1, 3, 3, 11, 3, 1, 109, 9, 69]),
    (545, &[1, 1, 1, 5, 17, 39, 23, 5, 343]),
    (557, &[1, 3, 1, 5, 25, 15, 31, 103, 499]),
    (563, &[1, 1, 1, 11, 11, 17, 63, 105, 183]),
    (601, &[1, 1, 5, 11, 9, 29, 97, 231, 363]),
    (607, &[1, 1, 5, 15, 19, 45, 41, 7, 383]),
    (617, &[1, 3, 7, 7, 31, 19, 83, 137, 221]),
    (623, &[1, 1, 1, 3, 23, 15, 111, 223, 83]),
    (631, &[1, 1, 5, 13, 31, 15, 55, 25, 161]),
    (637, &[1, 1, 3, 13, 25, 47, 39, 87, 257]),
];

/// Gives one point after the other.
#[derive(Debug)]
pub(super) struct Sobol {
    /// Of each axis, what each digit of the Gray code changes.
    directions: Vec<[u32; BITS]>,
    point: Vec<u32>,
    /// The number of the next point.
    next: u32,
}

impl Sobol {
    /// For so many axes, [`MOST_AXES`] at most.
    pub(super) fn new(axes: usize) -> Self {
        let axes = axes.min(MOST_AXES);
        Self { directions: (0..axes).map(directions).collect(), point: vec![0; axes], next: 0 }
    }

    /// The next point, as binary fractions of 32 digits; the first one is 0. None after 2^32 points.
    pub(super) fn next(&mut self) -> Option<&[u32]> {
        let number = self.next;
        self.next = number.checked_add(1)?;
        if let Some(before) = number.checked_sub(1) {
            let digit = before.trailing_ones() as usize;
            for (coordinate, directions) in self.point.iter_mut().zip(&self.directions) {
                *coordinate ^= directions[digit];
            }
        }
        Some(&self.point)
    }
}

fn directions(axis: usize) -> [u32; BITS] {
    let mut numbers = [0; BITS];
    let Some((polynomial, first)) = axis.checked_sub(1).map(|place| POLYNOMIALS[place]) else {
        // The van der Corput sequence.
        numbers.iter_mut().enumerate().for_each(|(digit, number)| *number = 1 << (BITS - 1 - digit));
        return numbers;
    };
    let degree = first.len();
    for digit in 0..BITS {
        let shift = BITS - 1 - digit;
        numbers[digit] = match first.get(digit) {
            Some(number) => number << shift,
            None => {
                let mut number = numbers[digit - degree] ^ (numbers[digit - degree] >> degree);
                for step in 1..degree {
                    if polynomial >> (degree - step) & 1 == 1 {
                        number ^= numbers[digit - step];
                    }
                }
                number
            }
        };
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_those_of_the_published_numbers() {
        // scipy.stats.qmc.Sobol(6, scramble=False).random(8)
        let expected = [
            [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            [0.5, 0.5, 0.5, 0.5, 0.5, 0.5],
            [0.75, 0.25, 0.25, 0.25, 0.75, 0.75],
            [0.25, 0.75, 0.75, 0.75, 0.25, 0.25],
            [0.375, 0.375, 0.625, 0.875, 0.375, 0.125],
            [0.875, 0.875, 0.125, 0.375, 0.875, 0.625],
            [0.625, 0.125, 0.875, 0.625, 0.625, 0.875],
            [0.125, 0.625, 0.375, 0.125, 0.125, 0.375],
        ];
        let mut sobol = Sobol::new(6);
        for point in expected {
            let made: Vec<f64> =
                sobol.next().unwrap().iter().map(|x| f64::from(*x) / 2f64.powi(32)).collect();
            assert_eq!(made, point);
        }
    }

    #[test]
    fn every_part_of_every_axis_has_its_point() {
        let mut sobol = Sobol::new(MOST_AXES);
        let mut seen = vec![[false; 1024]; MOST_AXES];
        for _ in 0..1024 {
            for (axis, coordinate) in sobol.next().unwrap().iter().enumerate() {
                seen[axis][(coordinate >> 22) as usize] = true;
            }
        }
        assert!(seen.iter().all(|axis| axis.iter().all(|part| *part)));
    }
}
