//! What is told of a sweep to those that its manifest's `notify` names, and what became of it.

use bt_model::state::SweepEvent;
use bt_proto::v1;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::from_wire::{instant, some};
use crate::{Counts, Object, SweepState, Unreadable};

/// What is posted to a webhook.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Notification {
    pub event: EventName,
    /// The same each time that it is sent, and to each receiver: whoever has seen it may drop it. Also in the header
    /// `Btctl-Event-Id`.
    pub event_id: String,
    pub happened: Timestamp,
    /// Of the sweep.
    pub id: String,
    pub name: String,
    pub owner: String,
    /// How it stood when that happened.
    pub state: SweepState,
    /// Why it was paused; null for other events.
    pub reason: Option<String>,
    pub counts: Counts,
    pub submitted: Timestamp,
    /// From its submit on.
    pub seconds: f64,
    /// Its best job by the first of its goals, or by sharpe, sharpe_ratio, sortino or cagr; null: no job has
    /// reported that.
    pub best: Option<BestJob>,
    /// The address of its page; null: the coordinator does not know it (`--public-url`).
    pub page: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub enum EventName {
    /// All of its jobs have finished. Also after a retry.
    #[serde(rename = "sweep.finished")]
    Finished,
    /// Its canary failed; it starts no more jobs until someone resumes it.
    #[serde(rename = "sweep.paused")]
    Paused,
}

impl EventName {
    pub fn name(self) -> &'static str {
        match self {
            Self::Finished => "sweep.finished",
            Self::Paused => "sweep.paused",
        }
    }
}

impl From<SweepEvent> for EventName {
    fn from(event: SweepEvent) -> Self {
        match event {
            SweepEvent::Finished => Self::Finished,
            SweepEvent::Paused => Self::Paused,
        }
    }
}

/// The best job of a sweep.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BestJob {
    pub job: u32,
    pub metric: String,
    pub value: f64,
    pub params: Object,
}

/// A message about a sweep to one receiver, and what became of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Told {
    /// Its address, with what may be secret in it as `***`.
    pub receiver: String,
    /// sweep.finished or sweep.paused.
    pub event: String,
    pub event_id: String,
    pub happened: Option<Timestamp>,
    pub tries: u32,
    /// When it was delivered; null: not yet.
    pub delivered: Option<Timestamp>,
    /// When it was given up; null: it is tried again, or delivered.
    pub given_up: Option<Timestamp>,
    pub next_try: Option<Timestamp>,
    /// Why the last try that failed did; null: none has failed.
    pub last_error: Option<String>,
}

impl TryFrom<&v1::Told> for Told {
    type Error = Unreadable;

    fn try_from(told: &v1::Told) -> Result<Self, Unreadable> {
        Ok(Self {
            receiver: told.receiver.clone(),
            event: told.event.clone(),
            event_id: told.event_id.clone(),
            happened: instant(told.happened.as_ref())?,
            tries: told.tries,
            delivered: instant(told.delivered.as_ref())?,
            given_up: instant(told.given_up.as_ref())?,
            next_try: instant(told.next_try.as_ref())?,
            last_error: some(&told.last_error),
        })
    }
}
