//! `btctl run --local` and `btctl doctor`: this machine without a coordinator.

use std::fs;
use std::path::Path;

use bt_tests::{Cluster, Finished, Options};

/// Nothing but a place to run commands in.
fn place() -> Cluster {
    Cluster::without_agent(Options::default())
}

fn run(place: &Cluster, flags: &[&str], script: &str) -> Finished {
    let mut args = vec!["run", "--local", "--image", "btctl-test:1", "-m", "64m"];
    args.extend(flags);
    args.extend(["--", "sh", "-c", script]);
    place.run(&args)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn a_job_run_here_leaves_its_outputs_and_says_how_it_ended() {
    let place = place();
    let script =
        "echo out; echo err >&2; mkdir /results/d; id -u > /results/d/uid; echo {{ n }} > /results/n";
    let ended = run(&place, &["--matrix", "n=5,6", "--job", "1", "-d", "out"], script);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "out\n"), "{ended:?}");
    assert!(ended.stderr.contains("err\n") && ended.stderr.contains("job 1 succeeded"), "{ended:?}");
    assert_eq!(read(&place.dir().join("out/n")), "6\n");
    assert_ne!(read(&place.dir().join("out/d/uid")), "0\n");
    for (script, reason) in [
        ("exit 3", "exit(3)"),
        ("tail /dev/zero; true", "oom"),
        ("echo x > /results/metrics.json", "outputs("),
    ] {
        let ended = run(&place, &[], script);
        assert!(ended.code == 1 && ended.stderr.contains("failed after"), "{ended:?}");
        assert!(ended.stderr.contains(reason), "{ended:?}");
    }
    let ended =
        run(&place, &["--timeout", "1s", "--stop-timeout", "1s", "-o", "json"], "echo begun; sleep 60");
    let told: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((ended.code, &told["reason"]), (1, &"timeout".into()));
    assert!(ended.stderr.contains("begun\n"), "{ended:?}");
    let missing = run(&place, &["--job", "7"], "true");
    assert_eq!(missing.code, 3, "{missing:?}");
}

#[test]
fn an_algorithm_runs_here_with_a_directory_as_its_input() {
    let place = place();
    let manifest = serde_json::json!({ "container_parameters": {
        "image": "btctl-test:1",
        "command": ["sh", "-c", "cat $ALGORITHM_INPUT_PATH; cat /input/goog.csv > /results/algo_output.json; touch /input/x"],
        "resource_request": { "gpu": 0, "memory_gb": 0.1, "cpu_millicore": 500 },
    }});
    fs::write(place.dir().join("manifest.json"), manifest.to_string()).unwrap();
    fs::create_dir(place.dir().join("sample")).unwrap();
    fs::write(place.dir().join("sample/goog.csv"), "[1, 2]").unwrap();
    for input in ["sample", "sample/", "./sample"] {
        let ended = place.run(&["run", "--local", "manifest.json", "--input", input]);
        assert!(ended.stdout.contains("\"input_data_path\":\"/input\""), "{ended:?}");
        // `touch` fails, so that it is shown that the input can't be changed.
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.stdout.ends_with("[1, 2]\n"), "{ended:?}");
    }
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/algorithm/manifest.json");
    let ended = place.run(&["run", "--local", example.to_str().unwrap(), "--input", "sample"]);
    assert!(ended.code == 0 && ended.stdout.contains("'input_data_path': '/input'"), "{ended:?}");
}

#[test]
fn volumes_are_where_the_user_says() {
    let place = place();
    fs::create_dir(place.dir().join("prices")).unwrap();
    fs::write(place.dir().join("prices/goog.csv"), "1,2\n").unwrap();
    let mount = ["-v", "prices:/data:ro"];
    let ended = run(&place, &mount, "true");
    assert!(ended.code != 0 && ended.stderr.contains("--offer prices=DIR"), "{ended:?}");
    let offer = format!("prices={}:ro", place.dir().join("prices").display());
    let ended = run(&place, &[&mount[..], &["--offer", &offer]].concat(), "cat /data/goog.csv");
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "1,2\n"), "{ended:?}");
}

#[test]
fn the_doctor_tells_what_jobs_would_get() {
    let place = place();
    let told = place.json(&["doctor"]);
    let sizing = &told["sizing"];
    for name in ["threads", "memory_bytes", "shm_bytes", "max_jobs"] {
        assert!(sizing[name].as_u64().is_some_and(|value| value > 0), "{told}");
    }
    assert!(told["engine"].as_str().unwrap().starts_with("docker "), "{told}");
    assert_eq!(told["troubles"], serde_json::json!([]));
    assert!(told["coordinator"].as_str().unwrap().contains("0 agents"), "{told}");
}
