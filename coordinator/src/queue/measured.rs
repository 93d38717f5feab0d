//! Counts what statements did, once they are committed.

use std::time::Duration;

use bt_measures::{
    ATTEMPTS, CLAIMED, JOB_RUN, LEASES_LOST, LEASES_RENEWED, PREEMPTED, PUBLISHED_BYTES, PUBLISHED_FILES,
    SCHEDULE_RUNS,
};
use bt_model::reason::ReasonKind;
use bt_model::retry::Ending;
use bt_model::schedule::RunOutcome;

use super::settle::{Settled, Settlement};

/// What becomes of attempts that do not fail.
const OUTCOMES: [&str; 5] = ["succeeded", "lost", "returned", "cancelled", "pruned"];

/// Makes the series that alerts look at, so that their first rise is seen as one.
pub(crate) fn begin() {
    for outcome in OUTCOMES {
        ATTEMPTS.add([outcome, ""], 0);
    }
    for kind in ReasonKind::of_failures() {
        ATTEMPTS.add(["failed", kind.name()], 0);
    }
    CLAIMED.add([], 0);
    for outcome in [RunOutcome::Submitted, RunOutcome::Skipped, RunOutcome::Failed] {
        SCHEDULE_RUNS.add([outcome.name()], 0);
    }
    LEASES_LOST.add([], 0);
    LEASES_RENEWED.add([], 0);
    PREEMPTED.add([], 0);
    PUBLISHED_BYTES.add([], 0);
    PUBLISHED_FILES.add([], 0);
}

/// Attempts were ended, where the answer says so.
pub(super) fn ended(settlements: &[Settlement], settled: &[Settled]) {
    for (settlement, _) in
        settlements.iter().zip(settled).filter(|(_, settled)| matches!(settled, Settled::Now(_)))
    {
        let [outcome, reason] = labels(&settlement.ending);
        ATTEMPTS.add([outcome, reason], 1);
        if let Some(millis) = settlement.measured.wall_millis {
            JOB_RUN.record([outcome], Duration::from_millis(millis));
        }
        match settlement.ending {
            Ending::Lost => LEASES_LOST.add([], 1),
            Ending::Published => {
                let files = &settlement.publication.files;
                PUBLISHED_BYTES.add([], files.iter().map(|file| file.size).sum());
                PUBLISHED_FILES.add([], files.len() as u64);
            }
            _ => {}
        }
    }
}

fn labels(ending: &Ending) -> [&'static str; 2] {
    match ending {
        Ending::Published => ["succeeded", ""],
        Ending::Failed(reason) | Ending::Hindered(reason) => ["failed", reason.kind().name()],
        Ending::Lost => ["lost", ""],
        Ending::Preempted => ["lost", "preempted"],
        Ending::Returned => ["returned", ""],
        Ending::MadeRoom => ["returned", "made_room"],
        Ending::Cancelled => ["cancelled", ""],
        Ending::Pruned(_) => ["pruned", ""],
    }
}
