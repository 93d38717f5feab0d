//! A finished sweep in a few lines.

use bt_documents::SweepReport;
use bt_proto::v1;

use super::standing::Best;
use crate::error::Error;
use crate::output::{Channel, words};
use crate::reuse;

/// Prints the sweep's outcome. A sweep with jobs that did not succeed is an error.
pub(super) fn summarise(shown: &SweepReport, best: Option<&Best>, channel: Channel) -> Result<(), Error> {
    let address = words::address(&shown.sweep);
    let name = &shown.sweep.name;
    let v1::Counts { succeeded, failed, cancelled, pruned, .. } = shown.counts;
    let took = words::between(shown.sweep.created.as_ref(), shown.sweep.finished.as_ref())?;
    let mut parts = vec![format!("{succeeded} succeeded")];
    for (count, word) in [(failed, "failed"), (cancelled, "were cancelled"), (pruned, "were pruned")] {
        if count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    let parts = parts.join(", ");
    channel.say(&match shown.counts.queued {
        0 => format!("sweep {name} finished in {took}: {parts}"),
        _ => format!("sweep {name} stopped: {parts}"),
    })?;
    if let Some(reuse) = &shown.reuse {
        channel.say(&format!("  {}", reuse::words(reuse, words::total(&shown.counts))))?;
    }
    for failures in &shown.failures {
        let reason = words::reason(failures.reason.clone())?.unwrap_or_default();
        channel.say(&format!(
            "  {}: {reason}; see btctl logs {address}/{}",
            failures.jobs, failures.first_job
        ))?;
    }
    if let Some(best) = best {
        channel.say(&format!("  best: {}", best.words()))?;
    }
    if shown.counts.queued > 0 {
        channel.say(&format!(
            "  {} are held back, because {}: btctl resume {address} runs them all the same, btctl cancel {address} drops them",
            shown.counts.queued,
            shown.sweep.pause_reason()
        ))?;
        return Err(Error::SweepFailed);
    }
    // What was pruned ended as it was asked to.
    match failed + cancelled {
        0 => Ok(()),
        _ => Err(Error::SweepFailed),
    }
}
