//! Aliases of images, and all that each has stood for.

use bt_proto::v1;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Unreadable, instant};

/// What an alias stands for since one of its changes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AliasChange {
    pub alias: String,
    /// From 1, for each alias. The highest one holds.
    pub number: u32,
    /// promote or rollback.
    pub kind: String,
    /// As it was named.
    pub image: String,
    /// What that stood for then: `sha256:...` or `NAME@sha256:...`. Sweeps that name the alias run this.
    pub pin: String,
    /// The promotion whose image it is; of a promotion its own number.
    pub promotion: u32,
    /// The id of the sweep that tested it; null: none did.
    pub gate: Option<String>,
    /// That sweep's name.
    pub gate_name: Option<String>,
    /// Who made the change.
    pub by: String,
    /// Null if it was only asked what would be changed.
    pub at: Option<Timestamp>,
}

/// An alias after it was changed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ChangedAlias {
    #[serde(flatten)]
    pub now: AliasChange,
    /// What it stood for before; null: it is new.
    pub before: Option<AliasChange>,
    /// False: it stood for that image before, or it was only asked what would be changed.
    pub changed: bool,
}

/// What each alias stands for, by name.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Aliases {
    pub aliases: Vec<AliasChange>,
}

/// All that an alias has stood for.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AliasHistory {
    /// The latest first, 1,000 at most.
    pub changes: Vec<AliasChange>,
}

impl TryFrom<&v1::AliasChange> for AliasChange {
    type Error = Unreadable;

    fn try_from(change: &v1::AliasChange) -> Result<Self, Unreadable> {
        Ok(Self {
            alias: change.alias.clone(),
            number: change.number,
            kind: change.kind.clone(),
            image: change.image.clone(),
            pin: change.pin.clone(),
            promotion: change.promotion,
            gate: change.gate.clone(),
            gate_name: change.gate_name.clone(),
            by: change.by.clone(),
            at: instant(change.at.as_ref())?,
        })
    }
}

impl TryFrom<&v1::ChangeAliasReply> for ChangedAlias {
    type Error = Unreadable;

    fn try_from(reply: &v1::ChangeAliasReply) -> Result<Self, Unreadable> {
        Ok(Self {
            now: AliasChange::try_from(&reply.now.clone().unwrap_or_default())?,
            before: reply.before.as_ref().map(AliasChange::try_from).transpose()?,
            changed: reply.changed,
        })
    }
}
