//! Landscapes of sweeps, kept for those who look at them again.

use std::sync::Arc;

use bt_model::id::SweepId;
use bt_model::landscape::{Builder, JobEnd, Landscape};
use bt_model::parameters::NotParameters;

use crate::answers::{Answers, Standing};
use crate::calculations::{Calculations, Refused};
use crate::manifests::{self, Manifests};
use crate::queue::{self, MetricOfJob, Queue};

/// Bytes of all that are kept.
const MOST_BYTES: usize = 256 << 20;
/// Jobs that are read at once.
const PAGE: u32 = 20_000;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Queue(#[from] queue::Error),
    #[error(transparent)]
    Manifest(#[from] manifests::Error),
    #[error("job {job}: {error}")]
    Parameters { job: u32, error: NotParameters },
    #[error(transparent)]
    Refused(#[from] Refused),
}

#[derive(Clone, Debug)]
pub(crate) struct Landscapes {
    queue: Queue,
    manifests: Manifests,
    calculations: Calculations,
    kept: Answers<(SweepId, String), Landscape>,
}

impl Landscapes {
    pub(crate) fn new(queue: Queue, manifests: Manifests, calculations: Calculations) -> Self {
        Self { queue, manifests, calculations, kept: Answers::new(MOST_BYTES) }
    }

    /// A sweep that stands like this by one metric, a short time ago at most.
    pub(crate) async fn get(
        &self,
        sweep: SweepId,
        metric: &str,
        standing: Standing,
    ) -> Result<Arc<Landscape>, Error> {
        let key = (sweep, metric.to_owned());
        self.kept.get(&key, standing, self.make(sweep, metric), Landscape::bytes).await
    }

    /// A sweep's jobs have got other metrics.
    pub(crate) fn forget(&self, sweep: SweepId) {
        self.kept.forget(|(kept, _)| *kept == sweep);
    }

    async fn make(&self, sweep: SweepId, metric: &str) -> Result<Landscape, Error> {
        let known = self.manifests.get(sweep).await?;
        let reader = known.reader()?;
        let mut calculation = self.calculations.begin(&format!("landscape of {sweep}")).await?;
        let mut builder = Builder::default();
        let mut after = None;
        loop {
            let page = self.queue.values_of_metric(sweep, metric, after, PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            after = page.last().map(|job| job.number);
            let mut jobs = page.into_iter();
            let step = || -> Option<Result<(), Error>> {
                let Some(job) = jobs.next() else { return Some(Ok(())) };
                let MetricOfJob { number, parameters, failed, pruned, value } = job;
                let end = match (failed, pruned) {
                    (true, _) => JobEnd::Failed,
                    (_, true) => JobEnd::Pruned,
                    (false, false) => JobEnd::Other,
                };
                match reader.parameters(parameters) {
                    Ok(parameters) => builder.push(&parameters, value, end),
                    Err(error) => return Some(Err(Error::Parameters { job: number, error })),
                }
                None
            };
            calculation.run(step).await??;
            if is_last {
                return Ok(builder.finish());
            }
        }
    }
}
