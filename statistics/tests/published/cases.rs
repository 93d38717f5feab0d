//! What is computed for each case.

use bt_statistics::{
    Adjustment, Blocks, Collector, Metric, Moments, ObservedSharpe, Overfitting, Wanted, adjust, break_even,
    by_correlation, deflate, effective_rank, expected_maximum, haircut_of, hurdle, minimum_backtest_length,
    overfitting, variance_of_maximum,
};
use serde_json::{Value, json};

use crate::r_random::RRandom;

/// A number, or a quotient such as `1.585/sqrt(12)`.
fn number(value: &Value) -> f64 {
    let Value::String(text) = value else { return value.as_f64().unwrap() };
    let (above, below) = text.split_once('/').unwrap();
    let above: f64 = above.parse().unwrap();
    match below.strip_prefix("sqrt(").and_then(|below| below.strip_suffix(')')) {
        Some(root) => above / root.parse::<f64>().unwrap().sqrt(),
        None => above / below.parse::<f64>().unwrap(),
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

pub(crate) fn computed(case: &Value) -> Value {
    let (id, inputs) = (case["id"].as_str().unwrap(), &case["inputs"]);
    let get = |name: &str| number(&inputs[name]);
    let observed =
        |observations| ObservedSharpe::new(get("sr"), observations, get("skew"), get("kurtosis")).unwrap();
    let series = || Moments::of(0, &returns()).unwrap();
    match id {
        "psr-hedge-fund-skewed" | "psr-hedge-fund-normal" | "psr-hedge-fund-full" => {
            json!(observed(get("observations") as u64).psr(get("sr_benchmark")).unwrap())
        }
        "figure16-max-psr" => {
            let (observed, half) = (observed(134), 0.5 / 12f64.sqrt());
            let years = |benchmark| observed.minimum_track_record(benchmark, 0.95).unwrap() / 12.0;
            json!({
                "standard_error": observed.standard_error(), "mintrl_years_0": years(0.0),
                "mintrl_years_half": years(half), "psr_half": observed.psr(half).unwrap(),
            })
        }
        "mintrl-daily" | "mintrl-daily-full" | "mintrl-monthly-normal" | "mintrl-monthly-pypbo" => {
            let year = if id.starts_with("mintrl-daily") { 250.0 } else { 12.0 };
            let length = observed(1000).minimum_track_record(get("sr_benchmark"), get("confidence"));
            json!(length.unwrap() / year)
        }
        "series-50" => {
            let observed = series().observed().unwrap();
            json!({
                "sr": observed.ratio(), "standard_error": observed.standard_error(),
                "psr": observed.psr(0.05).unwrap(), "mintrl": observed.minimum_track_record(0.05, 0.9).unwrap(),
            })
        }
        "series-50-unbiased-moments" => {
            let (Moments { skew, kurtosis, .. }, n) = (series(), 50.0);
            let skew = skew * f64::sqrt(n * (n - 1.0)) / (n - 2.0);
            let excess = (n - 1.0) / ((n - 2.0) * (n - 3.0)) * ((n + 1.0) * (kurtosis - 3.0) + 6.0);
            json!(psr_of_series(skew, excess + 3.0))
        }
        "series-50-traps" => {
            let moments = series();
            json!({
                "right": psr_of_series(moments.skew, moments.kurtosis),
                "excess_kurtosis_in_the_formula": psr_of_series(moments.skew, moments.kurtosis - 3.0),
            })
        }
        "emax-10" => json!(expected_maximum(get("trials")).unwrap()),
        "minbtl-7" => json!(minimum_backtest_length(get("trials"), get("annual_sharpe")).unwrap()),
        "dsr-100" | "dsr-46" | "dsr-one-trial" => {
            let found = deflate(&observed(1250), get("trials"), get("trials_variance")).unwrap();
            match id {
                "dsr-100" => json!({"sr0": found.sr0, "dsr": found.dsr}),
                _ => json!(found.dsr),
            }
        }
        "dsr-break-even" => {
            let most = |best| break_even(&best, get("trials_variance"), get("confidence")).unwrap();
            let normal = ObservedSharpe::normal(get("sr"), 1250).unwrap();
            json!({"skewed": most(observed(1250)), "normal": most(normal)})
        }
        "variance-of-maximum" => {
            let variances = numbers(&inputs["K"]).into_iter().map(|k| variance_of_maximum(k).unwrap());
            json!(variances.collect::<Vec<_>>())
        }
        "hl-bonferroni" => json!(adjust(Adjustment::Bonferroni, &numbers(&inputs["p"])).unwrap()),
        "hl-bhy" => json!(adjust(Adjustment::Bhy, &numbers(&inputs["p"])).unwrap()),
        "by-standard" => json!(adjust(Adjustment::By, &numbers(&inputs["p"])).unwrap()),
        _ if id.starts_with("hl-hurdle") => {
            let ratio = hurdle(get("alpha"), get("tests"), get("months") as u64).unwrap();
            json!([5.0, 10.0, 15.0].map(|volatility| ratio * volatility / 12f64.sqrt()))
        }
        _ if id.starts_with("hl-haircut") => {
            let (p, tests) = (get("p_single"), get("tests"));
            let many = adjust(Adjustment::Sidak, &vec![p; tests as usize]).unwrap()[0];
            // What is printed is 1 - (1 - p)^N, to three digits.
            let printed = -(tests * (-p).ln_1p()).exp_m1();
            json!({"p_multiple_relative": many / printed, "haircut": haircut_of(p, many).unwrap()})
        }
        "effective-rank" => {
            let rows = inputs["C"].as_array().unwrap().iter().map(numbers);
            json!(effective_rank(rows.collect()))
        }
        "effective-rank-identity" => {
            json!(effective_rank(vec![vec![1.0, 0.0, 0.0], vec![0.0, 1.0, 0.0], vec![0.0, 0.0, 1.0]]))
        }
        "n-eff-average-correlation" => {
            let pairs = numbers(&inputs["trials"]).into_iter().zip(numbers(&inputs["mean_correlation"]));
            json!(pairs.map(|(n, rho)| by_correlation(n, rho).unwrap().linear).collect::<Vec<_>>())
        }
        "n-eff-kish" => json!(by_correlation(get("trials"), get("mean_correlation")).unwrap().kish),
        _ if id.starts_with("pbo-") => pbo_case(id),
        _ => panic!("{id} is not computed"),
    }
}

/// The 50 returns that several cases are about.
fn returns() -> Vec<f64> {
    let cases = crate::cases();
    let case = cases.iter().find(|case| case["id"] == "series-50").unwrap();
    numbers(&case["inputs"]["returns"])
}

/// The PSR against 0 of the 50 returns, with other moments than theirs.
fn psr_of_series(skew: f64, kurtosis: f64) -> f64 {
    let ratio = Moments::of(0, &returns()).unwrap().sharpe().unwrap();
    match ObservedSharpe::new(ratio, 50, skew, kurtosis) {
        Ok(observed) => observed.psr(0.0).unwrap(),
        // The wrong way is refused, so it is computed by hand.
        Err(_) => {
            let variance = 1.0 - skew * ratio + (kurtosis - 1.0) / 4.0 * ratio * ratio;
            bt_statistics::normal::cdf(ratio * 49f64.sqrt() / variance.sqrt())
        }
    }
}

fn pbo_case(id: &str) -> Value {
    let free = 0.03 / 252.0;
    match id {
        "pbo-r-unit-test" => {
            let found = pbo(&unit_test_matrix(), 4, free);
            json!({
                "phi": found.pbo, "below_threshold": found.probability_of_loss,
                "slope_as_R_names_it": in_on_out(&found).0, "combinations": found.splits.len(),
            })
        }
        "pbo-r-threshold" => {
            let mut random = RRandom::seeded(852);
            let rows: Vec<Vec<f64>> = (0..20).map(|_| (0..4).map(|_| random.normal()).collect()).collect();
            let found = pbo(&rows, 2, free);
            json!({"phi": found.pbo, "below_threshold": found.probability_of_loss})
        }
        "pbo-r-vignette-8" => {
            let found = pbo(&vignette_matrix(), 8, free);
            let (intercept, adjusted_r2) = in_on_out(&found);
            json!({
                "p_bo": found.pbo, "slope_as_R_names_it": intercept,
                "adjusted_r2": adjusted_r2, "p_loss": found.probability_of_loss,
            })
        }
        "pbo-by-hand" => {
            let cases = crate::cases();
            let case = cases.iter().find(|case| case["id"] == id).unwrap();
            let rows: Vec<_> = case["inputs"]["matrix"].as_array().unwrap().iter().map(numbers).collect();
            let found = pbo(&rows, 4, 0.0);
            let logits: Vec<f64> = found.splits.iter().map(|split| split.logit).collect();
            let pairs: Vec<_> =
                found.splits.iter().map(|split| [split.in_sample, split.out_of_sample]).collect();
            json!({"pbo": found.pbo, "logits": logits, "pairs": pairs})
        }
        "pbo-best-is-always-best" => {
            let rows = [[0.01, 0.0, -0.01], [0.03, 0.01, -0.02]].repeat(4);
            let rows: Vec<_> = rows.into_iter().map(Vec::from).collect();
            let found = pbo(&rows, 4, 0.0);
            assert!(found.splits.iter().all(|split| split.logit == found.splits[0].logit));
            json!({"pbo": found.pbo, "logit": found.splits[0].logit})
        }
        _ => panic!("{id} is not computed"),
    }
}

/// The matrix of the R package's unit test: a row a period, a column a trial.
fn unit_test_matrix() -> Vec<Vec<f64>> {
    let row = |line: &str| line.split(',').map(|value| value.parse().unwrap()).collect();
    include_str!("pbo_200x40.csv").lines().map(row).collect()
}

fn vignette_matrix() -> Vec<Vec<f64>> {
    let mut random = RRandom::seeded(765);
    let column = |_| {
        let values: Vec<f64> = (0..2400).map(|_| random.normal()).collect();
        let moments = Moments::of(0, &values).unwrap();
        let scale = 252f64.sqrt().recip() / moments.deviation;
        values.iter().map(|value| (value - moments.mean) * scale).collect::<Vec<f64>>()
    };
    let columns: Vec<Vec<f64>> = (0..100).map(column).collect();
    (0..2400).map(|row| columns.iter().map(|column| column[row]).collect()).collect()
}

fn pbo(rows: &[Vec<f64>], blocks: usize, free: f64) -> Overfitting {
    let mut collector = Collector::new(rows.len(), Wanted { blocks: Some(blocks), sample: 0 }).unwrap();
    for trial in 0..rows[0].len() {
        let returns: Vec<f64> = rows.iter().map(|row| row[trial] - free).collect();
        collector.push(trial as u64, &returns).unwrap();
    }
    let collected = collector.finish();
    let blocks: &Blocks = collected.blocks().unwrap();
    overfitting(blocks, Metric::Sharpe).unwrap()
}

/// What the R package calls slope, the intercept of in sample on out of sample, and the adjusted R squared.
fn in_on_out(found: &Overfitting) -> (f64, f64) {
    let n = found.splits.len() as f64;
    let mean = |of: fn(&bt_statistics::Split) -> f64| found.splits.iter().map(of).sum::<f64>() / n;
    let (mean_in, mean_out) = (mean(|split| split.in_sample), mean(|split| split.out_of_sample));
    let (mut both, mut ins, mut outs) = (0.0, 0.0, 0.0);
    for split in &found.splits {
        let (x, y) = (split.out_of_sample - mean_out, split.in_sample - mean_in);
        both += x * y;
        outs += x * x;
        ins += y * y;
    }
    let r2 = both * both / (ins * outs);
    (mean_in - both / outs * mean_out, 1.0 - (1.0 - r2) * (n - 1.0) / (n - 2.0))
}

#[test]
fn the_r_package_is_reproduced_beyond_what_it_prints() {
    let found = pbo(&unit_test_matrix(), 4, 0.03 / 252.0);
    let right =
        [2.538973871058, -2.97041446557, 1.580450375561, 0.767255152714, -0.656779536389, -0.656779536389];
    for (split, right) in found.splits.iter().zip(right) {
        assert!((split.logit - right).abs() < 1e-11, "{} is not {right}", split.logit);
    }
    assert!((found.slope.unwrap() + 0.219_893_057_863).abs() < 1e-11, "{:?}", found.slope);
    assert!((found.intercept.unwrap() - 0.007_954_057_628).abs() < 1e-11, "{:?}", found.intercept);
    let vignette = pbo(&vignette_matrix(), 4, 0.03 / 252.0);
    let (intercept, adjusted_r2) = in_on_out(&vignette);
    assert!((intercept + 0.005_909).abs() < 5e-7 && (adjusted_r2 - 0.88).abs() < 0.005, "{intercept}");
    let slope = pbo(&vignette_matrix(), 8, 0.03 / 252.0).slope.unwrap();
    assert!((slope + 0.998_013_978).abs() < 1e-9, "{slope}");
}

#[test]
fn pypbos_digits_come_out() {
    let sr = 2.5 / 250f64.sqrt();
    let best = ObservedSharpe::new(sr, 1250, -3.0, 10.0).unwrap();
    let found = deflate(&best, 100.0, 0.002).unwrap();
    assert!((found.sr0 - 0.113_172_001_865_13).abs() < 1e-13, "{found:?}");
    assert!((found.dsr - 0.900_396_834_449_39).abs() < 1e-13, "{found:?}");
    assert!((expected_maximum(100.0).unwrap() - 2.530_602_893_201_684_6).abs() < 1e-12);
    assert!((minimum_backtest_length(45.0, 1.0).unwrap() - 4.998_087_004_443_404).abs() < 1e-11);
}
