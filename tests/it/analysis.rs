//! From many jobs to an answer: tables for other programs, two sweeps side by side, metrics that come later, and SQL.

use std::fs::{self, File};
use std::process::Command;

use bt_tests::{Cluster, Options, wait_until};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::{Value, json};

fn simulated() -> Cluster {
    Cluster::with(Options::simulated(&["--cpus", "16"]))
}

/// A sweep of simulated jobs that have reported this SQL expression over `number`.
fn reported(cluster: &Cluster, name: &str, flags: &[&str], metrics: &str) -> String {
    let sweep = cluster.submit_simulated(&[&["--name", name, "--cpus", "1"], flags].concat());
    cluster.wait_ended(&sweep);
    cluster.database.query(&format!("update jobs set metrics = {metrics} where sweep_id = '{sweep}'"));
    sweep
}

#[test]
fn every_job_is_in_an_export_with_its_types() {
    let cluster = Cluster::start();
    let manifest = r#"
image: btctl-test:1
name: table
resources: { cpus: 0.25, memory: 64MiB }
params:
  - { n: 1, ratio: 1, mode: fast, flag: true, state: x }
  - { n: 2, ratio: 0.5, mode: 3, flag: false, state: y }
  - { n: 3, ratio: 2, mode: slow, flag: true }
command: [sh, -c, "test {{ n }} = 3 && exit 7; echo '{\"sharpe\": {{ n }}.5, \"trades\": {{ n }}, \"n\": 10}' > /results/metrics.json"]
"#;
    fs::write(cluster.dir().join("sweep.yaml"), manifest).unwrap();
    let submitted = cluster.json(&["submit", "-f", "sweep.yaml"]);
    let sweep = submitted["id"].as_str().unwrap();
    cluster.wait_ended(sweep);

    let rows: Value = serde_json::from_str(&cluster.ok(&["export", sweep, "-o", "json"])).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 3);
    assert_eq!(rows[0]["metrics"], json!({"sharpe": 1.5, "trades": 1, "n": 10}));
    assert_eq!((&rows[2]["state"], &rows[2]["reason"]), (&json!("failed"), &json!("exit(7)")));
    assert_eq!(rows[0]["image"], "btctl-test:1");
    assert!(rows[0]["image_pin"].as_str().unwrap().contains("sha256:"));

    let csv = cluster.ok(&["export", sweep]);
    let lines: Vec<&str> = csv.lines().collect();
    assert!(
        lines[0].starts_with("sweep,sweep_id,job,state,param.n,ratio,mode,flag,param.state,metric.n,sharpe,trades,attempts,agent,reason,started"),
        "{csv}"
    );
    assert!(
        lines[2].starts_with(&format!("table,{sweep},1,succeeded,2,0.5,3,false,y,10,2.5,2,1,agent,,20")),
        "{csv}"
    );
    assert!(
        lines[3].starts_with(&format!("table,{sweep},2,failed,3,2,slow,true,,,,,1,agent,exit(7),20")),
        "{csv}"
    );

    cluster.ok(&["export", sweep, "--file", "table.parquet"]);
    let left: Vec<_> =
        fs::read_dir(cluster.dir()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".btctl-part")), "{left:?}");
    let table = SerializedFileReader::new(File::open(cluster.dir().join("table.parquet")).unwrap()).unwrap();
    let rows: Vec<Vec<(String, Field)>> = table
        .get_row_iter(None)
        .unwrap()
        .map(|row| {
            row.unwrap().get_column_iter().map(|(name, field)| (name.clone(), field.clone())).collect()
        })
        .collect();
    let field = |row: usize, name: &str| {
        let found = rows[row].iter().find(|(title, _)| title == name);
        found.map(|(_, field)| field.clone()).unwrap()
    };
    assert_eq!(rows.len(), 3);
    assert_eq!(field(1, "param.n"), Field::Long(2));
    assert_eq!(field(0, "ratio"), Field::Double(1.0));
    assert_eq!(field(1, "mode"), Field::Str("3".to_owned()), "of several types: text");
    assert_eq!(field(1, "flag"), Field::Bool(false));
    assert_eq!(field(2, "param.state"), Field::Null);
    assert_eq!((field(0, "sharpe"), field(2, "sharpe")), (Field::Double(1.5), Field::Null));
    assert_eq!(field(2, "reason"), Field::Str("exit(7)".to_owned()));
    assert!(matches!(field(0, "finished"), Field::TimestampMicros(micros) if micros > 1_700_000_000_000_000));
    assert!(matches!(field(0, "image_pin"), Field::Str(pin) if pin.contains("sha256:")));
}

#[test]
fn a_table_that_cannot_be_written_leaves_the_old_one() {
    let cluster = simulated();
    let sweep = reported(&cluster, "t", &["--matrix", "x=1,2"], "'{\"s\": 1}'");
    fs::write(cluster.dir().join("old.csv"), "old").unwrap();
    let missing = cluster.run(&["export", &sweep, "--file", "no/such/dir/x.csv"]);
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.contains("no/such/dir/x.csv can't be written"), "{missing:?}");
    let unknown = cluster.run(&["export", "nosuch", "--file", "old.csv"]);
    assert_eq!(unknown.code, 3, "{unknown:?}");
    assert_eq!(fs::read(cluster.dir().join("old.csv")).unwrap(), b"old");
    // To a terminal, as `script` makes one, no Parquet is written.
    let parquet = format!("{} export {sweep} -o parquet", bt_tests::btctl_path().display());
    let mut command = Command::new("script");
    command.args(["-qec", &parquet, "/dev/null"]).env("BTCTL_COORDINATOR", cluster.address());
    let output = command.env("HOME", cluster.dir()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stdout).contains("not for a terminal"), "{output:?}");
}

#[test]
fn two_sweeps_are_compared_point_by_point() {
    let cluster = simulated();
    let metrics =
        |k: i32| format!("jsonb_build_object('sharpe', number + {k} * (number % 2), 'dd', -number)");
    let one = reported(&cluster, "one", &["--matrix", "fast=1:10:1", "--timeout", "1h"], &metrics(0));
    let two = reported(&cluster, "two", &["--matrix", "fast=1:8:1"], &metrics(3));
    let compared = cluster.json(&["compare", &one, &two]);
    assert_eq!(compared["points"], json!({"both": 8, "only_a": 2, "only_b": 0}));
    let sharpe =
        compared["metrics"].as_array().unwrap().iter().find(|row| row["metric"] == "sharpe").unwrap();
    assert_eq!((&sharpe["better"], &sharpe["worse"], &sharpe["same"]), (&json!(4), &json!(0), &json!(4)));
    assert_eq!(sharpe["best"], json!({"a": 7.0, "b": 10.0}));
    assert_eq!(sharpe["median"], json!({"a": 3.5, "b": 5.0}));
    let whats: Vec<&str> =
        compared["differences"].as_array().unwrap().iter().map(|row| row["what"].as_str().unwrap()).collect();
    assert_eq!(whats, ["`timeout` of the manifest"]);
    let points = cluster.json(&["compare", &one, &two, "--by", "sharpe", "-n", "5"]);
    let values = points["values"].as_array().unwrap();
    assert_eq!(values.len(), 5);
    assert_eq!(
        values[0],
        json!({"job_a": 1, "job_b": 1, "params": {"fast": 2}, "a": 1.0, "b": 4.0, "difference": 3.0})
    );
    let table = cluster.run(&["compare", "one", "two", "--by", "sharpe"]);
    assert!(table.stderr.contains("8 points are in both, 2 in A alone, 0 in B alone"), "{table:?}");
    assert!(
        table.stderr.contains("differs: `timeout` of the manifest: \"1h\" in A, not given in B"),
        "{table:?}"
    );
    assert!(
        table
            .stdout
            .starts_with("JOB_A  JOB_B  FAST  A   B  DIFFERENCE\n    1      1     2  1   4           3\n"),
        "{table:?}"
    );
    let unknown = cluster.run(&["compare", &one, &two, "--by", "sharp"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("both have reported: dd, sharpe"), "{unknown:?}");
    assert_eq!(cluster.run(&["compare", &one, "one"]).code, 2);
}

#[test]
fn metrics_are_taken_from_what_jobs_have_written_in_their_way() {
    let cluster = Cluster::start();
    let script = r#"cd /results; test {{ n }} = 4 && exit 1
        test {{ n }} = 3 || echo '{"Statistics": {"Sharpe Ratio": "{{ n }}.5", "Drawdown": "12.5%"}, "runs": [{"n": {{ n }}}]}' > stats.json
        echo '{"n": {{ n }}}' > metrics.json"#;
    let sweep = cluster.submit(&["--matrix", "n=1,2,3,4"], script);
    cluster.wait_ended(&sweep);
    let import = |args: &[&str]| cluster.run(&[&["metrics", "import", &sweep], args].concat());
    let metrics = || {
        cluster
            .database
            .query(&format!("select metrics from jobs where sweep_id = '{sweep}' order by number"))
    };
    let before = metrics();
    let sharpe = [
        "--output",
        "stats.json",
        "--map",
        "sharpe=Statistics.Sharpe Ratio",
        "--map",
        "dd=Statistics.Drawdown",
    ];
    for (args, code, part) in [
        (&["--output", "stats.json"][..], 3, "1 of 3 jobs have no output stats.json (job 2 is the first)"),
        (
            &["--output", "stats.json", "--map", "x=Nope", "--skip-missing"],
            1,
            "job 0: stats.json: it has no `Nope`",
        ),
        (
            &["--output", "stats.json", "--map", "n=Statistics.Drawdown", "--skip-missing"],
            2,
            "other values of n (job 0",
        ),
        (&["--output", "none.json", "--skip-missing"], 3, "3 of 3 jobs"),
        (&["--table", "none.csv"], 2, "none.csv can't be read: No such file"),
        (&[], 2, "--output"),
    ] {
        let run = import(args);
        assert_eq!(run.code, code, "{args:?}: {run:?}");
        assert!(run.stderr.contains(part), "{args:?}: {run:?}");
        assert_eq!(metrics(), before, "{args:?}");
    }
    let dry = import(&[&sharpe[..], &["--skip-missing", "--dry-run"]].concat());
    assert!(
        dry.stderr.contains("2 jobs would get metrics") && dry.stderr.contains("new: dd, sharpe"),
        "{dry:?}"
    );
    assert_eq!(metrics(), before);
    let done = import(&[&sharpe[..], &["--skip-missing"]].concat());
    assert_eq!(done.code, 0, "{done:?}");
    let top = cluster.json(&["top", &sweep, "--by", "sharpe", "--where", "dd < 0.2"]);
    assert_eq!(top[0]["metrics"], json!({"n": 2, "sharpe": 2.5, "dd": 0.125}));
    // What readers without Postgres trust says the same.
    let document = cluster.store().join(format!("btctl-test-{}/1/result.json", &sweep[..8]));
    wait_until("result.json is written anew", || {
        let document: Value = serde_json::from_slice(&fs::read(&document).ok()?).ok()?;
        (document["metrics"]["sharpe"] == 2.5 && document["files"].as_array()?.len() == 2).then_some(())
    });
    // The same again changes nothing.
    let again = import(&[&sharpe[..], &["--skip-missing"]].concat());
    assert!(again.stderr.contains("0 jobs got metrics; 2 had them all before"), "{again:?}");

    let table = |text: &str| fs::write(cluster.dir().join("t.csv"), text).unwrap();
    for (text, part) in [
        ("jobs,x\n0,1\n", "it has no column `job`"),
        ("job,x\n0,abc\n", "line 2: \"abc\" for `x` is not a number"),
        ("job,x\n0,1\n0,2\n", "job 0 is given twice"),
        ("job,x\n3,1\n", "job 3 is failed; only jobs that have succeeded"),
        ("job,x\n9,1\n", "has no job 9"),
        ("job,x\n0,1\nx,2\n", "line 3: \"x\" is not a number of a job"),
        ("job,n\n0,1\n1,7\n", "other values of n (job 1 is the first)"),
    ] {
        table(text);
        let run = import(&["--table", "t.csv"]);
        assert_ne!(run.code, 0, "{text}");
        assert!(run.stderr.contains(part), "{text}: {run:?}");
    }
    table("job,n,alpha\n0,100,\n1,2,0.5\n");
    assert_eq!(import(&["--table", "t.csv", "--overwrite"]).code, 0);
    assert_eq!(cluster.json(&["jobs", &sweep])[0]["metrics"]["n"], 100);
    assert_eq!(cluster.json(&["jobs", &sweep])[1]["metrics"]["alpha"], 0.5);
}

#[test]
fn reports_can_be_read_and_nothing_else() {
    let cluster = Cluster::start();
    let script = "test {{ n }} = 2 && exit 3; echo '{\"sharpe\": {{ n }}.5, \"dd\": {\"max\": -1}}' > /results/metrics.json";
    let sweep = cluster.submit(&["--name", "grid", "--matrix", "n=1,2", "--matrix", "mode=a"], script);
    cluster.wait_ended(&sweep);
    let role = format!("reader_{}", &sweep[..8]);
    let reads = |sql: &str| cluster.database.query(&format!("set role {role}; {sql}"));
    cluster.database.query(&format!(
        "create role {role}; grant usage on schema reports to {role}; grant select on all tables in schema reports to {role}"
    ));
    let one = "from reports.jobs where sweep = 'grid' order by job";
    assert_eq!(
        reads(&format!("select job, state, metrics ->> 'sharpe', reason, reason_code, agent {one}")),
        ["0|succeeded|1.5|||agent", "1|failed||exit|3|agent"]
    );
    wait_until("the parameters of what was published are there", || {
        (reads(&format!("select parameters {one}")) == ["{\"n\": 1, \"mode\": \"a\"}", ""]).then_some(())
    });
    assert_eq!(
        reads("select metric, value from reports.metrics order by metric"),
        ["dd.max|-1", "sharpe|1.5"]
    );
    assert_eq!(reads("select parameter, value from reports.parameters order by 1"), ["mode|a", "n|1"]);
    assert_eq!(reads("select name, jobs, succeeded, failed from reports.sweeps"), ["grid|2|1|1"]);
    assert_eq!(
        reads("select job, attempt, state from reports.attempts order by job"),
        ["0|1|succeeded", "1|1|failed"]
    );
    assert_eq!(reads("select name, cpus from reports.agents"), ["agent|2"]);
    let stored = reads("select stored_at from reports.files");
    assert!(cluster.store().join(&stored[0]).is_file(), "{stored:?}");

    let refused = |sql: &str| {
        let sql = format!("set role {role}; {sql}");
        let mut psql = Command::new("psql");
        let output = psql
            .args(["-X", "-v", "ON_ERROR_STOP=1", "-d", &cluster.database.url(), "-c", &sql])
            .output()
            .unwrap();
        assert!(!output.status.success(), "{sql}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("permission denied") || told.contains("cannot"), "{sql}: {told}");
    };
    for sql in [
        "select * from jobs",
        "select * from sweeps",
        "update reports.jobs set job = 1",
        "update reports.agents set name = 'x'",
        "delete from reports.agents",
        "insert into reports.agents (name) values ('x')",
        "create table reports.mine (x int)",
        "truncate results",
    ] {
        refused(sql);
    }
    cluster.database.query(&format!("drop owned by {role}; drop role {role}"));
}

#[test]
fn metrics_are_taken_from_outputs_that_are_stored_compressed() {
    let coordinator = ["--compress", "zstd"].map(str::to_owned).into();
    let cluster = Cluster::with(Options { coordinator, ..Options::default() });
    let script = "printf '{\"sharpe\": 1.5, \"notes\": \"' > /results/s.json; head -c 200000 /dev/zero | tr '\\0' x >> /results/s.json; \
                  printf '\"}' >> /results/s.json";
    let sweep = cluster.submit(&[], script);
    cluster.wait_ended(&sweep);
    cluster.ok(&["metrics", "import", &sweep, "--output", "s.json"]);
    assert_eq!(cluster.json(&["jobs", &sweep])[0]["metrics"], json!({"sharpe": 1.5}));
}
