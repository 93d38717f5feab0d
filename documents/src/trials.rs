//! How often ideas were tried.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FamilyHoldout;

/// A family: sweeps that test one idea.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Family {
    pub family: String,
    pub sweeps: u32,
    /// All jobs of these sweeps.
    pub jobs: u64,
    /// When a sweep of it was submitted last.
    pub latest_at: Timestamp,
}

/// The trials of a family. A job that has succeeded, failed or was pruned is a trial; the same parameters of the same image count once.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct FamilyTrials {
    pub family: String,
    /// Different trials.
    pub trials: u64,
    /// Jobs that have succeeded, failed or were pruned, with repeated ones.
    pub tried: u64,
    /// Also those that were removed; the oldest first.
    pub sweeps: Vec<SweepTrials>,
    /// What its jobs see no data of; null: they see all.
    pub holdout: Option<FamilyHoldout>,
}

/// A sweep and the trials in it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SweepTrials {
    pub id: String,
    pub name: String,
    pub owner: String,
    pub submitted_at: Timestamp,
    pub jobs: u32,
    /// Jobs that have succeeded, failed or were pruned.
    pub tried: u64,
    pub failed: u64,
    pub pruned: u64,
    /// Different trials.
    pub trials: u64,
    /// Of these, trials that no earlier sweep of the family had.
    pub new: u64,
    /// Whether the sweep was removed. Its trials count all the same.
    pub removed: bool,
    /// The first day that its jobs did not see; null: they saw all data.
    pub cut_before: Option<String>,
    /// Which look of the family it has spent; null: none.
    pub look: Option<u32>,
}
