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
pub(crate) fn with_prices() -> Options {
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
fn four_libraries_run_in_one_image_under_the_same_sandbox() {
    let mut cluster = Cluster::without_agent(with_prices());
    let volume = format!("prices={}:ro", project().join("target/prices").display());
    let flags = ["--cpus", "2", "--memory", "4GiB", "--volume", &volume].map(str::to_owned);
    cluster.add_agent_with("agent", &flags);
    let manifest = project().join("examples/libraries/sweep.yaml").display().to_string();
    let submitted = cluster.json(&["submit", "-f", &manifest, "--where", "fast == 10 and slow == 50"]);
    let sweep = submitted["id"].as_str().unwrap().to_owned();
    cluster.wait_ended(&sweep);
    let jobs = cluster.json(&["jobs", &sweep]);
    let jobs = jobs.as_array().unwrap();
    assert_eq!(jobs.len(), 4);
    for job in jobs {
        assert_eq!(job["state"], "succeeded", "{job}");
        // The same rule on the same prices: every library finds the same trades.
        assert_eq!(job["metrics"]["trades"], 21.0, "{job}");
        assert!(job["usage"]["peak_memory_bytes"].as_u64() > Some(20 << 20), "{job}");
    }
}

/// What one run of numba compiled, another finds in the cache that they share.
#[test]
fn a_cache_of_compiled_functions_is_shared_by_the_jobs_of_an_image() {
    let cluster = Cluster::with(with_prices());
    let script = "import numba, os\n\
        @numba.njit(cache=True)\n\
        def f(x): return x * 2 + 1\n\
        assert f(20) == 41\n\
        hits = sum(f.stats.cache_hits.values()); misses = sum(f.stats.cache_misses.values())\n\
        open('/results/metrics.json', 'w').write('{\"hits\": %d, \"misses\": %d}' % (hits, misses))\n";
    // numba finds its cache by the file's place, so it must be a file.
    let command = format!(
        "cat > /tmp/f.py <<'END'\n{script}END\nmkdir -p /cache/src && cp -n /tmp/f.py /cache/src/f.py; python3 /cache/src/f.py"
    );
    let run = || {
        let submitted = cluster.json(&[
            "submit",
            "--image",
            "libraries:1",
            "-m",
            "512m",
            "--cache",
            "/cache",
            "-e",
            "NUMBA_CACHE_DIR=/cache/numba",
            "--wait",
            "--",
            "sh",
            "-c",
            &command,
        ]);
        let sweep = submitted["id"].as_str().unwrap().to_owned();
        let jobs = cluster.json(&["jobs", &sweep]);
        (jobs[0]["metrics"]["hits"].as_f64().unwrap(), jobs[0]["metrics"]["misses"].as_f64().unwrap())
    };
    assert_eq!(run(), (0.0, 1.0));
    assert_eq!(run(), (1.0, 0.0));
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
