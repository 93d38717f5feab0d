//! What happens, as those who watch are told.

use bt_model::id::{AgentId, SweepId};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that happened.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Its place among all events: give it as `after` to go on behind it.
    pub id: String,
    pub at: Timestamp,
    #[serde(flatten)]
    pub what: Happening,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Happening {
    /// A sweep as a whole changed.
    Sweep {
        #[schemars(with = "String")]
        sweep: SweepId,
        name: String,
        owner: String,
        /// queued, paused, resumed, closed (an open one takes no more jobs), cancelled, finished, reopened (some of its jobs are tried again) or removed.
        change: String,
    },
    /// Jobs of a sweep came into a state.
    Jobs {
        #[schemars(with = "String")]
        sweep: SweepId,
        /// queued, running, succeeded, failed, cancelled or pruned.
        state: String,
        count: u32,
        /// Their numbers; null where more than 10,000 moved at once.
        jobs: Option<Vec<u32>>,
    },
    /// Attempts at jobs of a sweep came into a state.
    Attempts {
        #[schemars(with = "String")]
        sweep: SweepId,
        /// leased, preparing, running, publishing, succeeded, failed, cancelled, lost or returned.
        state: String,
        attempts: Vec<MovedAttempt>,
    },
    /// An agent changed.
    Agent {
        #[schemars(with = "String")]
        agent: AgentId,
        name: String,
        /// connected, disconnected, drained, undrained, unhealthy, healthy, unavailable or available.
        change: String,
        /// Why it is unhealthy or not available; else null.
        why: Option<String>,
    },
    /// Events behind the one that was asked for are not kept any more, or it is none of this queue's: whoever keeps a
    /// picture of the queue must look at all of it again. What follows is what happens from now on.
    Gap,
}

/// An attempt that came into a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MovedAttempt {
    pub job: u32,
    /// Its number, counted from 1.
    pub attempt: u32,
    #[schemars(with = "String")]
    pub agent: AgentId,
}

impl Happening {
    /// As `kind` names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sweep { .. } => "sweep",
            Self::Jobs { .. } => "jobs",
            Self::Attempts { .. } => "attempts",
            Self::Agent { .. } => "agent",
            Self::Gap => "gap",
        }
    }

    /// The sweep that it concerns.
    pub fn sweep(&self) -> Option<SweepId> {
        match self {
            Self::Sweep { sweep, .. } | Self::Jobs { sweep, .. } | Self::Attempts { sweep, .. } => {
                Some(*sweep)
            }
            Self::Agent { .. } | Self::Gap => None,
        }
    }
}
