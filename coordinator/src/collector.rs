//! Garbage in the store: what attempts left that were never published, and what sweeps left whose time has passed.
//!
//! A file is removed only if Postgres knows for certain that it is garbage: it belongs to an attempt that has ended and
//! does not count, or to a sweep that has expired. What Postgres does not know of is left alone.

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
/// A document or a log that was begun, and not written to for so long, never gets its name.
const STILL: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Queue(#[from] queue::Error),
    #[error(transparent)]
    Store(#[from] bt_store::Error),
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

    /// Removes the garbage of one sweep that is older than `age`, or only looks for it.
    pub(crate) async fn collect(
        &self,
        sweep: &Collectable,
        age: Duration,
        remove: bool,
    ) -> Result<BTreeMap<Heap, Amount>, Error> {
        let dir = sweep_dir(&sweep.name, sweep.id);
        let mut heaps: BTreeMap<Heap, Amount> = BTreeMap::new();
        if sweep.expired && remove {
            // First what readers trust: a `result.json` must not name what is gone.
            let documents = self.store.list(&dir).try_filter(|file| {
                let named = matches!(role(&dir, file, sweep), Role::Result { .. });
                std::future::ready(named)
            });
            let amounts = documents.map_err(Error::from).map_ok(|file| self.remove(file));
            let mut removed = amounts.try_buffer_unordered(AT_ONCE);
            while let Some(file) = removed.try_next().await? {
                if let Some(job) = role(&dir, &file, sweep).job() {
                    note(&mut heaps, Heap { job, attempt: None, why: Why::Expired }, file.size);
                }
            }
        }
        let mut batches = self.store.list(&dir).try_chunks(BATCH);
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(|error| error.1)?;
            let garbage = self.judge(sweep, &dir, batch, age).await?;
            let removing = garbage.into_iter().map(|(heap, file)| async move {
                Ok::<_, Error>((heap, if remove { self.remove(file).await? } else { file }))
            });
            let mut removed = stream::iter(removing).buffer_unordered(AT_ONCE);
            while let Some((heap, file)) = removed.try_next().await? {
                note(&mut heaps, heap, file.size);
            }
        }
        self.collect_half_written(sweep, &dir, age, remove, &mut heaps).await?;
        if remove {
            self.queue.mark_collected(sweep.id).await?;
        }
        Ok(heaps)
    }

    /// The same for files that never got their names. One of an attempt that has ended never will.
    async fn collect_half_written(
        &self,
        sweep: &Collectable,
        dir: &str,
        age: Duration,
        remove: bool,
        heaps: &mut BTreeMap<Heap, Amount>,
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
            if let Some(job) = role.job().filter(|_| is_garbage) {
                if remove {
                    self.store.remove_half_written(begun).await?;
                }
                note(heaps, Heap { job, attempt, why: Why::HalfWritten }, begun.file.size);
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

    async fn remove(&self, file: Stored) -> Result<Stored, Error> {
        self.store.remove(&file.path).await?;
        Ok(file)
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
                for amount in collector.collect(&sweep, age, true).await?.into_values() {
                    total.files += amount.files;
                    total.size += amount.size;
                }
            }
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

fn note(heaps: &mut BTreeMap<Heap, Amount>, heap: Heap, size: u64) {
    let amount = heaps.entry(heap).or_default();
    amount.files += 1;
    amount.size += size;
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
