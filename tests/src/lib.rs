//! The harness of the whole-system tests: a database for each test, coordinators and agents as real processes, and
//! clients that type real commands.
//!
//! The tests need what `make test` sets up: a Postgres whose URL is in `DATABASE_URL` (scripts/with-postgres), a Docker
//! Engine, the server of an image registry, an S3 server
//! (scripts/tools), the image `btctl-test:1` (scripts/images), and loop devices with the right to mount them. A missing part fails the test and says so.

mod agent_journal;
mod broken_engine;
mod browser;
mod bucket;
mod cluster;
mod cut_disk;
mod database;
mod engine;
mod faulty_http;
pub mod history;
mod hook;
pub mod http;
mod issuer;
mod network;
mod nginx;
mod postgres;
mod process;
mod prometheus;
mod proxy;
mod registry;
mod root;
mod scripted;
mod small_disk;
mod spans;
mod terminal;

pub use agent_journal::{add_agent_note, agent_notes};
pub use broken_engine::BrokenEngine;
pub use browser::{browse, browse_with_problems};
pub use bucket::Bucket;
pub use cluster::{Cluster, GATE, Options, WAIT_AT_GATE};
pub use cut_disk::CutDisk;
pub use database::{Database, HeldTable};
pub use engine::{Images, docker, docker_finds};
pub use faulty_http::{Fault, FaultyHttp};
pub use hook::{Hook, Mail, MailServer, Posted};
pub use issuer::{Issuer, Person, Shown};
pub use network::Network;
pub use nginx::Nginx;
pub use postgres::PostgresServer;
pub use process::{Finished, Process, btctl_path, free_port};
pub use prometheus::{Prometheus, deploy, promtool};
pub use proxy::Proxy;
pub use registry::Registry;
pub use root::as_nobody;
pub use scripted::ScriptedAgent;
pub use small_disk::SmallDisk;
pub use spans::{SentSpan, SpanCollector};
pub use terminal::Terminal;

use std::time::{Duration, Instant};

/// How long anything that a test waits for may take.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Waits until `look` gives something, and returns it.
#[track_caller]
pub fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}
