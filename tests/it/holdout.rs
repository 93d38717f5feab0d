//! `holdout`: jobs see no byte of their data from a day on, in whichever container they run, until a look is spent; and looks
//! are counted.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bt_tests::http::post;
use bt_tests::{Cluster, Options, btctl_path, wait_until};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Stands in rows from the day on, and in files that can't be cut.
const SENTINEL: &str = "SENTINEL-OF-THE-HOLDOUT";
/// Stands in rows before it.
const KEPT: &str = "KEPT-AND-SEEN";
const FROM: &str = "2012-01-01";

/// A table of days around the date, of which each row says whether it is to be seen. Nothing is compressed.
fn parquet(path: &Path) {
    let schema = "message schema { required int32 Date (DATE); required binary word (STRING); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::default()).unwrap();
    // 2012-01-01 is day 15340.
    for days in [15_300..15_360, 15_330..15_341, 15_340..15_350] {
        let mut group = writer.next_row_group().unwrap();
        while let Some(mut column) = group.next_column().unwrap() {
            match column.untyped() {
                ColumnWriter::Int32ColumnWriter(to) => {
                    to.write_batch(&days.clone().collect::<Vec<_>>(), None, None).unwrap();
                }
                ColumnWriter::ByteArrayColumnWriter(to) => {
                    let word = |day| if day < 15_340 { KEPT } else { SENTINEL };
                    let words: Vec<_> = days.clone().map(|day| ByteArray::from(word(day))).collect();
                    to.write_batch(&words, None, None).unwrap();
                }
                _ => panic!("another column"),
            }
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
}

/// A cluster whose agent offers a volume with tables, directories, links and more.
fn start() -> (Cluster, TempDir) {
    let place = tempfile::tempdir().unwrap();
    let prices = place.path().join("prices");
    fs::create_dir_all(prices.join("deep/er")).unwrap();
    fs::create_dir_all(prices.join("empty")).unwrap();
    let csv = format!(
        "Date,word\r\n2011-12-30,{KEPT}\r\n2012-01-01,{SENTINEL}\r\n2011-12-31,\"{KEPT}\r\nand more\"\r\n20120102,{SENTINEL}\r\n"
    );
    fs::write(prices.join("deep/er/a.csv"), csv).unwrap();
    parquet(&prices.join("b.parquet"));
    fs::write(prices.join("notes.txt"), SENTINEL).unwrap();
    symlink("deep/er/a.csv", prices.join("link.csv")).unwrap();
    symlink("/etc/hostname", prices.join("out.csv")).unwrap();
    for dir in [place.path(), &prices] {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let scripts = place.path().join("scripts");
    fs::create_dir(&scripts).unwrap();
    let search = "import os\nseen = b''\nfor top, _, files in os.walk('/data'):\n    for name in files:\n        path = os.path.join(top, \
                  name)\n        seen += open(path, 'rb').read() if os.path.exists(path) else b''\nassert b'KEPT' in seen and \
                  b'SENTINEL' not in seen\n";
    fs::write(scripts.join("search.py"), search).unwrap();
    let mut options = Options::default();
    for (name, dir) in [("prices", &prices), ("scripts", &scripts)] {
        options.agent.extend(["--volume".to_owned(), format!("{name}={}:ro", dir.display())]);
    }
    (Cluster::with(options), place)
}

fn manifest(script: &str, more: &Value) -> Value {
    let mut manifest = json!({
        "name": "held", "image": "btctl-test:1", "family": "averages", "command": ["sh", "-c", script],
        "volumes": ["prices:/data:ro"], "resources": {"cpus": 0.25, "memory": "64MiB"},
    });
    for (key, value) in more.as_object().unwrap() {
        manifest[key] = value.clone();
    }
    manifest
}

fn write(cluster: &Cluster, manifest: &Value) -> String {
    let path = cluster.dir().join("sweep.json").display().to_string();
    fs::write(&path, manifest.to_string()).unwrap();
    path
}

/// Submits it, waits for its end, and returns its id.
#[track_caller]
fn runs(cluster: &Cluster, manifest: &Value, flags: &[&str]) -> String {
    let path = write(cluster, manifest);
    let submitted = cluster.json(&[&["submit", "-f", &path][..], flags].concat());
    let sweep = submitted["id"].as_str().unwrap().to_owned();
    cluster.wait_ended(&sweep);
    sweep
}

#[track_caller]
fn succeeds(cluster: &Cluster, manifest: &Value, flags: &[&str]) -> String {
    let sweep = runs(cluster, manifest, flags);
    assert_eq!(cluster.count(&sweep, "failed"), 0, "{}", cluster.ok(&["jobs", &sweep, "-o", "wide"]));
    sweep
}

/// The copies that the agents have.
fn copies(cluster: &Cluster) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(cluster.dir()).unwrap().flatten() {
        let cuts = fs::read_dir(entry.path().join("cuts")).into_iter().flatten().flatten();
        found.extend(cuts.map(|copy| copy.file_name().into_string().unwrap()));
    }
    found
}

/// Searches every byte of what is mounted, and says what else is there.
const SEARCH: &str = "! grep -r -a SENTINEL /data && ! cat /data/link.csv /data/deep/er/a.csv /data/b.parquet | grep -a SENTINEL \
                      && grep -a -q KEPT /data/link.csv && grep -a -q KEPT /data/b.parquet && test -d /data/empty \
                      && test ! -e /data/notes.txt && test \"$(readlink /data/out.csv)\" = /etc/hostname && ! touch /data/new";

#[test]
fn no_byte_of_the_holdout_reaches_a_container() {
    let (cluster, place) = start();
    let looks = json!({"holdout": {"from": FROM, "looks": 2}});
    // That the search finds what is there.
    let whole = manifest(
        "grep -r -a -c SENTINEL /data/deep /data/b.parquet /data/notes.txt",
        &json!({"family": "else"}),
    );
    succeeds(&cluster, &whole, &[]);

    let first = succeeds(&cluster, &manifest(SEARCH, &looks), &[]);
    let job = cluster.ok(&["show", &format!("{first}/0")]);
    assert!(
        job.contains("left out, since only CSV and Parquet files can be cut by date: notes.txt"),
        "{job}"
    );
    assert!(cluster.ok(&["show", &first]).contains("data cut before 2012-01-01"));
    assert_eq!(cluster.json(&["show", &first])["cut_before"], FROM);
    let rows = "printf 'Date,word\\r\\n2011-12-30,KEPT-AND-SEEN\\r\\n2011-12-31,\"KEPT-AND-SEEN\\r\\nand more\"\\r\\n' > /tmp/a \
                && cmp /tmp/a /data/deep/er/a.csv";
    succeeds(&cluster, &manifest(rows, &json!({})), &[]);
    let shared = json!({"containers": "reuse", "matrix": {"n": [1, 2, 3]}});
    succeeds(&cluster, &manifest(SEARCH, &shared), &[]);
    let batch = json!({"batch": 2, "matrix": {"n": [1, 2]}});
    let each = "read -r _ < $BT_POINTS; tail -n +2 $BT_POINTS | while read -r point _; do echo $point 0 >> $BT_STATUS; done";
    succeeds(&cluster, &manifest(&format!("{SEARCH} && {each}"), &batch), &[]);
    let typed = cluster.dir().join("typed");
    fs::write(&typed, format!("if {SEARCH}; then echo nothing was found; fi\n")).unwrap();
    let mut shell = Command::new(btctl_path());
    shell.args(["debug", &format!("{first}/0")]).env("BTCTL_COORDINATOR", cluster.address());
    let shell = shell.stdin(File::open(&typed).unwrap()).output().unwrap();
    assert!(String::from_utf8_lossy(&shell.stdout).contains("nothing was found"), "{shell:?}");
    let warm = json!({
        "image": "sma-cross:1", "containers": "warm", "matrix": {"n": [1, 2]}, "family": "warm",
        "command": ["python3", "/scripts/search.py"], "volumes": ["prices:/data:ro", "scripts:/scripts:ro"],
        "holdout": {"from": FROM, "looks": 0, "volumes": ["prices"]}, "resources": {"cpus": 0.5, "memory": "256MiB"},
    });
    succeeds(&cluster, &manifest("", &warm), &[]);
    assert_eq!(copies(&cluster).len(), 1, "one for all");

    // The data grows: what the next job sees is a copy of what is there now.
    fs::write(
        place.path().join("prices/deep/c.csv"),
        format!("time,x\n1325375999,{KEPT}\n1325376000,{SENTINEL}\n"),
    )
    .unwrap();
    succeeds(&cluster, &manifest(&format!("{SEARCH} && grep KEPT /data/deep/c.csv"), &json!({})), &[]);
    let named =
        json!({"family": "named", "holdout": {"from": "2011-12-31", "looks": 0, "volumes": ["prices"]}});
    succeeds(&cluster, &manifest("grep -c KEPT /data/deep/er/a.csv | grep -q '^1$'", &named), &[]);

    let looked = succeeds(
        &cluster,
        &manifest("grep -r -a -q SENTINEL /data/b.parquet", &json!({})),
        &["--look", "it is final"],
    );
    let shown = cluster.json(&["show", &looked]);
    assert_eq!((&shown["cut_before"], &shown["look"]), (&Value::Null, &json!({"number": 1, "of": 2})));
    assert_eq!(shown["manifest"].get("holdout"), None);
}

#[test]
fn what_can_not_be_cut_fails_before_its_container_starts() {
    let (cluster, place) = start();
    let looks = json!({"holdout": {"from": FROM, "looks": 1}});
    let prices = place.path().join("prices");
    let fails = |text: &str, parts: &[&str]| {
        fs::write(prices.join("deep/odd.csv"), text).unwrap();
        let sweep = runs(&cluster, &manifest("true", &looks), &[]);
        let job = &cluster.json(&["jobs", &sweep])[0];
        let reason = job["reason"].as_str().unwrap();
        for part in [&["manifest(volume prices: deep/odd.csv can't be cut before 2012-01-01"], parts].concat()
        {
            assert!(reason.contains(part), "{reason}");
        }
        let started =
            format!("select count(*) from attempts where sweep_id = '{sweep}' and image_id is not null");
        assert_eq!(cluster.database.query(&started), ["0"], "no container was started");
    };
    fails("Open,Close\n1,2\n", &["it has no column of dates: it has \"Open\", \"Close\"", "`holdout.date`"]);
    fails("Date,x\n2011-01-01,1\nMonday,2\n", &["line 3: column \"Date\" has \"Monday\", which is no date"]);
    fails("day,x\n7,1\n", &["column \"day\" has \"7\""]);
    assert!(copies(&cluster).is_empty(), "no half of a copy is left");
    fs::remove_file(prices.join("deep/odd.csv")).unwrap();
    succeeds(&cluster, &manifest("true", &looks), &[]);
}

#[test]
fn a_family_has_one_holdout_and_counts_its_looks() {
    let (cluster, _place) = start();
    let before = succeeds(&cluster, &manifest("true", &json!({})), &[]);
    let looks = json!({"holdout": {"from": FROM, "looks": 1}});
    let refused = |manifest: &Value, flags: &[&str], part: &str| {
        let path = write(&cluster, manifest);
        let finished = cluster.run(&[&["submit", "-f", &path][..], flags].concat());
        assert!(finished.code != 0 && finished.stderr.contains(part), "{finished:?}");
    };
    refused(
        &manifest("true", &json!({})),
        &["--look", "why"],
        "has no holdout, so there is no look to spend",
    );
    let first = succeeds(&cluster, &manifest("true", &looks), &[]);
    let other = json!({"holdout": {"from": "2013-01-01", "looks": 9}});
    refused(&manifest("true", &other), &[], "has another holdout, {from: 2012-01-01, looks: 1}");
    let written = json!({"volumes": ["prices:/data"]});
    refused(&manifest("true", &written), &[], "mount it as prices:/data:ro");
    let windows = json!({"windows": {"train": "1y", "test": "1y", "from": "2010-01-01", "to": "2013-01-01"}});
    refused(&manifest("true", &windows), &[], "tested from 2012-01-01 on, and its jobs see no data");
    refused(&manifest("true", &json!({})), &["--look", " "], "a look needs a reason");

    let path = write(&cluster, &manifest("true", &windows));
    let submit =
        || cluster.json(&["submit", "-f", &path, "--look", "the rule is final", "--idempotency-key", "k"]);
    let looked = submit();
    assert_eq!((&looked["existed"], &looked["look"]), (&json!(false), &json!({"number": 1, "of": 1})));
    let again = submit();
    assert_eq!(
        (&again["existed"], &again["id"], &again["look"]),
        (&json!(true), &looked["id"], &looked["look"])
    );
    let looked = looked["id"].as_str().unwrap();
    cluster.wait_ended(looked);
    refused(&manifest("true", &json!({})), &["--look", "once more"], "has no look left: 1 of 1 are spent");

    cluster.ok(&["rm", "--yes", looked]);
    wait_until("the removed sweep is collected", || {
        cluster.ok(&["gc"]);
        let sql = format!("select count(*) from sweeps where id = '{looked}' and collected_at is not null");
        (cluster.database.query(&sql) == ["1"]).then_some(())
    });
    let trials = cluster.json(&["trials", "averages"]);
    let holdout = &trials["holdout"];
    assert_eq!(
        (&holdout["from"], &holdout["looks"], &holdout["spent"]),
        (&json!(FROM), &json!(1), &json!(1))
    );
    assert_eq!(holdout["sweep"], json!(first));
    let look = &holdout["spent_looks"][0];
    assert_eq!((&look["why"], &look["removed"]), (&json!("the rule is final"), &json!(true)));
    let saw: Vec<_> = trials["sweeps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sweep| (&sweep["cut_before"], &sweep["look"]))
        .collect();
    assert_eq!(saw, [(&Value::Null, &Value::Null), (&json!(FROM), &Value::Null), (&Value::Null, &json!(1))]);
    let told = cluster.run(&["trials", "averages"]);
    assert!(
        told.stderr.contains("1 of 1 looks spent") && told.stderr.contains("the rule is final"),
        "{told:?}"
    );
    let answer = post(&cluster, "/api/sweeps?look=once+more", &manifest("true", &json!({})));
    assert!(answer.status == 409 && answer.refused().2.contains("has no look left"), "{answer:?}");
    let answer = post(&cluster, "/api/sweeps?owner=eve", &manifest("true", &json!({})));
    assert_eq!(answer.json()["cut_before"], FROM, "who leaves it out gets it");

    let words = |sweep: &str| cluster.json(&["assess", sweep])["words"].to_string();
    assert!(words(&first).contains("Its jobs saw no data from 2012-01-01 on"), "{}", words(&first));
    assert!(words(&before).contains("before the family got its holdout"), "{}", words(&before));
}

#[test]
fn a_cut_job_and_an_uncut_one_are_never_identical() {
    let (cluster, _place) = start();
    let whole = manifest("ls /data", &json!({"family": "whole"}));
    succeeds(&cluster, &whole, &[]);
    let taken = |sweep: &str| cluster.json(&["show", sweep])["reuse"]["taken"].as_u64();
    let again = succeeds(&cluster, &whole, &["--reuse"]);
    assert_eq!(taken(&again), Some(1));
    let cut = manifest("ls /data", &json!({"holdout": {"from": FROM, "looks": 1}}));
    let first = succeeds(&cluster, &cut, &["--reuse"]);
    assert_eq!(taken(&first), Some(0), "what was uncut is not taken");
    let second = succeeds(&cluster, &cut, &["--reuse"]);
    assert_eq!(taken(&second), Some(1), "what was cut the same is");
    let look = succeeds(&cluster, &manifest("ls /data", &json!({})), &["--reuse", "--look", "why"]);
    assert_eq!(taken(&look), Some(1), "a look sees what uncut jobs saw");
}
