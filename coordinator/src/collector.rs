//! Garbage in the store: what attempts left that were never published, and what sweeps left whose time has passed.
//!
//! A file is removed only if Postgres knows for certain that it is garbage: it belongs to an attempt that has ended and
//! does not count, or to a sweep that has expired. What Postgres does not know of is left alone.

mod images;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use bt_model::id::SweepId;
use bt_model::layout::{Role, sweep_dir};
use bt_store::{Store, Stored};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::queue::{self, Collectable, Fate, Queue};

/// Files that are judged together.
const BATCH: usize = 1_000;
/// Files that are removed at once.
const AT_ONCE: usize = 8;
/// Faults of one sweep that are named.
const FAULTS: usize = 100;
/// A document or a log that was begun, and not written to for so long, never gets its name.
const STILL: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Queue(#[from] queue::Error),
    #[error(transparent)]
    Store(#[from] bt_store::Error),
}

impl Error {
    /// True if only this sweep is affected, so that others can be collected.
    fn is_one_sweeps(&self) -> bool {
        match self {
            Self::Queue(error) => matches!(error, queue::Error::Corrupt(_)),
            Self::Store(error) => error.is_one_files(),
        }
    }
}

/// Why something is garbage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    /// Its sweep's results were kept for as long as they were to be.
    Expired,
    /// Its attempt has ended without being published.
    Unpublished,
    /// Its attempt was published without it.
    Unnamed,
    /// Who wrote it was killed.
    HalfWritten,
}

impl Why {
    pub(crate) fn told(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Unpublished => "unpublished",
            Self::Unnamed => "not in the result",
            Self::HalfWritten => "half written",
        }
    }
}

/// Garbage of one attempt, or, without a number, of a job itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Heap {
    pub(crate) job: u32,
    pub(crate) attempt: Option<u32>,
    pub(crate) why: Why,
}

/// How much it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) files: u64,
    /// Bytes.
    pub(crate) size: u64,
}

/// A file that could not be removed, or a sweep whose directory could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) path: String,
    pub(crate) why: String,
}

/// What was found in a sweep's directory, and removed unless it was only looked for.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    pub(crate) heaps: BTreeMap<Heap, Amount>,
    /// What is left, [`FAULTS`] at most. The next collection tries it again.
    pub(crate) faults: Vec<Fault>,
}

impl Collected {
    fn note(&mut self, heap: Heap, size: u64) {
        let amount = self.heaps.entry(heap).or_default();
        amount.files += 1;
        amount.size += size;
    }

    fn fault(&mut self, path: String, why: &bt_store::Error) {
        if self.faults.len() < FAULTS {
            self.faults.push(Fault { path, why: why.to_string() });
        }
    }
}

/// Finds garbage and removes it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Collector {
    pub(crate) queue: Queue,
    pub(crate) store: Store,
}

impl Collector {
    /// Gives up the results of sweeps that were kept for as long as they were to be.
    pub(crate) async fn expire(&self) -> Result<(), Error> {
        while !self.queue.expire_sweeps().await?.is_empty() {}
        Ok(())
    }

    /// The sweeps that may have garbage of that age, also those that were looked at before if all are meant. If told to,
    /// those whose time has passed are given up first.
    pub(crate) fn sweeps(
        self,
        age: Duration,
        all: bool,
        expire: bool,
    ) -> impl Stream<Item = Result<Collectable, Error>> {
        let first = (self, None, true);
        let pages = stream::try_unfold(first, move |(this, after, more)| async move {
            if !more {
                return Ok::<_, Error>(None);
            }
            if expire && after.is_none() {
                this.expire().await?;
            }
            let page = this.queue.collectables(age, after, all, !expire).await?;
            let last = page.last().map(|sweep| sweep.id);
            let page = stream::iter(page.into_iter().map(Ok));
            Ok(Some((page, (this, last, last.is_some()))))
        });
        pages.try_flatten()
    }

    /// Removes the garbage of one sweep that is older than `age`, or only looks for it. What can't be removed is noted,
    /// and the rest is removed all the same. An error is not this sweep's alone: Postgres or the store is away.
    pub(crate) async fn collect(
        &self,
        sweep: &Collectable,
        age: Duration,
        remove: bool,
    ) -> Result<Collected, Error> {
        let mut collected = Collected::default();
        let dir = sweep_dir(&sweep.name, sweep.id);
        match self.collect_from(sweep, &dir, age, remove, &mut collected).await {
            Err(error) if error.is_one_sweeps() => {
                collected.faults.push(Fault { path: dir, why: error.to_string() });
            }
            done => done?,
        }
        if remove && collected.faults.is_empty() {
            self.queue.mark_collected(sweep.id).await?;
        }
        Ok(collected)
    }

    async fn collect_from(
        &self,
        sweep: &Collectable,
        dir: &str,
        age: Duration,
        remove: bool,
        collected: &mut Collected,
    ) -> Result<(), Error> {
        // Jobs whose `result.json` could not be removed: it must not name what is gone.
        let mut held = HashSet::new();
        if sweep.expired && remove {
            let documents = self.store.list(dir).try_filter(|file| {
                let named = matches!(role(dir, file, sweep), Role::Result { .. });
                std::future::ready(named)
            });
            let removals = documents.map_err(Error::from).map_ok(|file| self.remove(file));
            let mut removals = removals.try_buffer_unordered(AT_ONCE);
            while let Some((file, outcome)) = removals.try_next().await? {
                let Some(job) = role(dir, &file, sweep).job() else { continue };
                match outcome {
                    Ok(()) => {
                        collected.note(Heap { job, attempt: None, why: Why::Expired }, file.size);
                    }
                    Err(error) => {
                        held.insert(job);
                        collected.fault(file.path, &error);
                    }
                }
            }
        }
        let mut batches = self.store.list(dir).try_chunks(BATCH);
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(|error| error.1)?;
            let mut garbage = self.judge(sweep, dir, batch, age).await?;
            garbage.retain(|(heap, _)| !held.contains(&heap.job));
            let removals = garbage.into_iter().map(|(heap, file)| async move {
                let (file, outcome) = if remove { self.remove(file).await? } else { (file, Ok(())) };
                Ok::<_, Error>((heap, file, outcome))
            });
            let mut removals = stream::iter(removals).buffer_unordered(AT_ONCE);
            while let Some((heap, file, outcome)) = removals.try_next().await? {
                match outcome {
                    Ok(()) => collected.note(heap, file.size),
                    Err(error) => collected.fault(file.path, &error),
                }
            }
        }
        self.collect_half_written(sweep, dir, age, remove, collected).await
    }

    /// The same for files that never got their names. One of an attempt that has ended never will.
    async fn collect_half_written(
        &self,
        sweep: &Collectable,
        dir: &str,
        age: Duration,
        remove: bool,
        collected: &mut Collected,
    ) -> Result<(), Error> {
        let begun = self.store.half_written(dir).await?;
        let roles: Vec<_> = begun.iter().map(|begun| (role(dir, &begun.file, sweep), begun)).collect();
        let fates = self.queue.fates(sweep, &attempts(roles.iter().map(|(role, _)| role)), age).await?;
        for (role, begun) in roles {
            let is_still = begun.file.modified.elapsed().is_ok_and(|still| still > STILL);
            let (attempt, is_garbage) = match role {
                Role::Output { job, attempt, .. } => {
                    let fate = fates.get(&(job, attempt));
                    (Some(attempt), fate.is_some_and(|fate| fate.ended && (fate.old || sweep.expired)))
                }
                Role::Log { attempt, .. } => (Some(attempt), is_still),
                Role::Result { .. } | Role::Beside { .. } => (None, is_still),
                Role::Unknown => (None, false),
            };
            let Some(job) = role.job().filter(|_| is_garbage) else { continue };
            let removed = if remove { self.store.remove_half_written(begun).await } else { Ok(()) };
            match removed {
                Ok(()) => collected.note(Heap { job, attempt, why: Why::HalfWritten }, begun.file.size),
                Err(error) if error.is_one_files() => collected.fault(begun.file.path.clone(), &error),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Which of these files are garbage.
    async fn judge(
        &self,
        sweep: &Collectable,
        dir: &str,
        files: Vec<Stored>,
        age: Duration,
    ) -> Result<Vec<(Heap, Stored)>, Error> {
        let roles: Vec<_> = files.iter().map(|file| (role(dir, file, sweep), file)).collect();
        let fates = self.queue.fates(sweep, &attempts(roles.iter().map(|(role, _)| role)), age).await?;
        let published = self.published(sweep.id, &roles, &fates).await?;
        let mut garbage = Vec::new();
        for (role, file) in &roles {
            let why = match role {
                Role::Output { job, attempt, path } => match fates.get(&(*job, *attempt)) {
                    Some(fate) => {
                        judge_output(sweep.expired, *fate, || published.contains(&(*job, (*path).to_owned())))
                    }
                    None => None,
                },
                Role::Log { .. } | Role::Result { .. } | Role::Beside { .. } if sweep.expired => {
                    Some(Why::Expired)
                }
                _ => None,
            };
            let attempt = match role {
                Role::Output { attempt, .. } | Role::Log { attempt, .. } => Some(*attempt),
                _ => None,
            };
            if let (Some(why), Some(job)) = (why, role.job()) {
                garbage.push((Heap { job, attempt, why }, Stored::clone(file)));
            }
        }
        Ok(garbage)
    }

    /// The files of attempts that count, as far as they are a result's.
    async fn published(
        &self,
        sweep: SweepId,
        roles: &[(Role<'_>, &Stored)],
        fates: &HashMap<(u32, u32), Fate>,
    ) -> Result<HashSet<(u32, String)>, Error> {
        let of_results: Vec<_> = roles
            .iter()
            .filter_map(|(role, _)| match role {
                Role::Output { job, attempt, path }
                    if fates.get(&(*job, *attempt)).is_some_and(|fate| fate.counts) =>
                {
                    Some((*job, (*path).to_owned()))
                }
                _ => None,
            })
            .collect();
        Ok(self.queue.published_among(sweep, &of_results).await?)
    }

    /// Removes a file, and says what is wrong with it if it can't be removed. An error is the whole store's.
    async fn remove(&self, file: Stored) -> Result<(Stored, Result<(), bt_store::Error>), Error> {
        match self.store.remove(&file.path).await {
            Err(error) if !error.is_one_files() => Err(error.into()),
            outcome => Ok((file, outcome)),
        }
    }
}

/// Collects on its own, again and again.
pub(crate) async fn run(collector: Collector, every: Duration, age: Duration, shutdown: CancellationToken) {
    let mut health = crate::loops::Health::new("collecting garbage");
    while tokio::time::timeout(every, shutdown.cancelled()).await.is_err() {
        let pass = async {
            let mut total = Amount::default();
            let mut sweeps = std::pin::pin!(collector.clone().sweeps(age, false, true));
            while let Some(sweep) = sweeps.try_next().await? {
                let collected = collector.collect(&sweep, age, true).await?;
                for amount in collected.heaps.into_values() {
                    total.files += amount.files;
                    total.size += amount.size;
                }
                if let Some(Fault { path, why }) = collected.faults.first() {
                    let faults = collected.faults.len();
                    tracing::warn!(sweep.id = %sweep.id, faults, path, error = why, "garbage can't be removed");
                }
            }
            collector.collect_images(&mut total).await?;
            Ok::<_, Error>(total)
        };
        let total = tokio::select! {
            () = shutdown.cancelled() => return,
            total = pass => health.note(total),
        };
        if let Some(Amount { files, size }) = total.filter(|total| total.files > 0) {
            tracing::info!(files, size, "garbage was removed from the store");
        }
    }
}

fn role<'f>(dir: &str, file: &'f Stored, sweep: &Collectable) -> Role<'f> {
    let below = file.path.strip_prefix(dir).and_then(|rest| rest.strip_prefix('/'));
    below.map_or(Role::Unknown, |path| Role::of(path, sweep.jobs))
}

/// The attempts (job, number) whose outputs these are.
fn attempts<'r>(roles: impl Iterator<Item = &'r Role<'r>>) -> HashSet<(u32, u32)> {
    let attempts = roles.filter_map(|role| match role {
        Role::Output { job, attempt, .. } => Some((*job, *attempt)),
        _ => None,
    });
    attempts.collect()
}

fn judge_output(expired: bool, fate: Fate, is_published: impl Fn() -> bool) -> Option<Why> {
    match fate {
        // It may still be written to.
        Fate { ended: false, .. } => None,
        // Of an expired sweep only what another one has taken over counts; that one knows which files.
        Fate { counts: true, .. } if expired => None,
        Fate { counts: false, .. } if expired => Some(Why::Expired),
        Fate { old: false, .. } => None,
        Fate { counts: true, .. } => (!is_published()).then_some(Why::Unnamed),
        Fate { counts: false, .. } => Some(Why::Unpublished),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_certainly_does_not_count_is_garbage() {
        let fate = |ended, old, counts| Fate { ended, old, counts };
        let judge = |expired, fate, published| judge_output(expired, fate, || published);
        for published in [true, false] {
            assert_eq!(judge(false, fate(false, false, false), published), None, "it runs");
            assert_eq!(judge(true, fate(false, false, false), published), None, "it runs");
            assert_eq!(judge(false, fate(true, false, false), published), None, "it may be wanted yet");
            assert_eq!(judge(false, fate(true, true, false), published), Some(Why::Unpublished));
            assert_eq!(judge(true, fate(true, false, false), published), Some(Why::Expired));
            assert_eq!(judge(true, fate(true, true, true), published), None, "another sweep's result");
            assert_eq!(judge(false, fate(true, false, true), published), None);
        }
        assert_eq!(judge(false, fate(true, true, true), true), None);
        assert_eq!(judge(false, fate(true, true, true), false), Some(Why::Unnamed));
    }
}
