//! After the container has ended well: its outputs go into the store, its metrics into the report.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bt_model::metrics;
use bt_model::reason::Reason;
use bt_proto::v1::{self, report};
use sha2::{Digest, Sha256};
use tracing::warn;

use super::{SMALL, Stop, read_small, unreadable};
use crate::agent::Agent;
use crate::collect::{self, Stamp};
use crate::container::Job;
use crate::ending::{Ending, Outcome, StoredOutput};
use crate::holdings::Held;
use crate::shipping::{Journal, Known};
use crate::upload::{Failure, What, upload};

/// The most that travels with a report, names included.
const SMALL_TOGETHER: u64 = 1 << 20;
/// What an output takes of a report besides its name and what is in it.
const FRAME: u64 = 16;
/// Bytes of a file that are hashed at once.
const PIECE: usize = 256 << 10;
/// The largest metrics file that is read.
const LARGEST_METRICS: u64 = 1 << 20;

/// Puts the outputs into the store, unless they have been shipped there while the job ran.
pub(super) async fn publish(
    agent: &Agent,
    held: &Held,
    job: &Job,
    shipped: impl Future<Output = Journal>,
) -> Result<Outcome, Stop> {
    agent.outbox.step(held.id(), report::Kind::Publishing(v1::Publishing {}));
    let mut journal = shipped.await;
    let root = held.dir.results();
    let outputs_reason = |error: collect::Error| Reason::Outputs(error.to_string());
    let metrics = read_metrics(&root, &job.manifest.metrics)?;
    let listing = collect::list(&root).map_err(outputs_reason)?;
    for skipped in &listing.skipped {
        warn!(attempt.id = %held.id(), "output {} is left out: {}", skipped.path, skipped.why);
    }
    let mut stored: Vec<StoredOutput> = Vec::with_capacity(listing.outputs.len());
    let mut room = SMALL_TOGETHER;
    for output in listing.outputs {
        let open = || collect::open(&root, &output.path).map_err(outputs_reason);
        let stamp = Stamp::of(&open()?).map_err(|error| unreadable(&output.path, &error))?;
        if let Some(output) = already_stored(&journal, &output.path, &stamp, open).await? {
            stored.push(output);
            continue;
        }
        // What goes to the same place now is something else.
        journal
            .void(&output.path)
            .map_err(|error| Reason::Agent(format!("write down what is stored: {error}")))?;
        if let Some(left) = room.checked_sub(output.path.len() as u64 + FRAME)
            && let Some(data) =
                read_small(open()?, left.min(SMALL)).map_err(|error| unreadable(&output.path, &error))?
        {
            room = left - data.len() as u64;
            let (size, sha256) = (data.len() as u64, Sha256::digest(&data).to_vec());
            stored.push(StoredOutput { path: output.path, size, sha256, small: true });
            continue;
        }
        match upload(agent, held, What::Output(output.path.clone()), open).await {
            Ok(output) => {
                journal.note(stamp, output.clone());
                stored.push(output);
            }
            Err(Failure::TakenAway) => return Ok(Outcome::Discard),
            Err(Failure::Refused(reason)) => return Err(Stop::Failed(reason)),
        }
    }
    Ok(Outcome::End(Ending::Succeeded { outputs: stored, metrics }))
}

/// What is in the store of a file, if it is the very file. One that may have changed unseen is read again.
async fn already_stored(
    journal: &Journal,
    path: &str,
    stamp: &Stamp,
    open: impl Fn() -> Result<File, Reason>,
) -> Result<Option<StoredOutput>, Reason> {
    match journal.find(path, stamp) {
        Known::No => Ok(None),
        Known::Stored(output) => Ok(Some(output)),
        Known::Perhaps(output) => {
            let file = open()?;
            let hashing = tokio::task::spawn_blocking(move || sha256(file));
            let hashed = hashing.await.map_err(|error| Reason::Agent(error.to_string()))?;
            let (size, sha256) = hashed.map_err(|error| unreadable(path, &error))?;
            Ok((size == output.size && sha256[..] == output.sha256[..]).then_some(output))
        }
    }
}

fn sha256(mut file: File) -> io::Result<(u64, [u8; 32])> {
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE];
    let mut size = 0;
    loop {
        match file.read(&mut piece)? {
            0 => return Ok((size, hash.finalize().into())),
            read => {
                size += read as u64;
                hash.update(&piece[..read]);
            }
        }
    }
}

/// The metrics as a JSON object; nothing if the job wrote none.
pub(crate) fn read_metrics(root: &Path, name: &str) -> Result<String, Reason> {
    let file = match collect::open(root, name) {
        Ok(file) => file,
        Err(collect::Error::NotFound { .. }) => return Ok(String::new()),
        Err(error) => return Err(Reason::Outputs(error.to_string())),
    };
    let mut text = Vec::new();
    let read = file.take(LARGEST_METRICS + 1).read_to_end(&mut text);
    read.map_err(|error| Reason::Outputs(format!("{name}: {error}")))?;
    let metrics = metrics::parse(&text);
    let metrics = metrics.map_err(|error| Reason::Outputs(format!("{name}: {error}")))?;
    Ok(serde_json::Value::Object(metrics).to_string())
}
