//! Parameters reach the job byte for byte: in its command, its environment, its input file, and in all that tells of it.

use bt_tests::{Cluster, Options};
use serde_json::Value;

/// What people write, and the JSON that stands for it.
const WORDS: [(&str, &str); 20] = [
    ("000001", "\"000001\""),
    ("600519", "600519"),
    ("1.10", "1.10"),
    ("1e5", "1e5"),
    ("1E5", "1E5"),
    ("-0", "-0"),
    ("-0.0", "-0.0"),
    ("+5", "\"+5\""),
    (".5", "\".5\""),
    ("0x10", "\"0x10\""),
    ("1_000", "\"1_000\""),
    ("2024-01-05", "\"2024-01-05\""),
    ("12:30:00", "\"12:30:00\""),
    ("12345678901234567890123", "\"12345678901234567890123\""),
    ("0.30000000000000004", "0.30000000000000004"),
    ("1e400", "\"1e400\""),
    ("yes", "\"yes\""),
    ("true", "true"),
    ("False", "\"False\""),
    ("9223372036854775807", "9223372036854775807"),
];

fn words() -> Vec<&'static str> {
    WORDS.iter().map(|(word, _)| *word).collect()
}

fn texts(jobs: &Value, part: impl Fn(&Value) -> String) -> Vec<String> {
    jobs.as_array().unwrap().iter().map(part).collect()
}

#[test]
fn each_form_of_a_manifest_gives_jobs_what_was_written() {
    let cluster = Cluster::without_agent(Options::default());
    let write = |name: &str, text: String| std::fs::write(cluster.dir().join(name), text).unwrap();
    let command = "image: btctl-test:1\ncommand: [echo, \"{{ v }}\"]\n";
    write("list.yaml", format!("{command}matrix: {{v: [{}]}}\n", words().join(", ")));
    let rows: String = words().iter().map(|word| format!("  - {{v: {word}}}\n")).collect();
    write("rows.yaml", format!("{command}params:\n{rows}"));
    write("rows.csv", format!("v\n{}\n", words().join("\n")));
    write("from.yaml", format!("{command}params_from: rows.csv\n"));
    let json: Vec<&str> = WORDS.iter().map(|(_, json)| *json).collect();
    write(
        "list.json",
        format!(
            r#"{{"image": "btctl-test:1", "command": ["echo", "{{{{ v }}}}"], "matrix": {{"v": [{}]}}}}"#,
            json.join(", ")
        ),
    );
    let axis = format!("v={}", words().join(","));
    let flags = [
        "submit",
        "--image",
        "btctl-test:1",
        "--matrix",
        &axis,
        "--dry-run",
        "-o",
        "json",
        "--",
        "echo",
        "{{ v }}",
    ];
    let files = ["list.yaml", "rows.yaml", "from.yaml", "list.json"];
    let files = files.map(|file| vec!["submit", "-f", file, "--dry-run", "-o", "json"]);
    for args in files.into_iter().chain([flags.to_vec()]) {
        let printed = cluster.run(&args);
        assert_eq!(printed.code, 0, "{args:?}: {printed:?}");
        let jobs: Value = serde_json::from_str(&printed.stdout).unwrap();
        assert_eq!(texts(&jobs, |job| job["command"][1].as_str().unwrap().to_owned()), words(), "{args:?}");
        assert_eq!(texts(&jobs, |job| job["env"]["BT_PARAM_V"].as_str().unwrap().to_owned()), words());
        // serde_json would write some numbers anew, so the text itself is looked at.
        for (_, json) in WORDS {
            assert!(printed.stdout.contains(&format!("\"params\":{{\"v\":{json}}}")), "{args:?}: {json}");
        }
        assert!(printed.stderr.contains("note: the parameter `v`"), "{args:?}: {}", printed.stderr);
    }
}

#[test]
fn a_job_and_all_that_tells_of_it_have_what_was_written() {
    let cluster = Cluster::start();
    let script = r#"printf '%s\n' "$BT_PARAM_V" '{{ v }}' > /results/said; cp "$ALGORITHM_INPUT_PATH" /results/input.json"#;
    let rows: String = words().iter().map(|word| format!("  - {{v: {word}}}\n")).collect();
    let manifest = |jobs: String| {
        format!(
            "name: spelled\nimage: btctl-test:1\ncommand: [sh, -c, {script:?}]\n{jobs}resources: {{cpus: 0.1, memory: 64MiB}}\n"
        )
    };
    for (name, jobs) in [
        ("matrix", format!("matrix: {{v: [{}]}}\n", words().join(", "))),
        ("rows", format!("params:\n{rows}")),
    ] {
        std::fs::write(cluster.dir().join("sweep.yaml"), manifest(jobs)).unwrap();
        cluster.ok(&["submit", "-f", "sweep.yaml", "--name", name, "--wait"]);
        let target = cluster.dir().join(name);
        cluster.ok(&["results", "get", name, "-d", name]);
        let listed = cluster.ok(&["jobs", name, "-o", "json"]);
        let csv = cluster.ok(&["export", name]);
        let exported = cluster.ok(&["export", name, "-o", "json"]);
        for (job, (word, json)) in WORDS.iter().enumerate() {
            let read =
                |path: &str| std::fs::read_to_string(target.join(format!("{job:02}")).join(path)).unwrap();
            assert_eq!(read("said"), format!("{word}\n{word}\n"));
            assert!(
                read("input.json").contains(&format!("\"parameters\":{{\"v\":{json}}}")),
                "{}",
                read("input.json")
            );
            let bare = |text: &str| text.replace([' ', '\n'], "");
            assert!(bare(&listed).contains(&format!("\"params\":{{\"v\":{json}}}")), "{json}: {listed}");
            assert!(csv.contains(&format!(",{word},")), "{word}: {csv}");
            assert!(exported.contains(word), "{word}: {exported}");
            let shown = cluster.ok(&["results", "show", &format!("{name}/{job}"), "-o", "json"]);
            assert!(bare(&shown).contains(&format!("\"v\":{json}")), "{json}: {shown}");
        }
        let told = cluster
            .database
            .query(&format!("select p.value from reports.parameters p where sweep = '{name}' order by job"));
        assert_eq!(told, words());
    }
}

#[test]
fn expressions_over_mixed_types_name_the_job_and_the_values() {
    let cluster = Cluster::without_agent(Options::default());
    let manifest = |rest: &str| {
        let text = format!("name: mixed\nimage: btctl-test:1\ncommand: [\"true\"]\n{rest}\n");
        std::fs::write(cluster.dir().join("mixed.yaml"), text).unwrap();
    };
    for (axis, condition, part) in [
        (r#"["5", 7, 12]"#, "a < 10", r#"the text "5" is compared with the number 10"#),
        (r#"["5", 7, 12]"#, "a == 7", r#"the text "5" is compared with the number 7"#),
        (r#"["5", 7]"#, "a in [5, 7]", r#"the text "5""#),
        ("[2024-01-05]", "a > 20240101", r#"the text "2024-01-05""#),
        ("[true]", "a == 1", "true is compared with the number 1"),
        ("[000001]", "a != 1", r#"the text "000001""#),
    ] {
        manifest(&format!("matrix: {{a: {axis}}}\nwhere: '{condition}'"));
        let refused = cluster.run(&["submit", "-f", "mixed.yaml"]);
        assert_eq!(refused.code, 2, "{condition}: {refused:?}");
        assert!(refused.stderr.contains("mixed.yaml:5") && refused.stderr.contains(part), "{refused:?}");
    }
    manifest(r#"matrix: {a: ["5", 7, 12]}"#);
    cluster.ok(&["submit", "-f", "mixed.yaml"]);
    let refused = cluster.run(&["jobs", "mixed", "--where", "a < 10"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("job 0") && refused.stderr.contains(r#"the text "5""#), "{refused:?}");
    assert_eq!(cluster.json(&["jobs", "mixed", "--where", "a | int < 10"]).as_array().unwrap().len(), 2);
}

#[test]
fn top_over_mixed_types_names_the_job_and_both_values() {
    let cluster = Cluster::with(Options::simulated(&[]));
    let sweep =
        cluster.submit_simulated(&["--name", "mixed", "--matrix", "fast=7,\"5\",12", "--matrix", "slow=10"]);
    cluster.wait_count(&sweep, "succeeded", 3);
    let top = |condition: &str| {
        cluster.run(&["top", "mixed", "--by", "sharpe", "--where", condition, "-o", "name"])
    };
    cluster.database.query("update jobs set metrics = '{\"sharpe\": 1}' where number <> 1");
    assert_eq!(top("fast < slow").stdout, "mixed/0\n", "a job that is not ranked is not compared");
    cluster.database.query("update jobs set metrics = '{\"sharpe\": 1}'");
    let refused = top("fast < slow");
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{refused:?}");
    let why = r#"the text "5" is compared with the number 10"#;
    assert!(refused.stderr.contains("job 1") && refused.stderr.contains(why), "{refused:?}");
    assert_eq!(top("fast | int < slow").stdout, "mixed/0\nmixed/1\n");
}

#[test]
fn files_and_flags_that_are_not_clearly_meant_are_refused_with_a_place() {
    let cluster = Cluster::without_agent(Options::default());
    let submit = |flags: &[&str]| {
        let args = [&["submit", "--image", "btctl-test:1"], flags, &["--", "true"]].concat();
        let refused = cluster.run(&args);
        assert_eq!(refused.code, 2, "{flags:?}: {refused:?}");
        refused.stderr
    };
    for (csv, parts) in [
        ("a,b\n1,\"2\n3,4\n5,6\n", ["rows.csv:2", "nothing closes it"]),
        ("a,b\n1,2\n,\n", ["rows.csv:3", "write \"\""]),
        ("a;b\n1;2\n", ["rows.csv:1", "separated by `;`"]),
        (",a\n0,1\n", ["rows.csv:1", "index=False"]),
    ] {
        std::fs::write(cluster.dir().join("rows.csv"), csv).unwrap();
        let told = submit(&["--params-from", "rows.csv"]);
        assert!(parts.iter().all(|part| told.contains(part)), "{csv:?}: {told}");
    }
    for (flags, part) in [
        (&["--matrix", "x=1,2,"][..], "write \"\" if an empty text is meant"),
        (&["--timeout", "10M"], "minutes or months"),
        (&["--agent-label", "arch=x86_64"], "did you mean amd64?"),
        (&["--goal", "sharpe=maximise"], "did you mean `maximize`?"),
    ] {
        let told = submit(flags);
        assert!(told.contains(part), "{flags:?}: {told}");
    }
    assert_eq!(cluster.database.query("select count(*) from sweeps"), ["0"]);
}
