//! What an agent was told to run. It is kept on disk as it came, so that a restarted agent knows all that it knew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bt_model::id::{AttemptId, BatchId, SweepId};
use bt_model::manifest::{self, Containers, Manifest};
use bt_model::parameters::{NotParameters, Parameters};
use bt_proto::convert::{self, Malformed, parse, present};
use bt_proto::v1;
use bt_traces::Trace;
use serde::{Deserialize, Serialize};

/// One attempt to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Assignment {
    pub(crate) attempt: AttemptId,
    pub(crate) sweep: SweepId,
    pub(crate) job: u32,
    /// 1 for the first attempt of the job.
    pub(crate) number: u32,
    pub(crate) sweep_name: String,
    manifest: String,
    parameters: String,
    /// The image that the sweep runs, if an agent has resolved it before.
    pub(crate) image_pin: Option<String>,
    /// How the sweep's jobs run, if not as its manifest asks.
    #[serde(default)]
    containers: Option<String>,
    /// Those with the same one run in one container.
    #[serde(default)]
    pub(crate) batch: Option<BatchId>,
    /// Of the job's trace, if it is traced.
    #[serde(default)]
    traceparent: Option<String>,
    /// What its container may use, where that is not what the manifest says.
    #[serde(default)]
    pub(crate) memory_bytes: Option<u64>,
}

impl Assignment {
    /// One of no coordinator, for a job that is tried on this machine.
    pub(crate) fn local(
        attempt: AttemptId,
        sweep: SweepId,
        job: u32,
        manifest: &Manifest,
        parameters: &Parameters,
    ) -> Self {
        Self {
            attempt,
            sweep,
            job,
            number: 1,
            sweep_name: manifest.name.clone(),
            manifest: manifest.to_json(),
            parameters: parameters.to_json(),
            image_pin: None,
            containers: None,
            batch: None,
            traceparent: None,
            memory_bytes: None,
        }
    }

    /// The job's trace, if it is traced.
    pub(crate) fn trace(&self) -> Option<Trace> {
        Trace::read(self.traceparent.as_ref()?)
    }

    /// How the sweep's jobs run, if not as its manifest asks.
    pub(crate) fn containers(&self) -> Option<Containers> {
        self.containers.as_ref()?.parse().ok()
    }

    pub(crate) fn parameters(&self) -> Result<Parameters, NotParameters> {
        Parameters::from_json(&self.parameters)
    }
}

/// Manifests that were read before, by their text: attempts of one sweep share it.
#[derive(Debug, Default)]
pub(crate) struct Manifests {
    known: Mutex<HashMap<String, Arc<Manifest>>>,
}

/// Manifests that are kept; when there are more, all are read again as they are needed.
const KEPT: usize = 64;

impl Manifests {
    pub(crate) fn of(&self, assignment: &Assignment) -> Result<Arc<Manifest>, manifest::Error> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(manifest) = known.get(&assignment.manifest) {
            return Ok(manifest.clone());
        }
        let manifest = Arc::new(Manifest::from_json(&assignment.manifest)?);
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(assignment.manifest.clone(), manifest.clone());
        Ok(manifest)
    }
}

impl TryFrom<v1::Assignment> for Assignment {
    type Error = Malformed;

    fn try_from(wire: v1::Assignment) -> Result<Self, Malformed> {
        let containers = convert::containers_of(wire.containers());
        Ok(Self {
            attempt: parse("attempt", "a UUID", &wire.attempt)?,
            sweep: parse("sweep", "a UUID", &wire.sweep)?,
            job: wire.job,
            number: wire.attempt_number,
            sweep_name: wire.sweep_name,
            manifest: wire.manifest,
            parameters: wire.parameters,
            containers: containers.map(|choice| choice.name().to_owned()),
            image_pin: present(wire.image_pin),
            batch: match present(wire.batch) {
                Some(batch) => Some(parse("batch", "a UUID", &batch)?),
                None => None,
            },
            traceparent: present(wire.traceparent),
            memory_bytes: wire.memory_bytes.filter(|bytes| *bytes > 0),
        })
    }
}
