//! Writes down who changed what, and who was refused. One task writes, many entries at a time, and a call that changed
//! something is answered when its entry is in Postgres.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixDatagram;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use bt_model::hex::hex;

use crate::config::Asking;
use crate::queue::{AuditRow, Deed, Queue};

/// Entries that are written at once, and that may wait for it.
const BATCH: usize = 256;
const WAITING: usize = 10_000;
/// How long a call waits for its entry.
const PATIENCE: Duration = Duration::from_secs(10);
/// The wait after Postgres did not take entries.
const AGAIN: Duration = Duration::from_secs(1);
/// Refusals that are written down in a second, and how many may come at once.
const RATE: f64 = 10.0;
const BURST: f64 = 200.0;
/// What syslog calls authpriv (10) and notice (5).
const PRIORITY: u8 = 10 * 8 + 5;
/// How long the same refusal is written down once only.
const SAME: Duration = Duration::from_secs(60);

/// Takes what is to be written down. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    writer: mpsc::Sender<Waiting>,
    refusals: Arc<Mutex<Refusals>>,
}

struct Waiting {
    deed: Deed,
    written: Option<oneshot::Sender<()>>,
}

#[derive(Debug)]
struct Refusals {
    room: f64,
    looked: Instant,
    left_out: u64,
    /// Those that were written down a short time ago: the same again says nothing new.
    told: HashMap<[String; 4], Instant>,
}

/// The task that writes.
pub(crate) struct Writer {
    queue: Queue,
    waiting: mpsc::Receiver<Waiting>,
    file: Option<File>,
    syslog: Option<Syslog>,
}

/// The system's log, by the socket that it listens on.
struct Syslog {
    path: PathBuf,
    /// None: it is to be connected again.
    socket: Option<UnixDatagram>,
}

/// What takes entries, and what writes them: into Postgres, and as JSON to a file and the system's log too if asked for.
pub(crate) async fn open(queue: Queue, asking: &Asking) -> anyhow::Result<(Record, Writer)> {
    let file = match &asking.audit_file {
        None => None,
        Some(path) => {
            let opened = tokio::fs::OpenOptions::new().create(true).append(true).mode(0o640).open(path).await;
            Some(opened.with_context(|| format!("--audit-file {}", path.display()))?)
        }
    };
    let syslog = match &asking.audit_syslog {
        None => None,
        Some(path) => {
            let mut syslog = Syslog { path: path.clone(), socket: None };
            syslog.connected().with_context(|| format!("--audit-syslog {}", path.display()))?;
            Some(syslog)
        }
    };
    let (writer, waiting) = mpsc::channel(WAITING);
    let refusals = Refusals { room: BURST, looked: Instant::now(), left_out: 0, told: HashMap::new() };
    let record = Record { writer, refusals: Arc::new(Mutex::new(refusals)) };
    Ok((record, Writer { queue, waiting, file, syslog }))
}

impl Record {
    /// Writes down what was done, and waits until it is.
    pub(crate) async fn done(&self, deed: Deed) {
        let (written, is_written) = oneshot::channel();
        let what = deed.what.clone();
        let writing = async {
            if self.writer.send(Waiting { deed, written: Some(written) }).await.is_ok() {
                is_written.await.ok();
            }
        };
        if timeout(PATIENCE, writing).await.is_err() {
            warn!("the audit log is behind: {what} is answered before its entry is written");
        }
    }

    /// Writes down what may have been done, by a call whose caller left. Waits for nothing.
    pub(crate) fn perhaps(&self, deed: Deed) {
        if self.writer.try_send(Waiting { deed, written: None }).is_err() {
            error!("the audit log takes no more entries; one is lost");
        }
    }

    /// Writes down a refusal, unless it was written down a short time ago or there are too many: then the next one says how
    /// many are left out.
    pub(crate) fn refused(&self, mut deed: Deed) {
        let left_out = {
            let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            refusals.room = (refusals.room + (now - refusals.looked).as_secs_f64() * RATE).min(BURST);
            refusals.looked = now;
            refusals.told.retain(|_, told| now - *told < SAME);
            let same = [&deed.who, &deed.from, &deed.what, &deed.outcome].map(Clone::clone);
            if refusals.room < 1.0 || refusals.told.contains_key(&same) {
                refusals.left_out += 1;
                return;
            }
            refusals.room -= 1.0;
            refusals.told.insert(same, now);
            std::mem::take(&mut refusals.left_out)
        };
        if left_out > 0 {
            deed.outcome += &format!(" ({left_out} refusals before it are left out)");
        }
        self.perhaps(deed);
    }
}

impl Writer {
    /// Writes until all who could hand something in are gone, or soon after `shutdown`.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut batch = Vec::new();
        while self.waiting.recv_many(&mut batch, BATCH).await > 0 {
            let deeds: Vec<_> = batch.iter().map(|waiting| waiting.deed.clone()).collect();
            let rows = loop {
                match self.queue.write_audit(&deeds).await {
                    Ok(rows) => break rows,
                    Err(error) => {
                        error!(error = %error, entries = deeds.len(), "the audit log can't be written")
                    }
                }
                if shutdown.is_cancelled() {
                    return self.give_up(&deeds);
                }
                sleep(AGAIN).await;
            };
            if let Some(file) = &mut self.file
                && let Err(error) = append(file, &rows).await
            {
                error!(error = %error, "the audit file can't be written; Postgres has the entries");
            }
            if let Some(syslog) = &mut self.syslog
                && let Err(error) = syslog.send(&rows).await
            {
                error!(error = %error, "the system's log takes no audit entries; Postgres has them");
            }
            for waiting in batch.drain(..) {
                if let Some(written) = waiting.written {
                    written.send(()).ok();
                }
            }
        }
    }

    /// The log is the last place to say it.
    fn give_up(&self, deeds: &[Deed]) {
        for deed in deeds {
            let Deed { who, from, what, target, outcome, .. } = deed;
            error!("not in the audit log: {who} ({from}): {what} {target}: {outcome}");
        }
    }
}

async fn append(file: &mut File, rows: &[AuditRow]) -> std::io::Result<()> {
    let lines: String = rows.iter().map(|row| format!("{}\n", line(row))).collect();
    file.write_all(lines.as_bytes()).await?;
    file.flush().await
}

fn line(row: &AuditRow) -> serde_json::Value {
    let AuditRow { number, at, deed, hash } = row;
    json!({
        "number": number,
        "at": at,
        "who": deed.who,
        "role": deed.role.map(bt_model::role::Role::name),
        "from": deed.from,
        "what": deed.what,
        "target": deed.target,
        "before": deed.before,
        "after": deed.after,
        "outcome": deed.outcome,
        "hash": hex(hash),
    })
}

impl Syslog {
    fn connected(&mut self) -> std::io::Result<&UnixDatagram> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(&self.path)?;
                socket
            }
        };
        Ok(self.socket.insert(socket))
    }

    /// An entry is one message, as programs of the machine itself send them. A log that was started anew is found again.
    async fn send(&mut self, rows: &[AuditRow]) -> std::io::Result<()> {
        for row in rows {
            let message = format!("<{PRIORITY}>btctl[{}]: audit {}", std::process::id(), line(row));
            let first = self.connected()?.send(message.as_bytes()).await;
            if first.is_err() {
                self.socket = None;
                self.connected()?.send(message.as_bytes()).await?;
            }
        }
        Ok(())
    }
}
