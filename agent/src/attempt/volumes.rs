//! What the volumes of an attempt hold when it begins, and whether they are the same when it has ended.

use tracing::warn;

use super::state::Stop;
use crate::agent::Agent;
use crate::assembly::agents_fault;
use crate::job::container::Job;
use crate::job::holdings::Held;
use crate::site::workdir::AttemptDir;

/// Looks at those whose owner wants it known, and writes it down in the container's directory; `note` hears what takes time.
/// One that an earlier run of the agent began with keeps what was seen then.
pub(super) async fn look_before(
    agent: &Agent,
    dir: &AttemptDir,
    job: &Job,
    note: impl Fn(&str),
) -> Result<(), Stop> {
    let mounted = job.manifest.volumes.iter().map(|mount| mount.volume.as_str());
    let names = agent.stock.fingerprints.of(mounted);
    if names.is_empty() || dir.volumes_seen().is_some() {
        return Ok(());
    }
    note(&format!("reading {} for the fingerprint", names.join(", ")));
    let seen = agent.stock.fingerprints.before(&names).await;
    dir.note_volumes_seen(&seen).map_err(agents_fault)?;
    note("");
    Ok(())
}

/// Looks again after the container's end, and writes down what is told. One that is taken away does not wait for it.
pub(super) async fn look_after(agent: &Agent, held: &Held) {
    let Some(seen) = held.dir.volumes_seen().filter(|seen| !seen.is_empty()) else { return };
    held.note("looking whether its volumes have changed");
    let told = tokio::select! {
        told = agent.stock.fingerprints.after(&seen) => told,
        () = held.taken_away() => return,
    };
    held.note("");
    if let Err(error) = held.dir.note_volumes_told(&told) {
        warn!(attempt.id = %held.id(), error = format!("{error:#}"), "what its volumes held is not told");
    }
}
