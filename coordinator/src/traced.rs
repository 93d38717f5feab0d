//! What the coordinator adds to jobs' traces.

use std::time::SystemTime;

use bt_model::id::SweepId;
use bt_model::layout::AttemptPlace;
use bt_traces::Trace;

use crate::queue::{Candidate, Claimed, Submitted};

/// The trace of a job, if it is traced.
pub(crate) fn trace(sweep: SweepId, job: u32, jobs: u32) -> Option<Trace> {
    Trace::of(sweep.uuid().as_bytes(), job, jobs)
}

/// A sweep was queued for a client, who may have said in which trace it asks.
pub(crate) fn accepted(submitted: &Submitted, traceparent: Option<&str>, began: SystemTime) {
    if let Some(trace) = traceparent.and_then(Trace::read) {
        let said = [("sweep.id", submitted.id.to_string()), ("jobs", submitted.jobs.to_string())];
        trace.span("accept", began, &said);
    }
}

/// Jobs were leased by a claim that was begun then.
pub(crate) fn claimed(sweep: &Candidate, claimed: &[Claimed], began: SystemTime) {
    for claimed in claimed {
        let Some(trace) = trace(sweep.sweep, claimed.job, sweep.jobs) else { continue };
        let said = [
            ("sweep.id", sweep.sweep.to_string()),
            ("job", claimed.job.to_string()),
            ("attempt.number", claimed.number.to_string()),
        ];
        let ready = began.checked_sub(claimed.waited).unwrap_or(began);
        trace.span_until("queue", ready, began, &said);
        trace.span("claim", began, &[&said[..], &[("agent.id", claimed.agent.to_string())]].concat());
    }
}

/// The end of an attempt was written down.
pub(crate) fn committed(place: &AttemptPlace, outcome: &'static str, began: SystemTime) {
    if let Some(trace) = trace(place.sweep, place.job, place.jobs) {
        let number = place.attempt.to_string();
        trace.span("commit", began, &[("attempt.number", number), ("outcome", outcome.to_owned())]);
    }
}
