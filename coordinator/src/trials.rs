//! How often an idea was tried. Every job of a family that has succeeded, failed or was pruned is a trial; the same parameters of the
//! same program on the same kind of machine count once, however often they ran.

use std::collections::HashSet;

use bt_model::id::SweepId;
use bt_model::manifest::Manifest;
use sha2::{Digest, Sha256};

use crate::calculations::Calculations;
use crate::landscapes::Error;
use crate::manifests::Manifests;
use crate::queue::{FamilySweep, Queue, TriedJob};

/// Sweeps of a family that are looked at, the oldest first.
const MOST_SWEEPS: u32 = 10_000;
/// Different trials that are remembered while they are counted, 16 bytes each; further ones count as new ones.
const MOST_TRIALS: usize = 10_000_000;
/// Jobs that are read at once.
const PAGE: u32 = 20_000;

/// The trials of a family.
#[derive(Clone, Debug, Default)]
pub(crate) struct Count {
    /// Different ones.
    pub(crate) trials: u64,
    /// Jobs that were tried, each as often as it stands in a sweep.
    pub(crate) tried: u64,
    pub(crate) sweeps: Vec<CountedSweep>,
}

/// A sweep and what it added.
#[derive(Clone, Debug)]
pub(crate) struct CountedSweep {
    pub(crate) sweep: FamilySweep,
    pub(crate) tried: u64,
    pub(crate) failed: u64,
    pub(crate) pruned: u64,
    /// Different trials in it.
    pub(crate) trials: u64,
    /// Of these, trials that no earlier sweep had.
    pub(crate) new: u64,
}

/// Counts trials. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Trials {
    queue: Queue,
    manifests: Manifests,
    calculations: Calculations,
}

type Fingerprint = [u8; 16];

impl Trials {
    pub(crate) fn new(queue: Queue, manifests: Manifests, calculations: Calculations) -> Self {
        Self { queue, manifests, calculations }
    }

    /// Counts all trials of a family, and those of a sweep that may have none.
    pub(crate) async fn of_family(&self, family: &str, sweep: Option<SweepId>) -> Result<Count, Error> {
        let sweeps = self.queue.sweeps_of_family(family, sweep, MOST_SWEEPS).await?;
        let mut known = HashSet::new();
        let mut count = Count::default();
        for sweep in sweeps {
            let counted = self.add(sweep, &mut known).await?;
            count.trials += counted.new;
            count.tried += counted.tried;
            count.sweeps.push(counted);
        }
        Ok(count)
    }

    async fn add(&self, sweep: FamilySweep, known: &mut HashSet<Fingerprint>) -> Result<CountedSweep, Error> {
        let mut counted = CountedSweep { sweep, tried: 0, failed: 0, pruned: 0, trials: 0, new: 0 };
        let manifest = self.manifests.get(counted.sweep.id).await?;
        let reader = manifest.reader()?;
        let mut calculation = self.calculations.begin(&format!("trials of {}", counted.sweep.id)).await?;
        let program = program(&manifest.manifest, &counted.sweep.image);
        let mut of_sweep = HashSet::new();
        let mut after = None;
        loop {
            let page = self.queue.tried(counted.sweep.id, after, PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            after = page.last().map(|job| job.number);
            let mut jobs = page.into_iter();
            let step = || -> Option<Result<(), Error>> {
                let Some(TriedJob { number, parameters, failed, pruned }) = jobs.next() else {
                    return Some(Ok(()));
                };
                let parameters = match reader.parameters(parameters) {
                    Ok(parameters) => parameters.to_json(),
                    Err(error) => return Some(Err(Error::Parameters { job: number, error })),
                };
                let digest = program.clone().chain_update([0]).chain_update(parameters).finalize();
                let mut fingerprint = Fingerprint::default();
                fingerprint.copy_from_slice(&digest[..size_of::<Fingerprint>()]);
                counted.tried += 1;
                counted.failed += u64::from(failed);
                counted.pruned += u64::from(pruned);
                if !of_sweep.insert(fingerprint) {
                    return None;
                }
                counted.trials += 1;
                counted.new += match known.len() < MOST_TRIALS {
                    true => u64::from(known.insert(fingerprint)),
                    false => u64::from(!known.contains(&fingerprint)),
                };
                None
            };
            calculation.run(step).await??;
            if is_last {
                return Ok(counted);
            }
        }
    }
}

/// What runs, as far as it makes a trial another one: not in which kind of container it runs, or with how much memory.
fn program(manifest: &Manifest, image: &str) -> Sha256 {
    let mut hash = Sha256::new();
    let volumes = manifest.volumes.iter().map(ToString::to_string);
    let env = manifest.env.iter().map(|(name, value)| format!("{name}={value}"));
    for words in [vec![image.to_owned()], manifest.command.clone(), env.collect(), volumes.collect()] {
        for word in words {
            hash.update((word.len() as u64).to_le_bytes());
            hash.update(word);
        }
        hash.update(u64::MAX.to_le_bytes());
    }
    hash
}

impl Count {
    /// What a sweep of the family added.
    pub(crate) fn of_sweep(&self, sweep: SweepId) -> Option<&CountedSweep> {
        self.sweeps.iter().find(|counted| counted.sweep.id == sweep)
    }
}
