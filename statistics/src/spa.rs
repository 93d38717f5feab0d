//! Hansen's test for superior predictive ability: is the best of many trials better than a benchmark, or the luckiest?

use crate::error::Error;
use crate::random::Random;

/// How returns are drawn again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    pub draws: u64,
    /// The mean length of blocks, in observations: at least 1, and longer than returns depend on each other.
    pub mean_block: f64,
    /// The same seed draws the same.
    pub seed: u64,
}

/// What the test says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SuperiorAbility {
    /// The p-value: how likely a statistic above the observed one is if no trial is better than the benchmark. Those that
    /// are clearly worse have no influence.
    pub consistent: f64,
    /// Its bounds, where all trials that are worse have no influence, and where all have.
    pub lower: f64,
    pub upper: f64,
    /// The highest of the trials' mean differences by their standard errors, 0 at least.
    pub statistic: f64,
    /// The trial of that, by its place.
    pub best: usize,
    pub trials: u64,
    pub observations: u64,
    pub bootstrap: Bootstrap,
}

/// A trial's differences from the benchmark.
struct Trial {
    differences: Vec<f64>,
    mean: f64,
    /// Of sqrt(T) times the mean.
    deviation: f64,
}

/// Tests trials, each by its differences from the benchmark, one a period: the trial's return less the benchmark's. Each
/// draw takes the same periods for all trials, in blocks of geometric length that wrap around (Politis, Romano 1994).
/// Deviations are those of that bootstrap, computed exactly. A trial that does not differ from the benchmark is left out.
/// Time for draws times trials times observations.
///
/// Hansen (2005), A Test for Superior Predictive Ability, J. of Business and Economic Statistics 23(4).
///
/// # Errors
///
/// [`Error::TooFew`] without a trial, with fewer than three observations or without a draw, [`Error::Length`] and
/// [`Error::Return`] for a series, [`Error::OutOfRange`] for a mean block that is below 1 or longer than the series,
/// [`Error::AllConstant`] if none differs from the benchmark.
pub fn superior_ability(differences: &[Vec<f64>], bootstrap: Bootstrap) -> Result<SuperiorAbility, Error> {
    let Some(first) = differences.first() else {
        return Err(Error::TooFew { what: "trials", given: 0, least: 1 });
    };
    let observations = first.len();
    if observations < 3 {
        return Err(Error::TooFew { what: "observations", given: observations as u64, least: 3 });
    }
    if bootstrap.draws == 0 {
        return Err(Error::TooFew { what: "draws", given: 0, least: 1 });
    }
    if !(bootstrap.mean_block >= 1.0 && bootstrap.mean_block <= observations as f64) {
        let right = "from 1 to the number of observations";
        return Err(Error::OutOfRange { what: "the mean block", value: bootstrap.mean_block, right });
    }
    let weights = weights(observations, 1.0 / bootstrap.mean_block);
    let mut trials = Vec::new();
    for (number, series) in differences.iter().enumerate() {
        check(number as u64, series, observations)?;
        trials.push(Trial::of(series, &weights));
    }
    let n = observations as f64;
    let score = |trial: &Trial| n.sqrt() * trial.mean / trial.deviation;
    let known = || trials.iter().enumerate().filter(|(_, trial)| trial.deviation > 0.0);
    let best = known().map(|(place, trial)| (place, score(trial)));
    let best = best.reduce(|best, next| if next.1 > best.1 { next } else { best });
    let (best, highest) = best.ok_or(Error::AllConstant)?;
    let statistic = highest.max(0.0);
    // What a trial's mean is taken to be if it is no better than the benchmark: 0, or as bad as it is.
    let clearly_worse = -(2.0 * n.ln().ln().max(0.0)).sqrt();
    let centres: Vec<[f64; 3]> = trials
        .iter()
        .map(|trial| {
            let consistent = if score(trial) >= clearly_worse { trial.mean } else { 0.0 };
            [consistent, trial.mean.max(0.0), trial.mean]
        })
        .collect();
    let mut random = Random::new(bootstrap.seed);
    let mut above = [0u64; 3];
    let mut periods = vec![0u32; observations];
    for _ in 0..bootstrap.draws {
        draw(&mut random, bootstrap.mean_block, &mut periods);
        let mut drawn = [0.0f64; 3];
        for (place, trial) in known() {
            let sum: f64 =
                trial.differences.iter().zip(&periods).map(|(x, times)| x * f64::from(*times)).sum();
            for (drawn, centre) in drawn.iter_mut().zip(&centres[place]) {
                *drawn = drawn.max(n.sqrt() * (sum / n - centre) / trial.deviation);
            }
        }
        above.iter_mut().zip(drawn).for_each(|(above, drawn)| *above += u64::from(drawn > statistic));
    }
    let share = |above: u64| above as f64 / bootstrap.draws as f64;
    Ok(SuperiorAbility {
        consistent: share(above[0]),
        lower: share(above[1]),
        upper: share(above[2]),
        statistic,
        best,
        trials: differences.len() as u64,
        observations: observations as u64,
        bootstrap,
    })
}

fn check(trial: u64, series: &[f64], observations: usize) -> Result<(), Error> {
    if series.len() != observations {
        return Err(Error::Length { trial, given: series.len(), right: observations });
    }
    match series.iter().position(|value| !value.is_finite()) {
        Some(place) => Err(Error::Return { trial, place, value: series[place] }),
        None => Ok(()),
    }
}

/// How much the autocovariance of each lag counts in the bootstrap's variance, by Hansen (2005), section 3.1.
fn weights(observations: usize, q: f64) -> Vec<f64> {
    let n = observations as f64;
    let weight = |lag: usize| {
        let lag = lag as f64;
        (n - lag) / n * (1.0 - q).powf(lag) + lag / n * (1.0 - q).powf(n - lag)
    };
    (1..observations).map(weight).collect()
}

impl Trial {
    fn of(series: &[f64], weights: &[f64]) -> Self {
        let n = series.len() as f64;
        let mean = series.iter().sum::<f64>() / n;
        let varies = series.iter().any(|value| *value != series[0]);
        let centred: Vec<f64> = series.iter().map(|value| value - mean).collect();
        let product = |lag: usize| centred.iter().zip(&centred[lag..]).map(|(a, b)| a * b).sum::<f64>() / n;
        // What counts for nothing is not worth its time.
        let covered = weights.iter().enumerate().filter(|(_, weight)| **weight > 1e-15);
        let mut variance = product(0);
        variance += covered.map(|(place, weight)| 2.0 * weight * product(place + 1)).sum::<f64>();
        let deviation = if varies { variance.max(0.0).sqrt() } else { 0.0 };
        Self { differences: series.to_vec(), mean, deviation }
    }
}

/// How often each period is drawn, in blocks of geometric length.
fn draw(random: &mut Random, mean_block: f64, periods: &mut [u32]) {
    periods.fill(0);
    let count = periods.len();
    let mut place = 0;
    for drawn in 0..count {
        place = match drawn == 0 || random.uniform() < 1.0 / mean_block {
            true => random.below(count),
            false => (place + 1) % count,
        };
        periods[place] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOTSTRAP: Bootstrap = Bootstrap { draws: 500, mean_block: 5.0, seed: 1 };

    fn noise(seed: u64, trials: usize, observations: usize, edge: f64) -> Vec<Vec<f64>> {
        let mut random = Random::new(seed);
        let mean = |trial: usize| if trial == 3 { edge } else { 0.0 };
        let series = |trial| (0..observations).map(|_| mean(trial) + random.normal()).collect();
        (0..trials).map(series).collect()
    }

    #[test]
    fn noise_passes_as_often_as_it_should_and_an_edge_is_found() {
        let p = |seed, edge| superior_ability(&noise(seed, 20, 250, edge), BOOTSTRAP).unwrap();
        let noise: Vec<_> = (0..100).map(|seed| p(seed, 0.0).consistent).collect();
        let share = |limit: f64| noise.iter().filter(|p| **p < limit).count();
        assert!(share(0.05) <= 12 && (35..=65).contains(&share(0.5)), "{} {}", share(0.05), share(0.5));
        let edge = p(1, 0.35);
        assert!(edge.consistent < 0.01 && edge.best == 3, "{edge:?}");
    }

    #[test]
    fn bounds_hold_and_a_seed_draws_the_same() {
        let mut series = noise(7, 10, 200, 0.1);
        // One that is clearly worse raises the upper bound alone.
        series.push(noise(8, 1, 200, 0.0)[0].iter().map(|x| x - 1.0).collect());
        let found = superior_ability(&series, BOOTSTRAP).unwrap();
        assert!(found.lower <= found.consistent && found.consistent <= found.upper, "{found:?}");
        assert_eq!(found, superior_ability(&series, BOOTSTRAP).unwrap());
        let without = superior_ability(&series[..10], BOOTSTRAP).unwrap();
        assert_eq!(without.consistent, found.consistent);
    }

    #[test]
    fn deviations_are_the_bootstraps() {
        let mut random = Random::new(3);
        let mut last = 0.0;
        let mut next = || {
            last = 0.5 * last + random.normal();
            last
        };
        let series: Vec<f64> = (0..120).map(|_| next()).collect();
        let trial = Trial::of(&series, &weights(120, 0.2));
        let mut periods = vec![0; 120];
        let mut squares = 0.0;
        for _ in 0..20_000 {
            draw(&mut random, 5.0, &mut periods);
            let sum: f64 = series.iter().zip(&periods).map(|(x, times)| x * f64::from(*times)).sum();
            squares += 120.0 * (sum / 120.0 - trial.mean).powi(2);
        }
        let drawn = (squares / 20_000.0).sqrt();
        assert!((drawn / trial.deviation - 1.0).abs() < 0.02, "{drawn} {}", trial.deviation);
    }

    #[test]
    fn all_worse_is_no_discovery() {
        let worse: Vec<Vec<f64>> =
            noise(2, 5, 100, 0.0).iter().map(|series| series.iter().map(|x| x - 0.5).collect()).collect();
        let found = superior_ability(&worse, BOOTSTRAP).unwrap();
        assert_eq!(found.statistic, 0.0);
        assert!(found.upper > 0.5, "{found:?}");
    }

    #[test]
    fn what_can_not_be_is_named() {
        let series = noise(1, 2, 10, 0.0);
        let wrong =
            |series: &[Vec<f64>], bootstrap| superior_ability(series, bootstrap).unwrap_err().to_string();
        assert_eq!(wrong(&[], BOOTSTRAP), "there are 0 trials; at least 1 are needed");
        let long = Bootstrap { mean_block: 11.0, ..BOOTSTRAP };
        assert!(wrong(&series, long).starts_with("the mean block is 11; it must be from 1"));
        assert!(wrong(&series, Bootstrap { draws: 0, ..BOOTSTRAP }).contains("draws"));
        assert!(wrong(&[series[0].clone(), vec![0.0]], BOOTSTRAP).contains("trial 1 has 1 returns"));
        assert!(wrong(&[vec![f64::NAN; 5]], BOOTSTRAP).contains("return 0 is NaN"));
        assert_eq!(superior_ability(&[vec![0.0; 5]], BOOTSTRAP), Err(Error::AllConstant));
    }
}
