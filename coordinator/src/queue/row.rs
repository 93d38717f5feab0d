//! Between Postgres's types and the model's.

use bt_model::alias::ChangeKind;
use bt_model::reason::{Reason, ReasonKind};
use bt_model::resources::Resources;
use bt_model::role::Role;
use bt_model::schedule::{CatchUp, Overlap, RunOutcome};
use bt_model::state::{AttemptState, JobState, ReuseState, SweepEvent};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef};
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{Decode, Encode, Postgres, Type};

use super::Error;

/// A model's enum as Postgres's enum of the same names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pg<T>(pub(super) T);

/// An enum of the model that Postgres has as well.
pub(super) trait Named: Copy + 'static {
    const TYPE: &'static str;
    const ALL: &'static [Self];
    fn label(self) -> &'static str;
}

impl Named for JobState {
    const TYPE: &'static str = "job_state";
    const ALL: &'static [Self] = &JobState::ALL;
    fn label(self) -> &'static str {
        self.name()
    }
}

impl Named for AttemptState {
    const TYPE: &'static str = "attempt_state";
    const ALL: &'static [Self] = &AttemptState::ALL;
    fn label(self) -> &'static str {
        self.name()
    }
}

impl Named for ReuseState {
    const TYPE: &'static str = "reuse_state";
    const ALL: &'static [Self] = &ReuseState::ALL;
    fn label(self) -> &'static str {
        self.name()
    }
}

impl Named for SweepEvent {
    const TYPE: &'static str = "sweep_event";
    const ALL: &'static [Self] = &SweepEvent::ALL;
    fn label(self) -> &'static str {
        self.name()
    }
}

impl Named for ReasonKind {
    const TYPE: &'static str = "reason_kind";
    const ALL: &'static [Self] = &ReasonKind::ALL;
    fn label(self) -> &'static str {
        self.name()
    }
}

impl Named for Role {
    const TYPE: &'static str = "token_role";
    const ALL: &'static [Self] = &Role::ALL;
    fn label(self) -> &'static str {
        self.name()
    }
}

impl Named for CatchUp {
    const TYPE: &'static str = "schedule_catch_up";
    const ALL: &'static [Self] = &CatchUp::ALL;
    fn label(self) -> &'static str {
        self.name()
    }
}

impl Named for Overlap {
    const TYPE: &'static str = "schedule_overlap";
    const ALL: &'static [Self] = &Overlap::ALL;
    fn label(self) -> &'static str {
        self.name()
    }
}

impl Named for RunOutcome {
    const TYPE: &'static str = "schedule_outcome";
    const ALL: &'static [Self] = &RunOutcome::ALL;
    fn label(self) -> &'static str {
        self.name()
    }
}

impl Named for ChangeKind {
    const TYPE: &'static str = "alias_change";
    const ALL: &'static [Self] = &ChangeKind::ALL;
    fn label(self) -> &'static str {
        self.name()
    }
}

impl<T: Named> Type<Postgres> for Pg<T> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name(T::TYPE)
    }
}

impl<T: Named> PgHasArrayType for Pg<T> {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::array_of(T::TYPE)
    }
}

impl<T: Named> Encode<'_, Postgres> for Pg<T> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <&str as Encode<Postgres>>::encode(self.0.label(), buffer)
    }
}

impl<'r, T: Named> Decode<'r, Postgres> for Pg<T> {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let label = value.as_str()?;
        let known = T::ALL.iter().find(|known| known.label() == label);
        known.map(|known| Self(*known)).ok_or_else(|| format!("{label:?} is no {}", T::TYPE).into())
    }
}

/// A count or a size: Postgres has no unsigned integers, and the schema's checks keep these from being negative.
pub(super) fn unsigned<T: TryFrom<i64>>(value: impl Into<i64>) -> Result<T, Error> {
    let value = value.into();
    T::try_from(value).map_err(|_| Error::Corrupt(format!("{value} where a count belongs")))
}

/// The other way round, for values that are bounded far below the limit.
pub(super) fn signed<T: TryFrom<u64>>(value: impl Into<u64>) -> Result<T, Error> {
    let value = value.into();
    T::try_from(value).map_err(|_| Error::Corrupt(format!("{value} is too large to be stored")))
}

/// A time as sqlx wants it.
pub(super) fn offset(time: &jiff::Timestamp) -> Result<DateTime<Utc>, Error> {
    let converted = DateTime::from_timestamp(time.as_second(), time.subsec_nanosecond().unsigned_abs());
    converted.ok_or_else(|| Error::Corrupt(format!("the time {time}")))
}

pub(super) fn time(time: DateTime<Utc>) -> Result<jiff::Timestamp, Error> {
    jiff::Timestamp::from_microsecond(time.timestamp_micros())
        .map_err(|_| Error::Corrupt(format!("the time {time}")))
}

pub(super) fn reason(
    kind: Option<Pg<ReasonKind>>,
    code: Option<i32>,
    message: Option<String>,
) -> Option<Reason> {
    kind.map(|Pg(kind)| Reason::from_parts(kind, code, message))
}

pub(super) fn resources(
    cpu_millis: i64,
    memory_bytes: i64,
    gpus: i32,
    disk_bytes: i64,
    jobs: u32,
) -> Result<Resources, Error> {
    Ok(Resources {
        cpu_millis: unsigned(cpu_millis)?,
        memory_bytes: unsigned(memory_bytes)?,
        gpus: unsigned(gpus)?,
        disk_bytes: unsigned(disk_bytes)?,
        jobs,
    })
}

/// Reads a column that we wrote as JSON ourselves.
pub(super) fn from_json<T: serde::de::DeserializeOwned>(
    what: &str,
    value: serde_json::Value,
) -> Result<T, Error> {
    serde_json::from_value(value).map_err(|error| Error::Corrupt(format!("{what}: {error}")))
}

pub(super) fn sha256(bytes: &[u8]) -> Result<[u8; 32], Error> {
    bytes.try_into().map_err(|_| Error::Corrupt(format!("a SHA-256 of {} bytes", bytes.len())))
}
