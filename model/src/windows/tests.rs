use serde_json::{Map, Value};

use crate::expansion::WindowTest;
use crate::manifest::{Format, Manifest};

/// Dates that were made apart from this program.
const CASES: &str = include_str!("windows.json");

fn windows(text: &str) -> Result<Vec<Value>, String> {
    let text = format!("image: x\nwindows:\n{text}\n");
    let draft = Manifest::parse(text.as_bytes(), Format::Yaml, "s.yaml");
    let manifest = draft.and_then(|draft| draft.finish()).map_err(|error| error.to_string())?;
    // Here mistakes have their places still.
    manifest.expand().map_err(|error| error.to_string())?;
    let sent = Manifest::from_json(&manifest.to_json()).map_err(|error| error.to_string())?;
    assert_eq!(sent, manifest);
    let jobs = sent.expand().map_err(|error| error.to_string())?;
    Ok(jobs.iter().map(|job| Value::Object(job.into_map())).collect())
}

/// The parameters of the jobs of a sweep without others: so many windows, so many jobs.
#[track_caller]
fn dates(lines: &str, expected: &[[&str; 4]]) {
    let found = windows(lines).unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|job| {
            ["train_start", "train_end", "test_start", "test_end"].map(|name| job[name].as_str().unwrap())
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn dates_are_those_of_the_dated_cases() {
    let cases: Vec<Value> = serde_json::from_str(CASES).unwrap();
    assert_eq!(cases.len(), 7);
    for case in cases {
        let input = case["input"].as_object().unwrap();
        let lines: Vec<_> = input.iter().map(|(key, value)| format!("  {key}: {value}")).collect();
        let found = windows(&lines.join("\n"));
        let expected = case["windows"].as_array().unwrap();
        if expected.is_empty() {
            let error = found.unwrap_err();
            assert!(error.contains("the shortest `to` is 2007-07-01"), "{}: {error}", case["name"]);
            continue;
        }
        let expected: Vec<_> = expected.iter().map(as_parameters).collect();
        assert_eq!(found.unwrap(), expected, "{}", case["name"]);
    }
}

/// `partial` is what jobs know as `window_partial`, 0 or 1.
fn as_parameters(window: &Value) -> Value {
    let pairs = window.as_object().unwrap().iter().map(|(name, value)| match name.as_str() {
        "partial" => ("window_partial".to_owned(), i32::from(value == true).into()),
        _ => (name.clone(), value.clone()),
    });
    Value::Object(pairs.collect::<Map<_, _>>())
}

#[test]
fn a_partial_tail_is_cut_where_the_dates_end() {
    let lines = "  { train: 3y, test: 6m, step: 6m, from: 2004-01-01, to: 2008-10-01, tail: keep }";
    let found = windows(lines).unwrap();
    let tails: Vec<_> = found
        .iter()
        .map(|job| (job["test_last"].as_str().unwrap(), job["window_partial"].as_i64()))
        .collect();
    assert_eq!(
        tails,
        [("2007-06-30", Some(0)), ("2007-12-31", Some(0)), ("2008-06-30", Some(0)), ("2008-09-30", Some(1))]
    );
}

#[test]
fn a_purge_is_cut_off_from_the_end_of_a_month() {
    dates(
        "  { train: 2m, test: 1m, from: 2003-12-31, to: 2004-05-01, purge: 1m }",
        &[
            ["2003-12-31", "2004-01-29", "2004-02-29", "2004-03-31"],
            ["2004-01-31", "2004-02-29", "2004-03-31", "2004-04-30"],
        ],
    );
}

#[test]
fn windows_may_overlap_where_that_is_asked_for() {
    dates(
        "  { train: 1y, test: 2m, step: 1m, from: 2004-01-01, to: 2005-04-15, overlap: true }",
        &[
            ["2004-01-01", "2005-01-01", "2005-01-01", "2005-03-01"],
            ["2004-02-01", "2005-02-01", "2005-02-01", "2005-04-01"],
        ],
    );
    dates(
        "  { train: 1y, test: 2m, step: 1m, from: 2004-01-01, to: 2005-02-15, overlap: true, tail: keep }",
        &[
            ["2004-01-01", "2005-01-01", "2005-01-01", "2005-02-15"],
            ["2004-02-01", "2005-02-01", "2005-02-01", "2005-02-15"],
        ],
    );
}

#[test]
fn windows_multiply_the_matrix_and_come_first() {
    let text = "image: x\ncommand: [run, '{{ window }}', '{{ test_start }}']\n\
                windows: { train: 1y, test: 1y, from: 2004-01-01, to: 2007-01-01 }\n\
                matrix: { a: [1, 2], b: [x, y], exclude: [{ a: 2, b: y }], include: [{ a: 9 }] }\n";
    let manifest = Manifest::parse(text.as_bytes(), Format::Yaml, "s").unwrap().finish().unwrap();
    let jobs = manifest.expand().unwrap();
    let short = |job: crate::parameters::Parameters| {
        let text = |name| job.get(name).map_or(String::new(), crate::parameters::text_of);
        format!("{}{}{}", text("window"), text("a"), text("b"))
    };
    let found: Vec<_> = jobs.iter().map(short).collect();
    assert_eq!(found, ["01x", "01y", "02x", "09", "11x", "11y", "12x", "19"]);
    let points = manifest.points().unwrap();
    for point in jobs.points().unwrap() {
        let parameters = points.get(point);
        assert!(points.places_of(&parameters).unwrap().contains(&point), "{}", parameters.to_json());
    }
}

#[test]
fn a_choice_of_points_is_the_same_in_every_window() {
    let chosen = |lines: &str| {
        let text = format!(
            "image: x\nwindows: {{ train: 1y, test: 1y, from: 2004-01-01, to: 2007-01-01 }}\n\
             matrix: {{ a: {{ from: 1, to: 100 }} }}\n{lines}\n"
        );
        let manifest = Manifest::parse(text.as_bytes(), Format::Yaml, "s").unwrap().finish().unwrap();
        let jobs = manifest.expand().unwrap();
        let pair = |job: crate::parameters::Parameters| {
            ["window", "a"].map(|name| job.get(name).and_then(Value::as_i64).unwrap())
        };
        jobs.iter().map(pair).collect::<Vec<_>>()
    };
    let sampled = chosen("sample: { count: 5, seed: 7 }");
    let of = |window: i64| sampled.iter().filter(move |job| job[0] == window).map(|job| job[1]);
    assert_eq!(sampled.len(), 10);
    assert!(of(0).eq(of(1)));
    assert_eq!(chosen("where: a < 3"), [[0, 1], [0, 2], [1, 1], [1, 2]]);
    assert_eq!(chosen("where: a < 3 and window == 1"), [[1, 1], [1, 2]]);
    assert_eq!(chosen("where: a == 3 and test_start >= '2006-01-01'"), [[1, 3]]);
}

#[test]
fn the_test_of_each_window_comes_after_all_training() {
    let text = "image: x\ncommand: [run, '{{ a }}', '{{ phase }}']\n\
                windows: { train: 1y, test: 1y, from: 2004-01-01, to: 2007-01-01 }\nselect: { maximize: sharpe }\n\
                matrix: { a: [1, 2, 3] }\nwhere: a < 3 or window == 1\n";
    let manifest = Manifest::parse(text.as_bytes(), Format::Yaml, "s").unwrap().finish().unwrap();
    let jobs = manifest.expand().unwrap();
    let test = |job, window, first, last| WindowTest { job, window, first, last };
    assert_eq!(jobs.tests(), [test(5, 0, 0, 1), test(6, 1, 2, 4)]);
    let short = |job: &crate::parameters::Parameters| {
        let text = |name| job.get(name).map_or("-".to_owned(), crate::parameters::text_of);
        format!("{} {} {}", text("window"), text("phase"), text("a"))
    };
    let found: Vec<_> = jobs.iter().map(|job| short(&job)).collect();
    let all = ["0 train 1", "0 train 2", "1 train 1", "1 train 2", "1 train 3", "0 test -", "1 test -"];
    assert_eq!(found, all);
    let points = manifest.points().unwrap();
    let of_jobs: Vec<_> = jobs.points().unwrap().collect();
    for (job, point) in of_jobs.iter().enumerate() {
        assert_eq!(Some(points.get(*point)), jobs.get(job as u32));
        assert!(points.places_of(&points.get(*point)).unwrap().contains(point));
    }
    let chosen = points.test_of(of_jobs[4]).unwrap();
    assert_eq!(short(&points.get(chosen)), "1 test 3");
    assert!(points.places_of(&points.get(chosen)).unwrap().contains(&chosen));
    let taken = text.replace("a: [1, 2, 3]", "phase: [1], a: [1, 2, 3]");
    let taken = Manifest::parse(taken.as_bytes(), Format::Yaml, "s").unwrap().finish().unwrap();
    let error = taken.expand().unwrap_err().to_string();
    assert!(error.contains("`phase` is a parameter that `select` gives"), "{error}");
}

#[test]
fn rows_are_run_in_every_window() {
    let text = "image: x\nwindows: { train: 1y, test: 1y, from: 2004-01-01, to: 2007-01-01 }\n\
                params: [{ a: 1 }, { a: 2 }]\n";
    let manifest = Manifest::parse(text.as_bytes(), Format::Yaml, "s").unwrap().finish().unwrap();
    let jobs = manifest.expand().unwrap();
    let found: Vec<_> = jobs
        .iter()
        .map(|job| ["window", "a"].map(|name| job.get(name).and_then(Value::as_i64).unwrap()))
        .collect();
    assert_eq!(found, [[0, 1], [0, 2], [1, 1], [1, 2]]);
}

/// What is wrong, where the mistake is told to stand, and what is told of it.
const MISTAKES: [(&str, &str, &str); 23] = [
    (
        "{ train: 3y, test: 6m, step: 3m, from: 2004-01-01, to: 2013-01-01 }",
        "3m,",
        "from 2007-04-01 to 2007-06-30",
    ),
    ("{ train: 1y, test: 1m, step: 30d, from: 2004-01-01, to: 2013-01-01 }", "30d,", "would count twice"),
    // A month of 31 days comes first.
    (
        "{ train: 1y, test: 31d, step: 1m, from: 2004-01-01, to: 2013-01-01 }",
        "1m,",
        "from 2005-03-01 to 2005-03-03",
    ),
    ("{ train: 3y, test: 6m, from: 2004-01-01, to: 2007-01-01 }", "2007", "the shortest `to` is 2007-07-01"),
    (
        "{ train: 3y, test: 6m, from: 2004-01-01, to: 2007-01-01, tail: keep }",
        "2007",
        "the shortest `to` is 2007-01-02",
    ),
    ("{ train: 3y, test: 6m, from: 2004-01-01, to: 2003-01-01 }", "2003", "the shortest `to`"),
    ("{ train: 1m, test: 1m, from: 2004-01-01, to: 2007-01-01, purge: 31d }", "31d", "leaves nothing"),
    (
        "{ train: 1y, test: 1m, from: 2004-01-01, to: 2007-01-01, embargo: 5d }",
        "embargo",
        "leave a gap with `purge`",
    ),
    ("{ train: 3mo, test: 1m, from: 2004-01-01, to: 2007-01-01 }", "3mo", "none of y, m, w, d"),
    ("{ train: 3, test: 1m, from: 2004-01-01, to: 2007-01-01 }", "3,", "`windows.train` has \"3\""),
    ("{ train: 0d, test: 1m, from: 2004-01-01, to: 2007-01-01 }", "0d", "greater than zero"),
    ("{ train: 1y, test: 1m, from: 2004-02-30, to: 2007-01-01 }", "2004", "is not a date"),
    ("{ train: 1y, test: 1m, from: 20040101, to: 2007-01-01 }", "2004", "such as 2005-01-31"),
    ("{ train: 1y, test: 1m, from: 2004-01-01 }", "{ train", "no `to`"),
    ("{ train: 1y, test: 1m, from: 2004-01-01, to: 2007-01-01, tail: cut }", "cut", "drop, keep"),
    ("{ train: 1y, test: 1m, from: 2004-01-01, to: 2007-01-01, anchored: 9 }", "9", "true or false"),
    (
        "{ train: 1y, test: 1m, from: 2004-01-01, to: 2007-01-01, purges: 1d }",
        "purges",
        "did you mean `purge`?",
    ),
    ("{ train: 1d, test: 1d, step: 1w, from: 1700-01-01, to: 2007-01-01 }", "1w", "more than 10000 windows"),
    ("6m", "6m", "write a map"),
    (
        "{ train: 1y, test: 1y, from: 2004-01-01, to: 2007-01-01 }\nmatrix: { window: [1] }",
        "window:",
        "`window`",
    ),
    (
        "{ train: 1y, test: 1y, from: 2004-01-01, to: 2007-01-01 }\nmatrix: { Test_End: [1] }",
        "{ Test",
        "BT_PARAM_TEST_END",
    ),
    (
        "{ train: 1y, test: 1y, from: 2004-01-01, to: 2007-01-01 }\nmatrix: { a: [1], include: [{ train_end: x }] }",
        "{ a:",
        "`train_end`",
    ),
    ("{ train: 1y, test: 1y, from: 2004-01-01, to: 2007-01-01 }\nparams: [{ window: 1 }]", "[{", "`window`"),
];

#[test]
fn mistakes_are_named_where_they_stand() {
    for (lines, at, part) in MISTAKES {
        let error = windows(&format!("  {lines}")).unwrap_err();
        let before = &lines[..lines.rfind(at).unwrap()];
        let (line, column) = match before.rsplit_once('\n') {
            Some((_, before)) => (4, before.len() + 1),
            None => (3, before.len() + 3),
        };
        assert!(
            error.starts_with(&format!("s.yaml:{line}:{column}: ")) && error.contains(part),
            "{lines}: {error}"
        );
    }
}

#[test]
fn holes_are_told() {
    let text = "image: x\nwindows: { train: 3y, test: 6m, step: 1y, from: 2004-01-01, to: 2013-01-01 }\n";
    let manifest = Manifest::parse(text.as_bytes(), Format::Yaml, "s").unwrap().finish().unwrap();
    assert_eq!(
        manifest.remarks(),
        [
            "warning: `step` (1y) of `windows` is longer than `test` (6m): no window tests 2007-07-01 to 2007-12-31, \
          2008-07-01 to 2008-12-31, 2009-07-01 to 2009-12-31 and 2 more"
        ]
    );
}
