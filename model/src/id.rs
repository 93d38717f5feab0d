//! Typed ids. No two kinds of id can be mixed up:
//!
//! ```compile_fail
//! use bt_model::id::{AttemptId, SweepId};
//! let attempt: AttemptId = SweepId::random();
//! ```

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id. All its digits are random, so that a few of the first tell it from others.
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }

            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id!(
    /// A sweep: one submit, and the jobs it fans out into.
    SweepId
);
uuid_id!(
    /// An attempt: one try at running a job on one agent. It is also the fencing token of its lease.
    AttemptId
);
uuid_id!(
    /// An agent, made once and kept in its state directory.
    AgentId
);

uuid_id!(
    /// A batch: the attempts that run in one container, each at a point of its own.
    BatchId
);

impl SweepId {
    /// The first eight digits, which stand for the id where people read it.
    pub fn short(self) -> String {
        self.0.simple().to_string()[..8].to_owned()
    }
}
