//! The directory of one attempt. It keeps what the agent needs to know of the attempt after a restart, and it holds the
//! files that the container reads and writes. The table above [`super`] says what each file holds.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use bt_engine::collect;
use bt_model::encoding::Encoding;
use bt_model::hex::hex;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{private_dir, read_json, write_input, write_whole};
use crate::record::assignment::Assignment;
use crate::record::ending::Ended;
use crate::record::upload::UnfinishedUpload;
use crate::record::volumes::VolumesSeen;

/// Below an attempt's directory: how far its large outputs have come.
const UPLOADS: &str = "uploads";
/// The points of a container, if it was given any.
pub(crate) const POINTS: &str = "points.tsv";

/// The directory of one attempt.
#[derive(Clone, Debug)]
pub(crate) struct AttemptDir {
    path: PathBuf,
    /// The files that this run of the agent has written, where no earlier one can have: others are not looked for.
    written: Option<Arc<Mutex<Vec<String>>>>,
}

impl AttemptDir {
    /// One that this run of the agent makes.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, written: Some(Arc::default()) }
    }

    /// One that an earlier run has left.
    pub(super) fn of_earlier_run(path: PathBuf) -> Self {
        Self { path, written: None }
    }

    fn may_have(&self, name: &str) -> bool {
        self.may_have_any(|written| written == name)
    }

    /// Whether there can be a file that is called so.
    fn may_have_any(&self, called: impl Fn(&str) -> bool) -> bool {
        let Some(written) = &self.written else { return true };
        let written = written.lock().unwrap_or_else(PoisonError::into_inner);
        written.iter().any(|name| called(name))
    }

    fn read<T: serde::de::DeserializeOwned>(&self, name: &str) -> anyhow::Result<Option<T>> {
        match self.may_have(name) {
            true => read_json(&self.path.join(name)),
            false => Ok(None),
        }
    }

    fn write_bytes(&self, name: &str, content: &[u8]) -> anyhow::Result<()> {
        if !self.may_have(name)
            && let Some(written) = &self.written
        {
            written.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
        }
        write_whole(&self.path.join(name), content)
    }

    fn write(&self, name: &str, what: &impl serde::Serialize) -> anyhow::Result<()> {
        let json = serde_json::to_vec(what).with_context(|| format!("write {name}"))?;
        self.write_bytes(name, &json)
    }

    /// Writes the assignment down: from now on the agent holds the attempt.
    pub(crate) fn create(&self, assignment: &Assignment) -> anyhow::Result<()> {
        private_dir(&self.path)?;
        self.write("assignment.json", assignment)
    }

    pub(super) fn assignment(&self) -> anyhow::Result<Assignment> {
        self.read("assignment.json")?.context("the assignment is missing")
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

    pub(crate) fn results(&self) -> PathBuf {
        self.path.join("results")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Where it is written down which outputs are in the store.
    pub(crate) fn stored(&self) -> PathBuf {
        self.path.join("stored.jsonl")
    }

    /// Whether the container was started.
    pub(crate) fn has_started(&self) -> bool {
        match self.written {
            Some(_) => self.may_have("started"),
            None => self.started().is_some(),
        }
    }

    /// When the container was started, if it was.
    pub(crate) fn started(&self) -> Option<Timestamp> {
        if !self.may_have("started") {
            return None;
        }
        let text = fs::read_to_string(self.path.join("started")).ok()?;
        text.trim().parse().ok()
    }

    pub(crate) fn write_started(&self, time: Timestamp) -> anyhow::Result<()> {
        self.write_bytes("started", format!("{time}\n").as_bytes())
    }

    /// The gpus that are its own, if it had any in an earlier run of the agent.
    pub(crate) fn gpus(&self) -> Vec<u32> {
        self.read("gpus.json").ok().flatten().unwrap_or_default()
    }

    pub(crate) fn write_gpus(&self, gpus: &[u32]) -> anyhow::Result<()> {
        self.write("gpus.json", &gpus)
    }

    /// How its outputs are stored, if that was decided.
    pub(crate) fn encoding(&self) -> Option<Encoding> {
        self.read("encoding.json").ok().flatten()
    }

    /// From the first output on that is sent by itself: after a restart the others are stored alike.
    pub(crate) fn note_encoding(&self, encoding: Encoding) {
        if self.encoding().is_none() {
            self.note("encoding.json", &encoding);
        }
    }

    /// How far the output that belongs there has come.
    pub(crate) fn begun(&self, place: &str) -> Option<UnfinishedUpload> {
        self.read(&begun_name(place)).ok().flatten()
    }

    pub(crate) fn note_begun(&self, place: &str, begun: &UnfinishedUpload) {
        if private_dir(&self.path.join(UPLOADS)).is_ok() {
            self.note(&begun_name(place), begun);
        }
    }

    pub(crate) fn forget_begun(&self, place: &str) {
        let name = begun_name(place);
        // Most were never large enough to be noted.
        if self.may_have(&name) {
            fs::remove_file(self.path.join(name)).ok();
        }
    }

    /// All outputs that have come some way.
    pub(crate) fn all_begun(&self) -> Vec<UnfinishedUpload> {
        if !self.may_have_any(|name| name.starts_with(UPLOADS)) {
            return Vec::new();
        }
        let Ok(entries) = fs::read_dir(self.path.join(UPLOADS)) else { return Vec::new() };
        entries.flatten().filter_map(|entry| read_json(&entry.path()).ok().flatten()).collect()
    }

    /// Writes down what is only good to have after a restart.
    fn note(&self, name: &str, what: &impl serde::Serialize) {
        if let Err(error) = self.write(name, what) {
            tracing::warn!(
                error = format!("{error:#}"),
                "a note is not on disk; only a restart would miss it"
            );
        }
    }

    /// What its volumes held when it began, if that was looked at.
    pub(crate) fn volumes_seen(&self) -> Option<VolumesSeen> {
        self.read("volumes.json").ok().flatten()
    }

    pub(crate) fn write_volumes_seen(&self, seen: &VolumesSeen) -> anyhow::Result<()> {
        self.write("volumes.json", seen)
    }

    /// What the agent reports of the mounted volumes. Empty until the container has ended.
    pub(crate) fn volumes_told(&self) -> BTreeMap<String, String> {
        self.read("told.json").ok().flatten().unwrap_or_default()
    }

    pub(crate) fn write_volumes_told(&self, told: &BTreeMap<String, String>) -> anyhow::Result<()> {
        self.write("told.json", told)
    }

    /// How the attempt ended, and what its container used, if an earlier run of the agent came so far.
    pub(crate) fn ended(&self) -> anyhow::Result<Option<Ended>> {
        self.read("ending.json")
    }

    pub(crate) fn write_ended(&self, ended: &Ended) -> anyhow::Result<()> {
        self.write("ending.json", ended)
    }

    /// Forgets the attempt.
    pub(crate) fn remove(&self) {
        collect::remove_tree(&self.path);
    }
}

/// Where it is noted how far the output has come that belongs there.
fn begun_name(place: &str) -> String {
    let digest = Sha256::digest(place.as_bytes());
    let name = hex(&digest[..16]);
    format!("{UPLOADS}/{name}.json")
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_run_has_written_is_read_and_what_an_earlier_one_has_too() {
        let dir = tempfile::tempdir().unwrap();
        let new = AttemptDir::new(dir.path().join("attempt"));
        fs::create_dir_all(new.results()).unwrap();
        assert!(!new.has_started() && new.gpus().is_empty());
        new.write_started(Timestamp::UNIX_EPOCH).unwrap();
        new.write_gpus(&[3]).unwrap();
        let later = AttemptDir::of_earlier_run(new.path.clone());
        for seen in [new, later] {
            assert!(seen.has_started());
            assert_eq!((seen.started(), seen.gpus()), (Some(Timestamp::UNIX_EPOCH), vec![3]));
            assert_eq!(seen.ended().unwrap(), None);
        }
    }
}
