//! After the container has ended well: its outputs go into the store, its metrics into the report.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::pin::pin;

use bt_engine::collect::{self, Stamp};
use bt_model::log::{LogLine, Stream};
use bt_model::manifest::Manifest;
use bt_model::metrics::{self, Metrics};
use bt_model::reason::Reason;
use bt_model::returns::{NotReturns, Returns};
use bt_proto::v1::{self, report};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tracing::warn;

use super::report::{SMALL, read_small, unreadable};
use super::returns;
use super::state::Stop;
use crate::agent::Agent;
use crate::job::container::Job;
use crate::job::holdings::Held;
use crate::line::shipping::{InStore, Journal};
use crate::line::upload::{self, Failure, What};
use crate::record::ending::{Ending, Halt, RecordedReturns, StoredOutput};

/// The most that travels with a report, names included.
const SMALL_TOGETHER: u64 = 1 << 20;
/// What an output takes of a report besides its name and what is in it.
const FRAME: u64 = 16;
/// Bytes of a file that are hashed at once.
const PIECE: usize = 256 << 10;

/// Puts the outputs into the store, unless they have been shipped there while the job ran.
pub(super) async fn publish(
    agent: &Agent,
    held: &Held,
    job: &Job,
    shipped: impl Future<Output = Journal>,
) -> Result<Ending, Stop> {
    agent.line.outbox.step(held.id(), report::Kind::Publishing(v1::Publishing {}));
    let mut journal = shipped.await;
    let root = held.dir.results();
    let outputs_reason = |error: collect::Error| Reason::Outputs(error.to_string());
    // Where a container sees no directory, there is one only if it has left something.
    if !agent.site.engine.mounts_files() && job.manifest.require.is_empty() && !root.exists() {
        return Ok(Ending::Succeeded { outputs: Vec::new(), metrics: String::new(), returns: None });
    }
    let (metrics, returns) = reported_by(held, job).await?;
    let listing = collect::list(&root).map_err(outputs_reason)?;
    let left_out = listing.skipped.iter().find(|skipped| skipped.path == job.manifest.metrics);
    if let Some(skipped) = left_out {
        held.remark(format!("no metrics are reported: {} is {}", skipped.path, skipped.why));
    }
    if let Some(told) = collect::told(&listing.skipped) {
        warn!(attempt.id = %held.id(), "{told}");
        say_in_log(held, job, &told);
        held.remark(told);
    }
    let encoding = upload::encoding(&agent.line, held).await;
    let mut stored: Vec<StoredOutput> = Vec::with_capacity(listing.outputs.len());
    let mut large = Vec::new();
    let mut room = SMALL_TOGETHER;
    for output in listing.outputs {
        let path = output.path;
        let open = || collect::open(&root, &path).map_err(outputs_reason);
        let file = open()?;
        let stamp = Stamp::of(&file).map_err(|error| unreadable(&path, &error))?;
        if let Some(output) = already_stored(&journal, &path, &stamp, open).await? {
            stored.push(output);
            continue;
        }
        // What goes to the same place now is something else.
        journal.void(&path).map_err(|error| Reason::Agent(format!("write down what is stored: {error}")))?;
        if let Some(left) = room.checked_sub(path.len() as u64 + FRAME)
            && let Some(data) =
                read_small(file, left.min(SMALL)).map_err(|error| unreadable(&path, &error))?
        {
            room = left - data.len() as u64;
            let (size, sha256) = (data.len() as u64, Sha256::digest(&data).to_vec());
            let encoding = encoding.of(&path).map_err(|error| Reason::Outputs(error.to_string()))?;
            stored.push(StoredOutput {
                path,
                size,
                sha256,
                small: true,
                encoding,
                stored_size: 0,
                stored_as: String::new(),
                content: Some(data.into()),
            });
            continue;
        }
        large.push((path, stamp));
    }
    let sending = stream::iter(large).map(|(path, stamp)| {
        let root = &root;
        async move {
            let open = || collect::open(root, &path).map_err(outputs_reason);
            (stamp, upload::upload(&agent.line, held, What::Output(path.clone()), open).await)
        }
    });
    // As many at once as the agent lets through, and no more are made.
    let mut sending = pin!(sending.buffer_unordered(agent.site.options.uploads_at_once as usize));
    while let Some((stamp, sent)) = sending.next().await {
        match sent {
            Ok(output) => {
                journal.note(stamp, output.clone());
                stored.push(output);
            }
            Err(Failure::TakenAway) => return Err(Stop::Halted(Halt::TakenAway)),
            Err(Failure::Refused(reason)) => return Err(Stop::Failed(reason)),
        }
    }
    stored.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(Ending::Succeeded { outputs: stored, metrics, returns })
}

/// The metrics as a JSON object, nothing if the job wrote none, and its returns. What is left out of both is said in its log.
async fn reported_by(held: &Held, job: &Job) -> Result<(String, Option<RecordedReturns>), Stop> {
    let (root, manifest) = (held.dir.results(), job.manifest.clone());
    let is_small = |name: &str| root.join(name).symlink_metadata().is_ok_and(|file| file.len() <= SMALL);
    let table = manifest.judged.returns.as_ref();
    let (metrics, returns) = match is_small(&manifest.metrics) && table.is_none() {
        true => read_reported(&root, &manifest)?,
        // It may take a second to read files that are as large as can be.
        false => {
            let read = tokio::task::spawn_blocking(move || read_reported(&root, &manifest));
            read.await.map_err(|error| Reason::Agent(error.to_string()))??
        }
    };
    let say = |told: String| {
        say_in_log(held, job, &told);
        held.remark(told);
    };
    let returns = match returns {
        None => None,
        Some(Ok(returns)) => Some(RecordedReturns::of(&returns)),
        Some(Err(error)) => {
            say(format!("its returns can't be used: {error}"));
            None
        }
    };
    let Some(metrics) = metrics else { return Ok((String::new(), returns)) };
    if !metrics.left_out.is_empty() {
        say(format!(
            "{}: NaN, infinite or null, and so not reported: {}",
            job.manifest.metrics,
            metrics::listed(metrics.left_out.iter())
        ));
    }
    Ok((serde_json::Value::Object(metrics.numbers).to_string(), returns))
}

type Reported = (Option<Metrics>, Option<Result<Returns, NotReturns>>);

/// The metrics, and the returns of the table that the manifest names, else those among the metrics.
fn read_reported(root: &Path, manifest: &Manifest) -> Result<Reported, Reason> {
    let mut metrics = read_metrics(root, manifest)?;
    let among_metrics = metrics.as_mut().and_then(|metrics| metrics.returns.take());
    let returns = match &manifest.judged.returns {
        Some(table) => Some(returns::read(root, table)),
        None => among_metrics,
    };
    Ok((metrics, returns))
}

pub(super) fn say_in_log(held: &Held, job: &Job, text: &str) {
    let text = format!("btctl: {text}\n").into_bytes();
    let line = LogLine { time: Timestamp::now(), stream: Stream::Stderr, text };
    let say = || {
        let (mut log, _) = held.dir.open_log(job.manifest.sandbox.log_limit())?;
        log.append(&line)?;
        log.finish()
    };
    if let Err(error) = say() {
        warn!(attempt.id = %held.id(), error = %error, "the log can't be added to");
    }
}

/// What is in the store of a file, if it is the very file. One that may have changed unseen is read again.
async fn already_stored(
    journal: &Journal,
    path: &str,
    stamp: &Stamp,
    open: impl Fn() -> Result<File, Reason>,
) -> Result<Option<StoredOutput>, Reason> {
    match journal.find(path, stamp) {
        InStore::No => Ok(None),
        InStore::Stored(output) => Ok(Some(output)),
        InStore::Perhaps(output) => {
            let file = open()?;
            let hashing = tokio::task::spawn_blocking(move || sha256(file));
            let hashed = hashing.await.map_err(|error| Reason::Agent(error.to_string()))?;
            let (size, sha256) = hashed.map_err(|error| unreadable(path, &error))?;
            Ok((size == output.size && sha256[..] == output.sha256[..]).then_some(output))
        }
    }
}

pub(super) fn sha256(mut file: File) -> io::Result<(u64, [u8; 32])> {
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

/// The metrics that a job has left, if it did and need not have; those that its manifest requires are among them.
pub(crate) fn read_metrics(root: &Path, manifest: &Manifest) -> Result<Option<Metrics>, Reason> {
    let name = &manifest.metrics;
    let file = match collect::open(root, name) {
        Ok(file) => file,
        Err(collect::Error::NotFound { .. }) if manifest.require.is_empty() => return Ok(None),
        // What is left out among outputs is left out here, and told with them.
        Err(collect::Error::NotRegular { why, .. })
            if manifest.require.is_empty() && why != collect::SkipReason::Directory =>
        {
            return Ok(None);
        }
        Err(collect::Error::NotFound { .. }) => {
            let required = metrics::listed(manifest.require.iter());
            return Err(Reason::Outputs(format!(
                "{name} is missing; the manifest requires {required} in it"
            )));
        }
        Err(error) => return Err(Reason::Outputs(error.to_string())),
    };
    let mut text = Vec::new();
    let read = file.take(metrics::MAX_TEXT as u64 + 1).read_to_end(&mut text);
    read.map_err(|error| Reason::Outputs(format!("{name}: {error}")))?;
    let metrics = metrics::parse(&text);
    let checked = metrics.and_then(|metrics| metrics.require(&manifest.require).map(|()| metrics));
    checked.map(Some).map_err(|error| Reason::Outputs(format!("{name}: {error}")))
}
