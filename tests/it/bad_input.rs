//! Bad input: one clear error, the right exit code, and nothing changed.

use bt_tests::{Cluster, Options};

#[test]
fn each_mistake_is_named_before_anything_is_queued() {
    let cluster = Cluster::without_agent(Options::default());
    let check = |manifest: &str, expected: &[&str]| {
        std::fs::write(cluster.dir().join("bad.yaml"), manifest).unwrap();
        let refused = cluster.run(&["submit", "-f", "bad.yaml"]);
        assert_eq!(refused.code, 2, "{manifest}: {refused:?}");
        for part in expected {
            assert!(refused.stderr.contains(part), "{part:?} is not in {}", refused.stderr);
        }
    };
    let with = |line: &str| format!("image: btctl-test:1\ncommand: [\"true\"]\n{line}\n");
    check(&with("resource: { cpus: 1 }"), &["bad.yaml:3", "resource", "resources"]);
    check(&with("retries: many"), &["bad.yaml:3", "retries"]);
    check(&with("matrix: { a: [] }"), &["bad.yaml:3"]);
    check(&with("matrix: { a: { from: 1, to: 3, step: 0 } }"), &["step"]);
    check(&with("matrix: { a: { from: 1, to: 3, step: -1 } }"), &["step"]);
    check(&with("matrix: { a: [1, 2] }\nwhere: a"), &["where"]);
    check(&with("matrix: { a: [1, 2] }\nwhere: b > 1"), &["b"]);
    check(&with("matrix: { a: [1, 2] }\nwhere: a > 5"), &["0 jobs"]);
    check(&with("matrix: { a: { from: 1, to: 10000001 } }"), &["10,000,000"]);
    check(&with("matrix: { a-b: [1], a_b: [1] }"), &["a-b", "a_b"]);
    check("image: x:1\ncommand: [echo, \"{{ fsat }}\"]\nmatrix: { fast: [1] }\n", &["fsat", "fast"]);
    check(&with("retry_on: [omo]"), &["bad.yaml:3", "omo", "oom"]);
    check(&with("retries: { failure: 2 }"), &["bad.yaml:3", "failure", "failures"]);
    check(&with("max_parallel: 0"), &["bad.yaml:3", "max_parallel"]);
    check(&with("limits: { a b: 1 }"), &["bad.yaml:3", "a b"]);
    check(&with("canary: -1"), &["bad.yaml:3", "canary"]);
    check("command: [\"true\"]\n", &["image"]);
    check(": : :\n", &["bad.yaml"]);
    std::fs::write(cluster.dir().join("bad.yaml"), b"image: \xff\xfe\n").unwrap();
    let refused = cluster.run(&["submit", "-f", "bad.yaml"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("UTF-8"), "{refused:?}");

    std::fs::write(cluster.dir().join("ragged.csv"), "a,b\n1,2\n3\n").unwrap();
    let ragged = ["submit", "--image", "btctl-test:1", "--params-from", "ragged.csv", "--", "true"];
    let refused = cluster.run(&ragged);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("ragged.csv:3"), "{refused:?}");
    let missing = cluster.run(&["submit", "-f", "missing.yaml"]);
    assert_eq!(missing.code, 2, "{missing:?}");
    assert!(missing.stderr.contains("missing.yaml"), "{missing:?}");

    assert_eq!(cluster.database.query("select count(*) from sweeps"), ["0"]);
}

#[test]
fn a_coordinator_that_is_not_there_is_told() {
    let mut cluster = Cluster::without_agent(Options::default());
    cluster.coordinator().kill();
    let refused = cluster.run(&["ls"]);
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(refused.stderr.contains("btctl up"), "{refused:?}");
}

#[test]
fn what_is_not_there_is_not_found() {
    let cluster = Cluster::without_agent(Options::default());
    for args in
        [&["show", "nothing"][..], &["jobs", "nothing"], &["logs", "nothing/0"], &["cancel", "nothing"]]
    {
        let refused = cluster.run(args);
        assert_eq!(refused.code, 3, "{args:?}: {refused:?}");
        assert!(refused.stderr.contains("nothing"), "{refused:?}");
    }
}

#[test]
fn a_wrong_flag_is_a_usage_error() {
    let cluster = Cluster::without_agent(Options::default());
    for args in [&["submit", "--imagee", "x"][..], &["top", "x"], &["logs", "x/y"], &["frobnicate"]] {
        let refused = cluster.run(args);
        assert_eq!(refused.code, 2, "{args:?}: {refused:?}");
    }
}
