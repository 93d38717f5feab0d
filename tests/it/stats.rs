//! `btctl stats`: what it computes by numbers alone, without a coordinator, and what it says of numbers that can't be.

use std::fs;
use std::path::Path;
use std::process::Command;

use bt_tests::{Finished, btctl_path};
use serde_json::Value;

/// Runs it where there is nothing: no settings, no home, no coordinator.
fn stats(dir: &Path, args: &[&str]) -> Finished {
    let mut command = Command::new(btctl_path());
    command.arg("stats").args(args).env_clear().env("HOME", dir).current_dir(dir);
    let output = command.output().unwrap();
    Finished {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn json(dir: &Path, args: &[&str]) -> Value {
    let printed = stats(dir, &[args, &["-o", "json"]].concat());
    assert_eq!(printed.code, 0, "{args:?}: {}", printed.stderr);
    serde_json::from_str(&printed.stdout).unwrap()
}

fn close(found: &Value, right: f64, tolerance: f64) {
    let number = found.as_f64().unwrap();
    assert!((number - right).abs() <= tolerance, "{number} is not {right}");
}

#[test]
fn published_numbers_come_out_of_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let run = |line: &str| json(dir.path(), &line.split_whitespace().collect::<Vec<_>>());
    let fund = "--sharpe 0.458 --observations 24 --skew -2.448 --kurtosis 10.164";
    close(&run(&format!("psr {fund}"))["psr"], 0.913, 5e-4);
    close(&run("psr --sharpe 0.458 --observations 24 --benchmark 0")["psr"], 0.982, 5e-4);
    let daily = 250f64.sqrt();
    let record =
        run(&format!("mintrl --sharpe {} --benchmark {} --confidence 0.95", 2.0 / daily, 1.0 / daily));
    close(&record["observations"], 2.731_187_801_728_176 * 250.0, 1e-8);
    close(&run("emax --trials 100")["emax"], 2.530_602_893_201_684_6, 1e-12);
    close(&run("minbtl --trials 45 --sharpe 1")["years"], 4.998_087_004_443_404, 1e-11);
    let best = format!("--sharpe {} --observations 1250 --trials 100 --variance 0.002", 2.5 / daily);
    let deflated = run(&format!("dsr {best} --skew -3 --kurtosis 10"));
    close(&deflated["dsr"], 0.900_396_834_449_39, 1e-12);
    close(&deflated["sr0"], 0.113_172_001_865_13, 1e-12);
    assert_eq!(
        (&deflated["break_even_trials"], &run(&format!("dsr {best}"))["break_even_trials"]),
        (&46.into(), &88.into())
    );
    let cut = run("haircut --sharpe 0.1 --observations 1250 --trials 50 --method holm");
    close(&cut["sharpe"], 0.065_616, 1e-6);
    close(&cut["haircut"], 0.343_84, 1e-6);
    let p = run("adjust --method bhy 0.005 0.009 0.0128 0.0135 0.045 0.06")["p"].clone();
    for (found, right) in p.as_array().unwrap().iter().zip([0.0496, 0.0496, 0.0496, 0.0496, 0.06, 0.06]) {
        close(found, right, 5e-5);
    }
}

#[test]
fn a_file_of_series_is_judged() {
    let dir = tempfile::tempdir().unwrap();
    let matrix = include_str!("../../statistics/tests/published/pbo_200x40.csv");
    fs::write(dir.path().join("plain.csv"), matrix).unwrap();
    // The same with names and dates.
    let names: Vec<_> = (0..40).map(|trial| format!("trial{trial}")).collect();
    let rows = matrix.lines().enumerate().map(|(row, line)| format!("day {row},{line}\n"));
    let named = format!("date,{}\n{}", names.join(","), rows.collect::<String>());
    fs::write(dir.path().join("named.csv"), named).unwrap();
    let pbo = json(dir.path(), &["pbo", "plain.csv", "--blocks", "4"]);
    assert_eq!(pbo, json(dir.path(), &["pbo", "named.csv", "--blocks", "4"]));
    close(&pbo["pbo"], 0.5, 1e-12);
    close(&pbo["probability_of_loss"], 0.5, 1e-12);
    assert_eq!(pbo["logits"].as_array().map(Vec::len), Some(6));
    let words = stats(dir.path(), &["pbo", "named.csv", "--blocks", "6"]);
    assert!(words.stdout.contains("40 trials of 200 returns: 6 blocks of 33, 20 splits"), "{words:?}");
    assert!(words.stderr.contains("the first column, date, is taken for dates"), "{words:?}");
    assert!(words.stderr.contains("hint: 2 of 200 returns are dropped at the start"), "{words:?}");
    let mean = json(dir.path(), &["pbo", "plain.csv", "--blocks", "4", "--metric", "mean"]);
    assert_eq!(mean["metric"], "mean");
    let effective = json(dir.path(), &["effective", "named.csv"]);
    assert!(effective["clusters"].as_u64() > Some(20), "{effective}");
    let spa = ["spa", "named.csv", "--benchmark", "trial0", "--draws", "200"];
    let spa = json(dir.path(), &spa);
    assert_eq!((&spa["best"], &spa["trials"]), (&"trial4".into(), &39.into()));
    assert!(spa["p"].as_f64() > Some(0.1), "{spa}");
}

#[test]
fn what_can_not_be_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("gap.csv"), "a,b\n0.1,0.2\n0.1,\n").unwrap();
    for (line, said) in [
        ("psr --sharpe nan --observations 100", "sharpe is NaN; it must be a finite number"),
        ("psr --sharpe 0.1 --observations 1", "there are 1 observations; at least 2 are needed"),
        ("psr --sharpe 0.1 --observations 100 --kurtosis 0", "add 3 to an excess kurtosis"),
        ("psr --sharpe 1 --observations 100 --skew 3", "do not go together"),
        ("mintrl --sharpe 0.1 --benchmark 0.1 --confidence 0.95", "is not above the benchmark"),
        ("mintrl --sharpe 0.1 --confidence 1", "confidence is 1; it must be between 0 and 1"),
        ("emax --trials 0", "trials is 0; it must be 1 or more"),
        ("minbtl --trials 10 --sharpe -1", "sharpe is -1; it must be above 0"),
        (
            "dsr --sharpe 0.1 --observations 100 --trials 9 --variance -1",
            "variance is -1; it must be 0 or more",
        ),
        ("haircut --sharpe 0 --observations 100 --trials 9 --method holm", "sharpe is 0; it must be above 0"),
        ("adjust --method holm 0.1 2", "a p-value is 2; it must be from 0 to 1"),
        ("pbo gap.csv --blocks 2", "line 3, column b: \"\" is no finite number"),
        ("pbo none.csv", "none.csv can't be read"),
    ] {
        let printed = stats(dir.path(), &line.split_whitespace().collect::<Vec<_>>());
        assert_eq!((printed.code, printed.stdout.as_str()), (2, ""), "{line}");
        assert!(printed.stderr.contains(said), "{line}: {}", printed.stderr);
    }
    fs::write(dir.path().join("short.csv"), "0.1,0.2\n0.1,0.3\n0.2,0.1\n").unwrap();
    for (blocks, said) in
        [("3", "blocks is 3; it must be an even number"), ("4", "3 observations are too few for 4 blocks")]
    {
        let printed = stats(dir.path(), &["pbo", "short.csv", "--blocks", blocks]);
        assert!(printed.code == 2 && printed.stderr.contains(said), "{printed:?}");
    }
}

#[test]
fn an_annual_ratio_among_days_is_pointed_out() {
    let dir = tempfile::tempdir().unwrap();
    let printed = json(dir.path(), &["psr", "--sharpe", "1.5", "--observations", "1250"]);
    let hint = printed["hints"][0].as_str().unwrap();
    assert!(hint.contains("looks like an annual Sharpe ratio"), "{hint}");
    let printed = stats(dir.path(), &["psr", "--sharpe", "1.5", "--observations", "1250"]);
    assert!(printed.stderr.contains(&format!("hint: {hint}")), "{printed:?}");
    let monthly = json(dir.path(), &["psr", "--sharpe", "0.82", "--observations", "134"]);
    assert_eq!(monthly["hints"].as_array().map(Vec::len), Some(0));
}
