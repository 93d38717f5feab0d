//! What happens in a results directory, as the kernel tells it. Directories are watched by what they are, not by their
//! names, so that no link leads a watch elsewhere.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use bt_engine::collect;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

/// Directories of one attempt that are watched at most.
const MOST_DIRS: usize = 1_000;
/// Bytes of events that are read at once.
const BUFFER: usize = 16 << 10;

const MASK: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::ONLYDIR);

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("it has more than {MOST_DIRS} directories")]
    TooManyDirs,
    #[error("the kernel has no watches left (fs.inotify.max_user_watches, max_user_instances): {0}")]
    NoneLeft(Errno),
    #[error("the kernel watches no directories: {0}")]
    Unable(std::io::Error),
}

/// Something that happened; paths are relative to the results directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A file that was open for writing was closed, or one was renamed into its place.
    Closed(String),
    /// A file went away.
    Gone(String),
    /// A directory appeared.
    Dir(String),
    /// A directory got another name, or went away with one: what it holds may have other names now.
    DirMoved,
    /// Too much happened at once to be told.
    Overflow,
}

#[derive(Debug)]
pub(super) struct Watch {
    inotify: AsyncFd<OwnedFd>,
    dirs: HashMap<i32, String>,
}

/// The watches of some directories, before they are known by their names.
#[derive(Debug, Default)]
pub(super) struct Added {
    dirs: Vec<(i32, String)>,
    failed: Option<Errno>,
}

impl Watch {
    pub(super) fn new() -> Result<Self, Error> {
        let inotify = match inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC) {
            Err(errno @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => return Err(Error::NoneLeft(errno)),
            made => made.map_err(|errno| Error::Unable(errno.into()))?,
        };
        #[expect(
            deprecated,
            reason = "it is unsound only for a descriptor that it does not own; its successor is unsafe"
        )]
        let inotify = AsyncFd::new(inotify).map_err(Error::Unable)?;
        Ok(Self { inotify, dirs: HashMap::new() })
    }

    /// What watches are added by, from any thread.
    pub(super) fn handle(&self) -> Result<OwnedFd, Error> {
        self.inotify.get_ref().try_clone().map_err(Error::Unable)
    }

    /// Knows watches by the names of their directories; a directory that was watched before has a new name.
    pub(super) fn name(&mut self, added: Added) -> Result<(), Error> {
        self.dirs.extend(added.dirs);
        match added.failed {
            Some(errno @ (Errno::NOSPC | Errno::NOMEM)) => Err(Error::NoneLeft(errno)),
            Some(errno) => Err(Error::Unable(errno.into())),
            None if self.dirs.len() > MOST_DIRS => Err(Error::TooManyDirs),
            None => Ok(()),
        }
    }

    /// Waits until something has happened.
    pub(super) async fn happened(&self) {
        match self.inotify.readable().await {
            Ok(mut ready) => ready.clear_ready(),
            Err(error) => {
                tracing::warn!(%error, "the kernel does not tell what happens in a results directory");
                std::future::pending().await
            }
        }
    }

    /// What has happened, in its order, up to about `most` events.
    pub(super) fn events(&mut self, most: usize) -> Vec<Event> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut reader = Reader::new(self.inotify.get_ref().as_fd(), &mut buffer);
        let mut events = Vec::new();
        while events.len() < most || !reader.is_buffer_empty() {
            let Ok(event) = reader.next() else { break };
            let kind = event.events();
            if kind.contains(ReadFlags::QUEUE_OVERFLOW) {
                events.push(Event::Overflow);
                continue;
            }
            if kind.contains(ReadFlags::IGNORED) {
                self.dirs.remove(&event.wd());
                continue;
            }
            let (Some(dir), Some(name)) = (self.dirs.get(&event.wd()), event.file_name()) else { continue };
            let Ok(path) = collect::checked(dir, name.to_bytes()) else { continue };
            match kind.contains(ReadFlags::ISDIR) {
                true => {
                    if kind.intersects(ReadFlags::MOVED_FROM | ReadFlags::MOVED_TO) {
                        events.push(Event::DirMoved);
                    }
                    if kind.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
                        events.push(Event::Dir(path));
                    }
                }
                false if kind.intersects(ReadFlags::CLOSE_WRITE | ReadFlags::MOVED_TO) => {
                    events.push(Event::Closed(path));
                }
                false if kind.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) => {
                    events.push(Event::Gone(path));
                }
                false => {}
            }
        }
        events
    }
}

impl Added {
    /// Watches an open directory.
    pub(super) fn add(&mut self, inotify: &OwnedFd, dir: &OwnedFd, path: &str) {
        if self.failed.is_some() || self.dirs.len() > MOST_DIRS {
            return;
        }
        // The kernel takes only names; this one leads to what is open, whatever became of its own name.
        let name = format!("/proc/self/fd/{}", dir.as_raw_fd());
        match inotify::add_watch(inotify, name, MASK) {
            Ok(watch) => self.dirs.push((watch, path.to_owned())),
            Err(errno) => self.failed = Some(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn watch(watch: &mut Watch, root: &Path, below: &str) -> Vec<String> {
        let (handle, mut added) = (watch.handle().unwrap(), Added::default());
        let seen = collect::look(root, below, |dir, path| added.add(&handle, dir, path));
        watch.name(added).unwrap();
        seen.files.into_iter().map(|(path, _)| path).collect()
    }

    #[tokio::test]
    async fn closed_files_are_told_wherever_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::write(root.join("before"), "x").unwrap();
        let mut watched = Watch::new().unwrap();
        assert_eq!(watch(&mut watched, root, ""), ["before"]);
        fs::write(root.join("new"), "x").unwrap();
        fs::create_dir(root.join("d")).unwrap();
        fs::write(root.join("d/inner"), "x").unwrap();
        fs::rename(root.join("new"), root.join("renamed")).unwrap();
        watched.happened().await;
        let (closed, gone) = (|path: &str| Event::Closed(path.into()), Event::Gone("new".into()));
        let dir_came = Event::Dir("d".into());
        assert_eq!(watched.events(100), [closed("new"), dir_came, gone, closed("renamed")]);
        assert_eq!(watch(&mut watched, root, "d"), ["d/inner"]);
        fs::write(root.join("d/later"), "x").unwrap();
        assert_eq!(watched.events(100), [closed("d/later")]);
        fs::rename(root.join("d"), root.join("e")).unwrap();
        let moved = [Event::DirMoved, Event::DirMoved, Event::Dir("e".into())];
        assert_eq!(watched.events(100), moved);
        watch(&mut watched, root, "e");
        fs::write(root.join("e/last"), "x").unwrap();
        assert_eq!(watched.events(100), [closed("e/last")]);
    }

    #[tokio::test]
    async fn a_mapping_that_is_written_to_after_its_file_was_closed_is_told_at_its_end() {
        // The kernel tells the end of the last use; a duplicate of the descriptor is one as a mapping is.
        let dir = tempfile::tempdir().unwrap();
        let mut watched = Watch::new().unwrap();
        watch(&mut watched, dir.path(), "");
        let file = fs::File::create(dir.path().join("x")).unwrap();
        let second = file.try_clone().unwrap();
        drop(file);
        assert_eq!(watched.events(100), []);
        drop(second);
        assert_eq!(watched.events(100), [Event::Closed("x".into())]);
    }

    #[tokio::test]
    async fn too_many_directories_are_told() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..=MOST_DIRS {
            fs::create_dir(dir.path().join(number.to_string())).unwrap();
        }
        let watched = Watch::new().unwrap();
        let (handle, mut added) = (watched.handle().unwrap(), Added::default());
        collect::look(dir.path(), "", |dir, path| added.add(&handle, dir, path));
        let mut watched = watched;
        assert!(matches!(watched.name(added), Err(Error::TooManyDirs)));
    }
}
