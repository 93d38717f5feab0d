//! The manifests of sweeps that are being worked on. Only a cache: a manifest never changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bt_model::expansion::Points;
use bt_model::id::SweepId;
use bt_model::manifest::{self, Manifest};
use bt_model::parameters::{NotParameters, Parameters};

use crate::queue::{self, Queue, Written};

/// Manifests that are kept; when there are more, all are read again as they are needed.
const KEPT: usize = 512;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Queue(#[from] queue::Error),
    /// What was queued was checked, so only a newer btctl's manifest can be unreadable.
    #[error("the manifest of sweep {0} can't be read: {1}")]
    Unreadable(SweepId, #[source] manifest::Error),
}

/// A sweep's manifest, as text and read.
#[derive(Debug)]
pub(crate) struct Known {
    sweep: SweepId,
    pub(crate) text: String,
    pub(crate) manifest: Manifest,
}

#[derive(Clone, Debug)]
pub(crate) struct Manifests {
    queue: Queue,
    kept: Arc<Mutex<HashMap<SweepId, Arc<Known>>>>,
}

impl Manifests {
    pub(crate) fn new(queue: Queue) -> Self {
        Self { queue, kept: Arc::default() }
    }

    pub(crate) async fn get(&self, sweep: SweepId) -> Result<Arc<Known>, Error> {
        let found = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&sweep).cloned();
        if let Some(known) = found {
            return Ok(known);
        }
        let text = self.queue.manifest(sweep).await?;
        let manifest = Manifest::from_json(&text).map_err(|error| Error::Unreadable(sweep, error))?;
        let known = Arc::new(Known { sweep, text, manifest });
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(sweep, known.clone());
        Ok(known)
    }
}

impl Known {
    /// Reads parameters of this sweep's jobs.
    pub(crate) fn reader(&self) -> Result<Reader<'_>, Error> {
        let points = self.manifest.points().map_err(|error| Error::Unreadable(self.sweep, error))?;
        Ok(Reader { points })
    }
}

/// From what is kept of a job's parameters to the parameters.
pub(crate) struct Reader<'m> {
    points: Points<'m>,
}

impl Reader<'_> {
    pub(crate) fn parameters(&self, written: Written) -> Result<Parameters, NotParameters> {
        match written {
            Written::Out(text) => Parameters::from_json(&text),
            Written::Point(point) => Ok(self.points.get(point)),
        }
    }

    /// The point of the test that has the parameters of this training job's.
    pub(crate) fn test_of(&self, point: u64) -> Option<u64> {
        self.points.test_of(point)
    }

    /// The points that may have one of these parameters; nothing where each job must be looked at.
    pub(crate) fn places_of(&self, parameters: &[Parameters]) -> Option<Vec<u64>> {
        let places = parameters.iter().map(|parameters| self.points.places_of(parameters));
        Some(places.collect::<Option<Vec<_>>>()?.concat())
    }

    /// As a JSON object.
    pub(crate) fn json(&self, written: Written) -> String {
        match written {
            Written::Out(text) => text,
            Written::Point(point) => self.points.get(point).to_json(),
        }
    }
}
