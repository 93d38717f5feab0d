//! One look at what a directory or file holds, and what is remembered of earlier ones so that only changed files are read.
//!
//! The fingerprint of a directory is the SHA-256 of two lists, each sorted by its bytes, one after the other: of all regular
//! files what `sha256sum -z` prints for `./path`, and of all links `./path -> target`, each ended by a NUL. That of a file is
//! the SHA-256 of its content. What is neither, and times, owners and modes are of no importance to it. A user has the same
//! from `find` and `sha256sum`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bt_model::hex::hex;
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;
/// A file that was changed so shortly before it was read may change once more without its times telling.
const SETTLES: Duration = Duration::from_secs(2);
/// How often a look begins anew because something changed under its eyes.
const TRIES: u32 = 3;
/// How often what was read so far is remembered on the way.
const SAVED: Duration = Duration::from_secs(30);

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) fingerprint: [u8; 32],
    /// Other than that of another look if any file was written to in between, whatever it holds now.
    pub(crate) version: [u8; 32],
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{}: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{} is being changed", .0.display())]
    Unsettled(PathBuf),
    #[error("the look has panicked")]
    Broken,
    #[error("the agent stops")]
    Ended,
}

/// A file as it was when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileStamp {
    dev: u64,
    ino: u64,
    size: u64,
    modified: i128,
    changed: i128,
}

impl FileStamp {
    fn of(found: &Metadata) -> Self {
        let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        Self {
            dev: found.dev(),
            ino: found.ino(),
            size: found.size(),
            modified: nanos(found.mtime(), found.mtime_nsec()),
            changed: nanos(found.ctime(), found.ctime_nsec()),
        }
    }

    /// True if a later change would show in its times.
    fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let latest = self.modified.max(self.changed);
        latest + (SETTLES.as_nanos() as i128) < now.as_nanos() as i128
    }
}

/// The hashes of files as they were when they were read, by their paths below the root.
#[derive(Debug, Default)]
pub(crate) struct KnownFiles {
    files: BTreeMap<Vec<u8>, (FileStamp, [u8; 32])>,
}

impl KnownFiles {
    /// Reads what an earlier run of the agent wrote down; what can't be read is not known.
    pub(crate) fn read(path: &Path) -> Self {
        let text = fs::read(path).unwrap_or_default();
        let files = text.split(|byte| *byte == 0).filter_map(entry).collect();
        Self { files }
    }

    /// One entry for each file, ended by a NUL: hash, device, inode, size, times, path.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for (path, (state, sha256)) in &self.files {
            let FileStamp { dev, ino, size, modified, changed } = state;
            let line = format!("{} {dev} {ino} {size} {modified} {changed} ", hex(sha256));
            text.extend_from_slice(line.as_bytes());
            text.extend_from_slice(path);
            text.push(0);
        }
        text
    }
}

type KnownFile = (Vec<u8>, (FileStamp, [u8; 32]));

fn entry(line: &[u8]) -> Option<KnownFile> {
    let mut parts = line.splitn(7, |byte| *byte == b' ');
    let mut word = || std::str::from_utf8(parts.next()?).ok();
    let sha256 = unhex(word()?)?;
    let state = FileStamp {
        dev: word()?.parse().ok()?,
        ino: word()?.parse().ok()?,
        size: word()?.parse().ok()?,
        modified: word()?.parse().ok()?,
        changed: word()?.parse().ok()?,
    };
    Some((parts.next()?.to_owned(), (state, sha256)))
}

pub(crate) fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}

/// Looks at all that lies at `root`. What is read is remembered in `known`, and `save` is called now and then on the way and
/// at the end if that is news.
pub(crate) fn look(
    root: &Path,
    known: &mut KnownFiles,
    end: &CancellationToken,
    save: &dyn Fn(&KnownFiles),
) -> Result<Look, Error> {
    let mut looker = Looker { root, known, end, save, read_any: false, saved: SystemTime::now() };
    let mut tries = 1;
    let looked = loop {
        match looker.look() {
            Err(Error::Unsettled(_)) if tries < TRIES => tries += 1,
            looked => break looked,
        }
    };
    if looker.read_any {
        save(looker.known);
    }
    looked
}

struct Looker<'l> {
    root: &'l Path,
    known: &'l mut KnownFiles,
    end: &'l CancellationToken,
    save: &'l dyn Fn(&KnownFiles),
    /// Some file was read.
    read_any: bool,
    saved: SystemTime,
}

/// What a walk finds, by paths below the root.
#[derive(Default)]
struct Tree {
    files: BTreeMap<Vec<u8>, FileStamp>,
    links: Vec<Vec<u8>>,
}

impl Looker<'_> {
    fn look(&mut self) -> Result<Look, Error> {
        let top = fs::symlink_metadata(self.root).map_err(|error| unreadable(self.root, error))?;
        if top.is_file() {
            let state = FileStamp::of(&top);
            let fingerprint = self.hash(Vec::new(), self.root.to_owned(), state)?;
            return Ok(Look { fingerprint, version: version(&[(&Vec::new(), &state)], &[]) });
        }
        let mut tree = self.walk()?;
        let mut fingerprint = Sha256::new();
        for (path, state) in &tree.files {
            let sha256 = self.hash(path.clone(), self.below(path), *state)?;
            fingerprint.update(hex(&sha256));
            fingerprint.update("  ./");
            fingerprint.update(path);
            fingerprint.update([0]);
        }
        tree.links.sort_unstable();
        for link in &tree.links {
            fingerprint.update(link);
            fingerprint.update([0]);
        }
        self.known.files.retain(|path, _| tree.files.contains_key(path));
        let files: Vec<_> = tree.files.iter().collect();
        Ok(Look { fingerprint: fingerprint.finalize().into(), version: version(&files, &tree.links) })
    }

    fn below(&self, path: &[u8]) -> PathBuf {
        self.root.join(OsString::from_vec(path.to_owned()))
    }

    fn walk(&self) -> Result<Tree, Error> {
        let mut tree = Tree::default();
        let mut dirs = vec![Vec::new()];
        while let Some(dir) = dirs.pop() {
            if self.end.is_cancelled() {
                return Err(Error::Ended);
            }
            let place = self.below(&dir);
            let entries = match fs::read_dir(&place) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound && !dir.is_empty() => continue,
                Err(error) => return Err(unreadable(&place, error)),
            };
            for entry in entries {
                let entry = entry.map_err(|error| unreadable(&place, error))?;
                let mut path = dir.clone();
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(entry.file_name().as_bytes());
                let found = match entry.metadata() {
                    Ok(found) => found,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(unreadable(&entry.path(), error)),
                };
                if found.is_dir() {
                    dirs.push(path);
                } else if found.is_file() {
                    tree.files.insert(path, FileStamp::of(&found));
                } else if found.is_symlink() {
                    let target = fs::read_link(entry.path()).map_err(|_| Error::Unsettled(entry.path()))?;
                    let link = [b"./", &path[..], b" -> ", target.as_os_str().as_bytes()].concat();
                    tree.links.push(link);
                }
            }
        }
        Ok(tree)
    }

    /// The SHA-256 of a file's content, from memory if it has not changed since it was read.
    fn hash(&mut self, path: Vec<u8>, place: PathBuf, state: FileStamp) -> Result<[u8; 32], Error> {
        if let Some((then, sha256)) = self.known.files.get(&path)
            && *then == state
        {
            return Ok(*sha256);
        }
        let began = SystemTime::now();
        let opened = File::options().read(true).custom_flags(OFlags::NOFOLLOW.bits() as i32).open(&place);
        let mut file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::Unsettled(place.clone()),
            _ => unreadable(&place, error),
        })?;
        let sha256 = self.read(&mut file).map_err(|error| match error {
            Some(error) => unreadable(&place, error),
            None => Error::Ended,
        })?;
        let after = file.metadata().map_err(|error| unreadable(&place, error))?;
        if FileStamp::of(&after) != state {
            return Err(Error::Unsettled(place));
        }
        if state.is_settled(began) {
            self.known.files.insert(path, (state, sha256));
            self.read_any = true;
            if self.saved.elapsed().is_ok_and(|time| time > SAVED) {
                (self.save)(self.known);
                self.saved = SystemTime::now();
            }
        }
        Ok(sha256)
    }

    /// No error means that the agent stops.
    fn read(&self, file: &mut File) -> Result<[u8; 32], Option<io::Error>> {
        let mut hash = Sha256::new();
        let mut piece = vec![0; PIECE];
        loop {
            if self.end.is_cancelled() {
                return Err(None);
            }
            match file.read(&mut piece) {
                Ok(0) => return Ok(hash.finalize().into()),
                Ok(read) => hash.update(&piece[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Some(error)),
            }
        }
    }
}

fn version(files: &[(&Vec<u8>, &FileStamp)], links: &[Vec<u8>]) -> [u8; 32] {
    let mut version = Sha256::new();
    for (path, state) in files {
        version.update(path);
        let FileStamp { dev, ino, size, modified, changed } = state;
        version.update(format!("\0{dev} {ino} {size} {modified} {changed}\0"));
    }
    for link in links {
        version.update(link);
        version.update([0]);
    }
    version.finalize().into()
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::Unreadable { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    fn seen(root: &Path, known: &mut KnownFiles) -> Look {
        look(root, known, &CancellationToken::new(), &|_| {}).unwrap()
    }

    fn backdate(path: &Path) {
        let before = SystemTime::now() - Duration::from_secs(3600);
        File::options().write(true).open(path).unwrap().set_modified(before).unwrap();
    }

    /// What the documentation tells users to type.
    fn by_hand(root: &Path) -> String {
        let page = include_str!("../../../../docs/PROVENANCE.md");
        let line = page.lines().find(|line| line.contains("sha256sum -z")).expect("the page has the line");
        let line = line.replace("/srv/prices", root.to_str().unwrap());
        let output = Command::new("bash").args(["-c", &line]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
    }

    #[test]
    fn a_fingerprint_is_what_find_and_sha256sum_say() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        assert_eq!(
            hex(&seen(root, &mut KnownFiles::default()).fingerprint),
            by_hand(root),
            "an empty directory"
        );
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir_all(root.join("empty")).unwrap();
        for name in ["a.csv", "a/b/x", "a/z", "a b", "-n", "line\nbreak", "\u{e4}", "back\\slash"] {
            fs::write(root.join(name), name).unwrap();
        }
        fs::write(root.join(OsString::from_vec(vec![0xff, b'x'])), "not unicode").unwrap();
        symlink("../a.csv", root.join("a/link")).unwrap();
        symlink("/nowhere", root.join("a-link")).unwrap();
        assert_eq!(hex(&seen(root, &mut KnownFiles::default()).fingerprint), by_hand(root));
    }

    #[test]
    fn a_change_of_equal_size_is_seen_and_only_that_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for name in ["one", "two"] {
            fs::write(root.join(name), "aaaa").unwrap();
        }
        let mut known = KnownFiles::default();
        let first = seen(root, &mut known);
        assert!(known.files.is_empty(), "what was written just now may change unseen");
        // As if both had been read long ago.
        let read = |name: &str| (FileStamp::of(&fs::metadata(root.join(name)).unwrap()), [7; 32]);
        known.files = ["one", "two"].map(|name| (name.into(), read(name))).into();
        let remembered = seen(root, &mut known);
        assert_ne!(remembered.fingerprint, first.fingerprint, "the files were read again");
        assert_eq!(remembered.version, first.version);
        backdate(&root.join("one"));
        fs::write(root.join("two"), "bbbb").unwrap();
        let mut known = KnownFiles::read(&saved(dir.path(), &known));
        let second = seen(root, &mut known);
        assert_ne!(second.fingerprint, first.fingerprint);
        assert_ne!(second.version, first.version);
        fs::write(root.join("two"), "aaaa").unwrap();
        let third = seen(root, &mut KnownFiles::default());
        assert_eq!(third.fingerprint, first.fingerprint);
        assert_ne!(third.version, first.version, "that it was something else meanwhile is seen");
    }

    fn saved(near: &Path, known: &KnownFiles) -> PathBuf {
        let path = near.with_extension("known");
        fs::write(&path, known.to_bytes()).unwrap();
        path
    }

    #[test]
    fn what_is_remembered_survives_the_disk() {
        let state = FileStamp { dev: 1, ino: 2, size: 3, modified: -4, changed: 5 };
        let odd = vec![b'a', b' ', b'\n', 0xff];
        let known = KnownFiles { files: [(odd, (state, [0xab; 32])), (Vec::new(), (state, [1; 32]))].into() };
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(KnownFiles::read(&saved(dir.path(), &known)).files, known.files);
        fs::write(dir.path().join("torn"), &known.to_bytes()[..100]).unwrap();
        assert!(KnownFiles::read(&dir.path().join("torn")).files.len() <= 1);
    }

    #[test]
    fn a_single_file_has_the_hash_of_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("limits.csv");
        fs::write(&file, "abc").unwrap();
        let fingerprint = hex(&seen(&file, &mut KnownFiles::default()).fingerprint);
        assert_eq!(fingerprint, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
