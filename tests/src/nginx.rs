//! A real nginx before a coordinator, with the very text that docs/API.md has for users.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::process::{Process, free_port, tool};
use crate::wait_until;

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    #[expect(dead_code, reason = "it lives as long as this")]
    server: Process,
    port: u16,
    #[expect(dead_code, reason = "its files live as long as this")]
    dir: TempDir,
}

impl Nginx {
    /// Serves a coordinator below `/btctl/`.
    pub fn start(coordinator: &str) -> Self {
        let dir = tempfile::tempdir().expect("make a directory");
        let port = free_port();
        let own = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let own = own.map(|kind| format!("{kind}_temp_path {kind};")).join(" ");
        // Its workers may write only what is their user's.
        let user = if is_root() { "user root;" } else { "" };
        let config = format!(
            "{user} daemon off; worker_processes 1; pid nginx.pid; error_log stderr; events {{}}
            http {{ access_log off; {own} server {{ listen 127.0.0.1:{port}; {} }} }}",
            snippet(coordinator)
        );
        let file = dir.path().join("nginx.conf");
        fs::write(&file, config).expect("write the configuration");
        let mut command = Command::new(tool("nginx", &["nginx"]));
        command.arg("-p").arg(dir.path()).arg("-c").arg(&file);
        let server = Process::start("nginx", dir.path(), &mut command);
        wait_until("nginx answers", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Self { server, port, dir }
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("ask who this is");
    id.stdout == b"0\n"
}

/// What users are told to write, for this coordinator.
fn snippet(coordinator: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/API.md");
    let page = fs::read_to_string(page).expect("read docs/API.md");
    let snippet = page.split_once("```nginx\n").and_then(|(_, rest)| rest.split_once("```"));
    let (snippet, _) = snippet.expect("docs/API.md has a text for nginx");
    assert!(snippet.contains("http://127.0.0.1:7600/"), "the text names no coordinator: {snippet}");
    snippet.replace("http://127.0.0.1:7600", coordinator)
}
