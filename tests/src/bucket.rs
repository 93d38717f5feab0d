//! A bucket of a test's own: a real S3 server at a free port, with its objects in a directory, at the end of a line that can
//! be broken.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::faulty_http::FaultyHttp;
use crate::process::{Process, tool};
use crate::proxy::Proxy;
use crate::wait_until;

const NAME: &str = "results";
const KEY: &str = "tester";
const SECRET: &str = "let-me-in";

/// A running S3 server with one bucket.
#[derive(Debug)]
pub struct Bucket {
    server: Process,
    line: FaultyHttp,
    dir: TempDir,
}

impl Bucket {
    pub fn start() -> Self {
        Self::with(|data| {
            let mut command = Command::new(program());
            command.arg(data).args(FLAGS);
            command
        })
    }

    /// One on a disk of its own that holds so many bytes and is nearly filled by a file.
    pub fn nearly_full(bytes: u64, taken: u64) -> Self {
        Self::with(|data| {
            let script = format!(
                "mount -t tmpfs -o size={bytes} tmpfs {data} && mkdir {data}/{NAME} && \
                 head -c {taken} /dev/zero > {data}/filler && exec {program} {data} {flags}",
                data = data.display(),
                program = program().display(),
                flags = FLAGS.join(" "),
            );
            let mut command = Command::new("unshare");
            command.args(["--map-root-user", "--mount", "sh", "-c", &script]);
            command
        })
    }

    fn with(command: impl FnOnce(&Path) -> Command) -> Self {
        let dir = tempfile::tempdir().expect("make a directory");
        let data = dir.path().join("data");
        fs::create_dir_all(data.join(NAME)).expect("make a bucket");
        let mut command = command(&data);
        command.env("RUST_LOG", "s3s_fs=info");
        let server = Process::start("s3", dir.path(), &mut command);
        let address: SocketAddr = wait_until("the S3 server listens", || {
            let log = server.log();
            let (_, rest) = log.split_once("running at http://")?;
            rest.split_whitespace().next()?.parse().ok()
        });
        Self { server, line: FaultyHttp::start(address, NAME), dir }
    }

    /// The store, in a part of the bucket.
    pub fn location(&self) -> String {
        format!("s3://{NAME}/team/a")
    }

    /// What coordinators and agents need in their environment.
    pub fn settings(&self) -> Vec<(String, String)> {
        settings(self.line.address(), SECRET)
    }

    pub fn wrong_settings(&self) -> Vec<(String, String)> {
        settings(self.line.address(), "let-me-in-please")
    }

    /// A line of its own to the bucket, and the settings of whoever uses it.
    pub fn another_line(&self) -> (Proxy, Vec<(String, String)>) {
        let line = Proxy::start(vec![self.line.address()]);
        let settings = settings(line.address(), SECRET);
        (line, settings)
    }

    pub fn line(&self) -> &FaultyHttp {
        &self.line
    }

    /// Where the store's objects lie, as the server keeps them.
    pub fn objects(&self) -> PathBuf {
        self.bucket().join("team/a")
    }

    fn bucket(&self) -> PathBuf {
        self.dir.path().join("data").join(NAME)
    }

    /// Parts of files that are not whole, as the server keeps them.
    pub fn parts(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path().join("data")).expect("look at the server's directory");
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.contains("part")).collect()
    }

    /// Makes room on the disk of one that is nearly full.
    pub fn make_room(&self) {
        let root = PathBuf::from(format!("/proc/{}/root", self.server.pid()));
        let data = self.dir.path().join("data");
        let inside = root.join(data.strip_prefix("/").unwrap_or(&data)).join("filler");
        fs::remove_file(inside).expect("remove what takes the room");
    }
}

const FLAGS: [&str; 8] = ["--host", "127.0.0.1", "--port", "0", "--access-key", KEY, "--secret-key", SECRET];

/// What it takes to use the server at an address.
fn settings(address: SocketAddr, secret: &str) -> Vec<(String, String)> {
    let endpoint = format!("http://{address}");
    let settings = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", KEY),
        ("AWS_SECRET_ACCESS_KEY", secret),
    ];
    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn program() -> PathBuf {
    tool("the S3 server of the tests", &["s3s-fs"])
}
