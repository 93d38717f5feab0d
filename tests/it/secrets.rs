//! Secrets of jobs: how they arrive, who may name them, and that their values are nowhere else.

mod arrive;
mod kept;
mod named;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use bt_tests::{Cluster, Finished, Options};
use tempfile::TempDir;
use uuid::Uuid;

/// A cluster whose coordinator has a key for secrets.
struct Keyed {
    cluster: Cluster,
    place: TempDir,
}

impl Keyed {
    fn with(mut options: Options, agent: bool) -> Self {
        let place = tempfile::tempdir().unwrap();
        let (key, old) = (place.path().join("key"), place.path().join("old"));
        new_key(&key);
        let flags = ["--secrets-key-file", &shown(&key), "--secrets-old-key-file", &shown(&old)];
        options.coordinator.extend(flags.map(str::to_owned));
        let cluster = if agent { Cluster::with(options) } else { Cluster::without_agent(options) };
        Self { cluster, place }
    }

    fn start() -> Self {
        Self::with(Options::default(), true)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Writes a value that is for its owner alone.
    fn write(&self, name: &str, value: &str) -> String {
        let path = self.file(name);
        private(&path, value);
        shown(&path)
    }

    fn set(&self, name: &str, value: &str, flags: &[&str]) -> Finished {
        let file = self.write("value", value);
        self.cluster.run(&[&["secrets", "set", name, "--file", &file], flags].concat())
    }

    #[track_caller]
    fn stored(&self, name: &str, value: &str, flags: &[&str]) {
        let set = self.set(name, value, flags);
        assert_eq!((set.code, set.stdout.as_str()), (0, ""), "{set:?}");
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn private(path: &Path, text: &str) {
    fs::remove_file(path).ok();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
}

fn new_key(path: &Path) {
    let random = [Uuid::new_v4(), Uuid::new_v4()].map(|part| part.simple().to_string());
    private(path, &random.concat());
}

/// A value that nothing else is like.
fn value() -> String {
    format!("hunter2-{}", Uuid::new_v4())
}

/// What would give a value away in a dump: itself, its bytes as Postgres writes them, its base64.
fn forms(value: &str) -> [Vec<u8>; 3] {
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut base64 = Command::new("base64");
    let base64 = base64.arg("-w0").stdin(file_with(value)).output().unwrap().stdout;
    // Its last letters depend on what follows.
    [value.as_bytes().to_vec(), hex.into_bytes(), base64[..32].to_vec()]
}

fn file_with(text: &str) -> fs::File {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    file
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|bytes| bytes == needle)
}

/// Files below a directory in which this stands.
fn files_with(dir: &Path, needle: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => found.extend(files_with(&path, needle)),
            // What is gone by now held nothing that stays.
            kind if kind.is_file() && fs::read(&path).is_ok_and(|bytes| holds(&bytes, needle)) => {
                found.push(path)
            }
            _ => {}
        }
    }
    found
}

fn dump(cluster: &Cluster) -> Vec<u8> {
    let dumped = Command::new("pg_dump")
        .args(["-d", &cluster.database.url()])
        .env_remove("PGDATABASE")
        .output()
        .unwrap();
    assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
    dumped.stdout
}

/// The directories of containers in the memory of these agents.
fn in_memory(cluster: &Cluster) -> Vec<PathBuf> {
    let ids = cluster.database.query("select id from agents");
    let root = |id: &String| ["/run", "/dev/shm"].map(|parent| format!("{parent}/btctl-secrets-{id}"));
    let entries = ids.iter().flat_map(root).flat_map(|root| fs::read_dir(root).into_iter().flatten());
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[track_caller]
fn log(cluster: &Cluster, sweep: &str) -> String {
    cluster.wait_ended(sweep);
    let log = cluster.ok(&["logs", sweep]);
    let jobs = cluster.json(&["jobs", sweep]);
    assert!(jobs.as_array().unwrap().iter().all(|job| job["state"] == "succeeded"), "{jobs}: {log}");
    log
}
