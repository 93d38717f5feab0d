//! The journal of the state directory: all that must outlast the agent of the attempts that it holds, in one file that
//! only grows until it is written anew. It must never know what a note means.
//!
//! A note belongs to an attempt and has a key; a later one of the same key replaces it. Notes are in memory from the moment
//! that they are made, in the file a moment later, and on the disk with the next commit. Since the file keeps the order in
//! which notes were made, whoever waits for a commit has all notes before it on the disk as well. Commits that are asked
//! for while one is on its way share the next one: one `fdatasync` for all of them.
//!
//! A record has a checksum of its own ([`record`]). What follows the first record that is not whole was on its way when the
//! power was cut; nobody was told that it is on the disk, so it is cut off when the file is opened. A file that is larger
//! than what is live in it is written anew under another name, synced and renamed. So it is after every failure to write:
//! what the disk holds is not known then, and memory is.
//!
//! Begin reading at [`StateJournal`].

mod file;
pub(crate) mod record;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use bt_model::id::AttemptId;
use bytes::Bytes;
use file::JournalFile;
use record::Record;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tracing::warn;

/// Why notes are not on the disk.
#[derive(Clone, Debug, thiserror::Error)]
#[error("write the journal: {0}")]
pub(crate) struct NotWritten(String);

/// The notes of one attempt, by their keys.
type Notes = BTreeMap<String, Bytes>;

/// The notes of all attempts that the agent holds, in memory and on the disk. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct StateJournal(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pages: Mutex<Pages>,
    /// Locked by the writer alone.
    file: Mutex<JournalFile>,
}

#[derive(Debug, Default)]
struct Pages {
    live: HashMap<AttemptId, Notes>,
    /// Bytes that a file with nothing but what is live would have, or a little more.
    live_bytes: u64,
    /// Records that are not in the file yet.
    unwritten: Vec<u8>,
    /// Who waits until they are on the disk.
    waiting: Vec<oneshot::Sender<Result<(), NotWritten>>>,
    /// A writer is at work, and looks here again when it is done.
    is_writing: bool,
}

impl StateJournal {
    /// Opens the journal, and makes it if it is missing. What is not whole at its end is cut off.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let (file, records) =
            JournalFile::open(path).with_context(|| format!("open the journal {}", path.display()))?;
        let mut pages = Pages::default();
        for record in records {
            pages.apply(record);
        }
        Ok(Self(Arc::new(Shared { pages: Mutex::new(pages), file: Mutex::new(file) })))
    }

    /// The attempts that there are notes of.
    pub(crate) fn attempts(&self) -> Vec<AttemptId> {
        lock(&self.0.pages).live.keys().copied().collect()
    }

    /// What is noted.
    pub(crate) fn get(&self, attempt: AttemptId, key: &str) -> Option<Bytes> {
        lock(&self.0.pages).live.get(&attempt)?.get(key).cloned()
    }

    /// All notes whose keys begin so, without that beginning.
    pub(crate) fn below(&self, attempt: AttemptId, beginning: &str) -> Vec<(String, Bytes)> {
        let pages = lock(&self.0.pages);
        let Some(notes) = pages.live.get(&attempt) else { return Vec::new() };
        let below = notes.iter().filter_map(|(key, value)| Some((key.strip_prefix(beginning)?, value)));
        below.map(|(key, value)| (key.to_owned(), value.clone())).collect()
    }

    /// Notes something that rides: it is on the disk with the next commit, of whatever attempt.
    pub(crate) fn ride(&self, attempt: AttemptId, key: &str, value: Bytes) {
        self.add(Record::Note { attempt, key: key.to_owned(), value });
    }

    /// As [`ride`](Self::ride), and the file has it a moment later: the death of the agent alone does not lose it.
    pub(crate) fn note(&self, attempt: AttemptId, key: &str, value: Bytes) {
        self.ride(attempt, key, value);
        self.flush();
    }

    /// Drops a note; rides too.
    pub(crate) fn drop_note(&self, attempt: AttemptId, key: &str) {
        self.add(Record::Drop { attempt, key: key.to_owned() });
    }

    /// Drops all notes of an attempt; rides too, or goes with [`flush`](Self::flush).
    pub(crate) fn forget(&self, attempt: AttemptId) {
        self.add(Record::Forget { attempt });
    }

    /// Notes all of this, in this order. When it returns, they and all notes before are on the disk; if they can't be
    /// written, they are not noted.
    pub(crate) async fn commit(
        &self,
        attempt: AttemptId,
        notes: Vec<(String, Bytes)>,
    ) -> Result<(), NotWritten> {
        let keys: Vec<_> = notes.iter().map(|(key, _)| key.clone()).collect();
        let (sender, receiver) = oneshot::channel();
        {
            let mut pages = lock(&self.0.pages);
            for (key, value) in notes {
                pages.add(Record::Note { attempt, key, value });
            }
            pages.waiting.push(sender);
        }
        self.flush();
        let gone = |_| Err(NotWritten("the writer has ended".to_owned()));
        let written = receiver.await.unwrap_or_else(gone);
        if written.is_err() {
            let mut pages = lock(&self.0.pages);
            for key in keys {
                pages.add(Record::Drop { attempt, key });
            }
        }
        written
    }

    /// Writes what is not in the file yet, in the background.
    pub(crate) fn flush(&self) {
        let mut pages = lock(&self.0.pages);
        if pages.is_writing || pages.is_written() {
            return;
        }
        pages.is_writing = true;
        let shared = self.0.clone();
        spawn_blocking(move || shared.write());
    }

    /// Writes all of it to the disk before it returns.
    pub(crate) fn write_through(&self) -> std::io::Result<()> {
        let mut file = lock(&self.0.file);
        let mut pages = lock(&self.0.pages);
        let unwritten = std::mem::take(&mut pages.unwritten);
        file.append(&unwritten, true)
    }

    fn add(&self, record: Record) {
        lock(&self.0.pages).add(record);
    }
}

impl Shared {
    /// Writes until there is nothing left to write.
    fn write(&self) {
        let mut file = lock(&self.file);
        loop {
            let (unwritten, waiting, all) = {
                let mut pages = lock(&self.pages);
                if pages.is_written() {
                    pages.is_writing = false;
                    return;
                }
                let all = file.wants_rewriting(pages.live_bytes).then(|| pages.all());
                (std::mem::take(&mut pages.unwritten), std::mem::take(&mut pages.waiting), all)
            };
            let written = match all {
                Some(all) => file.rewrite(&all),
                None => file.append(&unwritten, !waiting.is_empty()),
            };
            if let Err(error) = &written {
                warn!(path = %file.path().display(), %error, "the journal can't be written");
            }
            let answer = written.map_err(|error| NotWritten(error.to_string()));
            for waiting in waiting {
                // Whoever has gone does not mind.
                drop(waiting.send(answer.clone()));
            }
        }
    }
}

impl Pages {
    fn add(&mut self, record: Record) {
        record.encode(&mut self.unwritten);
        self.apply(record);
    }

    fn apply(&mut self, record: Record) {
        match record {
            Record::Note { attempt, key, value } => {
                self.live_bytes += record::size(&key, &value);
                let notes = self.live.entry(attempt).or_default();
                if let Some((key, old)) = notes.remove_entry(&key) {
                    self.live_bytes -= record::size(&key, &old);
                }
                notes.insert(key, value);
            }
            Record::Drop { attempt, key } => {
                let Some(notes) = self.live.get_mut(&attempt) else { return };
                if let Some(old) = notes.remove(&key) {
                    self.live_bytes -= record::size(&key, &old);
                }
                if notes.is_empty() {
                    self.live.remove(&attempt);
                }
            }
            Record::Forget { attempt } => {
                let notes = self.live.remove(&attempt).unwrap_or_default();
                self.live_bytes -= notes.iter().map(|(key, value)| record::size(key, value)).sum::<u64>();
            }
        }
    }

    /// True if the file has all, and nobody waits for more.
    fn is_written(&self) -> bool {
        self.unwritten.is_empty() && self.waiting.is_empty()
    }

    /// What is live, as records.
    fn all(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(usize::try_from(self.live_bytes).unwrap_or_default());
        for (attempt, notes) in &self.live {
            for (key, value) in notes {
                record::encode_note(*attempt, key, value, &mut all);
            }
        }
        all
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
