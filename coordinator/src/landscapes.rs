//! Landscapes of sweeps, kept for those who look at them again. Only a cache: each is made of what is in Postgres, and made
//! anew when it is old. What always holds: one that is asked for by many is made once, and all of them together take no more
//! memory than [`MOST_BYTES`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bt_model::id::SweepId;
use bt_model::landscape::{Builder, Landscape};
use bt_model::parameters::NotParameters;

use crate::calculations::{Calculations, Refused};
use crate::manifests::{self, Manifests};
use crate::queue::{self, MetricOfJob, Queue};

/// Bytes of all that are kept.
const MOST_BYTES: usize = 256 << 20;
/// How long one is shown while jobs finish, besides as many times as long as it took to make.
const FRESH: Duration = Duration::from_secs(2);
const TIMES: u32 = 20;
/// How long one is shown while no job finishes: metrics may be added to finished jobs.
const UNCHANGED: Duration = Duration::from_secs(60);
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

type Key = (SweepId, String);
type Slot = Arc<tokio::sync::Mutex<Option<Made>>>;

#[derive(Clone, Debug)]
pub(crate) struct Landscapes {
    queue: Queue,
    manifests: Manifests,
    calculations: Calculations,
    kept: Arc<Mutex<HashMap<Key, Kept>>>,
}

#[derive(Clone, Debug)]
struct Kept {
    slot: Slot,
    bytes: usize,
    asked: Instant,
}

#[derive(Clone, Debug)]
struct Made {
    landscape: Arc<Landscape>,
    at: Instant,
    took: Duration,
    /// How many jobs had finished then.
    finished: u32,
}

impl Landscapes {
    pub(crate) fn new(queue: Queue, manifests: Manifests, calculations: Calculations) -> Self {
        Self { queue, manifests, calculations, kept: Arc::default() }
    }

    /// A sweep by one metric, a short time ago at most. So many of its jobs have finished now.
    pub(crate) async fn get(
        &self,
        sweep: SweepId,
        metric: &str,
        finished: u32,
    ) -> Result<Arc<Landscape>, Error> {
        let key = (sweep, metric.to_owned());
        let slot = self.slot(&key);
        let mut made = slot.lock().await;
        if let Some(made) = made.as_ref().filter(|made| made.is_fresh(finished)) {
            return Ok(made.landscape.clone());
        }
        let began = Instant::now();
        let landscape = Arc::new(self.make(sweep, metric).await?);
        *made =
            Some(Made { landscape: landscape.clone(), at: Instant::now(), took: began.elapsed(), finished });
        drop(made);
        self.note(&key, landscape.bytes());
        Ok(landscape)
    }

    fn slot(&self, key: &Key) -> Slot {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Kept { slot: Slot::default(), bytes: 0, asked: Instant::now() };
        let kept = kept.entry(key.clone()).or_insert_with(new);
        kept.asked = Instant::now();
        kept.slot.clone()
    }

    /// Notes what one takes, and lets those go that were not asked for the longest.
    fn note(&self, key: &Key, bytes: usize) {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = all.get_mut(key) {
            kept.bytes = bytes;
        }
        while all.values().map(|kept| kept.bytes).sum::<usize>() > MOST_BYTES {
            let others = all.iter().filter(|(other, kept)| *other != key && kept.bytes > 0);
            let Some(oldest) = others.min_by_key(|(_, kept)| kept.asked).map(|(key, _)| key.clone()) else {
                break;
            };
            all.remove(&oldest);
        }
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
                let MetricOfJob { number, parameters, failed, value } = job;
                match reader.parameters(parameters) {
                    Ok(parameters) => builder.push(&parameters, value, failed),
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

impl Made {
    fn is_fresh(&self, finished: u32) -> bool {
        let lasts = if finished == self.finished { UNCHANGED } else { FRESH };
        self.at.elapsed() < lasts + self.took * TIMES
    }
}
