//! What jobs see no data of, and who has looked at it all the same.

use bt_proto::v1;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which look of its family's a sweep has spent.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SpentLook {
    pub number: u32,
    /// So many has the family in all.
    pub of: u32,
}

/// What a sweep has to do with the holdout of its family.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct HeldOut {
    /// The first day that its jobs do not see; null: they see all data.
    pub cut_before: Option<String>,
    /// The look that it has spent; null: none.
    pub look: Option<SpentLook>,
}

/// The holdout of a family.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FamilyHoldout {
    /// The first day that jobs do not see.
    pub from: String,
    /// The column of the dates; null: it is looked for.
    pub date: Option<String>,
    /// The volumes that are cut; null: all that are mounted.
    pub volumes: Option<Vec<String>>,
    /// How many sweeps may be run on all data, and how many were.
    pub looks: u32,
    pub spent: u32,
    /// Who set it, by which sweep, and when.
    pub owner: String,
    pub sweep: String,
    pub set_at: Timestamp,
    /// The looks that are spent, in their order.
    pub spent_looks: Vec<FamilyLook>,
}

/// A look that a family has spent.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FamilyLook {
    pub number: u32,
    /// Who has looked, why, when, and by which sweep.
    pub owner: String,
    pub why: String,
    pub at: Timestamp,
    pub sweep: String,
    pub name: String,
    /// Whether the sweep was removed. The look is spent all the same.
    pub removed: bool,
}

/// What the holdout of the family means for a sweep that is judged.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AssessedHoldout {
    /// The first day that the family's jobs do not see.
    pub from: String,
    /// The first day that this sweep's jobs did not see; null: they saw all data.
    pub cut_before: Option<String>,
    /// The look that this sweep has spent; null: none.
    pub look: Option<FamilyLook>,
    /// Whether what this sweep shows from `from` on is out of sample: a look was spent for it. How many looks there were
    /// before says how much that is worth.
    pub out_of_sample: bool,
    pub looks: u32,
    pub spent: u32,
    /// Sweeps of the family whose jobs saw nothing of it, and sweeps whose jobs saw all data before it was set.
    pub cut_sweeps: u32,
    pub whole_sweeps: u32,
}

impl SpentLook {
    /// `look 1 of 3`.
    pub fn words(&self) -> String {
        format!("look {} of {}", self.number, self.of)
    }
}

impl From<v1::SpentLook> for SpentLook {
    fn from(look: v1::SpentLook) -> Self {
        let v1::SpentLook { number, of } = look;
        Self { number, of }
    }
}

impl HeldOut {
    pub fn new(cut_before: Option<String>, look: Option<v1::SpentLook>) -> Self {
        Self { cut_before, look: look.map(SpentLook::from) }
    }

    /// What its jobs see, in words; nothing where nothing is kept from anybody.
    pub fn words(&self) -> Option<String> {
        match (&self.cut_before, &self.look) {
            (Some(from), _) => Some(format!("data cut before {from}")),
            (None, Some(look)) => Some(format!("all data: {} of its family is spent on it", look.words())),
            (None, None) => None,
        }
    }
}

impl From<&v1::Sweep> for HeldOut {
    fn from(sweep: &v1::Sweep) -> Self {
        Self::new(sweep.cut_before.clone(), sweep.look)
    }
}
