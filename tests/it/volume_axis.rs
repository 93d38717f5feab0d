//! An axis that is the files of a volume: asked of an agent, kept in the sweep.

use std::fs;
use std::os::unix::fs::symlink;

use bt_tests::http::post;
use bt_tests::{Cluster, Options};
use serde_json::{Value, json};

const MANIFEST: &str = "image: btctl-test:1\nname: files\nmatrix:\n  instrument: {from_volume: prices, glob: '**/*.csv'}\n  fast: [5, 10]\n\
    volumes: ['prices:/data:ro']\nresources: {cpus: 0.25, memory: 32MiB}\n\
    command: [sh, -c, 'cp \"/data/$BT_PARAM_INSTRUMENT\" /results/prices.csv']\n";

/// A cluster whose agent offers three files of prices, and a link to a fourth that is not there to be read.
fn cluster() -> Cluster {
    let mut cluster = Cluster::without_agent(Options::default());
    let prices = cluster.dir().join("prices");
    fs::create_dir_all(prices.join("us")).unwrap();
    for name in ["GOOG.csv", "MSFT.csv", "us/AAPL.csv", "README.md"] {
        fs::write(prices.join(name), name).unwrap();
    }
    fs::write(cluster.dir().join("OUTSIDE.csv"), "secret").unwrap();
    symlink(cluster.dir().join("OUTSIDE.csv"), prices.join("LINK.csv")).unwrap();
    let offer = format!("prices={}:ro", prices.display());
    let flags = ["--cpus", "2", "--memory", "1GiB", "--volume", &offer];
    cluster.add_agent_with("holder", &flags.map(str::to_owned));
    cluster
}

fn instruments(cluster: &Cluster, sweep: &str) -> Vec<Value> {
    let jobs = cluster.json(&["jobs", sweep]);
    let of = |job: &Value| job["params"]["instrument"].clone();
    jobs.as_array().unwrap().iter().map(of).collect()
}

#[test]
fn a_sweep_has_jobs_for_the_files_that_an_agent_holds() {
    let cluster = cluster();
    let file = cluster.dir().join("s.yaml");
    fs::write(&file, MANIFEST).unwrap();
    let file = file.to_str().unwrap();

    let planned = cluster.run(&["submit", "-f", file, "--dry-run", "-o", "json"]);
    assert!(
        planned.stderr.contains("instrument: 3 files of the volume prices, as agent holder holds it"),
        "{}",
        planned.stderr
    );
    let planned: Value = serde_json::from_str(&planned.stdout).unwrap();
    assert_eq!(planned.as_array().map(Vec::len), Some(6));
    assert_eq!(planned[4]["params"], json!({"instrument": "us/AAPL.csv", "fast": 5}));

    cluster.ok(&["submit", "-f", file, "--wait"]);
    let expected = ["GOOG.csv", "GOOG.csv", "MSFT.csv", "MSFT.csv", "us/AAPL.csv", "us/AAPL.csv"];
    assert_eq!(instruments(&cluster, "files"), expected);
    let got = cluster.dir().join("got");
    cluster.ok(&["results", "get", "files/4", "-d", got.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(got.join("4/prices.csv")).unwrap(), "us/AAPL.csv");

    // What comes later changes nothing of a sweep that was submitted, nor of one that is like it.
    fs::write(cluster.dir().join("prices/NEW.csv"), "new").unwrap();
    let axis = &cluster.json(&["show", "files"])["manifest"]["matrix"]["instrument"];
    let values = ["GOOG.csv", "MSFT.csv", "us/AAPL.csv"];
    assert_eq!(*axis, json!({"from_volume": "prices", "glob": "**/*.csv", "values": values}));
    cluster.ok(&["submit", "--like", "files", "--wait"]);
    assert_eq!(instruments(&cluster, "files"), expected);

    // Over the API the volume is read anew.
    let by_stem = json!({
        "image": "btctl-test:1",
        "matrix": {"instrument": {"from_volume": "prices", "glob": "*.csv", "value": "stem"}},
        "volumes": ["prices:/data:ro"],
        "resources": {"cpus": 0.25, "memory": "32MiB"},
        "command": ["sh", "-c", "cat /data/$BT_PARAM_INSTRUMENT.csv"],
    });
    let queued = post(&cluster, "/api/sweeps", &by_stem).json();
    let sweep = queued["id"].as_str().unwrap_or_else(|| panic!("{queued}"));
    cluster.ok(&["wait", sweep]);
    assert_eq!(instruments(&cluster, sweep), ["GOOG", "MSFT", "NEW"]);
}

#[test]
fn a_volume_that_nobody_can_list_is_named_and_nothing_is_queued() {
    let cluster = cluster();
    let refused = |from: &str, parts: &[&str]| {
        let file = cluster.dir().join("wrong.yaml");
        fs::write(&file, MANIFEST.replace("{from_volume: prices, glob: '**/*.csv'}", from)).unwrap();
        let told = cluster.run(&["submit", "-f", file.to_str().unwrap()]);
        assert_ne!(told.code, 0, "{from}");
        assert!(parts.iter().all(|part| told.stderr.contains(part)), "{from}: {}", told.stderr);
    };
    refused(
        "{from_volume: price, glob: '*'}",
        &["no agent that is online offers the volume price", "did you mean `prices`?"],
    );
    refused(
        "{from_volume: prices, glob: '*.parquet'}",
        &["wrong.yaml:4", "no file of the volume prices matches \"*.parquet\""],
    );
    refused("{from_volume: prices, glob: '[a'}", &["agent holder can't match \"[a\""]);
    refused("{from_volume: prices}", &["needs a `from_volume` and a `glob`"]);
    assert_eq!(cluster.json(&["ls"]).as_array().map(Vec::len), Some(0));
}

#[test]
fn one_job_is_run_here_for_a_file_that_is_here() {
    let cluster = Cluster::without_agent(Options::default());
    let prices = cluster.dir().join("prices");
    fs::create_dir_all(&prices).unwrap();
    fs::write(prices.join("GOOG.csv"), "here").unwrap();
    let file = cluster.dir().join("s.yaml");
    fs::write(&file, MANIFEST).unwrap();
    let (file, out) = (file.to_str().unwrap(), cluster.dir().join("out"));
    let offer = format!("prices={}:ro", prices.display());
    cluster.ok(&["run", "--local", "-f", file, "--offer", &offer, "-d", out.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(out.join("prices.csv")).unwrap(), "here");
    let told = cluster.run(&["run", "--local", "-f", file]);
    assert!(told.stderr.contains("this machine offers no volume prices; --offer"), "{}", told.stderr);
}
