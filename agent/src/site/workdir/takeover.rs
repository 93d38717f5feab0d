//! Takes over what versions before the journal kept of attempts: a file for each note, in the attempt's directory. The
//! notes go into the journal, on the disk, before the first of those files is removed; so this can be cut off anywhere.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use anyhow::Context;
use bt_engine::collect;
use bt_model::id::AttemptId;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;
use tracing::{info, warn};

use super::attempt_dir::{
    ASSIGNMENT, ENCODING, ENDING, GPUS, LOG, OUTPUT, STARTING, Starting, TOLD, UPLOAD, VOLUMES,
};
use crate::journal::StateJournal;
use crate::record::ending::{Ended, Ending};

/// The files that are notes as they are, and the keys of these.
const FILES: [(&str, &str); 6] = [
    ("assignment.json", ASSIGNMENT),
    ("gpus.json", GPUS),
    ("encoding.json", ENCODING),
    ("volumes.json", VOLUMES),
    ("told.json", TOLD),
    ("ending.json", ENDING),
];
const STARTED: &str = "started";
const UPLOADS: &str = "uploads";
/// A larger log was sent by itself before the ending was written down.
const SMALL: u64 = 64 << 10;

/// Takes over all attempts that are kept in files.
pub(super) fn take_over(attempts: &Path, journal: &StateJournal) -> anyhow::Result<()> {
    let known = journal.attempts();
    let mut taken = Vec::new();
    for entry in fs::read_dir(attempts).context("list the attempts")? {
        let dir = entry.context("list the attempts")?.path();
        let id = dir.file_name().and_then(|name| name.to_str()?.parse::<AttemptId>().ok());
        let Some(id) = id.filter(|_| dir.join(FILES[0].0).exists()) else { continue };
        if !known.contains(&id)
            && let Err(error) = take_notes(id, &dir, journal)
        {
            warn!(attempt.id = %id, error = format!("{error:#}"), "an unreadable attempt is not taken over");
            journal.forget(id);
        }
        taken.push(dir);
    }
    if taken.is_empty() {
        return Ok(());
    }
    journal.write_through().context("write the journal")?;
    info!(attempts = taken.len(), "attempts of an earlier version are taken over");
    for dir in taken {
        for file in FILES.map(|(file, _)| file).into_iter().chain([STARTED]) {
            remove(&dir.join(file))?;
        }
        collect::remove_tree(&dir.join(UPLOADS));
    }
    Ok(())
}

fn take_notes(id: AttemptId, dir: &Path, journal: &StateJournal) -> anyhow::Result<()> {
    for (file, key) in FILES {
        if let Some(json) = read(&dir.join(file))? {
            serde_json::from_slice::<Value>(&json).with_context(|| format!("read {file}"))?;
            journal.ride(id, key, json);
        }
    }
    if let Some(text) = read(&dir.join(STARTED))? {
        let at: Timestamp = String::from_utf8_lossy(&text).trim().parse().context("read started")?;
        let starting = Starting { at, boot: String::new() };
        journal.ride(id, STARTING, serde_json::to_vec(&starting)?.into());
    }
    if let Ok(uploads) = fs::read_dir(dir.join(UPLOADS)) {
        for upload in uploads.flatten().map(|upload| upload.path()) {
            let name = upload.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if let Some(json) = read(&upload)?.filter(|_| upload.extension().is_some_and(|end| end == "json"))
            {
                journal.ride(id, &format!("{UPLOAD}{name}"), json);
            }
        }
    }
    if let Some(ending) = journal.get(id, ENDING) {
        let ended: Ended = serde_json::from_slice(&ending).context("read ending.json")?;
        take_what_travels(id, dir, &ended, journal);
    }
    Ok(())
}

/// What travels with the report of the end. What can't be read is missed by the coordinator, which says so.
fn take_what_travels(id: AttemptId, dir: &Path, ended: &Ended, journal: &StateJournal) {
    let log = dir.join("log");
    if fs::metadata(&log).is_ok_and(|log| log.len() <= SMALL)
        && let Ok(Some(log)) = read(&log)
    {
        journal.ride(id, LOG, log);
    }
    let Ending::Succeeded { outputs, .. } = &ended.ending else { return };
    for output in outputs.iter().filter(|output| output.small) {
        match read_output(&dir.join("results"), &output.path) {
            Ok(data) => journal.ride(id, &format!("{OUTPUT}{}", output.path), data),
            Err(error) => warn!(attempt.id = %id, error = format!("{error:#}"), "an output is missing"),
        }
    }
}

fn read_output(results: &Path, path: &str) -> anyhow::Result<Bytes> {
    let mut data = Vec::new();
    collect::open(results, path)?.take(SMALL).read_to_end(&mut data)?;
    Ok(data.into())
}

fn read(path: &Path) -> anyhow::Result<Option<Bytes>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bt_model::encoding::Encoding;
    use bt_model::id::SweepId;
    use bt_model::manifest::{Format, Manifest};
    use bt_model::parameters::Parameters;

    use super::*;
    use crate::record::assignment::Assignment;
    use crate::site::workdir::StateDir;

    fn assignment() -> Assignment {
        let manifest = Manifest::parse(b"image: x:1\ncommand: [run]\n", Format::Yaml, "x.yaml").unwrap();
        let (id, sweep) = (AttemptId::random(), SweepId::random());
        Assignment::local(id, sweep, 3, &manifest.finish().unwrap(), &Parameters::default())
    }

    /// What a version before the journal left of an attempt that ran, and of one whose end was not acknowledged.
    fn leave(root: &Path) -> (Assignment, Assignment) {
        let (running, ended) = (assignment(), assignment());
        for of in [&running, &ended] {
            let dir = root.join("attempts").join(of.attempt.to_string());
            fs::create_dir_all(dir.join("results")).unwrap();
            fs::create_dir_all(dir.join("uploads")).unwrap();
            fs::write(dir.join("assignment.json"), serde_json::to_vec(of).unwrap()).unwrap();
            fs::write(dir.join("started"), "2026-11-01T10:00:00Z\n").unwrap();
            fs::write(dir.join("gpus.json"), "[1]").unwrap();
            fs::write(dir.join("encoding.json"), r#""zstd""#).unwrap();
            let begun = r#"{"place":"s/3/1/large","progress":{"id":"u","expected":7,"parts":[]}}"#;
            fs::write(dir.join("uploads/00ff.json"), begun).unwrap();
            fs::write(dir.join("log"), "what it printed").unwrap();
            fs::write(dir.join("results/small"), "abc").unwrap();
            fs::write(dir.join("stored.jsonl"), "").unwrap();
        }
        let dir = root.join("attempts").join(ended.attempt.to_string());
        let ending = r#"{"Succeeded":{"outputs":[{"path":"small","size":3,"sha256":[1],"small":true}],"metrics":"{}"},
            "remark":"said"}"#;
        fs::write(dir.join("ending.json"), ending).unwrap();
        (running, ended)
    }

    #[tokio::test]
    async fn attempts_of_an_earlier_version_are_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let (running, ended) = leave(dir.path());
        let torn = dir.path().join("attempts").join(AttemptId::random().to_string());
        fs::create_dir_all(&torn).unwrap();
        fs::write(torn.join("assignment.json"), "{").unwrap();
        // The second time nothing is left to take over, and the journal has it.
        for _ in 0..2 {
            let state = StateDir::open(dir.path()).unwrap();
            let held = state.held().unwrap();
            let ids: BTreeSet<_> = held.iter().map(|(of, _)| of.attempt.to_string()).collect();
            assert_eq!(ids, BTreeSet::from([&running, &ended].map(|of| of.attempt.to_string())));
            for (of, dir) in held {
                assert!(of == running || of == ended, "{of:?}");
                assert!(dir.has_started() && !dir.is_of_an_earlier_boot());
                assert_eq!(dir.started(), Some("2026-11-01T10:00:00Z".parse().unwrap()));
                assert_eq!((dir.gpus(), dir.encoding()), (vec![1], Some(Encoding::Zstd)));
                assert_eq!(dir.all_begun().len(), 1);
                assert!(dir.results().join("small").exists() && dir.stored().exists() && dir.log().exists());
                assert!(!dir.results().with_file_name("assignment.json").exists());
                let Some(known) = dir.ended().unwrap() else {
                    assert_eq!(of, running);
                    continue;
                };
                assert_eq!((of, known.remark.as_str()), (ended.clone(), "said"));
                assert_eq!(dir.ended_with_outputs(), [("small".to_owned(), Bytes::from_static(b"abc"))]);
                assert_eq!(dir.ended_with_log(), "what it printed");
            }
            assert!(!torn.exists(), "what can't be read is removed");
        }
    }

    /// The machine stopped after the notes were in the journal and before the files were removed.
    #[tokio::test]
    async fn a_takeover_that_was_cut_off_is_finished() {
        let dir = tempfile::tempdir().unwrap();
        let (running, _) = leave(dir.path());
        let first = StateDir::open(dir.path()).unwrap();
        drop(first);
        let file = dir.path().join("attempts").join(running.attempt.to_string()).join("assignment.json");
        fs::write(&file, "{}").unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        assert!(state.held().unwrap().iter().any(|(of, _)| *of == running), "the journal counts");
        assert!(!file.exists());
    }
}
