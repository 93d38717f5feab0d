//! How a sweep stands, in one sentence: on its page and in its report.

use bt_documents::{ShownSweep, SweepState};

use super::{since, were};

/// How it stands, in one sentence.
pub(super) fn sentence(shown: &ShownSweep) -> String {
    let sweep = &shown.sweep;
    let counts = &sweep.counts;
    let total = counts.total();
    let finished = counts.finished();
    let jobs = if total == 1 { "job" } else { "jobs" };
    let took = match (sweep.created, sweep.finished) {
        (Some(from), Some(to)) => format!("; it took {}", since(from, to)),
        _ => String::new(),
    };
    match sweep.state {
        SweepState::Succeeded if counts.pruned > 0 => {
            format!("{} of {total} {jobs} succeeded, {} pruned{took}.", counts.succeeded, were(counts.pruned))
        }
        SweepState::Succeeded if total == 1 => format!("Its job succeeded{took}."),
        SweepState::Succeeded => format!("All {total} jobs succeeded{took}."),
        SweepState::Failed => {
            let pruned = match counts.pruned {
                0 => String::new(),
                pruned => format!(", {} pruned", were(pruned)),
            };
            format!(
                "{} of {total} {jobs} succeeded, {} failed{pruned}{took}.",
                counts.succeeded, counts.failed
            )
        }
        SweepState::Cancelled => {
            format!("{} of {total} {jobs} succeeded before it was cancelled{took}.", counts.succeeded)
        }
        SweepState::Queued => format!("{total} {jobs} wait; none has started."),
        SweepState::Open => format!(
            "It is open for more jobs; {finished} {} finished so far.",
            if finished == 1 { "has" } else { "have" }
        ),
        SweepState::Paused => format!("It is paused: {finished} of {total} {jobs} have finished."),
        SweepState::Running => {
            let left = shown.pace.as_ref().and_then(|pace| pace.left(counts));
            let left = left.map(|left| format!("; about {left} are left"));
            let left = left.unwrap_or_default();
            format!("{finished} of {total} {jobs} have finished, {} run now{left}.", counts.running)
        }
    }
}
