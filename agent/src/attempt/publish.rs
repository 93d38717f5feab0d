//! After the container has ended well: its outputs go into the store, its metrics into the report.

use std::io::Read;
use std::path::Path;

use bt_model::metrics;
use bt_model::reason::Reason;
use bt_proto::v1::{self, report};
use futures_util::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};
use tracing::warn;

use super::{SMALL, Stop, read_small, unreadable};
use crate::agent::Agent;
use crate::collect;
use crate::container::Job;
use crate::ending::{Ending, Outcome, StoredOutput};
use crate::holdings::Held;
use crate::upload::{self, Failure, What};

/// The most that travels with a report, names included.
const SMALL_TOGETHER: u64 = 1 << 20;
/// What an output takes of a report besides its name and what is in it.
const FRAME: u64 = 16;
/// The largest metrics file that is read.
const LARGEST_METRICS: u64 = 1 << 20;

/// Puts the outputs into the store.
pub(super) async fn publish(agent: &Agent, held: &Held, job: &Job) -> Result<Outcome, Stop> {
    agent.outbox.step(held.id(), report::Kind::Publishing(v1::Publishing {}));
    let root = held.dir.results();
    let outputs_reason = |error: collect::Error| Reason::Outputs(error.to_string());
    let metrics = read_metrics(&root, &job.manifest.metrics)?;
    let listing = collect::list(&root).map_err(outputs_reason)?;
    for skipped in &listing.skipped {
        warn!(attempt.id = %held.id(), "output {} is left out: {}", skipped.path, skipped.why);
    }
    let encoding = upload::encoding(agent, held).await;
    let mut stored: Vec<StoredOutput> = Vec::with_capacity(listing.outputs.len());
    let mut large = Vec::new();
    let mut room = SMALL_TOGETHER;
    for output in listing.outputs {
        let path = output.path;
        if let Some(left) = room.checked_sub(path.len() as u64 + FRAME)
            && let Some(data) =
                read_small(collect::open(&root, &path).map_err(outputs_reason)?, left.min(SMALL))
                    .map_err(|error| unreadable(&path, &error))?
        {
            room = left - data.len() as u64;
            let (size, sha256) = (data.len() as u64, Sha256::digest(&data).to_vec());
            let encoding = encoding.of(&path).map_err(|error| Reason::Outputs(error.to_string()))?;
            stored.push(StoredOutput { path, size, sha256, small: true, encoding, stored_size: 0 });
            continue;
        }
        large.push(path);
    }
    let sending = stream::iter(large).map(|path| {
        let root = &root;
        async move {
            let open = || collect::open(root, &path).map_err(outputs_reason);
            upload::upload(agent, held, What::Output(path.clone()), open).await
        }
    });
    // As many at once as the agent lets through, and no more are made.
    let sent = sending.buffer_unordered(agent.options.uploads_at_once as usize).try_collect::<Vec<_>>().await;
    match sent {
        Ok(sent) => stored.extend(sent),
        Err(Failure::TakenAway) => return Ok(Outcome::Discard),
        Err(Failure::Refused(reason)) => return Err(Stop::Failed(reason)),
    }
    stored.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(Outcome::End(Ending::Succeeded { outputs: stored, metrics }))
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
