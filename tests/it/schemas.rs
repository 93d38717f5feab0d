//! The pages that are made from the code, and the JSON that commands print against the schemas among them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bt_tests::{Cluster, Database, Options, docker};
use serde_json::Value;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs")
}

#[test]
fn the_pages_that_are_made_from_the_code_are_up_to_date() {
    let cluster = Cluster::without_agent(Options::default());
    let written = cluster.dir().join("pages");
    cluster.ok(&["reference", "--dir", written.to_str().unwrap()]);
    let files = |dir: &Path| {
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
        names.collect::<BTreeSet<_>>()
    };
    assert_eq!(files(&written.join("schemas")), files(&docs().join("schemas")), "run `make docs`");
    let schemas = files(&written.join("schemas")).into_iter().map(|name| Path::new("schemas").join(name));
    for page in schemas.chain(["SETTINGS.md", "METRICS.md", "ROLES.md", "openapi.json"].map(PathBuf::from)) {
        let [new, old] = [&written, &docs()].map(|dir| fs::read_to_string(dir.join(&page)).unwrap());
        assert!(new == old, "docs/{} is not up to date; run `make docs`", page.display());
    }
}

#[test]
fn every_variable_is_on_the_page_of_settings() {
    let page = fs::read_to_string(docs().join("SETTINGS.md")).unwrap();
    // A mark between two processes of `btctl up`, the simulated engine's log for tests, and what a release is built with.
    let internal =
        ["BTCTL_UP_IN_BACKGROUND", "BTCTL_SIM_LOG", "BTCTL_COMPLETE", "BTCTL_COMMIT", "BTCTL_COMMIT_DATE"];
    // What only compose.yaml reads stands with its meaning in the .env that `btctl init` writes.
    let elsewhere = [
        "BTCTL_IMAGE",
        "BTCTL_AGENT_IMAGE",
        "BTCTL_PUBLISH",
        "BTCTL_UID",
        "BTCTL_GID",
        "BTCTL_RESULTS_DIR",
        "BTCTL_DATA_DIR",
        // What a scheduled job finds: docs/SCHEDULES.md.
        "BTCTL_SCHEDULE",
        "BTCTL_SCHEDULE_TIME",
        "BTCTL_SCHEDULE_DATE",
    ];
    let mut found = BTreeSet::new();
    let mut dirs: Vec<PathBuf> =
        ["cli", "agent", "coordinator", "store"].map(|name| docs().with_file_name(name).join("src")).into();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for part in code.split("\"BTCTL_").skip(1) {
                let name: String = part.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
                found.insert(format!("BTCTL_{name}"));
            }
        }
    }
    assert!(found.len() > 20, "{found:?}");
    for name in found.iter().filter(|name| {
        let name = name.as_str();
        !internal.contains(&name) && !elsewhere.contains(&name)
    }) {
        assert!(page.contains(&format!("`{name}`")), "{name} is missing");
    }
}

/// Checks a document against a schema of docs/schemas.
#[track_caller]
pub(crate) fn check(schema: &str, document: &Value) {
    let text = fs::read_to_string(docs().join(format!("schemas/{schema}.json"))).unwrap();
    let rules = serde_json::from_str(&text).unwrap();
    let validator = jsonschema::options().should_validate_formats(true).build(&rules).unwrap();
    let wrong: Vec<_> = validator.iter_errors(document).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "against {schema}: {wrong:?}: {document:#}");
}

/// Checks documents of real commands, and which schemas were used.
struct Checker<'c> {
    cluster: &'c Cluster,
    used: BTreeSet<String>,
}

impl Checker<'_> {
    #[track_caller]
    fn valid(&mut self, schema: &str, args: &[&str]) -> Value {
        let finished = self.cluster.run(args);
        let document: Value = serde_json::from_str(&finished.stdout)
            .unwrap_or_else(|error| panic!("btctl {args:?}: {error}: {finished:?}"));
        check(schema, &document);
        self.used.insert(schema.to_owned());
        document
    }
}

/// What is computed of numbers alone.
fn judgements(checker: &mut Checker<'_>) {
    let rows: String = (0..40).map(|row| format!("{}.5,{}.25,{}\n", row % 7, row % 5, row % 3)).collect();
    fs::write(checker.cluster.dir().join("series.csv"), rows).unwrap();
    for line in [
        "psr --sharpe 0.1 --observations 100",
        "mintrl --sharpe 0.1",
        "emax --trials 10",
        "minbtl --trials 10 --sharpe 1",
        "dsr --sharpe 0.1 --observations 100 --trials 9 --variance 0",
        "haircut --sharpe 0.1 --observations 100 --trials 9 --method holm",
        "adjust --method holm 0.1 0.2",
        "pbo series.csv --blocks 4",
        "effective series.csv",
        "spa series.csv --benchmark 1",
    ] {
        let words: Vec<_> = line.split(' ').collect();
        let name = format!("stats-{}", words[0]);
        checker.valid(&name, &[&["stats"], &words[..], &["-o", "json"]].concat());
    }
}

#[test]
fn what_commands_print_is_what_their_schemas_say() {
    let cluster = Cluster::start();
    let script = "echo '{\"sharpe\": 1.5}' > /results/metrics.json; echo '{\"x\": 2}' > /results/more.json; \
                  [ {{ n }} = 1 ]";
    let retries = ["--name", "one", "--matrix", "n=1,2", "--retries", "2"];
    let sweep = cluster.submit(&retries, script);
    cluster.wait_ended(&sweep);
    let other = cluster.submit(&["--name", "two", "--matrix", "n=1"], script);
    cluster.wait_ended(&other);
    let endless = cluster.submit(&["--name", "endless"], "exec sleep 1000");
    cluster.wait_count(&endless, "running", 1);
    cluster.ok(&["limits", "set", "nas", "4"]);
    cluster.ok(&["quota", "set", "ann", "--bytes", "1GiB"]);
    let image = ["--image", "btctl-test:1", "--cpus", "0.25", "-m", "64m", "-o", "json"];
    let with = |first: &[&'static str], last: &[&'static str]| [first, &image[..], last].concat();
    let mut checker = Checker { cluster: &cluster, used: BTreeSet::new() };
    let list = |document: &Value, entries: usize| {
        assert!(document.as_array().is_some_and(|list| list.len() >= entries), "{document:#}");
    };
    checker.valid("submit", &with(&["submit", "--name", "three", "--reuse"], &["--", "true"]));
    let planned = checker.valid(
        "submit-dry-run",
        &with(&["submit", "--dry-run", "--matrix", "a=1,x", "-e", "A={{ a }}"], &["--", "true"]),
    );
    list(&planned, 2);
    let estimate = checker
        .valid("submit-estimate", &with(&["submit", "--estimate", "--matrix", "a=1,x"], &["--", "true"]));
    assert_eq!(estimate["jobs"], 2, "{estimate:#}");
    let kept = cluster.run(&["submit", "--suggest-resources", "endless", "-o", "json"]);
    assert_eq!(kept.code, 1, "{kept:?}");
    list(&checker.valid("ls", &["ls", "--all", "-o", "json"]), 3);
    checker.valid("show", &["show", "one", "-o", "json"]);
    let shown = checker.valid("show-job", &["show", "one/1", "-o", "json"]);
    assert_eq!(shown["history"].as_array().map(Vec::len), Some(3), "{shown:#}");
    assert_eq!(shown["history"][0]["reason"], "exit(1)");
    cluster.ok(&[
        "submit",
        "--open",
        "--image",
        "x:1",
        "--name",
        "open",
        "--agent-label",
        "zone=none",
        "--",
        "x",
    ]);
    checker.valid("add", &["add", "open", "--params", "n=1", "-o", "json"]);
    cluster.ok(&["cancel", "open"]);
    list(&checker.valid("jobs", &["jobs", "one", "-o", "json"]), 2);
    checker.valid("jobs", &["top", "one", "--by", "sharpe", "-o", "json"]);
    let running = checker.valid("ps", &["ps", "-o", "json"]);
    list(&running, 1);
    checker.valid("explain", &["explain", "endless", "-o", "json"]);
    checker.valid("compare", &["compare", "one", "two", "-o", "json"]);
    checker.valid("compare", &["compare", "one", "two", "--by", "sharpe", "-o", "json"]);
    let walked = "name: walked\nimage: btctl-test:1\ncommand: [\"true\"]\nresources: { cpus: 0.25, memory: 64MiB }\n\
                  windows: { train: 1y, test: 1y, from: 2005-01-01, to: 2008-01-01 }\nselect: { maximize: sharpe }\n";
    fs::write(cluster.dir().join("walked.yaml"), walked).unwrap();
    list(&checker.valid("submit-dry-run", &["submit", "-f", "walked.yaml", "--dry-run", "-o", "json"]), 4);
    cluster.ok(&["submit", "-f", "walked.yaml"]);
    list(&checker.valid("walk", &["walk", "walked", "-o", "json"])["windows"], 2);
    list(&checker.valid("export", &["export", "one", "-o", "json"]), 2);
    checker.valid("metrics-import", &["metrics", "import", "one/0", "--output", "more.json", "-o", "json"]);
    checker
        .valid("run", &with(&["run", "--local"], &["--", "sh", "-c", "echo printed; echo x > /results/x"]));
    checker.valid("rerun-verify", &["rerun", "--verify", "one/0", "-o", "json"]);
    judgements(&mut checker);
    checker.valid("assess", &["assess", "one", "-o", "json"]);
    list(&checker.valid("trials", &["trials", "one", "-o", "json"])["sweeps"], 1);
    list(&checker.valid("trials-families", &["trials", "-o", "json"]), 2);
    // A pickle that calls something.
    let pickle = cluster.dir().join("some.pkl");
    fs::write(&pickle, "cposix\ngetcwd\n)R.").unwrap();
    let pickle = pickle.to_str().unwrap();
    let inspected = checker.valid("results-inspect", &["results", "inspect", "--file", pickle, "-o", "json"]);
    assert_eq!(inspected["names"][0]["standing"], "dangerous", "{inspected:#}");
    list(&checker.valid("results-ls", &["results", "ls", "one", "-o", "json"]), 2);
    checker.valid("results-ls", &["results", "ls", "one", "--partial", "-o", "json"]);
    checker.valid("results-show", &["results", "show", "one/0", "-o", "json"]);
    let path = cluster.store().join(format!("btctl-test-{}", &other[..8]));
    let path = if path.exists() { path } else { cluster.store().join(format!("two-{}", &other[..8])) };
    fs::write(path.join("0/1/more.json"), "damaged").unwrap();
    list(&checker.valid("results-verify", &["results", "verify", "two", "-o", "json"]), 1);
    list(&checker.valid("gc", &["gc", "--dry-run", "--older-than", "0s", "-o", "json"]), 1);
    list(&checker.valid("agents-ls", &["agents", "ls", "-o", "json"]), 1);
    let agent = checker.valid("agents-show", &["agents", "show", "agent", "-o", "json"]);
    list(&agent["running_jobs"], 1);
    list(&checker.valid("limits-ls", &["limits", "ls", "-o", "json"]), 1);
    list(&checker.valid("quota-ls", &["quota", "ls", "-o", "json"]), 2);
    list(&checker.valid("config-show", &["config", "show", "-o", "json"]), 2);
    checker.valid("doctor", &["doctor", "-o", "json"]);
    checker.valid("init", &["init", "cluster", "-o", "json"]);
    let url = cluster.database.url();
    let check =
        ["coordinator", "--check-config", "--database-url", &url, "--listen", "127.0.0.1:0", "-o", "json"];
    checker
        .valid("coordinator-check", &[&check[..], &["--store", cluster.store().to_str().unwrap()]].concat());
    checker.valid("migrate", &["migrate", "--database-url", &url, "-o", "json"]);
    checker.valid("backup", &["backup", "saved", "--database-url", &url, "-o", "json"]);
    let empty = Database::new();
    checker.valid("restore", &["restore", "saved", "--database-url", &empty.url(), "-o", "json"]);
    checker.valid("coordinator-init", &["coordinator", "init", "--tls-dir", "tls", "-o", "json"]);
    checker.valid("whoami", &["whoami", "-o", "json"]);
    checker.valid("token-create", &["token", "create", "ann", "--role", "viewer", "-o", "json"]);
    list(&checker.valid("token-ls", &["token", "ls", "-o", "json"]), 1);
    list(&checker.valid("secrets-ls", &["secrets", "ls", "-o", "json"]), 0);
    let rule = ["--image", "x", "-m", "64m", "--cron", "30 22 * * 1-5", "--overlap", "allow", "-o", "json"];
    checker.valid("schedule-add", &[&["schedule", "add", "nightly"], &rule[..]].concat());
    let run = ["schedule", "run", "nightly", "--time", "2026-01-05T22:30:00Z", "-o", "json"];
    assert_eq!(checker.valid("schedule-run", &run)["outcome"], "submitted");
    list(&checker.valid("schedule-ls", &["schedule", "ls", "-o", "json"]), 1);
    list(&checker.valid("schedule-show", &["schedule", "show", "nightly", "-o", "json"])["runs"], 1);
    cluster.ok(&["cancel", "x"]);
    list(&checker.valid("audit", &["audit", "-o", "json"]), 1);
    checker.valid("audit-verify", &["audit", "--verify", "-o", "json"]);
    docker(&["image", "inspect", "btctl-test:1"]);
    checker.valid("image-inspect", &["image", "inspect", "btctl-test:1", "-o", "json"]);
    checker.valid("image-ls", &["image", "ls", "-o", "json"]);
    let image = format!("x@sha256:{:064}", 1);
    checker.valid("image-promote", &["image", "promote", "prod/x", &image, "-o", "json"]);
    list(&checker.valid("image-aliases", &["image", "history", "prod/x", "-o", "json"]), 1);
    let people = cluster.ok(&["show", "one/1"]);
    assert!(people.contains("1 failed on agent agent, ") && people.contains(": exit(1)"), "{people}");
    assert!(cluster.ok(&["ps"]).contains("endless/0  running  agent"), "{}", cluster.ok(&["ps"]));
    assert!(cluster.ok(&["agents", "show", "agent"]).contains("endless/0, attempt 1 since "));
    cluster.ok(&["cancel", "endless"]);
    let mut known: BTreeSet<String> = fs::read_dir(docs().join("schemas"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".json").map(str::to_owned))
        .collect();
    // It needs a job that runs for longer than a test should; a unit test covers its numbers.
    known.remove("submit-suggest-resources");
    // No command prints these; tests/it/notify.rs tries the second.
    known.remove("manifest");
    known.remove("notification");
    // It has no end; tests/it/events.rs reads what it tells.
    known.remove("watch");
    assert_eq!(checker.used, known, "each schema is tried on a real command");
}
