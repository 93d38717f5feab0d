//! What is kept of one attempt: the notes in the journal that the agent needs after a restart, and the directory with the
//! files that the container reads and writes. The table above [`super`] says what each note and each file holds.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use anyhow::Context;
use bt_engine::logfile::LogFile;
use bt_engine::{LogPlace, collect};
use bt_model::encoding::Encoding;
use bt_model::hex::hex;
use bt_model::id::AttemptId;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::keeper::Keeper;
use super::{private_dir, write_input};
use crate::record::assignment::Assignment;
use crate::record::ending::Ended;
use crate::record::upload::UnfinishedUpload;
use crate::record::volumes::VolumesSeen;

/// The keys of the notes.
pub(super) const ASSIGNMENT: &str = "assignment";
pub(super) const STARTING: &str = "starting";
pub(super) const GPUS: &str = "gpus";
const CORES: &str = "cores";
pub(super) const ENCODING: &str = "encoding";
pub(super) const VOLUMES: &str = "volumes";
pub(super) const TOLD: &str = "told";
pub(super) const ENDING: &str = "ending";
pub(super) const LOG: &str = "log";
/// What keys begin with; the output's path, or a hash of its place, follows.
pub(super) const OUTPUT: &str = "output/";
pub(super) const UPLOAD: &str = "upload/";
pub(super) const BATCH: &str = "batch";

/// The points of a container, if it was given any: the name of a file.
pub(crate) const POINTS: &str = "points.tsv";

/// When a container was about to be started, and since which start of the machine.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Starting {
    pub(super) at: Timestamp,
    /// Empty if it is not known.
    pub(super) boot: String,
}

/// The notes and the directory of one attempt.
#[derive(Clone, Debug)]
pub(crate) struct AttemptDir {
    path: PathBuf,
    /// None for a container that is no attempt's: nothing of it outlasts the agent.
    kept: Option<Kept>,
    /// When this run of the agent has started its container.
    started: Arc<OnceLock<Timestamp>>,
}

#[derive(Clone, Debug)]
struct Kept {
    attempt: AttemptId,
    keeper: Arc<Keeper>,
    of_earlier_run: bool,
}

impl AttemptDir {
    /// Of an attempt that this run of the agent takes.
    pub(super) fn new(path: PathBuf, attempt: AttemptId, keeper: Arc<Keeper>) -> Self {
        let kept = Some(Kept { attempt, keeper, of_earlier_run: false });
        Self { path, kept, started: Arc::default() }
    }

    /// Of an attempt that an earlier run has left.
    pub(super) fn of_earlier_run(path: PathBuf, attempt: AttemptId, keeper: Arc<Keeper>) -> Self {
        let kept = Some(Kept { attempt, keeper, of_earlier_run: true });
        Self { path, kept, started: Arc::default() }
    }

    /// Of a container that is no attempt's.
    pub(super) fn of_guest(path: PathBuf) -> Self {
        Self { path, kept: None, started: Arc::default() }
    }

    fn noted(&self, key: &str) -> Option<Bytes> {
        let kept = self.kept.as_ref()?;
        kept.keeper.journal.get(kept.attempt, key)
    }

    fn read<T: serde::de::DeserializeOwned>(&self, key: &str) -> anyhow::Result<Option<T>> {
        let Some(json) = self.noted(key) else { return Ok(None) };
        let value = serde_json::from_slice(&json);
        value.map(Some).with_context(|| format!("read the note {key:?} of the journal"))
    }

    /// Notes something that is on the disk before whatever is committed next.
    fn ride(&self, key: &str, what: &impl Serialize) -> anyhow::Result<()> {
        let json = to_json(key, what)?;
        if let Some(Kept { attempt, keeper, .. }) = &self.kept {
            keeper.journal.ride(*attempt, key, json);
        }
        Ok(())
    }

    /// Notes what is only good to have after a restart. The death of the agent alone does not lose it.
    fn note(&self, key: &str, what: &impl Serialize) {
        match (to_json(key, what), &self.kept) {
            (Ok(json), Some(Kept { attempt, keeper, .. })) => keeper.journal.note(*attempt, key, json),
            (Ok(_), None) => {}
            (Err(error), _) => tracing::warn!(error = format!("{error:#}"), "only a restart would miss it"),
        }
    }

    /// Notes all of this; it is on the disk when this returns.
    async fn commit(&self, notes: Vec<(String, Bytes)>) -> anyhow::Result<()> {
        match &self.kept {
            Some(Kept { attempt, keeper, .. }) => Ok(keeper.journal.commit(*attempt, notes).await?),
            None => Ok(()),
        }
    }

    /// Writes the assignment down: from the moment that this returns the agent holds the attempt.
    pub(crate) async fn hold(&self, assignment: &Assignment) -> anyhow::Result<()> {
        self.commit(vec![(ASSIGNMENT.to_owned(), to_json(ASSIGNMENT, assignment)?)]).await
    }

    /// Notes that it is the container of a batch.
    pub(crate) fn note_batch(&self) -> anyhow::Result<()> {
        self.ride(BATCH, &())
    }

    pub(super) fn is_batch(&self) -> bool {
        self.noted(BATCH).is_some()
    }

    pub(super) fn assignment(&self) -> anyhow::Result<Assignment> {
        self.read(ASSIGNMENT)?.context("the assignment is missing")
    }

    /// Makes the directory. One that is there is fine.
    pub(crate) fn make(&self) -> anyhow::Result<()> {
        private_dir(&self.path)
    }

    pub(crate) fn input(&self) -> PathBuf {
        self.path.join("input.json")
    }

    /// The points of its container, as a table.
    pub(crate) fn points(&self) -> PathBuf {
        self.path.join(POINTS)
    }

    /// Where the input files of jobs that share a container are written, one after the other.
    pub(crate) fn inputs(&self) -> PathBuf {
        self.path.join("inputs")
    }

    pub(crate) fn write_input(&self, json: &[u8]) -> anyhow::Result<()> {
        write_input(&self.input(), json)
    }

    /// Writes a file that the container sees, whoever it runs as.
    pub(crate) fn write_shown(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.path.join(name);
        write_input(&path, text.as_bytes())?;
        fs::set_permissions(&path, PermissionsExt::from_mode(0o644))?;
        Ok(path)
    }

    /// What the container's program waits at until an address can be reached, if it is to reach one.
    pub(crate) fn gate(&self) -> PathBuf {
        self.path.join("gate")
    }

    pub(crate) fn results(&self) -> PathBuf {
        self.path.join("results")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Opens the log to write to it; says how far it had come.
    pub(crate) fn open_log(&self, limit: u64) -> io::Result<(LogFile, Option<LogPlace>)> {
        self.make().map_err(io::Error::other)?;
        LogFile::open(&self.log(), limit)
    }

    /// Where it is written down which outputs are in the store.
    pub(crate) fn stored(&self) -> PathBuf {
        self.path.join("stored.jsonl")
    }

    /// Whether the container was started, or may have been by an earlier run of the agent.
    pub(crate) fn has_started(&self) -> bool {
        self.started.get().is_some() || self.earlier_start().is_some()
    }

    /// When the container was started, if it was.
    pub(crate) fn started(&self) -> Option<Timestamp> {
        self.started.get().copied().or_else(|| self.earlier_start().map(|starting| starting.at))
    }

    fn earlier_start(&self) -> Option<Starting> {
        self.kept.as_ref().filter(|kept| kept.of_earlier_run)?;
        self.read(STARTING).ok().flatten()
    }

    /// True if the machine was started anew since an earlier run of the agent started the container: what the job wrote
    /// and nobody synced is not there any more.
    pub(crate) fn is_of_an_earlier_boot(&self) -> bool {
        let boot = self.kept.as_ref().map_or("", |kept| kept.keeper.boot.as_str());
        self.earlier_start().is_some_and(|start| !start.boot.is_empty() && start.boot != boot)
    }

    /// Says that the container is about to be started. A later run of the agent does not start it again: whether it ran
    /// can't be known where the container is gone.
    pub(crate) async fn write_starting(&self) -> anyhow::Result<()> {
        let boot = self.kept.as_ref().map(|kept| kept.keeper.boot.clone()).unwrap_or_default();
        self.write_starting_of(&boot).await
    }

    pub(crate) async fn write_starting_of(&self, boot: &str) -> anyhow::Result<()> {
        let starting = Starting { at: Timestamp::now(), boot: boot.to_owned() };
        self.commit(vec![(STARTING.to_owned(), to_json(STARTING, &starting)?)]).await
    }

    /// Notes, for this run of the agent, that the container was started now.
    pub(crate) fn note_started(&self) {
        self.started.get_or_init(Timestamp::now);
    }

    /// The gpus that are its own, if it had any in an earlier run of the agent.
    pub(crate) fn gpus(&self) -> Vec<u32> {
        self.read(GPUS).ok().flatten().unwrap_or_default()
    }

    pub(crate) fn note_gpus(&self, gpus: &[u32]) -> anyhow::Result<()> {
        self.ride(GPUS, &gpus)
    }

    /// The cpus that are its own, if any are.
    pub(crate) fn cores(&self) -> Vec<u32> {
        self.read(CORES).ok().flatten().unwrap_or_default()
    }

    pub(crate) fn note_cores(&self, cores: &[u32]) -> anyhow::Result<()> {
        self.ride(CORES, &cores)
    }

    /// How its outputs are stored, if that was decided.
    pub(crate) fn encoding(&self) -> Option<Encoding> {
        self.read(ENCODING).ok().flatten()
    }

    /// From the first output on that is sent by itself: after a restart the others are stored alike.
    pub(crate) fn note_encoding(&self, encoding: Encoding) {
        if self.encoding().is_none() {
            self.note(ENCODING, &encoding);
        }
    }

    /// How far the output that belongs there has come.
    pub(crate) fn begun(&self, place: &str) -> Option<UnfinishedUpload> {
        self.read(&begun_key(place)).ok().flatten()
    }

    pub(crate) fn note_begun(&self, place: &str, begun: &UnfinishedUpload) {
        self.note(&begun_key(place), begun);
    }

    pub(crate) fn forget_begun(&self, place: &str) {
        if let Some(Kept { attempt, keeper, .. }) = &self.kept {
            let key = begun_key(place);
            // Most were never large enough to be noted.
            if keeper.journal.get(*attempt, &key).is_some() {
                keeper.journal.drop_note(*attempt, &key);
            }
        }
    }

    /// All outputs that have come some way.
    pub(crate) fn all_begun(&self) -> Vec<UnfinishedUpload> {
        let begun = self.below(UPLOAD);
        begun.iter().filter_map(|(_, json)| serde_json::from_slice(json).ok()).collect()
    }

    fn below(&self, beginning: &str) -> Vec<(String, Bytes)> {
        let below = self.kept.as_ref().map(|kept| kept.keeper.journal.below(kept.attempt, beginning));
        below.unwrap_or_default()
    }

    /// What its volumes held when it began, if that was looked at.
    pub(crate) fn volumes_seen(&self) -> Option<VolumesSeen> {
        self.read(VOLUMES).ok().flatten()
    }

    pub(crate) fn note_volumes_seen(&self, seen: &VolumesSeen) -> anyhow::Result<()> {
        self.ride(VOLUMES, seen)
    }

    /// What the agent reports of the mounted volumes. Empty until the container has ended.
    pub(crate) fn volumes_told(&self) -> BTreeMap<String, String> {
        self.read(TOLD).ok().flatten().unwrap_or_default()
    }

    pub(crate) fn note_volumes_told(&self, told: &BTreeMap<String, String>) -> anyhow::Result<()> {
        self.ride(TOLD, told)
    }

    /// How the attempt ended, and what its container used, if that was decided.
    pub(crate) fn ended(&self) -> anyhow::Result<Option<Ended>> {
        self.read(ENDING)
    }

    /// Writes down how it ended, with all that travels with the report: the report can be made of it without the
    /// attempt's directory, whose files a power cut may have taken.
    pub(crate) async fn write_ended(
        &self,
        ended: &Ended,
        files: &[(String, Bytes)],
        log: &Bytes,
    ) -> anyhow::Result<()> {
        let mut notes: Vec<_> =
            files.iter().map(|(path, data)| (format!("{OUTPUT}{path}"), data.clone())).collect();
        if !log.is_empty() {
            notes.push((LOG.to_owned(), log.clone()));
        }
        // Last, so that it never stands without the others.
        notes.push((ENDING.to_owned(), to_json(ENDING, ended)?));
        self.commit(notes).await
    }

    /// The small outputs that were written down with the ending.
    pub(crate) fn ended_with_outputs(&self) -> Vec<(String, Bytes)> {
        self.below(OUTPUT)
    }

    /// The log that was written down with the ending; empty if there was none, or if it went to the store by itself.
    pub(crate) fn ended_with_log(&self) -> Bytes {
        self.noted(LOG).unwrap_or_default()
    }

    /// True while anything is noted of it.
    #[cfg(test)]
    pub(crate) fn has_notes(&self) -> bool {
        !self.below("").is_empty()
    }

    /// Forgets the attempt. Its directory is removed in the background, and then its notes; those of an attempt without a
    /// directory are gone with the next commit.
    pub(crate) fn remove(&self) {
        match &self.kept {
            None => collect::remove_tree(&self.path),
            Some(Kept { attempt, keeper, .. }) => match self.path.exists() {
                true => keeper.clear_away(*attempt, self.path.clone()),
                false => keeper.journal.forget(*attempt),
            },
        }
    }
}

fn to_json(key: &str, what: &impl Serialize) -> anyhow::Result<Bytes> {
    let json = serde_json::to_vec(what).with_context(|| format!("write the note {key:?}"))?;
    Ok(json.into())
}

/// The key of the note that says how far the output has come that belongs there.
fn begun_key(place: &str) -> String {
    let digest = Sha256::digest(place.as_bytes());
    let name = hex(&digest[..16]);
    format!("{UPLOAD}{name}")
}
