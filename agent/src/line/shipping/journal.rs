//! What an attempt has in the store already: `stored.jsonl` in its directory, a line for each file that was stored. What
//! it says is used again only for a file that has not changed since; it is never the reason that a file is published.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use bt_engine::collect::Stamp;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::record::ending::StoredOutput;

/// A line of the journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum JournalLine {
    /// What was stored under this path is being replaced, or can't be relied on any more.
    Void {
        path: String,
    },
    Stored {
        stamp: Stamp,
        output: StoredOutput,
    },
}

/// A file that is in the store.
#[derive(Debug)]
struct JournalEntry {
    stamp: Stamp,
    output: StoredOutput,
    /// The file was not watched all the time since: somebody may have been writing to it whose end was not heard, and
    /// that need not show in its stamp.
    is_doubtful: bool,
}

/// What is known of a path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum InStore {
    /// The very file is in the store.
    Stored(StoredOutput),
    /// The file is in the store if it still has this size and SHA-256.
    Perhaps(StoredOutput),
    No,
}

#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: Option<File>,
    entries: HashMap<String, JournalEntry>,
    /// Bytes of all paths.
    naming: usize,
}

impl Journal {
    /// A journal that nobody has written to.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, file: None, entries: HashMap::new(), naming: 0 }
    }

    /// Opens a journal; there is no file before the first line. What an earlier run of the agent wrote is doubtful.
    pub(crate) fn open(path: PathBuf) -> Self {
        let mut this = Self::new(path);
        let text = match fs::read_to_string(&this.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return this,
            Err(error) => {
                warn!(path = %this.path.display(), %error, "what is stored already is not known");
                return this;
            }
        };
        for line in text.lines() {
            match serde_json::from_str(line) {
                Ok(JournalLine::Void { path }) => drop(this.forget(&path)),
                Ok(JournalLine::Stored { stamp, output }) => this.insert(stamp, output, true),
                // The agent died while it wrote it.
                Err(_) => {}
            }
        }
        this
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of all paths.
    pub(crate) fn naming(&self) -> usize {
        self.naming
    }

    /// Bytes of what is in the store under this path, if anything is.
    pub(crate) fn size(&self, path: &str) -> Option<u64> {
        self.entries.get(path).map(|entry| entry.output.size)
    }

    /// What is known of a file that has this stamp now.
    pub(crate) fn find(&self, path: &str, stamp: &Stamp) -> InStore {
        match self.entries.get(path).filter(|entry| entry.stamp == *stamp) {
            Some(entry) if entry.is_doubtful || !stamp.one_name => InStore::Perhaps(entry.output.clone()),
            Some(entry) => InStore::Stored(entry.output.clone()),
            None => InStore::No,
        }
    }

    /// Says that the file is in the store as it is with this stamp.
    pub(crate) fn note(&mut self, stamp: Stamp, output: StoredOutput) {
        let line = JournalLine::Stored { stamp, output: output.clone() };
        if let Err(error) = self.append(&line) {
            // Only a restart of the agent would miss it.
            warn!(path = %self.path.display(), %error, "what is stored is not written down");
        }
        self.insert(stamp, output, false);
    }

    /// Takes back what was said of a path. It must be on disk before something else goes to the same place in the store.
    pub(crate) fn void(&mut self, path: &str) -> io::Result<()> {
        match self.forget(path) {
            true => self.append(&JournalLine::Void { path: path.to_owned() }),
            false => Ok(()),
        }
    }

    /// Says that files may have been written to unseen.
    pub(crate) fn doubt_all(&mut self) {
        self.entries.values_mut().for_each(|entry| entry.is_doubtful = true);
    }

    /// Says that this file may have been written to unseen.
    pub(crate) fn doubt(&mut self, path: &str) {
        if let Some(entry) = self.entries.get_mut(path) {
            entry.is_doubtful = true;
        }
    }

    fn insert(&mut self, stamp: Stamp, output: StoredOutput, is_doubtful: bool) {
        self.naming += output.path.len();
        let (path, entry) = (output.path.clone(), JournalEntry { stamp, output, is_doubtful });
        if let Some(old) = self.entries.insert(path, entry) {
            self.naming -= old.output.path.len();
        }
    }

    fn forget(&mut self, path: &str) -> bool {
        let forgotten = self.entries.remove(path).is_some();
        self.naming -= if forgotten { path.len() } else { 0 };
        forgotten
    }

    fn append(&mut self, line: &JournalLine) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let mut file = File::options().create(true).append(true).open(&self.path)?;
                if file.metadata()?.len() > 0 {
                    // The last line may be torn.
                    file.write_all(b"\n")?;
                }
                self.file.insert(file)
            }
        };
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        file.write_all(&text)
    }
}

#[cfg(test)]
mod tests {
    use bt_model::encoding::Encoding;

    use super::*;

    fn stored(path: &str) -> StoredOutput {
        StoredOutput {
            path: path.to_owned(),
            size: 3,
            sha256: vec![7; 32],
            small: false,
            encoding: Encoding::None,
            stored_size: 0,
            stored_as: String::new(),
            content: None,
        }
    }

    fn file(dir: &std::path::Path, name: &str) -> Stamp {
        let path = dir.join(name);
        fs::write(&path, "abc").unwrap();
        Stamp::of(&File::open(path).unwrap()).unwrap()
    }

    #[test]
    fn what_was_stored_is_known_as_long_as_the_file_is_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let (x, other) = (file(dir.path(), "x"), file(dir.path(), "other"));
        let mut journal = Journal::open(dir.path().join("stored.jsonl"));
        assert_eq!(journal.find("x", &x), InStore::No);
        journal.note(x, stored("x"));
        assert_eq!(journal.find("x", &x), InStore::Stored(stored("x")));
        assert_eq!(journal.find("x", &other), InStore::No);
        journal.doubt("x");
        assert_eq!(journal.find("x", &x), InStore::Perhaps(stored("x")));
        journal.void("x").unwrap();
        assert_eq!((journal.find("x", &x), journal.naming()), (InStore::No, 0));
    }

    #[test]
    fn a_later_run_reads_what_was_written_and_passes_over_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stored.jsonl");
        let [x, y, z] = ["x", "y", "z"].map(|name| file(dir.path(), name));
        let mut journal = Journal::open(path.clone());
        journal.note(x, stored("x"));
        journal.note(y, stored("y"));
        journal.void("y").unwrap();
        File::options().append(true).open(&path).unwrap().write_all(b"{\"stored\":{\"st").unwrap();
        let mut journal = Journal::open(path.clone());
        assert_eq!(journal.find("x", &x), InStore::Perhaps(stored("x")));
        assert_eq!(journal.find("y", &y), InStore::No);
        journal.note(z, stored("z"));
        assert_eq!(journal.find("z", &z), InStore::Stored(stored("z")));
        assert_eq!(Journal::open(path).find("z", &z), InStore::Perhaps(stored("z")));
    }

    #[test]
    fn a_file_with_two_names_is_doubtful() {
        let dir = tempfile::tempdir().unwrap();
        file(dir.path(), "x");
        fs::hard_link(dir.path().join("x"), dir.path().join("y")).unwrap();
        let stamp = Stamp::of(&File::open(dir.path().join("x")).unwrap()).unwrap();
        let mut journal = Journal::open(dir.path().join("stored.jsonl"));
        journal.note(stamp, stored("x"));
        assert_eq!(journal.find("x", &stamp), InStore::Perhaps(stored("x")));
    }
}
