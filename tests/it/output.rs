//! What commands print, in the forms that people and scripts ask for.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use bt_tests::{Cluster, Options, btctl_path};

/// Runs a command whose reader takes one line and leaves. Returns its exit code and standard error.
fn read_one_line(cluster: &Cluster, args: &[&str]) -> (i32, String) {
    let mut command = Command::new(btctl_path());
    command.args(args).env("BTCTL_COORDINATOR", cluster.address()).current_dir(cluster.dir());
    command.env("HOME", cluster.dir()).env_remove("BTCTL_CONFIG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut reader = BufReader::with_capacity(64, child.stdout.take().unwrap());
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).unwrap();
    drop(reader);
    let output = child.wait_with_output().unwrap();
    assert!(!line.is_empty(), "{args:?} printed nothing");
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_reader_that_leaves_ends_a_command_quietly() {
    let cluster = Cluster::without_agent(Options::default());
    cluster.submit_simulated(&["--name", "long", "--matrix", "n=1:6000"]);
    let axes = ["--matrix", "a=1:1000", "--matrix", "b=1:1000"];
    let dry =
        |form| [&["submit", "--image", "x:1", "--dry-run", "-o", form][..], &axes, &["--", "x"]].concat();
    let (json, csv, name) = (dry("json"), dry("csv"), dry("name"));
    let commands: &[&[&str]] = &[
        &json,
        &csv,
        &name,
        &["jobs", "long"],
        &["jobs", "long", "-o", "json"],
        &["jobs", "long", "-o", "csv"],
        &["jobs", "long", "-o", "wide"],
        &["jobs", "long", "-o", "name"],
        &["export", "long"],
        &["export", "long", "-o", "json"],
        &["export", "long", "-o", "parquet"],
        &["show", "long"],
        &["explain", "long"],
        &["agents", "ls"],
        &["config", "show"],
        &["completions", "bash"],
        &["submit", "--help"],
    ];
    for args in commands {
        let (code, errors) = read_one_line(&cluster, args);
        assert_eq!(code, 0, "{args:?}: {errors}");
        assert!(!errors.to_lowercase().contains("pipe") && !errors.contains("written"), "{args:?}: {errors}");
    }
}

#[test]
fn a_follower_ends_when_its_reader_leaves() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&[], "echo first; exec sleep 1000");
    cluster.wait_count(&sweep, "running", 1);
    assert_eq!(read_one_line(&cluster, &["logs", "-f", &sweep]), (0, String::new()));
    cluster.ok(&["cancel", &sweep]);
}

/// The cells of a line; quotes hold commas together.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut quoted) = (vec![String::new()], false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            c => cells.last_mut().unwrap().push(c),
        }
    }
    cells
}

/// Cells of a CSV without line breaks in them, by column.
fn columns(csv: &str) -> Vec<(String, Vec<String>)> {
    let mut lines = csv.lines().map(cells);
    let titles = lines.next().unwrap();
    let rows: Vec<_> = lines.collect();
    let cells = |index: usize| rows.iter().map(|row: &Vec<String>| row[index].clone()).collect();
    titles.iter().enumerate().map(|(index, title)| (title.clone(), cells(index))).collect()
}

#[test]
fn machines_get_numbers_in_base_units_and_times_in_rfc_3339() {
    let cluster = Cluster::start();
    let script =
        "echo '{\"sharpe\": 1.5}' > /results/metrics.json; head -c 5000 /dev/zero > /results/x; sleep 0.3";
    let sweep = cluster.submit(&["--name", "units", "--matrix", "n=1,2"], script);
    cluster.wait_ended(&sweep);
    let lists: &[&[&str]] = &[
        &["jobs", "units"],
        &["top", "units", "--by", "sharpe"],
        &["ls", "--all"],
        &["agents", "ls"],
        &["results", "ls", "units"],
    ];
    for args in lists {
        let csv = cluster.ok(&[args, &["-o", "csv"][..]].concat());
        for (title, cells) in columns(&csv) {
            let is_time = ["started", "finished", "created", "last_seen"].contains(&title.as_str());
            let is_number = ["bytes", "seconds", "size", "cpus"].iter().any(|unit| title.ends_with(unit))
                || title == "sharpe";
            for cell in &cells {
                assert!(!["MiB", "GiB", "KiB"].iter().any(|unit| cell.contains(unit)), "{args:?}: {csv}");
                // Empty where it is what the sweep says.
                let is_unset = title == "memory_bytes" && cell.is_empty();
                assert!(!is_number || is_unset || cell.parse::<f64>().is_ok(), "{args:?}: {title}: {cell:?}");
                assert!(
                    !is_time || (cell.ends_with('Z') && cell.contains('T')),
                    "{args:?}: {title}: {cell:?}"
                );
            }
        }
    }
    let csv = cluster.ok(&["jobs", "units", "-o", "csv"]);
    for expected in ["started", "peak_memory_bytes", "wall_seconds"] {
        assert!(columns(&csv).iter().any(|(title, _)| title == expected), "{csv}");
    }
    let doctor = cluster.json(&["doctor"]);
    for key in ["memory_bytes", "offered_memory_bytes", "cpus", "gpus"] {
        assert!(doctor[key].is_u64(), "{key}: {doctor}");
    }
}

#[test]
fn a_wide_sweep_fits_a_narrow_terminal() {
    let cluster = Cluster::start();
    let names: Vec<String> = (1..=13).map(|number| format!("constant_{number}=7")).collect();
    let mut flags = vec!["--name", "narrow", "--matrix", "fast=5,10", "--matrix", "slow=20,200"];
    for name in &names {
        flags.extend(["--matrix", name]);
    }
    let metrics: Vec<_> =
        (1..=11).map(|number| format!("\"metric_{number}\": {{{{ fast }}}}.1234567{number}")).collect();
    let script = format!(
        "echo '{{\"sharpe\": {{{{ fast }}}}.{{{{ slow }}}}123456, \"days\": 252, {}}}' > /results/metrics.json",
        metrics.join(", ")
    );
    let sweep = cluster.submit(&flags, &script);
    cluster.wait_ended(&sweep);
    for width in ["80", "120"] {
        let mut command = Command::new(btctl_path());
        command.args(["top", "narrow", "--by", "sharpe"]).env("BTCTL_COORDINATOR", cluster.address());
        command.env("COLUMNS", width).env("HOME", cluster.dir()).env_remove("BTCTL_CONFIG");
        let shown = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let limit: usize = width.parse().unwrap();
        assert!(shown.lines().all(|line| line.chars().count() <= limit), "{shown}");
        assert!(shown.starts_with("In all rows: constant_1=7, "), "{shown}");
        assert!(shown.contains("days=252\n"), "{shown}");
        assert!(shown.contains("JOB   SHARPE  STATE      FAST  SLOW  METRIC_1"), "{shown}");
        assert!(shown.contains("  3  10.2001  succeeded    10   200"), "{shown}");
        assert!(shown.contains("\nNot shown (-o wide shows all, --columns a,b,c chooses):"), "{shown}");
        assert!(shown.trim_end().ends_with("agent"), "{shown}");
    }
    let piped = cluster.ok(&["top", "narrow", "--by", "sharpe"]);
    assert!(
        piped.contains("METRIC_11") && piped.contains("CONSTANT_13") && piped.contains("AGENT"),
        "{piped}"
    );
    assert!(piped.starts_with("JOB ") && !piped.contains("Not shown"), "{piped}");
    let wide = cluster.ok(&["top", "narrow", "--by", "sharpe", "-o", "wide"]);
    assert!(wide.contains("CONSTANT_13") && wide.contains("10.200123456"), "{wide}");
    let chosen = cluster.ok(&["jobs", "narrow", "--columns", "slow,sharpe", "-o", "csv"]);
    assert!(chosen.starts_with("slow,sharpe\n20,5.20123456\n"), "{chosen}");
    let qualified =
        cluster.ok(&["jobs", "narrow", "--columns", "params.slow,metrics.sharpe,job", "-o", "csv"]);
    assert!(qualified.starts_with("slow,sharpe,job\n20,5.20123456,0\n"), "{qualified}");
    let wrong = cluster.run(&["jobs", "narrow", "--columns", "slw"]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.stderr.contains("no column \"slw\"; did you mean `slow`?"), "{wrong:?}");
    assert!(wrong.stderr.contains("The columns are job, state, fast, slow, "), "{wrong:?}");
}

#[test]
fn a_dash_is_standard_input_or_output_and_never_a_file() {
    let cluster = Cluster::without_agent(Options::default());
    cluster.submit_simulated(&["--name", "dash", "--matrix", "n=1:3"]);
    assert_eq!(cluster.ok(&["export", "dash", "--file", "-"]).lines().count(), 4);
    assert!(cluster.ok(&["export", "dash", "--file", "-", "-o", "json"]).starts_with("[\n{"));
    for ending in ["xlsx", "XLSX", "tsv", "parquet.gz", "txt"] {
        let refused = cluster.run(&["export", "dash", "--file", &format!("jobs.{ending}")]);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.stderr.contains("write .csv, .json or .parquet"), "{refused:?}");
    }
    let contradictory = cluster.run(&["export", "dash", "--file", "jobs.json", "-o", "csv"]);
    assert_eq!(contradictory.code, 2, "{contradictory:?}");
    cluster.ok(&["export", "dash", "--file", "jobs.txt", "-o", "csv"]);
    for args in [
        &["results", "get", "dash", "-d", "-"][..],
        &["run", "--local", "--image", "x:1", "-d", "-", "--", "true"],
        &["up", "--state-dir", "-"],
    ] {
        let refused = cluster.run(args);
        assert_eq!(refused.code, 2, "{args:?}: {refused:?}");
        assert!(refused.stderr.contains("this is a directory"), "{args:?}: {refused:?}");
    }
    let both = cluster.run(&["submit", "-f", "-", "--params-from", "-", "--dry-run"]);
    assert_eq!(both.code, 2, "{both:?}");
    std::fs::write(cluster.dir().join("params.csv"), "n\n1\n2\n3\n").unwrap();
    let (stdin, mut text) = (File::open(cluster.dir().join("params.csv")).unwrap(), String::new());
    let mut command = Command::new(btctl_path());
    command.args(["submit", "--image", "x:1", "--params-from", "-", "--dry-run", "-o", "csv", "--", "x"]);
    let mut child = command.stdin(stdin).stdout(Stdio::piped()).spawn().unwrap();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(!cluster.dir().join("-").exists());
}

#[test]
fn reasons_of_many_agents_are_grouped_and_the_true_one_is_seen() {
    let mut cluster = Cluster::with(Options::simulated(&["--cpus", "2"]));
    let sweep = cluster.submit_simulated(&["--name", "stuck", "--cpus", "64"]);
    cluster.database.query(
        "insert into agents (id, name, session, cpu_millis, memory_bytes, gpus, labels, volumes, version, engine, \
         last_seen_at) select gen_random_uuid(), 'gone' || n, 1, 1000, 1, 0, '{}', '{}', '', '', now() - interval \
         '2 days' from generate_series(1, 30) n",
    );
    let shown = cluster.ok(&["show", &sweep]);
    assert!(shown.contains("agent agent: ") && shown.contains("64 cpus"), "{shown}");
    assert!(!shown.contains("gone"), "{shown}");
    let explained = cluster.ok(&["explain", &sweep]);
    assert!(explained.contains("64 cpus") && !explained.contains("gone"), "{explained}");
    assert_eq!(cluster.json(&["explain", &sweep])["agents"].as_array().unwrap().len(), 31);
    cluster.agent().kill();
    cluster.database.query("update agents set last_seen_at = now() - interval '2 days'");
    let shown = cluster.ok(&["show", &sweep]);
    assert!(shown.contains("31 agents ("), "{shown}");
    let listed = cluster.run(&["agents", "ls"]);
    assert!(listed.stderr.contains("all 31 agents have been silent for more than a day"), "{listed:?}");
}

#[test]
fn one_file_or_those_that_match_are_fetched() {
    let cluster = Cluster::start();
    let script =
        "mkdir /results/plots; cd /results; for f in a.csv plots/b.csv stats.pkl; do echo $f > $f; done";
    let sweep = cluster.submit(&["--name", "pick", "--matrix", "n=1,2"], script);
    cluster.wait_ended(&sweep);
    let get = |wanted: &str, dir: &str, flags: &[&str]| {
        cluster.ok(&[&["results", "get", wanted, "-d", dir], flags].concat());
        let mut found = Vec::new();
        for path in ["0/a.csv", "0/plots/b.csv", "0/stats.pkl", "1/a.csv", "1/plots/b.csv", "1/stats.pkl"] {
            if cluster.dir().join(dir).join(path).exists() {
                found.push(path);
            }
        }
        found
    };
    assert_eq!(get("pick/1/stats.pkl", "one", &[]), ["1/stats.pkl"]);
    assert_eq!(get("pick/0/plots", "plots", &[]), ["0/plots/b.csv"]);
    let csv = ["0/a.csv", "0/plots/b.csv", "1/a.csv", "1/plots/b.csv"];
    assert_eq!(get("pick", "csv", &["--include", "*.csv"]), csv);
    assert_eq!(get("pick", "rest", &["--exclude", "*.csv"]), ["0/stats.pkl", "1/stats.pkl"]);
    let missing = cluster.run(&["results", "get", "pick/1/stat.pkl", "-d", "none"]);
    assert_eq!(missing.code, 3, "{missing:?}");
    assert!(missing.stderr.contains("did you mean `stats.pkl`?"), "{missing:?}");
}
