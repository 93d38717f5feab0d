//! A manifest that flags may still change.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::{Error, Places};
use super::matrix::Matrix;
use super::{JobUser, Manifest, Needs, Network, OnDisconnect, Sample, VolumeMount};
use crate::parameters::Parameters;

/// What a file or the flags say of a sweep; what they leave out is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    pub name: Option<String>,
    pub image: Option<String>,
    pub command: Option<Vec<String>>,
    pub env: BTreeMap<String, String>,
    pub matrix: Option<Matrix>,
    pub params: Option<Vec<Parameters>>,
    /// A CSV file with a job's parameters in each row. Who finishes the draft reads it, with [`super::csv_rows`], into
    /// `params` first.
    pub params_from: Option<String>,
    pub filter: Option<String>,
    pub sample: Option<Sample>,
    pub volumes: Vec<VolumeMount>,
    pub needs: Needs,
    pub timeout: Option<Duration>,
    pub retries: Option<u32>,
    pub priority: Option<i32>,
    pub agents: BTreeMap<String, String>,
    pub network: Option<Network>,
    pub on_disconnect: Option<OnDisconnect>,
    pub user: Option<JobUser>,
    pub results: Option<String>,
    pub metrics: Option<String>,
    pub timezone: Option<String>,
    pub places: Places,
}

impl Draft {
    /// The same draft with what the flags say. Flags win; maps and volumes are merged entry by entry, a matrix axis by
    /// axis.
    #[must_use]
    pub fn merge(self, flags: Self) -> Self {
        let _ = flags;
        todo!()
    }

    /// Checks all and fills in the defaults.
    pub fn finish(self) -> Result<Manifest, Error> {
        todo!()
    }
}
