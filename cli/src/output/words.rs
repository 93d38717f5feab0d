//! Values as words: times, sizes, states.

use std::time::Duration;

pub(crate) use bt_model::hex::hex;
use bt_model::reason::Reason;
use bt_model::resources::{ByteSize, Resources};
use bt_model::state::JobState;
use bt_proto::convert;
use bt_proto::v1;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::documents::{self, SweepState};
use crate::error::Error;

type WireTime = prost_types::Timestamp;

/// A sweep's state, from the states of its jobs.
pub(crate) fn sweep_state(sweep: &v1::Sweep) -> SweepState {
    let v1::Counts { queued, running, succeeded, failed, cancelled } = sweep.counts.unwrap_or_default();
    let ended = succeeded + failed + cancelled;
    match (queued, running) {
        (1.., _) if sweep.paused => SweepState::Paused,
        (0, 0) if failed > 0 => SweepState::Failed,
        (0, 0) if cancelled > 0 => SweepState::Cancelled,
        (0, 0) => SweepState::Succeeded,
        (_, 0) if ended == 0 => SweepState::Queued,
        _ => SweepState::Running,
    }
}

/// What addresses a sweep in other commands: its name, or its id if the name means a newer sweep.
pub(crate) fn address(sweep: &v1::Sweep) -> &str {
    if sweep.newest { &sweep.name } else { &sweep.id }
}

pub(crate) fn total(counts: &v1::Counts) -> u32 {
    counts.queued + counts.running + counts.succeeded + counts.failed + counts.cancelled
}

pub(crate) fn job_state(state: v1::JobState) -> Result<JobState, Error> {
    Ok(JobState::try_from(state)?)
}

/// `exit(1)`; nothing where there is no reason.
pub(crate) fn reason(reason: Option<v1::Reason>) -> Result<Option<String>, Error> {
    let reason = reason.map(Reason::try_from).transpose()?;
    Ok(reason.map(|reason| reason.to_string()))
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
    Ok(time.map(convert::time).transpose()?)
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

/// A duration in its two largest units: `2h 5m`.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) if seconds < 10 => format!("{:.1}s", duration.as_secs_f64()),
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// A value as a text without quotes.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

pub(crate) fn cpus(millis: u64) -> String {
    (millis as f64 / 1000.0).to_string()
}

pub(crate) fn resources(resources: Option<v1::Resources>) -> documents::Resources {
    let resources = Resources::from(resources.unwrap_or_default());
    documents::Resources {
        cpus: resources.cpu_millis as f64 / 1000.0,
        memory_bytes: resources.memory_bytes,
        gpus: resources.gpus,
        disk_bytes: resources.disk_bytes,
        jobs: resources.jobs,
    }
}

/// The text, where there is one.
pub(crate) fn some(text: &str) -> Option<String> {
    Some(text).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// How long a job takes, and how long the rest takes if as many run on as do now.
pub(crate) fn pace(pace: &v1::Pace, counts: &v1::Counts) -> String {
    let took = span(Duration::try_from_secs_f64(pace.seconds).unwrap_or_default());
    let memory = pace.peak_memory_bytes.map(|bytes| format!(" and {} of memory", size(bytes)));
    let took = took + &memory.unwrap_or_default();
    let left = f64::from(counts.queued + counts.running) * pace.seconds / f64::from(counts.running.max(1));
    match counts.running {
        0 => format!("a job takes {took}"),
        running => {
            let left = span(Duration::try_from_secs_f64(left).unwrap_or_default());
            format!("a job takes {took}; with {running} at once, {left} are left")
        }
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

    #[test]
    fn a_sweeps_state_is_told_from_its_jobs() {
        let state = |queued, running, succeeded, failed, cancelled| {
            let counts = Some(v1::Counts { queued, running, succeeded, failed, cancelled });
            sweep_state(&v1::Sweep { counts, ..v1::Sweep::default() }).name()
        };
        assert_eq!(state(3, 0, 0, 0, 0), "queued");
        assert_eq!(state(3, 0, 1, 0, 0), "running");
        assert_eq!(state(0, 1, 0, 0, 0), "running");
        assert_eq!(state(0, 0, 3, 0, 0), "succeeded");
        assert_eq!(state(0, 0, 3, 1, 1), "failed");
        assert_eq!(state(0, 0, 3, 0, 1), "cancelled");
        let counts = Some(v1::Counts { queued: 1, running: 1, ..v1::Counts::default() });
        let paused = v1::Sweep { counts, paused: true, ..v1::Sweep::default() };
        assert_eq!(sweep_state(&paused).name(), "paused");
    }

    #[test]
    fn spans_read_well() {
        let spans = [(0, "0.0s"), (59, "59s"), (60, "1m 0s"), (7_500, "2h 5m"), (90_000, "1d 1h")];
        for (seconds, text) in spans {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }
}
