//! Between the wire and the model. What comes from the wire is checked here, once; inside, it is the model's.

use std::collections::BTreeMap;

use bt_model::encoding::Encoding;
use bt_model::log::{LogLine, Stream};
use bt_model::manifest::{Containers, DevMount};
use bt_model::placement::{AGENT_LABEL, Misfit, Offer};
use bt_model::reason::{Reason, ReasonKind};
use bt_model::resources::Resources;
use bt_model::returns::{NotReturns, Returns};
use bt_model::role::Role;
use bt_model::state::{AttemptState, JobState};
use jiff::Timestamp;

use crate::v1;

/// A message that no well-meaning peer sends.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    #[error("the field `{0}` is missing")]
    Missing(&'static str),
    #[error("the field `{field}` holds {value:?}, which is not {expected}")]
    Value { field: &'static str, value: String, expected: &'static str },
}

/// Parses an id (or anything else that is text on the wire) and names the field if it is none.
pub fn parse<T: std::str::FromStr>(
    field: &'static str,
    expected: &'static str,
    text: &str,
) -> Result<T, Malformed> {
    text.parse().map_err(|_| Malformed::Value { field, value: text.chars().take(80).collect(), expected })
}

/// A value that may be absent. Peers of protocol 1 can't leave a text or a number out, so an empty one is none either.
pub fn present<T: Default + PartialEq>(value: Option<T>) -> Option<T> {
    value.filter(|value| *value != T::default())
}

/// How a sweep's jobs run, if not as its manifest asks.
pub fn containers(containers: Option<Containers>) -> v1::Containers {
    match containers {
        Some(Containers::Each) => v1::Containers::Each,
        Some(Containers::Reuse) => v1::Containers::Reuse,
        Some(Containers::Warm) | None => v1::Containers::Unspecified,
    }
}

pub fn containers_of(containers: v1::Containers) -> Option<Containers> {
    match containers {
        v1::Containers::Each => Some(Containers::Each),
        v1::Containers::Reuse => Some(Containers::Reuse),
        v1::Containers::Unspecified => None,
    }
}

/// What an agent offers, as far as clients are told: nothing of its images and its protocol.
pub fn offer(agent: &v1::Agent) -> Offer {
    let volume = |offered: &String| match offered.strip_suffix(":ro") {
        Some(name) => (name.to_owned(), true),
        None => (offered.clone(), false),
    };
    let mut labels: BTreeMap<_, _> = agent.labels.clone().into_iter().collect();
    labels.insert(AGENT_LABEL.to_owned(), agent.id.clone());
    Offer {
        capacity: agent.capacity.unwrap_or_default().into(),
        labels,
        volumes: agent.volumes.iter().map(volume).collect(),
        job_memory_bytes: agent.job_memory_bytes,
        ..Offer::default()
    }
}

impl From<&Reason> for v1::Reason {
    fn from(reason: &Reason) -> Self {
        use v1::reason::Kind;
        let kind = match reason {
            Reason::Exit(code) => Kind::Exit(*code),
            Reason::Signal(signal) => Kind::Signal(*signal),
            Reason::Oom => Kind::Oom(true),
            Reason::Timeout => Kind::Timeout(true),
            Reason::Nproc => Kind::Nproc(true),
            Reason::Manifest(text) => Kind::Manifest(text.clone()),
            Reason::Image(text) => Kind::Image(text.clone()),
            Reason::Volume(text) => Kind::Volume(text.clone()),
            Reason::Outputs(text) => Kind::Outputs(text.clone()),
            Reason::Agent(text) => Kind::Agent(text.clone()),
            Reason::Pruned(text) => Kind::Pruned(text.clone()),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<v1::Reason> for Reason {
    type Error = Malformed;

    fn try_from(reason: v1::Reason) -> Result<Self, Malformed> {
        use v1::reason::Kind;
        Ok(match reason.kind.ok_or(Malformed::Missing("reason.kind"))? {
            Kind::Exit(code) => Self::Exit(code),
            Kind::Signal(signal) => Self::Signal(signal),
            Kind::Oom(_) => Self::Oom,
            Kind::Timeout(_) => Self::Timeout,
            Kind::Nproc(_) => Self::Nproc,
            Kind::Manifest(text) => Self::Manifest(text),
            Kind::Image(text) => Self::Image(text),
            Kind::Volume(text) => Self::Volume(text),
            Kind::Outputs(text) => Self::Outputs(text),
            Kind::Agent(text) => Self::Agent(text),
            Kind::Pruned(text) => Self::Pruned(text),
        })
    }
}

impl From<ReasonKind> for v1::ReasonKind {
    fn from(kind: ReasonKind) -> Self {
        match kind {
            ReasonKind::Exit => Self::Exit,
            ReasonKind::Signal => Self::Signal,
            ReasonKind::Oom => Self::Oom,
            ReasonKind::Timeout => Self::Timeout,
            ReasonKind::Nproc => Self::Nproc,
            ReasonKind::Manifest => Self::Manifest,
            ReasonKind::Image => Self::Image,
            ReasonKind::Volume => Self::Volume,
            ReasonKind::Outputs => Self::Outputs,
            ReasonKind::Agent => Self::Agent,
            ReasonKind::Pruned => Self::Pruned,
        }
    }
}

impl TryFrom<v1::ReasonKind> for ReasonKind {
    type Error = Malformed;

    fn try_from(kind: v1::ReasonKind) -> Result<Self, Malformed> {
        match kind {
            v1::ReasonKind::Unspecified => Err(Malformed::Missing("kind")),
            v1::ReasonKind::Exit => Ok(Self::Exit),
            v1::ReasonKind::Signal => Ok(Self::Signal),
            v1::ReasonKind::Oom => Ok(Self::Oom),
            v1::ReasonKind::Timeout => Ok(Self::Timeout),
            v1::ReasonKind::Nproc => Ok(Self::Nproc),
            v1::ReasonKind::Manifest => Ok(Self::Manifest),
            v1::ReasonKind::Image => Ok(Self::Image),
            v1::ReasonKind::Volume => Ok(Self::Volume),
            v1::ReasonKind::Outputs => Ok(Self::Outputs),
            v1::ReasonKind::Agent => Ok(Self::Agent),
            v1::ReasonKind::Pruned => Ok(Self::Pruned),
        }
    }
}

impl From<&Misfit> for v1::Obstacle {
    fn from(misfit: &Misfit) -> Self {
        match misfit {
            Misfit::TooOld { .. } => Self::TooOld,
            Misfit::Label { wanted, .. } if wanted == AGENT_LABEL => Self::OtherAgent,
            Misfit::Label { .. } => Self::Label,
            Misfit::Volume { .. } => Self::Volume,
            Misfit::ReadOnly { .. } => Self::ReadOnly,
            Misfit::NoSecrets | Misfit::Secret { .. } | Misfit::OpenLine => Self::Secret,
            Misfit::TooLate { .. } => Self::TooLate,
            Misfit::TooSmall { .. } => Self::TooSmall,
            Misfit::Busy { .. } => Self::Busy,
        }
    }
}

impl From<Encoding> for v1::Encoding {
    fn from(encoding: Encoding) -> Self {
        match encoding {
            Encoding::None => Self::None,
            Encoding::Zstd => Self::Zstd,
        }
    }
}

impl From<v1::Encoding> for Encoding {
    fn from(encoding: v1::Encoding) -> Self {
        match encoding {
            v1::Encoding::None => Self::None,
            v1::Encoding::Zstd => Self::Zstd,
        }
    }
}

impl From<Role> for v1::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Viewer => Self::Viewer,
            Role::Submitter => Self::Submitter,
            Role::Operator => Self::Operator,
            Role::Admin => Self::Admin,
            Role::Agent => Self::Agent,
        }
    }
}

impl TryFrom<v1::Role> for Role {
    type Error = Malformed;

    fn try_from(role: v1::Role) -> Result<Self, Malformed> {
        match role {
            v1::Role::Unspecified => Err(Malformed::Missing("role")),
            v1::Role::Viewer => Ok(Self::Viewer),
            v1::Role::Submitter => Ok(Self::Submitter),
            v1::Role::Operator => Ok(Self::Operator),
            v1::Role::Admin => Ok(Self::Admin),
            v1::Role::Agent => Ok(Self::Agent),
        }
    }
}

impl From<JobState> for v1::JobState {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Queued => Self::Queued,
            JobState::Running => Self::Running,
            JobState::Succeeded => Self::Succeeded,
            JobState::Failed => Self::Failed,
            JobState::Cancelled => Self::Cancelled,
            JobState::Pruned => Self::Pruned,
        }
    }
}

impl TryFrom<v1::JobState> for JobState {
    type Error = Malformed;

    fn try_from(state: v1::JobState) -> Result<Self, Malformed> {
        match state {
            v1::JobState::Unspecified => Err(Malformed::Missing("state")),
            v1::JobState::Queued => Ok(Self::Queued),
            v1::JobState::Running => Ok(Self::Running),
            v1::JobState::Succeeded => Ok(Self::Succeeded),
            v1::JobState::Failed => Ok(Self::Failed),
            v1::JobState::Cancelled => Ok(Self::Cancelled),
            v1::JobState::Pruned => Ok(Self::Pruned),
        }
    }
}

impl From<AttemptState> for v1::AttemptState {
    fn from(state: AttemptState) -> Self {
        match state {
            AttemptState::Leased => Self::Leased,
            AttemptState::Preparing => Self::Preparing,
            AttemptState::Running => Self::Running,
            AttemptState::Publishing => Self::Publishing,
            AttemptState::Succeeded => Self::Succeeded,
            AttemptState::Failed => Self::Failed,
            AttemptState::Cancelled => Self::Cancelled,
            AttemptState::Lost => Self::Lost,
            AttemptState::Returned => Self::Returned,
        }
    }
}

impl TryFrom<v1::AttemptState> for AttemptState {
    type Error = Malformed;

    fn try_from(state: v1::AttemptState) -> Result<Self, Malformed> {
        match state {
            v1::AttemptState::Unspecified => Err(Malformed::Missing("state")),
            v1::AttemptState::Leased => Ok(Self::Leased),
            v1::AttemptState::Preparing => Ok(Self::Preparing),
            v1::AttemptState::Running => Ok(Self::Running),
            v1::AttemptState::Publishing => Ok(Self::Publishing),
            v1::AttemptState::Succeeded => Ok(Self::Succeeded),
            v1::AttemptState::Failed => Ok(Self::Failed),
            v1::AttemptState::Cancelled => Ok(Self::Cancelled),
            v1::AttemptState::Lost => Ok(Self::Lost),
            v1::AttemptState::Returned => Ok(Self::Returned),
        }
    }
}

impl From<Resources> for v1::Resources {
    fn from(resources: Resources) -> Self {
        let Resources { cpu_millis, memory_bytes, gpus, disk_bytes, jobs } = resources;
        Self { cpu_millis, memory_bytes, gpus, disk_bytes, jobs }
    }
}

impl From<v1::Resources> for Resources {
    fn from(resources: v1::Resources) -> Self {
        let v1::Resources { cpu_millis, memory_bytes, gpus, disk_bytes, jobs } = resources;
        Self { cpu_millis, memory_bytes, gpus, disk_bytes, jobs }
    }
}

/// A point in time as the wire has it.
pub fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

/// A point in time from the wire.
pub fn time(timestamp: &prost_types::Timestamp) -> Result<Timestamp, Malformed> {
    Timestamp::new(timestamp.seconds, timestamp.nanos).map_err(|_| Malformed::Value {
        field: "timestamp",
        value: format!("{}s {}ns", timestamp.seconds, timestamp.nanos),
        expected: "a time between the years -9999 and 9999",
    })
}

impl From<LogLine> for v1::LogLine {
    fn from(line: LogLine) -> Self {
        let stream = match line.stream {
            Stream::Stdout => v1::log_line::Stream::Stdout,
            Stream::Stderr => v1::log_line::Stream::Stderr,
        };
        Self { stream: stream.into(), time: Some(timestamp(line.time)), text: line.text }
    }
}

impl TryFrom<v1::LogLine> for LogLine {
    type Error = Malformed;

    fn try_from(line: v1::LogLine) -> Result<Self, Malformed> {
        let stream = match line.stream() {
            v1::log_line::Stream::Unspecified => return Err(Malformed::Missing("stream")),
            v1::log_line::Stream::Stdout => Stream::Stdout,
            v1::log_line::Stream::Stderr => Stream::Stderr,
        };
        Ok(Self { time: time(&line.time.ok_or(Malformed::Missing("time"))?)?, stream, text: line.text })
    }
}

impl From<&Returns> for v1::Returns {
    fn from(returns: &Returns) -> Self {
        let mut before = 0;
        let steps = returns.times().iter().map(|time| time - std::mem::replace(&mut before, *time));
        Self { steps: steps.collect(), values: returns.values().to_vec() }
    }
}

impl TryFrom<v1::Returns> for Returns {
    type Error = NotReturns;

    fn try_from(returns: v1::Returns) -> Result<Self, NotReturns> {
        let mut time = 0_i64;
        let times = returns.steps.iter().map(|step| {
            time = time.checked_add(*step).ok_or_else(|| NotReturns::new("a time is out of range"))?;
            Ok(time)
        });
        Self::from_parts(times.collect::<Result<_, NotReturns>>()?, returns.values)
    }
}

/// A dev mount, on the wire.
pub fn dev_mount(mount: &DevMount) -> v1::DevMount {
    let DevMount { target, sha256, files, bytes } = mount.clone();
    v1::DevMount { target, sha256, files, bytes }
}

/// Dev mounts, from the wire.
pub fn dev_mounts(mounts: &[v1::DevMount]) -> Vec<DevMount> {
    let one = |mount: v1::DevMount| {
        let v1::DevMount { target, sha256, files, bytes } = mount;
        DevMount { target, sha256, files, bytes }
    };
    mounts.iter().cloned().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_reason_goes_both_ways() {
        for kind in ReasonKind::ALL {
            assert_eq!(ReasonKind::try_from(v1::ReasonKind::from(kind)).unwrap(), kind);
        }
        assert!(ReasonKind::try_from(v1::ReasonKind::Unspecified).is_err());
    }

    #[test]
    fn another_agents_job_differs_from_a_missing_label() {
        let label = |wanted: &str| Misfit::Label { wanted: wanted.into(), value: "x".into(), has: None };
        assert_eq!(v1::Obstacle::from(&label(AGENT_LABEL)), v1::Obstacle::OtherAgent);
        assert_eq!(v1::Obstacle::from(&label("btctl.agents")), v1::Obstacle::Label);
    }
}
