//! `btctl migrate`, and what `btctl coordinator --check-config` says before a start.

use std::process::{Command, Stdio};

use bt_tests::{Cluster, Database, Options, btctl_path, free_port};
use serde_json::Value;

fn btctl(args: &[&str], database: &Database) -> Command {
    let mut command = Command::new(btctl_path());
    command
        .args(args)
        .env("BTCTL_DATABASE_URL", database.url())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn json(output: &std::process::Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

fn applied(done: &Value) -> usize {
    done["migrations"].as_array().unwrap().len()
}

#[test]
fn two_migrate_one_database_at_once_and_each_migration_is_applied_once() {
    let database = Database::new();
    let planned = json(&btctl(&["migrate", "--dry-run", "-o", "json"], &database).output().unwrap());
    assert_eq!((&planned["from"], &planned["dry_run"]), (&Value::Null, &true.into()), "{planned}");
    let all = applied(&planned);
    assert!(all > 30, "{planned}");
    assert_eq!(database.query("select count(*) from pg_tables where schemaname = 'public'"), ["0"]);
    // A coordinator that may not do it says who does.
    let store = tempfile::tempdir().unwrap();
    let store = store.path().display().to_string();
    let start =
        ["coordinator", "--no-migrate", "--listen", "127.0.0.1:0", "--store", &store, "--check-config"];
    let refused = btctl(&start[..start.len() - 1], &database).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("run `btctl migrate`"), "{said}");
    let checked = btctl(&start, &database).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.code() == Some(1) && said.contains("btctl migrate"), "{said}");

    let both = [(); 3].map(|()| btctl(&["migrate", "-o", "json"], &database).spawn().unwrap());
    let both = both.map(|child| child.wait_with_output().unwrap());
    let each: Vec<_> = both.iter().map(|output| applied(&json(output))).collect();
    assert_eq!(each.iter().sum::<usize>(), all, "{each:?}");
    assert_eq!(database.query("select count(*) from _sqlx_migrations"), [all.to_string()]);
    assert!(btctl(&start, &database).output().unwrap().status.success());

    database.query(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (9999, 'x', true, '', 0)",
    );
    for args in [&["migrate"][..], &["migrate", "--dry-run"]] {
        let newer = btctl(args, &database).output().unwrap();
        let said = String::from_utf8_lossy(&newer.stderr).into_owned();
        assert_eq!(newer.status.code(), Some(1), "{said}");
        assert!(said.contains("newer btctl (migration 9999); use that version"), "{said}");
    }
}

#[test]
fn the_schema_is_looked_at_beside_a_running_coordinator() {
    let cluster = Cluster::without_agent(Options::default());
    let told = cluster.json(&["migrate", "--database-url", &cluster.database.url()]);
    assert_eq!(applied(&told), 0, "{told}");
    assert_eq!(told["from"], told["to"], "{told}");
}

#[test]
fn a_check_names_all_that_is_wrong_and_changes_nothing() {
    let (database, dir) = (Database::new(), tempfile::tempdir().unwrap());
    let at = |name: &str| dir.path().join(name).display().to_string();
    let listen = format!("127.0.0.1:{}", free_port());
    let check = |flags: &[&str]| {
        let args = [&["coordinator", "--check-config", "-o", "json", "--listen", &listen], flags].concat();
        let output = btctl(&args, &database).output().unwrap();
        let found = json(&output).as_array().unwrap().clone();
        let errors = found.iter().filter(|finding| finding["level"] == "error").count();
        assert_eq!(output.status.code(), Some(i32::from(errors > 0)), "{found:?}");
        found
    };
    let of = |found: &[Value], about: &str| {
        let all: Vec<_> = found.iter().filter(|finding| finding["about"] == about).collect();
        assert!(!all.is_empty(), "{about}: {found:?}");
        all.iter().map(|finding| finding.to_string()).collect::<String>()
    };
    let good = check(&["--store", &at("store"), "--admin-token-file", &at("admin.token")]);
    // The tests' server keeps nothing.
    let unsafe_server = of(&good, "postgres").contains("fsync is off");
    let wrong = good.iter().filter(|finding| finding["level"] != "ok").count();
    assert_eq!(wrong, usize::from(unsafe_server), "{good:?}");
    assert!(of(&good, "schema").contains("a start applies"), "{good:?}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "it made something");
    assert_eq!(database.query("select count(*) from pg_tables where schemaname = 'public'"), ["0"]);

    std::fs::write(at("key"), "no key").unwrap();
    std::fs::write(at("token"), "no token").unwrap();
    let bad = check(&[
        "--store",
        "/proc/nothing/store",
        "--tls-dir",
        &at("tls"),
        "--auth",
        "tokens",
        "--admin-token-file",
        &at("token"),
        "--secrets-key-file",
        &at("key"),
        "--audit-file",
        &at("no/such/audit"),
        "--lease",
        "10s",
        "--heartbeat",
        "9s",
    ]);
    for (about, word) in [
        ("settings", "at most a third of the lease"),
        ("certificate", "btctl coordinator init"),
        ("admin token", "chmod 600"),
        ("secrets' key", "key"),
        ("audit log", "mkdir -p"),
        ("store", "/proc/nothing"),
    ] {
        assert!(of(&bad, about).contains(word) && of(&bad, about).contains("error"), "{about}: {bad:?}");
    }

    let cluster = Cluster::without_agent(Options::default());
    // Of a key that this coordinator does not have.
    cluster.database.query(
        "insert into secrets (name, owners, key_id, nonce, sealed, set_by) values ('X', '{ann}', '0123456789abcdef', \
         decode(repeat('07', 12), 'hex'), decode(repeat('07', 20), 'hex'), 'root')",
    );
    let beside = cluster.run(&[
        "coordinator",
        "--check-config",
        "--database-url",
        &cluster.database.url(),
        "--listen",
        cluster.address().trim_start_matches("http://"),
        "--store",
        &cluster.store().display().to_string(),
    ]);
    assert!(beside.code == 0 && beside.stdout.contains("is in use"), "{beside:?}");
    for words in ["can be written to", "1 secrets can't be read", "the file with the key 0123456789abcdef"] {
        assert!(beside.stdout.contains(words), "{words}: {beside:?}");
    }
    let files = std::fs::read_dir(cluster.store()).unwrap();
    let left: Vec<_> = files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(left.iter().all(|name| !name.contains("probe")), "{left:?}");
}
