//! Which way the metrics of two sweeps are better.

use std::collections::BTreeMap;

use bt_documents::{self as documents, SweepReport};
use bt_model::manifest::Goal;

use super::Error;

/// What a flag says of all metrics, or what the manifests say of some.
#[derive(Debug, Default)]
pub(super) struct Goals {
    all: Option<Goal>,
    some: BTreeMap<String, Goal>,
}

impl Goals {
    /// Fails where the manifests contradict each other, and no flag decides.
    pub(super) fn of(ascending: Option<bool>, sweeps: [&SweepReport; 2]) -> Result<Self, Error> {
        if let Some(ascending) = ascending {
            let goal = if ascending { Goal::Minimize } else { Goal::Maximize };
            return Ok(Self { all: Some(goal), ..Self::default() });
        }
        let mut some = BTreeMap::new();
        for sweep in sweeps {
            let manifest = documents::manifest(&sweep.manifest)?;
            let goals = manifest.get("goals").and_then(|goals| goals.as_object()).into_iter().flatten();
            for (metric, goal) in goals {
                let Some(goal) = goal.as_str().and_then(|goal| goal.parse::<Goal>().ok()) else { continue };
                if some.insert(metric.clone(), goal).is_some_and(|other| other != goal) {
                    return Err(Error::Goals(metric.clone()));
                }
            }
        }
        Ok(Self { all: None, some })
    }

    pub(super) fn of_metric(&self, metric: &str) -> Goal {
        self.all.or_else(|| self.some.get(metric).copied()).unwrap_or_default()
    }
}
