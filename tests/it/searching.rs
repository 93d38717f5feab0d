//! `btctl search`: Optuna chooses the jobs of an open sweep.

use std::path::Path;

use bt_tests::{Cluster, Options, wait_until};

const MANIFEST: &str = "\
name: found
image: btctl-test:1
command: [sh, -c, 'printf \"{\\\"score\\\": %s}\" $((0 - (BT_PARAM_N - 7) * (BT_PARAM_N - 7))) > /results/metrics.json']
matrix: { n: { from: 1, to: 40 }, kind: [a, b] }
where: n < 30
resources: { cpus: 0.25, memory: 64MiB }
containers: reuse
";

/// A cluster whose clients' Python has btctl's package and Optuna.
fn cluster() -> Cluster {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let python = root.join("target/tools/venv/bin/python");
    assert!(python.exists(), "{} is missing; `scripts/tools` makes it", python.display());
    let cluster = Cluster::with(Options::default());
    // As if the package were installed there.
    let wrapper = format!(
        "#!/bin/sh\nPYTHONPATH='{}' exec '{}' \"$@\"\n",
        root.join("python/src").display(),
        python.display()
    );
    write_program(&cluster.dir().join("python"), &wrapper);
    std::fs::write(cluster.dir().join("sweep.yaml"), MANIFEST).unwrap();
    cluster
}

fn write_program(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

const SEARCH: [&str; 9] =
    ["search", "-f", "sweep.yaml", "--maximize", "score", "--python", "./python", "--parallel", "4"];

#[test]
fn a_search_that_is_interrupted_goes_on_with_its_sweep() {
    let cluster = cluster();
    let mut search = cluster.spawn("search", &[&SEARCH[..], &["--budget", "1000"]].concat());
    let jobs = || cluster.json(&["jobs", "found"]).as_array().map_or(0, Vec::len);
    wait_until("the search is under way", || {
        (cluster.run(&["show", "found"]).code == 0 && jobs() >= 6).then_some(())
    });
    search.signal("INT");
    assert_eq!(search.wait(), 130, "{}", search.log());
    assert!(search.log().contains("--resume"), "{}", search.log());
    let before = jobs();
    let budget = (before + 4).to_string();
    let ended = cluster.run(&[&SEARCH[..], &["--resume", "found", "--budget", &budget]].concat());
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stderr.contains("the best is"), "{ended:?}");
    let shown = cluster.json(&["show", "found"]);
    assert_eq!(shown["state"], "succeeded", "{shown}");
    // Points that `where` excludes count for the budget, and are no jobs.
    assert!((before..=before + 4).contains(&jobs()), "{before} and {}", jobs());
}

#[test]
fn what_is_missing_is_named_before_anything_is_queued() {
    let cluster = cluster();
    let refused = |args: &[&str], part: &str| {
        let finished = cluster.run(&[&SEARCH[..], args].concat());
        assert!(finished.code == 2 && finished.stderr.contains(part), "{args:?}: {finished:?}");
    };
    refused(&["--python", "./no-such-python"], "can't be run");
    write_program(&cluster.dir().join("bare"), "#!/bin/sh\necho 'No module named optuna' >&2; exit 1\n");
    refused(&["--python", "./bare"], "No module named optuna");
    refused(&["--python", "./bare"], "python[optuna]");
    refused(&["--sample", "3"], "`sample`");
    assert_eq!(cluster.json(&["ls", "--all"]), serde_json::json!([]));
}
