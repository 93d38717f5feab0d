//! How much of a sweep's best result is luck: `series` reads what its jobs returned, `numbers` and `verdict` judge it, `words`
//! says it. What always holds: what can't be estimated is missing with its reason, and the count of trials is that of the
//! ledger, not of whoever asks.
//!
//! Assessments are kept for those who look again. One that is asked for by many is made once, one at a time: each uses all
//! processors for a few seconds at most.

mod held_out;
mod numbers;
mod robust;
mod series;
mod verdict;
mod words;

use std::sync::Arc;

use bt_documents::Assessment;
use bt_model::id::SweepId;
use tokio::sync::Semaphore;

use crate::answers::{Answers, Standing};
use crate::landscapes::{self, Landscapes};
use crate::manifests::Manifests;
use crate::queue::{self, Found, Queue};
use crate::trials::Trials;

pub(crate) use numbers::PerJob;
pub(crate) use robust::rank;

/// Bytes of all that are kept, and of one without its jobs.
const MOST_BYTES: usize = 64 << 20;
const ASSESSMENT: usize = 16 << 10;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Queue(#[from] queue::Error),
    #[error(transparent)]
    Landscape(#[from] landscapes::Error),
    #[error("{0}")]
    Refused(String),
    #[error("the coordinator stops")]
    Stopping,
}

/// What is asked of a sweep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    /// The metric by which the best is chosen; none: the manifest's goal or a usual one, else the ratio of the returns.
    pub(crate) by: Option<String>,
    /// A job that all others are held against.
    pub(crate) benchmark: Option<u32>,
    /// Blocks that the periods are split into; none: as many as fit, up to 16.
    pub(crate) blocks: Option<u32>,
}

/// A sweep that was judged.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) assessment: Assessment,
    /// Of each job with returns, its ratio as one trial and as one of many.
    pub(crate) jobs: Vec<PerJob>,
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Assessor {
    queue: Queue,
    manifests: Manifests,
    landscapes: Landscapes,
    trials: Trials,
    kept: Answers<Key, Judged>,
    turns: Arc<Semaphore>,
}

/// What an assessment is of. That a trial was added anywhere in the family makes it another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    sweep: SweepId,
    question: Question,
    /// Jobs of all sweeps of the family that have succeeded or failed.
    tried: u64,
    /// Looks of the family that are spent.
    spent: u32,
}

impl Assessor {
    pub(crate) fn new(queue: Queue, manifests: Manifests, landscapes: Landscapes, trials: Trials) -> Self {
        let (kept, turns) = (Answers::new(MOST_BYTES), Arc::new(Semaphore::new(1)));
        Self { queue, manifests, landscapes, trials, kept, turns }
    }

    /// Judges a sweep, or finds the judgement of a moment ago.
    pub(crate) async fn assess(&self, found: &Found, question: Question) -> Result<Arc<Judged>, Error> {
        let row = self.queue.sweep(found.id).await?;
        let row = row.ok_or_else(|| Error::Refused(format!("sweep {} was removed", found.name)))?;
        let standing = Standing::of(row.counts);
        let family = self.queue.family_of(found.id).await?;
        let tried = self.queue.tried_in_family(found.id, &family).await?;
        let holdout = self.queue.holdout(&family).await?;
        let spent = holdout.as_ref().map_or(0, |holdout| holdout.spent);
        let key = Key { sweep: found.id, question, tried, spent };
        let judging = async {
            let _turn = self.turns.acquire().await.map_err(|_| Error::Stopping)?;
            self.judge(found, &family, &key.question, standing).await
        };
        self.kept.get(&key, standing, judging, Judged::bytes).await
    }

    /// A sweep's jobs have got other metrics.
    pub(crate) fn forget(&self, sweep: SweepId) {
        self.kept.forget(|key| key.sweep == sweep);
    }
}

impl Judged {
    /// What it takes, about.
    fn bytes(&self) -> usize {
        ASSESSMENT + self.jobs.len() * size_of::<PerJob>()
    }
}
