//! Jobs that are tried again: why, and when.

use std::time::Duration;

use bt_documents as documents;
use bt_proto::v1;
use jiff::Timestamp;

use super::words;
use crate::error::Error;

/// Reasons that a line names.
const NAMED: usize = 4;

/// `attempt 2: exit(1); again in 12s`
pub(crate) fn again(failure: &v1::LastFailure) -> Result<String, Error> {
    let failure = documents::LastFailure::try_from(failure)?;
    let why = failure.reason.unwrap_or_else(|| failure.state.to_owned());
    Ok(format!("attempt {}: {why}{}", failure.attempt, due(failure.next_try)))
}

/// `3 jobs wait for another try: 2 exit(1), 1 oom; again in 12s`; nothing if there are none.
pub(crate) fn line(groups: &[v1::Retrying]) -> Result<Option<String>, Error> {
    let groups = groups.iter().map(documents::Retrying::try_from).collect::<Result<Vec<_>, _>>()?;
    let (named, others) = groups.split_at(groups.len().min(NAMED));
    let mut reasons: Vec<_> = named
        .iter()
        .map(|group| format!("{} {}", group.jobs, group.reason.as_deref().unwrap_or(group.state)))
        .collect();
    if !others.is_empty() {
        let jobs: u32 = others.iter().map(|group| group.jobs).sum();
        reasons.push(format!("{jobs} for other reasons"));
    }
    let jobs: u32 = groups.iter().map(|group| group.jobs).sum();
    let wait = if jobs == 1 { "job waits" } else { "jobs wait" };
    let next = due(groups.iter().filter_map(|group| group.next_try).min());
    Ok((jobs > 0).then(|| format!("{jobs} {wait} for another try: {}{next}", reasons.join(", "))))
}

/// `; again in 12s`; nothing where it may be tried now.
fn due(time: Option<Timestamp>) -> String {
    let wait = time.map(|time| time.duration_since(Timestamp::now()));
    match wait.and_then(|wait| Duration::try_from(wait).ok()) {
        Some(wait) if !wait.is_zero() => format!("; again in {}", words::span(wait)),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(jobs: u32, reason: Option<bt_model::reason::Reason>) -> v1::Retrying {
        let state = if reason.is_some() { v1::AttemptState::Failed } else { v1::AttemptState::Lost };
        v1::Retrying {
            state: state.into(),
            reason: reason.as_ref().map(Into::into),
            jobs,
            ..v1::Retrying::default()
        }
    }

    #[test]
    fn jobs_are_counted_by_why_they_are_tried_again() {
        use bt_model::reason::Reason::{Exit, Oom, Timeout};
        assert_eq!(line(&[]).unwrap(), None);
        assert_eq!(line(&[group(1, None)]).unwrap().unwrap(), "1 job waits for another try: 1 lost");
        let mut groups = vec![group(2, Some(Exit(1))), group(1, Some(Oom))];
        assert_eq!(line(&groups).unwrap().unwrap(), "3 jobs wait for another try: 2 exit(1), 1 oom");
        groups.extend([
            group(1, Some(Timeout)),
            group(1, None),
            group(1, Some(Exit(2))),
            group(1, Some(Exit(3))),
        ]);
        let told = line(&groups).unwrap().unwrap();
        assert_eq!(
            told,
            "7 jobs wait for another try: 2 exit(1), 1 oom, 1 timeout, 1 lost, 2 for other reasons"
        );
    }
}
