//! The example: real backtests by a real image, killed in the middle, and their pickles read by somebody else.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use bt_tests::{Cluster, Options};

fn project() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the crate lies in the workspace").to_owned()
}

/// An agent that offers the prices which `scripts/images sma-cross` unpacks.
fn with_prices() -> Options {
    let prices = project().join("target/prices");
    assert!(
        prices.join("GOOG.csv").exists(),
        "the prices are missing; scripts/images sma-cross fetches them"
    );
    let mut options = Options::default();
    options.agent.extend(["--volume".to_owned(), format!("prices={}:ro", prices.display())]);
    options
}

#[test]
fn backtests_survive_kills_and_their_pickles_load_elsewhere() {
    let mut cluster = Cluster::with(with_prices());
    let manifest = project().join("examples/sma-cross/sweep.yaml");
    let manifest = manifest.display().to_string();
    let submitted = cluster.json(&["submit", "-f", &manifest, "--sample", "12", "--seed", "7"]);
    let sweep = submitted["id"].as_str().unwrap().to_owned();
    cluster.wait_count(&sweep, "succeeded", 2);
    cluster.agent().kill();
    cluster.add_agent("agent");
    cluster.wait_count(&sweep, "succeeded", 5);
    cluster.coordinator().kill();
    cluster.start_coordinator();
    cluster.wait_count(&sweep, "succeeded", 12);
    assert_eq!(cluster.database.query("select sum(losses), sum(failures) from jobs"), ["0|0"]);
    let sql = "select count(*), count(distinct job) from attempts where started_at is not null";
    assert_eq!(cluster.database.query(sql), ["12|12"], "a restart within the lease runs nothing twice");
    assert_eq!(cluster.database.query("select count(distinct image_pin) from sweeps"), ["1"]);

    let best = cluster.json(&["top", &sweep, "--by", "sharpe", "-n", "1"]);
    let told = best[0]["metrics"]["sharpe"].as_f64().unwrap();
    let job = format!("{:02}", best[0]["job"].as_u64().unwrap());

    // The container ran as somebody without rights; in the store the file belongs to the store's owner.
    let stored = cluster.store().join(format!("sma-cross-{}/{job}/1/stats.pkl", &sweep[..8]));
    let owner = std::fs::metadata(cluster.store()).unwrap().uid();
    assert_eq!(std::fs::metadata(&stored).unwrap().uid(), owner);

    // A client without the store fetches it, and another machine's Python reads the same number out of it.
    cluster.ok(&["results", "get", &sweep, "-d", "got"]);
    let got = cluster.dir().join("got").join(&job);
    let script =
        "import pickle; print(repr(float(pickle.load(open('/got/stats.pkl', 'rb'))['Sharpe Ratio'])))";
    let read = Command::new("docker")
        .args(["run", "--rm", "--network", "none", "-v", &format!("{}:/got:ro", got.display())])
        .args(["sma-cross:1", "python3", "-c", script])
        .output()
        .unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let sharpe: f64 = String::from_utf8_lossy(&read.stdout).trim().parse().unwrap();
    assert_eq!(sharpe.to_bits(), told.to_bits(), "{sharpe} in the pickle, {told} in the metrics");
}
