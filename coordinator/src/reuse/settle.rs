//! Compares the jobs of a sweep with those of all sweeps of its recipe and image: in bounded memory, by hashes of their
//! parameters.

use sha2::{Digest, Sha256};
use tracing::{info, warn};

use bt_model::parameters::Parameters;

use super::{Error, Reuse};
use crate::bell::Event;
use crate::manifests;
use crate::queue::{Fingerprints, Pending, Place, Settling, Twin};

/// Jobs that are compared at once; bounds the memory that a sweep takes, and not how large it may be.
const AT_ONCE: usize = 200_000;

/// Jobs that are few: they are looked up in another sweep's matrix, in place of comparing each of its jobs.
const FEW: usize = 5_000;

/// The hash of a job's parameters. Half a SHA-256 is enough to tell them apart.
type Key = [u8; 16];

/// Jobs of the sweep, sorted by their keys, each run of equal ones with what was found for it.
#[derive(Default)]
struct Wanted {
    jobs: Vec<(Key, u32)>,
    /// In the places of the first jobs of the runs.
    found: Vec<Option<Twin>>,
    /// Runs with results that differ.
    differing: Vec<bool>,
    /// What they were hashed from, if they are few.
    few: Vec<Parameters>,
}

/// What the jobs of a sweep are to do.
#[derive(Default)]
struct Decisions {
    takes: Vec<(u32, Place)>,
    attaches: Vec<(u32, Place)>,
    differing: u32,
}

impl Reuse {
    /// Takes what is there for the sweep, attaches what will be there, and lets the rest run.
    pub(super) async fn settle(
        &self,
        pending: &Pending,
        image: &str,
        volumes: &Fingerprints,
    ) -> Result<(), Error> {
        let mut hash = Sha256::new();
        hash.update(pending.recipe);
        hash.update(image.as_bytes());
        let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = hash.finalize().into();
        let identity = i64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let settling = self.queue.begin_settling(pending.sweep, image, volumes, identity).await?;
        let Some(mut settling) = settling else { return Ok(()) };
        let (mut taken, mut attached, mut differing) = (0, 0, 0);
        let mut after = None;
        loop {
            let mut wanted = Wanted::default();
            let first = after.map_or(0, |last: u32| last + 1);
            after = self.read_jobs(&mut settling, pending, &mut wanted, after).await?;
            if wanted.jobs.is_empty() {
                break;
            }
            self.search(&mut settling, &mut wanted, first).await?;
            let decisions = wanted.decide(pending);
            taken += settling.take(&decisions.takes).await?;
            settling.attach(&decisions.attaches).await?;
            attached += decisions.attaches.len();
            differing += decisions.differing;
        }
        settling.finish(differing).await?;
        info!(
            sweep.id = %pending.sweep,
            taken,
            attached,
            "sweep {} has taken results of identical jobs, and waits for others", pending.name
        );
        if taken > 0 {
            self.bell.ring(Event::ResultsReused);
        }
        Ok(())
    }

    /// Reads the next jobs of the sweep. Says which was the last.
    async fn read_jobs(
        &self,
        settling: &mut Settling,
        pending: &Pending,
        wanted: &mut Wanted,
        mut after: Option<u32>,
    ) -> Result<Option<u32>, Error> {
        let known = self.manifests.get(pending.sweep).await?;
        let reader = known.reader()?;
        while wanted.jobs.len() < AT_ONCE {
            let page = settling.jobs(after).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            for (job, written) in page {
                let parameters = reader.parameters(written);
                let parameters = parameters.map_err(|error| Error::Parameters(pending.sweep, error))?;
                wanted.jobs.push((key(&parameters), job));
                if wanted.jobs.len() <= FEW {
                    wanted.few.push(parameters);
                }
            }
        }
        if wanted.jobs.len() > FEW {
            wanted.few = Vec::new();
        }
        wanted.jobs.sort_unstable();
        wanted.found = vec![None; wanted.jobs.len()];
        wanted.differing = vec![false; wanted.jobs.len()];
        Ok(after)
    }

    /// Looks for them among the jobs of all that could have identical ones.
    async fn search(&self, settling: &mut Settling, wanted: &mut Wanted, first: u32) -> Result<(), Error> {
        for source in settling.sources().await? {
            let known = match self.manifests.get(source.sweep).await {
                Ok(known) => known,
                Err(error @ manifests::Error::Unreadable(..)) => {
                    warn!(error = %error, "its jobs are not compared with others");
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let reader = known.reader()?;
            let points = (!wanted.few.is_empty()).then(|| reader.places_of(&wanted.few)).flatten();
            let mut after = None;
            loop {
                let (offers, next) = settling.offers(source, after, first, points.as_deref()).await?;
                for offer in offers {
                    let parameters = reader.parameters(offer.parameters);
                    let parameters = parameters.map_err(|error| Error::Parameters(source.sweep, error))?;
                    wanted.offer(&key(&parameters), offer.twin);
                }
                if next.is_none() {
                    break;
                }
                after = next;
            }
        }
        Ok(())
    }
}

fn key(parameters: &Parameters) -> Key {
    let [key @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _]: [u8; 32] =
        Sha256::digest(parameters.identity()).into();
    key
}

impl Wanted {
    /// Notes what an identical job has to give, if it is better than what is known.
    fn offer(&mut self, key: &Key, twin: Twin) {
        let at = self.jobs.partition_point(|(known, _)| known < key);
        if self.jobs.get(at).is_none_or(|(known, _)| known != key) {
            return;
        }
        let found = &mut self.found[at];
        if let (Some(Twin::Result { metrics: known, .. }), Twin::Result { metrics, .. }) = (&found, &twin) {
            self.differing[at] |= known != metrics;
        }
        if found.is_none_or(|known| twin.is_better_than(&known)) {
            *found = Some(twin);
        }
    }

    fn decide(&self, pending: &Pending) -> Decisions {
        let mut decisions = Decisions::default();
        let mut from = 0;
        for same in self.jobs.chunk_by(|(a, _), (b, _)| a == b) {
            let jobs = same.iter().map(|(_, job)| *job);
            match self.found[from] {
                Some(Twin::Result { of, .. }) => decisions.takes.extend(jobs.map(|job| (job, of))),
                Some(Twin::End { of, .. }) => decisions.attaches.extend(jobs.map(|job| (job, of))),
                // A point that the sweep itself has twice.
                None => {
                    let first = Place { sweep: pending.sweep, job: same[0].1 };
                    decisions.attaches.extend(jobs.skip(1).map(|job| (job, first)));
                }
            }
            if self.differing[from] {
                decisions.differing += same.len() as u32;
            }
            from += same.len();
        }
        decisions
    }
}

impl Twin {
    /// A result is better than none yet, the latest result than an earlier one, and a job that runs than one that does not;
    /// else what was found first.
    fn is_better_than(&self, known: &Self) -> bool {
        match (self, known) {
            (Self::Result { finished, .. }, Self::Result { finished: known, .. }) => finished > known,
            (Self::Result { .. }, Self::End { .. }) => true,
            (Self::End { .. }, Self::Result { .. }) => false,
            (Self::End { runs, .. }, Self::End { runs: known, .. }) => *runs && !known,
        }
    }
}
