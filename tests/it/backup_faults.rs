//! Backups that can't be made whole, and such that can't be restored: what is said, and that nothing is changed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bt_tests::{Cluster, Database, Options, SmallDisk, wait_until};

/// A coordinator with a finished sweep, and a backup of it.
fn backed_up() -> (Cluster, PathBuf) {
    let cluster = Cluster::with(Options::simulated(&["--cpus", "2"]));
    let sweep = cluster.submit_simulated(&["--matrix", "n=1:3"]);
    cluster.wait_count(&sweep, "succeeded", 3);
    let backup = cluster.dir().join("backup");
    cluster.ok(&["backup", &backup.display().to_string(), "--database-url", &cluster.database.url()]);
    (cluster, backup)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// What a database holds.
fn tables(database: &Database) -> Vec<String> {
    database
        .query("select count(*) from pg_tables where schemaname not in ('pg_catalog', 'information_schema')")
}

#[test]
fn a_backup_that_is_damaged_or_newer_is_refused_before_anything_is_changed() {
    let (cluster, backup) = backed_up();
    let target = Database::new();
    let broken = cluster.dir().join("broken");
    let record = fs::read_to_string(backup.join("backup.json")).unwrap();
    let migration = record.lines().find(|line| line.contains("\"migration\"")).unwrap().to_owned();
    type Change<'c> = &'c dyn Fn(&Path);
    let cases: [(&str, Change<'_>); 7] = [
        ("state.dump has", &|dir| {
            let size = fs::metadata(dir.join("state.dump")).unwrap().len();
            fs::File::options().write(true).open(dir.join("state.dump")).unwrap().set_len(size - 1).unwrap();
        }),
        ("state.dump has another content", &|dir| {
            let mut dump = fs::read(dir.join("state.dump")).unwrap();
            let middle = dump.len() / 2;
            dump[middle] ^= 1;
            fs::write(dir.join("state.dump"), dump).unwrap();
        }),
        ("store.jsonl.zst is missing", &|dir| fs::remove_file(dir.join("store.jsonl.zst")).unwrap()),
        ("holds no backup: backup.json is missing", &|dir| fs::remove_file(dir.join("backup.json")).unwrap()),
        ("backup.json is damaged", &|dir| fs::write(dir.join("backup.json"), &record[..200]).unwrap()),
        ("use that version, or a newer one", &|dir| {
            let newer = record.replace(&migration, "\"migration\": 9999,");
            fs::write(dir.join("backup.json"), newer).unwrap();
        }),
        ("use that version, or a newer one", &|dir| {
            let newer = record.replace("\"format\": 1,", "\"format\": 2, \"what\": {},");
            fs::write(dir.join("backup.json"), newer).unwrap();
        }),
    ];
    for (words, change) in cases {
        copy(&backup, &broken);
        change(&broken);
        let at = broken.display().to_string();
        for args in [vec!["restore", &at, "--database-url", &target.url()], vec!["backup", "verify", &at]] {
            let refused = cluster.run(&args);
            assert!([1, 3].contains(&refused.code), "{words}: {refused:?}");
            assert!(refused.stderr.contains(words), "{words}: {refused:?}");
        }
        assert_eq!(tables(&target), ["0"], "{words}");
        fs::remove_dir_all(&broken).unwrap();
    }

    // A running cluster is not touched.
    let before = tables(&cluster.database);
    let at = backup.display().to_string();
    let refused = cluster.run(&["restore", &at, "--database-url", &cluster.database.url()]);
    assert_eq!(refused.code, 1, "{refused:?}");
    for words in ["is not empty", "coordinator runs on it", "createdb"] {
        assert!(refused.stderr.contains(words), "{words}: {refused:?}");
    }
    assert_eq!(tables(&cluster.database), before);
    // Nor is a database of another program.
    target.query("create table mine (n int)");
    let refused = cluster.run(&["restore", &at, "--database-url", &target.url()]);
    assert!(refused.stderr.contains("such as the table public.mine"), "{refused:?}");
    target.query("drop table mine");

    // A restore that fails in the middle leaves nothing: no type of this name can be made.
    target.query("create schema reports");
    let refused = cluster.run(&["restore", &at, "--database-url", &target.url()]);
    assert!(refused.code == 1 && refused.stderr.contains("nothing was restored"), "{refused:?}");
    assert_eq!(tables(&target), ["0"]);
    target.query("drop schema reports");
    cluster.ok(&["restore", &at, "--database-url", &target.url()]);
}

#[test]
fn a_backup_that_is_broken_off_leaves_nothing_that_looks_like_one() {
    let (cluster, backup) = backed_up();
    let names = |dir: &Path| {
        let entries = fs::read_dir(dir).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let url = cluster.database.url();
    let small = SmallDisk::new(32);
    let full =
        cluster.run(&["backup", &small.path().join("b").display().to_string(), "--database-url", &url]);
    assert!(full.code == 1 && full.stderr.contains("No backup was made"), "{full:?}");
    assert_eq!(names(&small.path()), Vec::<String>::new());

    // Killed while pg_dump reads a table.
    let second = cluster.dir().join("all/second");
    fs::create_dir(cluster.dir().join("all")).unwrap();
    let at = second.display().to_string();
    let held = cluster.database.hold_from_readers("result_files");
    let mut killed = cluster.spawn("killed", &["backup", &at, "--database-url", &url]);
    wait_until("pg_dump waits", || {
        let waits = "select count(*) from pg_stat_activity where application_name = 'pg_dump'
            and datname = current_database() and wait_event_type = 'Lock'";
        (cluster.database.query(waits) != ["0"]).then_some(())
    });
    let twice = cluster.run(&["backup", &at, "--database-url", &url]);
    assert!(twice.code == 1 && twice.stderr.contains("another btctl backup"), "{twice:?}");
    killed.kill();
    drop(held);
    assert_eq!(names(&cluster.dir().join("all")), [".second.part"]);
    let refused = cluster.run(&["restore", &format!("{}/all/.second.part", cluster.dir().display())]);
    assert!(refused.code == 3 && refused.stderr.contains("holds no backup"), "{refused:?}");
    let taken = cluster.run(&["backup", &at, "--database-url", &url]);
    assert!(taken.code == 0 && taken.stderr.contains("broken off"), "{taken:?}");
    cluster.ok(&["backup", "verify", &at]);
    assert_eq!(names(&cluster.dir().join("all")), ["second"]);

    // A name that is taken, and a pg_dump that is too old.
    let taken = cluster.run(&["backup", &backup.display().to_string(), "--database-url", &url]);
    assert!(taken.code == 2 && taken.stderr.contains("is there already"), "{taken:?}");
    let bin = cluster.dir().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("pg_dump"), "#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n").unwrap();
    fs::set_permissions(bin.join("pg_dump"), PermissionsExt::from_mode(0o755)).unwrap();
    let third = cluster.dir().join("third").display().to_string();
    let bin = bin.display().to_string();
    let old = cluster.run(&["backup", &third, "--database-url", &url, "--postgres-bin", &bin]);
    assert!(old.code == 1 && old.stderr.contains("9.6.24"), "{old:?}");
    assert!(old.stderr.contains("apt-get install postgresql-client-"), "{old:?}");
    assert!(!Path::new(&third).exists());
}
