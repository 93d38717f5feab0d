//! A Prometheus of a test's own: a real one, with the configuration that deploy/ has for users, at a free port.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Process, free_port, tool};
use crate::wait_until;

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    #[expect(dead_code, reason = "it lives as long as this")]
    server: Process,
    port: u16,
    #[expect(dead_code, reason = "its files live as long as this")]
    dir: TempDir,
}

/// Where deploy/ has its files.
pub fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// A command of `promtool`.
pub fn promtool() -> Command {
    Command::new(tool("promtool", &["promtool"]))
}

impl Prometheus {
    /// One that reads a coordinator and an agent, at `host:port`, each second.
    pub fn start(coordinator: &str, agent: &str) -> Self {
        let dir = tempfile::tempdir().expect("make a directory");
        let config =
            fs::read_to_string(deploy().join("prometheus/prometheus.yml")).expect("read the configuration");
        let changes = [("localhost:7600", coordinator), ("localhost:7601", agent), (": 15s", ": 1s")];
        let changed = changes.iter().fold(config, |config, (from, to)| {
            assert!(config.contains(from), "prometheus.yml has no {from}");
            config.replace(from, to)
        });
        fs::write(dir.path().join("prometheus.yml"), changed).expect("write the configuration");
        fs::copy(deploy().join("prometheus/alerts.yml"), dir.path().join("alerts.yml"))
            .expect("copy the alerts");
        let port = free_port();
        let mut command = Command::new(tool("Prometheus", &["prometheus"]));
        command
            .current_dir(dir.path())
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let server = Process::start("prometheus", dir.path(), &mut command);
        let prometheus = Self { server, port, dir };
        wait_until("Prometheus has read both", || (prometheus.value("sum(up)") == Some(2.0)).then_some(()));
        prometheus
    }

    /// What its HTTP API answers to a call.
    fn ask(&self, call: &str, query: &str) -> Option<Value> {
        let output = Command::new("curl")
            .args(["-s", "--max-time", "20", "-G", "--data-urlencode", query])
            .arg(format!("http://127.0.0.1:{}/api/v1/{call}", self.port))
            .output()
            .expect("curl is installed");
        serde_json::from_slice(&output.stdout).ok()
    }

    /// The series that a query gives, or why there is none.
    pub fn query(&self, query: &str) -> Result<Vec<Value>, String> {
        let answer = self.ask("query", &format!("query={query}")).ok_or("it does not answer")?;
        match answer["status"].as_str() {
            Some("success") => Ok(answer["data"]["result"].as_array().cloned().unwrap_or_default()),
            _ => Err(answer.to_string()),
        }
    }

    /// The value of a query that gives one series.
    pub fn value(&self, query: &str) -> Option<f64> {
        let series = self.query(query).ok()?;
        let [one] = series.as_slice() else { return None };
        one["value"][1].as_str()?.parse().ok()
    }

    /// Waits until a query gives this value.
    #[track_caller]
    pub fn wait_value(&self, query: &str, value: f64) {
        wait_until(&format!("{query} is {value}, after {:?}", self.query(query)), || {
            (self.value(query) == Some(value)).then_some(())
        });
    }
}
