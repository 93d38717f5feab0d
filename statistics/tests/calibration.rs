//! What the verdicts say about sweeps whose truth is known: pure noise, and noise with a planted edge.

#![expect(clippy::unwrap_used, reason = "a test fails where it can't go on")]

use bt_statistics::{
    Collected, Collector, Metric, Random, Wanted, break_even, deflate, overfitting, variance_of_null,
    variance_of_trials,
};

/// So many trials of normal returns. The mean of the first `good` ones is above zero, by so many deviations a return.
fn sweep(seed: u64, observations: usize, trials: u64, good: u64, edge: f64) -> Collected {
    let mut random = Random::new(seed);
    let mut collector = Collector::new(observations, Wanted { blocks: Some(12), sample: 0 }).unwrap();
    for trial in 0..trials {
        let mean = if trial < good { edge } else { 0.0 };
        let returns: Vec<f64> = (0..observations).map(|_| 0.01 * (mean + random.normal())).collect();
        collector.push(trial, &returns).unwrap();
    }
    collector.finish()
}

struct Verdict {
    naive: f64,
    dsr: f64,
    dsr_null: f64,
    break_even: Option<u64>,
    pbo: f64,
}

fn verdict(collected: &Collected) -> Verdict {
    let best = collected.best().unwrap().moments.observed().unwrap();
    let trials = collected.trials.len() as f64;
    let variance = variance_of_trials(&collected.ratios()).unwrap();
    let null = variance_of_null(collected.observations).unwrap();
    Verdict {
        naive: best.psr(0.0).unwrap(),
        dsr: deflate(&best, trials, variance).unwrap().dsr,
        dsr_null: deflate(&best, trials, null).unwrap().dsr,
        break_even: break_even(&best, variance, 0.95).unwrap(),
        pbo: overfitting(collected.blocks().unwrap(), Metric::Sharpe).unwrap().pbo,
    }
}

fn mean(verdicts: &[Verdict], of: fn(&Verdict) -> f64) -> f64 {
    verdicts.iter().map(of).sum::<f64>() / verdicts.len() as f64
}

#[test]
fn noise_is_seldom_a_discovery() {
    let verdicts: Vec<_> = (0..200).map(|seed| verdict(&sweep(seed, 252, 200, 0, 0.0))).collect();
    let share = |is: fn(&Verdict) -> bool| verdicts.iter().filter(|one| is(one)).count() as f64 / 200.0;
    assert!(share(|one| one.dsr < 0.95) >= 0.95, "{}", share(|one| one.dsr < 0.95));
    assert!(share(|one| one.dsr_null < 0.95) >= 0.95);
    // What a sweep is judged by without the number of its trials: nearly all winners look real.
    assert!(share(|one| one.naive > 0.95) >= 0.95);
    // Fewer trials than there were would have made it one.
    assert!(verdicts.iter().filter(|one| one.dsr < 0.95).all(|one| one.break_even.unwrap() < 200));
    let (dsr, pbo) = (mean(&verdicts, |one| one.dsr), mean(&verdicts, |one| one.pbo));
    assert!((dsr - 0.489).abs() < 0.05, "{dsr}");
    assert!((pbo - 0.5).abs() <= 0.05, "{pbo}");
    let spread = (verdicts.iter().map(|one| (one.pbo - pbo).powi(2)).sum::<f64>() / 199.0).sqrt();
    assert!((0.1..0.2).contains(&spread), "{spread}");
}

#[test]
fn an_edge_is_found() {
    let verdicts: Vec<_> = (0..50).map(|seed| verdict(&sweep(seed, 1000, 200, 20, 0.15))).collect();
    let worst = verdicts.iter().map(|one| one.pbo).fold(0.0, f64::max);
    assert!(worst < 0.1, "{worst}");
    // The edge itself is part of the trials' variance, so the variance without skill finds it more often.
    let (observed, null) = (mean(&verdicts, |one| one.dsr), mean(&verdicts, |one| one.dsr_null));
    assert!((0.9..0.98).contains(&observed) && null > 0.99, "{observed} {null}");
}
