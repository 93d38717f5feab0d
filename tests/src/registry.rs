//! An image registry of a test's own: a real one, at a free port, with its files in a directory of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::engine::docker;
use crate::process::{Process, tool};
use crate::proxy::Proxy;
use crate::wait_until;

/// What Debian and what its makers call the program.
const PROGRAMS: [&str; 2] = ["docker-registry", "registry"];

/// Who may use a private registry, with the password's bcrypt.
const USERS: &str = "tester:$2b$04$g.Z3bm0HaqjhAUZp3yNbneJhKGxC0TPqY/0cMHn4Hj1paYJna3bUe\n";
/// User and password, as Docker writes them into its config file.
const AUTH: &str = "dGVzdGVyOmxldCBtZSBpbg==";

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    server: Process,
    /// Where it is reached.
    address: SocketAddr,
    line: Option<Proxy>,
    dir: TempDir,
}

impl Registry {
    /// Who may use a private one.
    pub const USER: &str = "tester";
    pub const PASSWORD: &str = "let me in";

    pub fn start() -> Self {
        Self::with(None)
    }

    /// One at the end of a line that can stall.
    pub fn far_away() -> Self {
        let mut registry = Self::start();
        let line = Proxy::start(vec![registry.address]);
        registry.address = line.address();
        registry.line = Some(line);
        registry
    }

    /// One that gives nothing to strangers.
    pub fn private() -> Self {
        Self::with(Some(json!({ "htpasswd": { "realm": "tests", "path": "users" } })))
    }

    fn with(auth: Option<Value>) -> Self {
        let dir = tempfile::tempdir().expect("make a directory");
        let mut config = json!({
            "version": "0.1",
            "log": { "accesslog": { "disabled": false } },
            "storage": { "filesystem": { "rootdirectory": dir.path().join("data") } },
            "http": { "addr": "127.0.0.1:0" },
        });
        if let Some(auth) = auth {
            config["auth"] = auth;
        }
        // JSON is YAML.
        fs::write(dir.path().join("config.yml"), config.to_string()).expect("write the registry's config");
        fs::write(dir.path().join("users"), USERS).expect("write the registry's users");
        let program = tool("an image registry", &PROGRAMS);
        let mut command = Command::new(program);
        command.args(["serve", "config.yml"]).current_dir(dir.path());
        let server = Process::start("registry", dir.path(), &mut command);
        let port = wait_until("the registry listens", || {
            let log = server.log();
            let (_, rest) = log.split_once("listening on 127.0.0.1:")?;
            rest.split_once('"')?.0.parse::<u16>().ok()
        });
        let registry = Self { server, address: ([127, 0, 0, 1], port).into(), line: None, dir };
        let login = registry.login();
        fs::create_dir(&login).expect("make a directory");
        let config = json!({ "auths": { registry.address(): { "auth": AUTH } } });
        fs::write(login.join("config.json"), config.to_string()).expect("write a log-in");
        registry
    }

    /// Host and port, as images' names begin.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The name of an image in it.
    pub fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }

    /// A directory with a config file of Docker's that lets its owner in.
    pub fn login(&self) -> PathBuf {
        self.dir.path().join("login")
    }

    /// Puts an image of this machine's into it, and returns the name by its digest.
    #[track_caller]
    pub fn push(&self, image: &str) -> String {
        let told = docker(&["--config", &self.login().display().to_string(), "push", image]);
        let digest = told.rsplit_once("digest: ").and_then(|(_, rest)| rest.split_whitespace().next());
        let digest = digest.expect("what is pushed has a digest");
        let (repository, _) = image.rsplit_once(':').expect("it is pushed by a tag");
        format!("{repository}@{digest}")
    }

    /// How often it has given the manifest of an image, under whatever tag or digest. An engine may keep that of an image
    /// that it had for a while, and not ask for it again.
    pub fn pulls(&self, image: &str) -> usize {
        self.answered(image, "GET", " 200 ")
    }

    /// How often it was asked what a tag of an image stands for, whether it has it or not.
    pub fn questions(&self, image: &str) -> usize {
        self.answered(image, "HEAD", "")
    }

    /// How often it has told anything of an image, under whatever tag or digest, to a client that it lets in.
    pub fn answers(&self, image: &str) -> usize {
        self.answered(image, "HEAD", " 200 ") + self.answered(image, "GET", " 200 ")
    }

    fn answered(&self, image: &str, method: &str, status: &str) -> usize {
        let request = format!("\"{method} /v2/{image}/manifests/");
        let log = self.server.log();
        log.lines().filter(|line| line.contains(&request) && line.contains(status)).count()
    }

    /// Lets so many more bytes through, both ways together, and then nothing until it is mended.
    pub fn stall_after(&self, bytes: u64) {
        self.line().let_through(bytes);
    }

    pub fn mend(&self) {
        self.line().mend();
    }

    fn line(&self) -> &Proxy {
        self.line.as_ref().expect("the registry is far away")
    }

    /// Ends it: nothing answers there any more.
    pub fn stop(&mut self) {
        self.server.kill();
    }
}
