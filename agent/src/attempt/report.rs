//! The end of an attempt: written down, reported until it is acknowledged, with the log and the small outputs.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use bt_model::reason::Reason;
use bt_proto::v1;
use bytes::Bytes;
use tokio::time::sleep;
use tracing::warn;

use crate::agent::Agent;
use crate::job::container::Job;
use crate::job::holdings::Held;
use crate::line::outbox::Attached;
use crate::line::upload::{self, Failure, What};
use crate::record::ending::{Ended, Ending};

/// How long the log of an attempt that was taken away may take to reach the store.
const LAST_LOG: Duration = Duration::from_secs(10);
/// The largest output or log that travels with the report of the attempt's end: a call of its own would cost more than
/// it.
pub(super) const SMALL: u64 = 64 << 10;

/// Writes the ending down, reports it until it is acknowledged, and removes the container.
pub(super) async fn report(agent: &Agent, held: &Held, ending: Ending) {
    let EndWritten { ended, files, log } = write_down(agent, held, ending).await;
    held.hush();
    let attached = Attached {
        files,
        log,
        image_id: held.image_id(),
        usage: ended.usage.to_wire(),
        volumes: held.dir.volumes_told(),
        given: given(agent, held),
        remark: ended.remark.clone(),
    };
    let acknowledged = agent.line.outbox.end(held.id(), ended.ending.report(), attached);
    let answered = async {
        tokio::select! {
            _ = acknowledged => {}
            () = held.taken_away() => {}
        }
    };
    let ((), ()) = tokio::join!(answered, remove_container(agent, held));
}

/// An ending that is written down, with what travels with its report.
struct EndWritten {
    ended: Ended,
    files: Vec<(String, Bytes)>,
    log: Bytes,
}

/// Writes down how the attempt ended. What an earlier run of the agent has written down stands.
async fn write_down(agent: &Agent, held: &Held, mut ending: Ending) -> EndWritten {
    if let Ok(Some(ended)) = held.dir.ended() {
        let (files, log) = (held.dir.ended_with_outputs(), held.dir.ended_with_log());
        return EndWritten { ended, files, log };
    }
    if let Ending::Released { preempted, .. } = &mut ending {
        // Work that had not begun is handed back at no cost all the same.
        *preempted = agent.leaving.is_preempted() && held.dir.has_started();
    }
    let log = small_log(held);
    if log.is_none() {
        send_log(agent, held).await;
    }
    let log = log.unwrap_or_default();
    let files = small_outputs(&ending);
    let ended = Ended { ending, usage: held.usage(), remark: held.remarks() };
    if let Err(error) = held.dir.write_ended(&ended, &files, &log).await {
        // It is reported all the same; only a restart before the acknowledgement would lose it.
        warn!(attempt.id = %held.id(), error = format!("{error:#}"), "the ending is not on disk");
    }
    EndWritten { ended, files, log }
}

/// What its container was given, if one was started.
fn given(agent: &Agent, held: &Held) -> Option<v1::Given> {
    if !held.dir.has_started() {
        return None;
    }
    let job = Job::read(&held.assignment, &agent.manifests).ok()?;
    let image_env = agent.stock.looks.env_of(&held.image_id());
    let given = job.given(agent.site.identity, &agent.site.offer, &agent.site.engine_version, &image_env);
    let warm = held.warm().map(|preloaded| v1::Warmth { preloaded });
    Some(v1::Given { warm, ..given })
}

/// All of a file, if it has no more bytes than this.
pub(super) fn read_small(file: File, most: u64) -> std::io::Result<Option<Vec<u8>>> {
    if file.metadata()?.len() > most {
        return Ok(None);
    }
    let mut data = Vec::new();
    file.take(most + 1).read_to_end(&mut data)?;
    Ok((data.len() as u64 <= most).then_some(data))
}

pub(super) fn unreadable(path: &str, error: &std::io::Error) -> Reason {
    Reason::Outputs(format!("{path}: {error}"))
}

/// The outputs that travel with the report, as they were when they were listed.
fn small_outputs(ending: &Ending) -> Vec<(String, Bytes)> {
    let Ending::Succeeded { outputs, .. } = ending else { return Vec::new() };
    outputs.iter().filter_map(|output| Some((output.path.clone(), output.content.clone()?))).collect()
}

/// The whole log, if it is small; empty if there is none.
fn small_log(held: &Held) -> Option<Bytes> {
    match File::open(held.dir.log()) {
        Ok(file) => read_small(file, SMALL).ok().flatten().map(Bytes::from),
        Err(_) => Some(Bytes::new()),
    }
}

/// Puts the log into the store, unless there is none. The log of an attempt that was taken away is sent too, but
/// failures are ignored.
pub(super) async fn send_log(agent: &Agent, held: &Held) {
    let path = held.dir.log();
    if !path.exists() {
        return;
    }
    let open = || std::fs::File::open(&path).map_err(|error| Reason::Agent(error.to_string()));
    let given_up = async {
        held.taken_away().await;
        sleep(LAST_LOG).await;
    };
    tokio::select! {
        sent = upload::upload(&agent.line, held, What::Log, open) => if let Err(Failure::Refused(reason)) = sent {
            warn!(attempt.id = %held.id(), "the log is not stored: {reason}");
        },
        () = given_up => {
            warn!(attempt.id = %held.id(), "the log of an attempt that was taken away is not stored");
        }
    }
}

/// Removes the container. One that the engine won't let go of now is removed by a later pass of the reconciler.
pub(super) async fn remove_container(agent: &Agent, held: &Held) {
    if held.is_shared() {
        return;
    }
    agent.site.secrets.remove(held.id());
    if let Err(error) = agent.site.engine.remove(held.id()).await {
        agent.site.health.leave_container(held.id(), &error);
    }
}
