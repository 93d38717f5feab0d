//! Values as words: times, sizes, states.

use std::time::Duration;

use bt_documents as documents;
pub(crate) use bt_documents::text;
pub(crate) use bt_model::hex::hex;
use bt_model::resources::ByteSize;
pub(crate) use bt_model::span::span;
use bt_model::state::JobState;
use bt_proto::convert;
use bt_proto::v1;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::error::Error;

type WireTime = prost_types::Timestamp;

/// What addresses a sweep in other commands: its name, or its id if the name means a newer sweep.
pub(crate) fn address(sweep: &v1::Sweep) -> &str {
    if sweep.newest { &sweep.name } else { &sweep.id }
}

pub(crate) fn total(counts: &v1::Counts) -> u32 {
    counts.queued + counts.running + counts.succeeded + counts.failed + counts.cancelled + counts.pruned
}

pub(crate) fn job_state(state: v1::JobState) -> Result<JobState, Error> {
    Ok(JobState::try_from(state)?)
}

/// `exit(1)`; nothing where there is no reason.
pub(crate) fn reason(reason: Option<v1::Reason>) -> Result<Option<String>, Error> {
    Ok(documents::reason(reason)?)
}

/// RFC 3339 in UTC, or null.
pub(crate) fn time(time: Option<&WireTime>) -> Result<Value, Error> {
    Ok(match time {
        Some(time) => json!(convert::time(time)?.to_string()),
        None => Value::Null,
    })
}

/// A point in time from the wire.
pub(crate) fn instant(time: Option<&WireTime>) -> Result<Option<Timestamp>, Error> {
    Ok(documents::instant(time)?)
}

/// The time between two points, or from the first until now.
pub(crate) fn between(from: Option<&WireTime>, to: Option<&WireTime>) -> Result<String, Error> {
    let Some(from) = from else { return Ok(String::new()) };
    let to = match to {
        Some(to) => convert::time(to)?,
        None => Timestamp::now(),
    };
    let elapsed = to.duration_since(convert::time(from)?);
    Ok(span(Duration::try_from(elapsed).unwrap_or_default()))
}

pub(crate) fn cpus(millis: u64) -> String {
    (millis as f64 / 1000.0).to_string()
}

/// How long a job takes, and how long the rest takes if as many run on as do now.
pub(crate) fn pace(pace: &v1::Pace, counts: &v1::Counts) -> String {
    let (pace, counts) = (documents::Pace::from(*pace), documents::Counts::from(*counts));
    let took = pace.of_a_job();
    match pace.left(&counts) {
        None => format!("a job takes {took}"),
        Some(left) => format!("a job takes {took}; with {} at once, {left} are left", counts.running),
    }
}

pub(crate) fn size(bytes: u64) -> String {
    ByteSize(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_tells_what_is_left() {
        let measured = v1::Pace { jobs: 3, seconds: 10.0, peak_memory_bytes: Some(64 << 20) };
        let counts = v1::Counts { queued: 10, running: 2, ..v1::Counts::default() };
        assert_eq!(
            pace(&measured, &counts),
            "a job takes 10s and 64 MiB of memory; with 2 at once, 1m 0s are left"
        );
    }
}
