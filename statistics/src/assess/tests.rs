use super::*;
use crate::{Collector, Coordinate, Random, Wanted};

const T: usize = 500;

/// A grid of 8 by 8 whose jobs have an edge at some points, and their series.
fn sweep(seed: u64, edge: f64) -> (Vec<Trial>, Collected) {
    let mut random = Random::new(seed);
    let mut collector = Collector::new(T, Wanted { blocks: Some(10), sample: 100 }).unwrap();
    let mut trials = Vec::new();
    for job in 0..64u64 {
        let (x, y) = ((job / 8) as f64, (job % 8) as f64);
        let mean = if x > 3.0 && y > 3.0 { edge } else { 0.0 };
        let returns: Vec<f64> = (0..T).map(|_| mean + random.normal()).collect();
        let moments = collector.push(job, &returns).unwrap();
        let sharpe = moments.sharpe().unwrap() * 252f64.sqrt();
        let reported = Reported {
            sharpe: Some(sharpe),
            observations: Some(T as u64),
            periods_per_year: Some(252.0),
            skew: Some(moments.skew),
            kurtosis: Some(moments.kurtosis),
        };
        let coordinates = vec![Coordinate::Number(x), Coordinate::Number(y)];
        trials.push(Trial { point: Point { job, coordinates, outcome: Outcome::Value(sharpe) }, reported });
    }
    (trials, collector.finish())
}

fn said(assessment: &Assessment, words: &str) -> bool {
    assessment.words.iter().any(|sentence| sentence.contains(words))
}

#[test]
fn noise_is_not_called_skill() {
    let (trials, series) = sweep(1, 0.0);
    let found = assess(&Question::default(), &trials, Some(&series)).unwrap();
    let best = found.best.unwrap();
    assert!(best.psr > 0.95 && best.dsr < 0.95 && best.from_series, "{best:?}");
    assert!(best.break_even.unwrap() < 64);
    assert_eq!((found.trials.counted, found.missing.len()), (64, 0));
    assert!(said(&found, "Luck among 64 trials is not excluded"), "{:?}", found.words);
    assert!(found.trials.effective.unwrap().clusters > 32);
}

#[test]
fn an_edge_is_told_with_what_was_not_examined() {
    let (trials, series) = sweep(1, 0.25);
    let found = assess(&Question::default(), &trials, Some(&series)).unwrap();
    let best = found.best.unwrap();
    assert!(best.dsr_null > 0.95 && best.dsr <= best.dsr_null, "{best:?}");
    assert_eq!(best.dsr, best.dsr_observed.unwrap());
    assert!(found.pbo.as_ref().unwrap().pbo < 0.1);
    assert!(best.job / 8 > 3 && best.job % 8 > 3);
    let robust = found.robust.as_ref().unwrap().robust.as_ref().unwrap();
    assert!(robust.job / 8 > 3 && robust.job % 8 > 3);
    let told = said(&found, "are not examined") || said(&found, "the verdict turns on the variance");
    assert!(told, "{:?}", found.words);
}

#[test]
fn metrics_alone_have_a_dsr_and_no_pbo() {
    let (trials, series) = sweep(2, 0.0);
    let with = assess(&Question::default(), &trials, Some(&series)).unwrap().best.unwrap();
    let found = assess(&Question::default(), &trials, None).unwrap();
    let without = found.best.unwrap();
    assert!((with.dsr - without.dsr).abs() < 1e-9 && !without.from_series);
    let missing: Vec<String> = found.missing.iter().map(Missing::to_string).collect();
    assert_eq!(missing.len(), 2, "{missing:?}");
    assert!(missing.iter().any(|one| one.starts_with("pbo: no series.returns;")), "{missing:?}");
    assert!(found.pbo.is_none() && found.trials.effective.is_none());
}

#[test]
fn each_thing_that_is_missing_is_named() {
    let (all, _) = sweep(2, 0.0);
    let with = |change: fn(&mut Trial)| {
        let mut trials = all.clone();
        trials.iter_mut().for_each(change);
        let found = assess(&Question::default(), &trials, None).unwrap();
        let mut missing: Vec<String> = found.missing.iter().map(Missing::to_string).collect();
        missing.retain(|one| !one.contains("each trial's series"));
        (missing.join("\n"), found)
    };
    for (change, said) in [
        ((|trial| trial.reported.periods_per_year = None) as fn(&mut Trial), "periods_per_year"),
        (|trial| trial.reported.sharpe = None, "no metric sharpe"),
        (|trial| trial.reported.observations = None, "no metric observations"),
        (|trial| trial.reported.kurtosis = None, "no metric kurtosis"),
        (|trial| trial.reported.periods_per_year = Some(0.0), "it must be 1 or more"),
        (|trial| trial.reported.kurtosis = Some(0.0), "add 3 to an excess kurtosis"),
    ] {
        let (missing, found) = with(change);
        assert!(missing.starts_with("best: job ") && missing.contains(said), "{missing}");
        assert!(found.best.is_none() && found.words[0].contains("can't be estimated"), "{:?}", found.words);
    }
    let (missing, found) = with(|trial| {
        trial.reported.observations = Some(if trial.point.job % 2 == 0 { 500 } else { 1000 });
    });
    assert!(missing.contains("dsr_observed: the trials have 500 to 1000 observations"), "{missing}");
    let best = found.best.unwrap();
    assert_eq!((best.dsr, best.dsr_observed), (best.dsr_null, None));
    let (missing, _) = with(|trial| trial.point.outcome = Outcome::Failed);
    assert!(missing.contains("no job has reported a value"), "{missing}");
}

#[test]
fn failed_and_earlier_trials_count() {
    let (mut trials, series) = sweep(3, 0.0);
    trials[0].point.outcome = Outcome::Failed;
    trials[1].point.outcome = Outcome::Unfinished;
    let question = Question { earlier: 100, ..Question::default() };
    let found = assess(&question, &trials, Some(&series)).unwrap().trials;
    assert_eq!((found.counted, found.reported, found.failed, found.unfinished), (163, 62, 1, 1));
    let nothing = assess(&question, &[], None).unwrap();
    assert_eq!((nothing.trials.counted, nothing.missing.len()), (100, 4));
    assert!(assess(&Question { confidence: 1.0, ..question }, &trials, None).is_err());
}

#[test]
fn what_is_lower_is_better_if_it_is_asked_for() {
    let (mut trials, series) = sweep(4, 0.0);
    for trial in &mut trials {
        trial.point.outcome = Outcome::Value(trial.point.job as f64);
    }
    let of = |goal| {
        let question = Question { goal, ..Question::default() };
        assess(&question, &trials, Some(&series)).unwrap().best.unwrap().job
    };
    assert_eq!((of(Goal::Minimize), of(Goal::Maximize)), (0, 63));
}
