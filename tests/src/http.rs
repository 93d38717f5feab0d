//! The coordinator's HTTP, asked by curl.

use std::fmt;
use std::process::Command;

use serde_json::Value;

use crate::Cluster;

/// What was answered.
pub struct Answer {
    pub status: u16,
    /// Its lines, names and values in lower case.
    pub headers: String,
    pub body: Vec<u8>,
}

impl Answer {
    #[track_caller]
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The value of a header; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        found.unwrap_or_default()
    }

    pub fn kind(&self) -> &str {
        self.header("content-type")
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.kind(), "application/json", "{self:?}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The status, the code and the message of a refusal.
    #[track_caller]
    pub fn refused(&self) -> (u16, String, String) {
        let error = self.json()["error"].clone();
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        (self.status, text("code"), text("message"))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n\n{}", self.headers, String::from_utf8_lossy(&self.body))
    }
}

/// Asks for a path, with flags of curl.
#[track_caller]
pub fn curl(cluster: &Cluster, path: &str, flags: &[&str]) -> Answer {
    let mut command = Command::new("curl");
    command.args(["-s", "-i", "--max-time", "60"]).args(flags).arg(format!("{}{path}", cluster.address()));
    let output = command.output().expect("curl is installed");
    assert!(output.status.success(), "curl {path}: {output:?}");
    let end = output.stdout.windows(4).position(|four| four == b"\r\n\r\n").expect("headers have an end");
    let headers = String::from_utf8_lossy(&output.stdout[..end]).to_ascii_lowercase();
    let status = headers.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, headers: headers.replace('\r', ""), body: output.stdout[end + 4..].to_vec() }
}

#[track_caller]
pub fn get(cluster: &Cluster, path: &str) -> Answer {
    curl(cluster, path, &[])
}

/// Sends JSON.
#[track_caller]
pub fn post(cluster: &Cluster, path: &str, body: &Value) -> Answer {
    curl(cluster, path, &["-H", "Content-Type: application/json", "-d", &body.to_string()])
}
