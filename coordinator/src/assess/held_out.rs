//! What the holdout of its family means for a sweep that is judged.

use bt_documents::{AssessedHoldout, AssessedTrials, FamilyLook};
use bt_model::id::SweepId;

use super::Error;
use crate::queue::Queue;
use crate::trials::Count;

/// Nothing if the family has none.
pub(super) async fn of(
    queue: &Queue,
    sweep: SweepId,
    family: &str,
    count: &Count,
) -> Result<Option<AssessedHoldout>, Error> {
    let Some(row) = queue.holdout(family).await? else { return Ok(None) };
    let looks = queue.looks(family).await?;
    let look = looks.into_iter().find(|look| look.sweep == sweep).map(FamilyLook::from);
    let sweeps = || count.sweeps.iter().map(|counted| &counted.sweep);
    let counted = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Ok(Some(AssessedHoldout {
        from: row.holdout.from.to_string(),
        cut_before: sweeps().find(|other| other.id == sweep).and_then(|sweep| sweep.cut_before.clone()),
        out_of_sample: look.is_some(),
        look,
        looks: row.holdout.looks,
        spent: row.spent,
        cut_sweeps: counted(sweeps().filter(|sweep| sweep.cut_before.is_some()).count()),
        whole_sweeps: counted(
            sweeps().filter(|sweep| sweep.cut_before.is_none() && sweep.look.is_none()).count(),
        ),
    }))
}

pub(super) fn words(holdout: &AssessedHoldout, trials: &AssessedTrials) -> Vec<String> {
    let AssessedHoldout { from, cut_before, look, looks, spent, cut_sweeps, whole_sweeps, .. } = holdout;
    let mut words = Vec::new();
    match (cut_before, look) {
        (Some(from), _) => words.push(format!(
            "Its jobs saw no data from {from} on: the holdout of the family. So nothing here is out of sample. {spent} of \
             {looks} looks at it are spent."
        )),
        (None, Some(look)) => {
            let FamilyLook { number, owner, why, at, .. } = look;
            let day = at.to_zoned(jiff::tz::TimeZone::UTC).date();
            words.push(format!(
                "Its jobs saw all data, also the holdout of the family from {from} on: it is look {number} of {looks}, spent by \
                 {owner} on {day}: {why}. What it shows from {from} on is out of sample, seen {spent} {} so far.",
                if *spent == 1 { "time" } else { "times" }
            ));
            if trials.in_sweep > 1 {
                words.push(format!(
                    "But {} points were tried in it. The best of them was chosen by all data, so it is out of sample only if it \
                     had been chosen before.",
                    trials.in_sweep
                ));
            }
        }
        (None, None) => words.push(format!(
            "Its jobs saw all data, before the family got its holdout from {from} on. For what was learned from this sweep, that \
             is no holdout."
        )),
    }
    let others = whole_sweeps.saturating_sub(u32::from(cut_before.is_none() && look.is_none()));
    if others > 0 {
        let (sweeps, saw) = if others == 1 { ("sweep", "its jobs") } else { ("sweeps", "their jobs") };
        words.push(format!(
            "{others} other {sweeps} of the family ran before the holdout was set, and {saw} saw all data; {cut_sweeps} saw it \
             cut."
        ));
    }
    words
}
