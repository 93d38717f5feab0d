//! `containers: warm`: jobs that are forks of an interpreter behave as in an interpreter of their own, whatever the job
//! before them did, and sweeps that can't run so say why.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use bt_tests::{Cluster, Options, wait_until};
use serde_json::{Value, json};

use crate::engine::an_agents_death_costs_the_job_an_attempt;
use crate::example::with_prices;

/// What the cases of `warm/cases.py` are called. `crashes` last: it is the only one whose end is the interpreter's.
const CASES: [&str; 31] = [
    "state",
    "traceback",
    "exits_with_text",
    "exits_with_number",
    "exits_at_once",
    "dies_by_signal",
    "is_interrupted",
    "hooks",
    "leaves_files_open",
    "finalizes",
    "proxies",
    "threads",
    "forks",
    "spawns",
    "executors",
    "subprocesses",
    "pickles",
    "goes_on",
    "closes_everything",
    "fills_tmp",
    "state",
    "changes_modules",
    "changes_modules",
    "logs",
    "closes_output",
    "temporary",
    "numbers",
    "recursion",
    "no_such_case",
    "crashes",
    "state",
];

/// A cluster whose agent offers the scripts of these tests, and the example's prices.
fn start() -> Cluster {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/warm");
    let mut options = with_prices();
    // One job at a time, so that each finds what the one before it has left.
    options.agent[1] = "1".to_owned();
    options.agent.extend(["--volume".to_owned(), format!("cases={}:ro", cases.display())]);
    Cluster::with(options)
}

/// Submits a manifest and returns the sweep's id.
#[track_caller]
fn submit(cluster: &Cluster, manifest: &Value) -> String {
    let path = cluster.dir().join("sweep.json");
    fs::write(&path, manifest.to_string()).unwrap();
    let submitted = cluster.json(&["submit", "-f", &path.display().to_string()]);
    submitted["id"].as_str().unwrap().to_owned()
}

/// A sweep of Python jobs, one after the other in one container, of which each row is a command's words.
fn manifest(containers: &str, rows: &[Vec<&str>]) -> Value {
    let longest = rows.iter().map(Vec::len).max().unwrap_or(0).max(2);
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            let word = |n: usize| (format!("w{n}"), Value::from(*row.get(n).unwrap_or(&"")));
            let words = (0..longest).map(word).chain([("name".to_owned(), "x".into())]);
            Value::Object(words.collect())
        })
        .collect();
    let words = (0..longest).map(|n| format!("{{{{ w{n} }}}}"));
    let command: Vec<_> = ["python3".to_owned()].into_iter().chain(words).collect();
    let warm = (containers == "warm").then(|| json!({"verify": 0}));
    let mut manifest = json!({
        "image": "sma-cross:1", "command": command, "params": rows, "containers": containers,
        "env": {"ROW": "{{ w1 }}"}, "volumes": ["cases:/cases:ro"],
        "resources": {"cpus": 1, "memory": "256MiB"}, "timeout": "60s",
    });
    if let Some(warm) = warm {
        manifest["warm"] = warm;
    }
    manifest
}

/// What each job has left: how it ended, what it printed, its files.
fn left(cluster: &Cluster, sweep: &str, out: &str) -> Vec<Value> {
    cluster.wait_ended(sweep);
    let jobs = cluster.json(&["jobs", sweep]);
    cluster.run(&["results", "get", sweep, "-d", out]);
    let jobs = jobs.as_array().unwrap();
    // As many digits as the largest number has.
    let digits = (jobs.len() - 1).to_string().len();
    let jobs = jobs.iter().enumerate().map(|(number, job)| {
        let log = cluster.ok(&["logs", &format!("{sweep}/{number}")]);
        // The two streams have no order between them.
        let lines: BTreeSet<_> = log.lines().collect();
        let files = files(&cluster.dir().join(out).join(format!("{number:0digits$}")));
        json!({"state": job["state"], "reason": job["reason"], "log": lines, "files": files})
    });
    jobs.collect()
}

fn files(dir: &Path) -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name() != "result.json")
        .map(|entry| {
            let content = fs::read(entry.path()).unwrap();
            (entry.file_name().to_string_lossy().into_owned(), String::from_utf8_lossy(&content).into_owned())
        })
        .collect();
    files.sort();
    files
}

#[track_caller]
fn ran_warm(cluster: &Cluster, sweep: &str) {
    let shown = cluster.json(&["show", sweep]);
    assert_eq!(shown["warm"], Value::Null, "{shown}");
}

#[test]
fn a_fork_behaves_as_an_interpreter_of_its_own() {
    let cluster = start();
    let mut rows: Vec<Vec<&str>> = CASES.iter().map(|case| vec!["/cases/cases.py", case]).collect();
    rows.extend([
        vec!["-m", "json.tool", "/cases/none.json"],
        vec!["-m", "no.such.module"],
        vec!["-c", "import sys; print(sys.argv, sys.path, __name__, globals().get('__file__'))", "a"],
        vec!["-c", "1 +"],
        vec!["-c", "raise ValueError('in code')"],
        vec!["/cases/none.py"],
        vec!["-c", "import os; print(os.listdir('/tmp')); os.kill(os.getppid(), 0)"],
    ]);
    let each = submit(&cluster, &manifest("each", &rows));
    let expected = left(&cluster, &each, "each");
    let warm = submit(&cluster, &manifest("warm", &rows));
    let found = left(&cluster, &warm, "warm");
    ran_warm(&cluster, &warm);
    for ((row, expected), found) in rows.iter().zip(expected).zip(found) {
        assert_eq!(found, expected, "{row:?}");
    }
}

#[test]
fn forks_draw_what_interpreters_draw() {
    let cluster = start();
    let drawing = "import random, uuid, numpy, tempfile, secrets, multiprocessing as m
print(random.random(), numpy.random.random(), numpy.random.default_rng().random(), uuid.uuid4(), secrets.token_hex(),
    next(tempfile._get_candidate_names()), bytes(m.current_process().authkey).hex())";
    let seeded = "import random, numpy; random.seed(1); numpy.random.seed(1); print(random.random(), numpy.random.random())";
    let rows = [[drawing; 6].as_slice(), &[seeded; 2]].concat();
    let rows: Vec<_> = rows.into_iter().map(|code| vec!["-c", code]).collect();
    let sweep = submit(&cluster, &manifest("warm", &rows));
    let left = left(&cluster, &sweep, "out");
    ran_warm(&cluster, &sweep);
    let drawn: BTreeSet<_> =
        left[..6].iter().flat_map(|job| job["log"][0].as_str().unwrap().split_whitespace()).collect();
    assert_eq!(drawn.len(), 6 * 7, "two jobs have drawn the same: {left:?}");
    assert_eq!(left[6]["log"], left[7]["log"], "a seed gives the same");
}

/// What jobs do to each other's interpreter: nothing. The container stays the same, unless the interpreter is killed.
#[test]
fn a_job_that_ends_badly_ends_alone() {
    let cluster = start();
    let who = "import os; print('the interpreter is', os.getppid(), os.listdir('/results'))";
    let writes = format!("{who}; open('/results/y', 'w').close()");
    let rows = vec![
        vec!["-c", who],
        vec!["-c", "x = bytearray(1 << 30)"],
        vec!["-c", who],
        vec!["-c", "import time; time.sleep(1000)"],
        vec!["-c", who],
        vec!["-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(1000)"],
        vec!["-c", who],
        vec!["-c", "import os; [os.fork() for _ in range(5)]; import time; time.sleep(0.2)"],
        vec!["-c", who],
        vec!["-c", "import os; open('/results/x', 'w').close(); os.chmod('/results', 0)"],
        vec!["-c", &writes],
    ];
    let mut manifest = manifest("warm", &rows);
    manifest["timeout"] = "10s".into();
    manifest["stop_grace"] = "1s".into();
    let sweep = submit(&cluster, &manifest);
    let left = left(&cluster, &sweep, "out");
    ran_warm(&cluster, &sweep);
    let reasons: Vec<_> = left.iter().map(|job| job["reason"].as_str().unwrap_or_default()).collect();
    assert_eq!(reasons, ["", "oom", "", "timeout", "", "timeout", "", "", "", "", ""]);
    let interpreters: BTreeSet<_> = left.iter().step_by(2).map(|job| job["log"].to_string()).collect();
    assert_eq!(interpreters.len(), 1, "one interpreter served them all: {interpreters:?}");
}

#[test]
fn a_job_that_kills_the_interpreter_costs_its_sweep_the_warmth_alone() {
    let cluster = start();
    let kills = "import os; os.getppid() and os.kill(os.getppid(), 9)";
    let rows = vec![vec!["-c", "print(1)"], vec!["-c", kills], vec!["-c", "print(2)"]];
    let sweep = submit(&cluster, &manifest("warm", &rows));
    cluster.wait_ended(&sweep);
    let shown = cluster.json(&["show", &sweep]);
    assert_eq!(shown["warm"]["containers"], "reuse", "{shown}");
    let why = shown["warm"]["why"].as_str().unwrap();
    assert!(why.contains("the interpreter that the job was a fork of has ended"), "{why}");
    assert_eq!(cluster.count(&sweep, "succeeded"), 3, "{shown}");
}

#[test]
fn what_can_not_run_warm_runs_all_the_same_and_says_why() {
    let cluster = start();
    let shell = ["--containers", "warm", "--matrix", "n=1:3"];
    let sweep = cluster.submit(&shell, "echo {{ n }} > /results/n");
    cluster.wait_count(&sweep, "succeeded", 3);
    let shown = cluster.ok(&["show", &sweep]);
    let why = "Warm      no: jobs run as with `containers: reuse`: the command runs sh, which is not a Python interpreter";
    assert!(shown.contains(why), "{shown}");

    let mut missing = manifest("warm", &[vec!["-c", "print(1)"]]);
    missing["warm"] = json!({"preload": ["json", "no_such_module"]});
    let sweep = submit(&cluster, &missing);
    cluster.wait_ended(&sweep);
    let job = &cluster.json(&["jobs", &sweep])[0];
    let reason = job["reason"].as_str().unwrap();
    assert!(
        reason.contains("`warm.preload` can't be imported") && reason.contains("'no_such_module'"),
        "{reason}"
    );
}

/// Modules of the image that a fork would break, or that a job's own files hide.
#[test]
fn modules_that_start_threads_or_open_files_are_left_to_the_jobs() {
    let cluster = start();
    let modules = [
        (
            "starts_threads",
            "import threading, time\nthreading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()\n",
        ),
        ("opens_files", "import os\nfile = open(os.devnull.replace('null', 'full'), 'w')\n"),
        (
            "is_fine",
            "import os, random, numpy\nvalue = os.environ.get('LEVEL')\nown = random.Random()\nfixed = random.Random(3)\n\
             numpys = numpy.random.default_rng()\n",
        ),
    ];
    let image = image_with(&cluster, &modules);
    let script = "import is_fine, starts_threads, opens_files, threading, os
print(is_fine.value, threading.active_count(), opens_files.file.name, is_fine.own.random(), is_fine.fixed.random(),
    is_fine.numpys.random())
# Imported ahead only from the second job on.
__import__('colorsys')";
    let mut manifest = manifest("warm", &["a", "b", "c", "d"].map(|arg| vec!["-c", script, arg]));
    manifest["image"] = image.into();
    // The third job finds another value than that with which the module was imported.
    manifest["params"][2]["name"] = "y".into();
    manifest["env"]["LEVEL"] = "{{ name }}".into();
    let sweep = submit(&cluster, &manifest);
    let left = left(&cluster, &sweep, "out");
    let words = |job: usize| -> Vec<String> {
        let line = left[job]["log"][0].as_str().unwrap_or_else(|| panic!("{left:?}"));
        line.split_whitespace().map(str::to_owned).collect()
    };
    for (job, level) in [(0, "x"), (1, "x"), (2, "y")] {
        assert_eq!(words(job)[..3], [level, "2", "/dev/full"], "job {job}");
    }
    assert_ne!(words(0)[3], words(1)[3], "a generator without a seed draws anew");
    assert_eq!(words(0)[4], words(1)[4], "one with a seed draws as it always does");
    let numpys: BTreeSet<_> = [0, 1, 3].map(|job| words(job)[5].clone()).into();
    assert_eq!(numpys.len(), 3, "numpy's draw anew, also after more was imported: {numpys:?}");
    let shown = cluster.json(&["show", &sweep]);
    let left_out = &shown["warm"]["left_out"];
    assert_eq!(left_out["starts_threads"], "it starts threads when it is imported", "{shown}");
    assert_eq!(left_out["opens_files"], "it opens files or sockets when it is imported", "{shown}");
    assert_eq!(left_out.as_object().unwrap().len(), 2, "{shown}");
    assert_eq!(shown["warm"]["containers"], Value::Null);
    let given = |job: u32| cluster.json(&["results", "show", &format!("{sweep}/{job}")])["given"].clone();
    let preloaded = given(0)["warm"]["preloaded"].clone();
    assert!(preloaded.as_array().unwrap().contains(&"is_fine".into()), "{preloaded}");
    assert_eq!(given(2)["warm"], Value::Null, "it ran in an interpreter of its own");
}

/// The example's image with more modules among its libraries.
fn image_with(cluster: &Cluster, modules: &[(&str, &str)]) -> String {
    let dir = cluster.dir().join("image");
    fs::create_dir(&dir).unwrap();
    let mut lines = String::from("FROM sma-cross:1\n");
    for (name, text) in modules {
        fs::write(dir.join(format!("{name}.py")), text).unwrap();
        lines += &format!("COPY {name}.py /usr/lib/python3/dist-packages/\n");
    }
    fs::write(dir.join("Dockerfile"), lines).unwrap();
    let tag = "btctl-test-modules:1";
    let built = Command::new("docker").args(["build", "-q", "-t", tag]).arg(&dir).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    tag.to_owned()
}

#[test]
fn a_script_is_read_anew_and_its_neighbours_come_first() {
    let mut cluster = Cluster::without_agent(Options::default());
    let app = cluster.dir().join("app");
    fs::create_dir(&app).unwrap();
    let agent = ["--cpus", "1", "--memory", "2GiB", "--volume", &format!("app={}:ro", app.display())];
    cluster.add_agent_with("agent", &agent.map(str::to_owned));
    fs::write(app.join("helper.py"), "value = 'first'\n").unwrap();
    let mut manifest = manifest("warm", &[["/app/main.py"]; 3].map(|row| row.to_vec()));
    manifest["volumes"] = json!(["app:/app:ro", "gate:/gate:ro"]);
    manifest["max_parallel"] = 1.into();
    // Before the job has started there is none.
    let log = |sweep: &str, job: u32| cluster.run(&["logs", &format!("{sweep}/{job}")]).stdout;
    let waiting = "import helper, json, os, time\nprint(helper.value, json.__file__)\n\
                   while not os.path.exists('/gate/open'): time.sleep(0.05)\n";
    fs::write(app.join("main.py"), waiting).unwrap();
    let sweep = submit(&cluster, &manifest);
    wait_until("the first job has printed", || log(&sweep, 0).contains("first").then_some(()));
    fs::write(app.join("main.py"), "import helper, json\nprint(helper.value, json.__file__)\n").unwrap();
    fs::write(app.join("helper.py"), "value = 'second'\n").unwrap();
    fs::write(app.join("json.py"), "").unwrap();
    cluster.open_gate();
    cluster.wait_count(&sweep, "succeeded", 3);
    assert!(log(&sweep, 0).ends_with("json/__init__.py\n"), "{}", log(&sweep, 0));
    assert_eq!(log(&sweep, 1), "second /app/json.py\n");
    ran_warm(&cluster, &sweep);
}

#[test]
fn a_sweep_whose_first_job_differs_when_it_is_warm_goes_on_in_containers_of_their_own() {
    let cluster = start();
    // A fork finds this module imported; an interpreter of its own does not. The time is another one each time.
    let differs = "import sys, time
found = 'selectors' in sys.modules or 'array' in sys.modules
open('/results/found', 'w').write(str(found))
open('/results/metrics.json', 'w').write('{\"found\": %d, \"time\": %f}' % (found, time.time()))";
    let same = "import time, json
json.dump({'x': 1, 'time': time.time()}, open('/results/metrics.json', 'w'))
open('/results/log', 'w').write(str(time.time()))";
    for (script, why) in [(differs, Some("the file found, the metric found")), (same, None)] {
        let mut manifest = manifest("warm", &[["-c", script]; 3].map(|row| row.to_vec()));
        manifest["warm"] = json!({"verify": 1});
        let sweep = submit(&cluster, &manifest);
        cluster.wait_count(&sweep, "succeeded", 3);
        let shown = cluster.json(&["show", &sweep]);
        let Some(why) = why else {
            assert_eq!(shown["warm"], Value::Null, "{shown}");
            continue;
        };
        assert_eq!(shown["warm"]["containers"], "each", "{shown}");
        let told = shown["warm"]["why"].as_str().unwrap();
        assert!(
            told.contains(&format!("job 0 left something else than in a container of its own: {why};")),
            "{told}"
        );
        for job in left(&cluster, &sweep, "out") {
            assert_eq!(job["files"][0], json!(["found", "False"]), "{job}");
        }
        let given = cluster.json(&["results", "show", &format!("{sweep}/0")])["given"].clone();
        assert_eq!(given["warm"], Value::Null, "its result is that of its own container");
    }
}

/// The example, and four libraries: the same bytes both ways.
#[test]
fn real_backtests_leave_the_same_bytes() {
    let mut cluster = start();
    let agent = ["--cpus", "2", "--memory", "4GiB", "--volume"].map(str::to_owned).into_iter();
    let prices = with_prices().agent.pop().unwrap();
    cluster.add_agent_with("larger", &agent.chain([prices]).collect::<Vec<_>>());
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (example, filter) in
        [("sma-cross", "slow == 40 and fast < 25"), ("libraries", "fast == 10 and slow == 50")]
    {
        let sums = ["each", "warm"].map(|containers| {
            let manifest = project.join("examples").join(example).join("sweep.yaml").display().to_string();
            let flags = ["submit", "-f", &manifest, "--where", filter, "--containers", containers];
            let sweep = cluster.json(&flags)["id"].as_str().unwrap().to_owned();
            cluster.wait_ended(&sweep);
            let shown = cluster.json(&["show", &sweep]);
            assert_eq!(shown["counts"]["succeeded"], 4, "{shown}");
            assert!(shown["warm"]["containers"].is_null(), "{shown}");
            let out = format!("{example}-{containers}");
            cluster.ok(&["results", "get", &sweep, "-d", &out]);
            let sums: Vec<_> =
                (0..4).map(|job| files(&cluster.dir().join(&out).join(job.to_string()))).collect();
            assert!(sums.iter().all(|files| !files.is_empty()), "{example}");
            sums
        });
        assert!(sums[0] == sums[1], "{example} leaves other bytes when it runs warm");
    }
}

#[test]
fn jobs_in_forks_that_an_agents_death_leaves_run_again() {
    let mut cluster = start();
    let waits = "import os, time
while not os.path.exists('/gate/open'): time.sleep(0.05)
open('/results/attempt', 'w').write(os.environ['BT_ATTEMPT'])";
    let mut manifest = manifest("warm", &[vec!["-c", waits]]);
    manifest["volumes"] = json!(["gate:/gate:ro"]);
    let sweep = submit(&cluster, &manifest);
    an_agents_death_costs_the_job_an_attempt(&mut cluster, &sweep);
}

/// The stop signal of a sweep that is cancelled reaches the job itself.
#[test]
fn a_stop_signal_reaches_the_job() {
    let cluster = start();
    let waits = "import signal, sys, time
def stop(number, _):
    open('/results/told', 'w').write(str(number))
    print('told', number, flush=True)
    sys.exit(0)
signal.signal(signal.SIGINT, stop)
print('waits', flush=True)
time.sleep(1000)";
    let mut manifest = manifest("warm", &[vec!["-c", waits]]);
    manifest["stop_signal"] = "SIGINT".into();
    let sweep = submit(&cluster, &manifest);
    wait_until("the job waits", || {
        cluster.run(&["logs", &format!("{sweep}/0")]).stdout.contains("waits").then_some(())
    });
    cluster.ok(&["cancel", &sweep]);
    wait_until("the job was told", || {
        cluster.run(&["logs", &format!("{sweep}/0")]).stdout.contains("told 2").then_some(())
    });
}
