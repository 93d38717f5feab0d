//! Agent and coordinator are killed at every step of an upload, through the coordinator to a directory and directly to a
//! bucket: what is expected, and what is seen. Whatever it is that dies, nothing is half published, nothing is lost, and
//! Postgres, `result.json` and the store agree in the end.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use bt_tests::{Bucket, Cluster, HeldTable, Options, Proxy, agent_notes, wait_until};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Agent,
    Coordinator,
}

/// How far the upload has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The container has stopped, and nothing was sent yet.
    BeforeTheFirstByte,
    /// A part of a file has come.
    InMidFile,
    /// The first file is stored, and the second is not.
    BetweenTwoFiles,
    /// All that is not small is stored, the end is written down, and the report of it, with the small files, has not come.
    BeforeTheReport,
    /// The report has come, and waits for its commit.
    BeforeTheCommit,
    /// It is committed, and `result.json` can't be written yet.
    BeforeResultJson,
    /// The job still runs: one file is stored, another is on its way.
    WhileItRuns,
}

const STEPS: [Step; 7] = [
    Step::BeforeTheFirstByte,
    Step::InMidFile,
    Step::BetweenTwoFiles,
    Step::BeforeTheReport,
    Step::BeforeTheCommit,
    Step::BeforeResultJson,
    Step::WhileItRuns,
];

/// Bytes of the files that go on their own, and of the small ones that go with the report.
const FIRST: u64 = 3_000_000;
const SECOND: u64 = 24_000_000;
const SMALL: u64 = 60_000;
const SMALL_FILES: u64 = 10;

/// What is seen at the time of the kill, and in the end.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// Files that are stored under their names at that time: `a`, `b`, and how many others.
    stored: (bool, bool, usize),
    /// Results that Postgres has at that time, and whether their `result.json` is there.
    published: (u64, bool),
    /// Attempts that the job took in all; of these lost, failed.
    attempts: &'static str,
}

/// A killed agent finds its containers and its reports again, and a killed coordinator is waited for: neither costs an
/// attempt.
fn expected(step: Step) -> Seen {
    let (stored, published) = match step {
        Step::BeforeTheFirstByte | Step::InMidFile => ((false, false, 0), (0, false)),
        Step::BetweenTwoFiles | Step::WhileItRuns => ((true, false, 0), (0, false)),
        Step::BeforeTheReport => ((true, true, 0), (0, false)),
        Step::BeforeTheCommit => ((true, true, SMALL_FILES as usize), (0, false)),
        Step::BeforeResultJson => ((true, true, SMALL_FILES as usize), (1, false)),
    };
    Seen { stored, published, attempts: "1|0|0" }
}

/// The files of the job, as its script makes them.
static FILES: LazyLock<BTreeMap<String, Vec<u8>>> = LazyLock::new(|| {
    let lines = |text: &str, size: u64| {
        let line = format!("{text}\n");
        line.bytes().cycle().take(usize::try_from(size).unwrap()).collect::<Vec<u8>>()
    };
    let small = (0..SMALL_FILES).map(|number| (format!("s{number}"), lines(&number.to_string(), SMALL)));
    let large = [("a", FIRST), ("b", SECOND)];
    large.map(|(name, size)| (name.to_owned(), lines(name, size))).into_iter().chain(small).collect()
});

fn script(step: Step) -> String {
    let first = format!("yes a | head -c {FIRST} > a");
    let second = format!("yes b | head -c {SECOND} > b");
    let small = format!("for n in $(seq 0 {}); do yes $n | head -c {SMALL} > s$n; done", SMALL_FILES - 1);
    let wait = |file: &str| format!("until [ -e /tmp/{file} ]; do sleep 0.1; done");
    let go = wait("go");
    match step {
        // Of two files that are there together, either may be sent first.
        Step::WhileItRuns => format!("cd /results; {first}; {}; {second}; {go}; {small}", wait("second")),
        _ => format!("cd /results; {go}; {first}; {second}; {small}"),
    }
}

/// A job on its way to a step, and what holds it there.
struct Scene<'a> {
    /// Between agent and coordinator.
    line: &'a Proxy,
    /// What large files go over: that line, or another one to the bucket.
    data: &'a Proxy,
    sweep: &'a str,
    /// Its attempt's directory in the store.
    attempt: PathBuf,
    table: Option<HeldTable>,
}

impl Scene<'_> {
    fn stored(&self, path: &str) -> bool {
        let size = fs::metadata(self.attempt.join(path)).map(|found| found.len());
        size.is_ok_and(|size| size == FILES[path].len() as u64)
    }

    /// What stands in the place of `result.json`, so that it can't be written.
    fn result_json(&self) -> PathBuf {
        self.attempt.with_file_name("result.json")
    }

    /// Brings the job to the step, and holds it there.
    fn reach(&mut self, cluster: &Cluster, step: Step) {
        match step {
            Step::BeforeTheFirstByte => self.data.cut(),
            // Several files may be on their way at once: one of them has come far enough to be begun, and none is whole.
            Step::InMidFile => self.data.let_through(FIRST / 6 * 5),
            Step::BetweenTwoFiles => self.data.let_through(FIRST + SECOND / 2),
            Step::WhileItRuns => {
                wait_until("the first file is stored", || self.stored("a").then_some(()));
                self.data.let_through(SECOND / 2);
            }
            Step::BeforeTheReport if std::ptr::eq(self.line, self.data) => {
                self.line.let_through(FIRST + SECOND + SMALL * SMALL_FILES / 2);
            }
            Step::BeforeTheReport => self.line.let_through(SMALL * SMALL_FILES / 2),
            Step::BeforeTheCommit => self.table = Some(cluster.database.hold("results")),
            Step::BeforeResultJson => fs::create_dir_all(self.result_json().join("in the way")).unwrap(),
        }
        cluster.touch(self.sweep, if step == Step::WhileItRuns { "/tmp/second" } else { "/tmp/go" });
        let database = &cluster.database;
        match step {
            Step::BeforeTheFirstByte => wait_until("the container has ended", || {
                cluster.running_containers(self.sweep).is_empty().then_some(())
            }),
            Step::InMidFile => wait_until("a part of a file has come", || self.data.is_cut().then_some(())),
            Step::BetweenTwoFiles | Step::WhileItRuns => {
                wait_until("the first file is stored", || self.stored("a").then_some(()));
                wait_until("a part of the second one has come", || self.data.is_cut().then_some(()));
            }
            Step::BeforeTheReport => wait_until("the end is written down", || {
                let notes = agent_notes(&cluster.dir().join("agent"));
                let has_ended = notes.iter().any(|(_, key)| key == "ending");
                (has_ended && self.stored("b")).then_some(())
            }),
            Step::BeforeTheCommit => database.wait_for_waiter("insert into results"),
            Step::BeforeResultJson => wait_until("it is committed", || {
                let sql = format!("select written from results where sweep_id = '{}'", self.sweep);
                (database.query(&sql) == ["f"]).then_some(())
            }),
        }
    }

    /// Lets go of what held the job.
    fn let_go(&mut self, step: Step) {
        self.table = None;
        self.line.mend();
        self.data.mend();
        if step == Step::BeforeResultJson {
            fs::remove_dir_all(self.result_json()).unwrap();
        }
    }

    fn look(&self, cluster: &Cluster) -> ((bool, bool, usize), (u64, bool)) {
        let small = FILES.keys().filter(|path| path.starts_with('s') && self.stored(path)).count();
        let sql = format!("select count(*) from results where sweep_id = '{}'", self.sweep);
        let published = cluster.database.query(&sql)[0].parse().unwrap();
        ((self.stored("a"), self.stored("b"), small), (published, self.result_json().is_file()))
    }
}

/// Postgres, `result.json` and the store say the same, and it is what the job wrote.
#[track_caller]
fn agree(cluster: &Cluster, sweep: &str, attempt: &Path, told: &str) {
    let hex = |data: &[u8]| Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let written: BTreeMap<_, _> = FILES.iter().map(|(path, data)| (path.clone(), hex(data))).collect();
    let entries = |files: &Value| -> BTreeMap<String, String> {
        let entry = |file: &Value| {
            let text = |name: &str| file[name].as_str().unwrap().to_owned();
            assert_eq!(file["size"].as_u64(), Some(FILES[&text("path")].len() as u64), "{told}");
            (text("path"), text("sha256"))
        };
        files.as_array().unwrap().iter().map(entry).collect()
    };
    wait_until("result.json is written", || {
        let sql = format!("select written from results where sweep_id = '{sweep}'");
        (cluster.database.query(&sql) == ["t"]).then_some(())
    });
    assert_eq!(entries(&cluster.json(&["results", "ls", sweep])), written, "{told}: Postgres");
    let document: Value =
        serde_json::from_slice(&fs::read(attempt.with_file_name("result.json")).unwrap()).unwrap();
    assert_eq!(entries(&document["files"]), written, "{told}: result.json");
    assert_eq!(whole_files(attempt, hex), written, "{told}: the store");
    let dir = format!("got {told}");
    cluster.ok(&["results", "get", sweep, "-d", &dir]);
    assert_eq!(whole_files(&cluster.dir().join(dir).join("0"), hex), written, "{told}: what is fetched");
}

/// What is stored, but for what is left of files that were being written when a coordinator was killed.
fn whole_files(dir: &Path, hex: impl Fn(&[u8]) -> String) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.contains('#') {
            found.insert(name, hex(&fs::read(entry.path()).unwrap()));
        }
    }
    found
}

/// How outputs get into the store.
enum Way {
    Relay,
    Direct(Box<Bucket>, Proxy, Vec<(String, String)>),
}

impl Way {
    fn direct() -> Self {
        let bucket = Bucket::start();
        let (line, settings) = bucket.another_line();
        Self::Direct(Box::new(bucket), line, settings)
    }

    fn options(&self) -> Options {
        let mut options = Options { lease: "60s", ..Options::default() };
        match self {
            // Only what goes over the line can be held there.
            Self::Relay => options.agent.extend(["--store", "relay"].map(str::to_owned)),
            Self::Direct(bucket, ..) => {
                (options.store, options.env) = (Some(bucket.location()), bucket.settings());
            }
        }
        options
    }

    fn add_agent(&self, cluster: &mut Cluster, line: &Proxy) {
        match self {
            Self::Relay => cluster.add_agent_over("agent", line),
            Self::Direct(_, _, settings) => {
                let env: Vec<_> =
                    settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                cluster.add_agent_over_in("agent", line, &env);
                wait_until("the agent writes to the bucket", || {
                    let shown = cluster.json(&["agents", "show", "agent"]);
                    shown["about"]["store"]
                        .as_str()
                        .is_some_and(|told| told.starts_with("direct"))
                        .then_some(())
                });
            }
        }
    }

    fn data<'a>(&'a self, line: &'a Proxy) -> &'a Proxy {
        match self {
            Self::Relay => line,
            Self::Direct(_, data, _) => data,
        }
    }

    fn attempt(&self, cluster: &Cluster, sweep: &str) -> PathBuf {
        let dir = cluster.stored(sweep, 0, 1);
        match self {
            Self::Relay => dir,
            Self::Direct(bucket, ..) => bucket.objects().join(dir.strip_prefix(cluster.store()).unwrap()),
        }
    }
}

fn kill_at_every_step(victim: Victim, way: &Way) {
    let mut cluster = Cluster::without_agent(way.options());
    let line = cluster.line();
    way.add_agent(&mut cluster, &line);
    for step in STEPS {
        let told = format!("{victim:?} {step:?}");
        let sweep = cluster.submit(&[], &script(step));
        wait_until("its container is known to run", || {
            let sql = format!("select state from attempts where sweep_id = '{sweep}'");
            (cluster.database.query(&sql) == ["running"]).then_some(())
        });
        let attempt = way.attempt(&cluster, &sweep);
        let data = way.data(&line);
        let mut scene = Scene { line: &line, data, sweep: &sweep, attempt, table: None };
        scene.reach(&cluster, step);
        match victim {
            Victim::Agent => cluster.agent().kill(),
            Victim::Coordinator => cluster.coordinator().kill(),
        }
        let (stored, published) = scene.look(&cluster);
        scene.let_go(step);
        match victim {
            Victim::Agent => way.add_agent(&mut cluster, &line),
            Victim::Coordinator => cluster.start_coordinator(),
        }
        if step == Step::WhileItRuns {
            cluster.touch(&sweep, "/tmp/go");
        }
        cluster.wait_count(&sweep, "succeeded", 1);
        let sql = format!("select attempts, losses, failures from jobs where sweep_id = '{sweep}'");
        let attempts = cluster.database.query(&sql);
        println!("{victim:?} | {step:?} | {stored:?} | {published:?} | {attempts:?}");
        let wanted = expected(step);
        assert_eq!((stored, published), (wanted.stored, wanted.published), "{told}");
        assert_eq!(attempts, [wanted.attempts], "{told}");
        agree(&cluster, &sweep, &scene.attempt, &told);
    }
}

#[test]
fn an_agent_that_is_killed_at_any_step_of_an_upload_loses_nothing() {
    kill_at_every_step(Victim::Agent, &Way::Relay);
}

#[test]
fn a_coordinator_that_is_killed_at_any_step_of_an_upload_loses_nothing() {
    kill_at_every_step(Victim::Coordinator, &Way::Relay);
}

#[test]
fn an_agent_that_is_killed_while_it_writes_to_a_bucket_loses_nothing() {
    kill_at_every_step(Victim::Agent, &Way::direct());
}

#[test]
fn a_coordinator_that_is_killed_while_an_agent_writes_to_a_bucket_loses_nothing() {
    kill_at_every_step(Victim::Coordinator, &Way::direct());
}
