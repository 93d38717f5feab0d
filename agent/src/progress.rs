//! How far running jobs are: the file in which each says so is looked at every few seconds, and read when it has changed.
//! What is in it is not trusted: no link is followed, a pipe or a device is not opened for long, a large file is not read,
//! and nothing in it makes the job fail. What can't be read for several looks is remarked once.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bt_engine::collect::{self, Stamp};
use bt_model::id::AttemptId;
use bt_model::progress::{MAX_TEXT, Progress, parse};
use bt_proto::v1;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::job::holdings::{Held, Holdings, ProgressFile};
use crate::line::Line;

/// How often all of them are looked at. An attempt is spoken of once after each look at most.
const LOOK: Duration = Duration::from_secs(2);
/// After so many looks all that is known is said again.
const AGAIN: u32 = 30;
/// A file that is younger may change again without its times showing it.
const GRANULARITY: Duration = Duration::from_millis(50);
/// Looks after each other at which nothing could be read: until then the file may be being written.
const PATIENCE: u32 = 3;

/// Looks at what running attempts say until `end`.
pub(crate) async fn run(holdings: &Holdings, line: &Line, end: CancellationToken) {
    let mut watched = HashMap::new();
    for number in (1..=AGAIN).cycle() {
        tokio::select! {
            () = end.cancelled() => return,
            () = sleep(LOOK) => {}
        }
        let running = holdings.all().into_iter().filter_map(|held| Some((held.progress_file()?, held)));
        let running: Vec<_> = running.collect();
        let looking = tokio::task::spawn_blocking(move || look(running, watched));
        let (news, now_watched) = looking.await.unwrap_or_default();
        watched = now_watched;
        let living: HashSet<_> = watched.keys().copied().collect();
        if number == AGAIN {
            line.progress.again();
        }
        line.progress.put(news.into_iter().map(|(attempt, said)| (attempt, wire(said))).collect(), &living);
    }
}

type News = Vec<(AttemptId, Progress)>;
type Watched = HashMap<AttemptId, LastLook>;

/// Looks at all of them once: what is new, and what was seen of each.
fn look(running: Vec<(Arc<ProgressFile>, Arc<Held>)>, mut before: Watched) -> (News, Watched) {
    let (mut news, mut watched) = (News::new(), Watched::with_capacity(running.len()));
    for (file, held) in running {
        let mut last = before.remove(&held.id()).unwrap_or_default();
        let said = last.look(&file);
        // Its container may have gone on to another job meanwhile.
        if held.progress_file().is_some_and(|now| Arc::ptr_eq(&now, &file)) {
            match said {
                Some(Ok(said)) => news.push((held.id(), said)),
                Some(Err(why)) => held.remark(format!("its progress is not shown: {why}")),
                None => {}
            }
        }
        watched.insert(held.id(), last);
    }
    (news, watched)
}

/// What was seen of a file at the last look.
#[derive(Debug, Default)]
struct LastLook {
    /// None: it must be read again.
    stamp: Option<Stamp>,
    said: Option<Progress>,
    /// Looks since it could be read, and whether that was remarked.
    unread: u32,
    is_remarked: bool,
}

impl LastLook {
    /// What the file says, if that is new; or why it can't be read, once.
    fn look(&mut self, file: &ProgressFile) -> Option<Result<Progress, String>> {
        match self.read(file) {
            Ok(Some(said)) => {
                self.unread = 0;
                let is_news = self.said.as_ref() != Some(&said);
                is_news.then(|| {
                    self.said = Some(said.clone());
                    Ok(said)
                })
            }
            Ok(None) => None,
            Err(why) => {
                self.unread += 1;
                (self.unread >= PATIENCE && !std::mem::replace(&mut self.is_remarked, true))
                    .then_some(Err(why))
            }
        }
    }

    /// What the file says; nothing if it is not there, or was read before and has not changed.
    fn read(&mut self, file: &ProgressFile) -> Result<Option<Progress>, String> {
        // A container that sees no directory may make it later.
        if file.root.symlink_metadata().is_err() {
            return Ok(None);
        }
        let opened = match collect::open(&file.root, &file.path) {
            Ok(opened) => opened,
            Err(collect::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let unreadable = |error: &dyn std::fmt::Display| format!("{}: {error}", file.path);
        let stamp = Stamp::of(&opened).map_err(|error| unreadable(&error))?;
        if self.stamp == Some(stamp) {
            return Ok(None);
        }
        let mut text = Vec::new();
        let most = MAX_TEXT as u64 + 1;
        opened.take(most).read_to_end(&mut text).map_err(|error| unreadable(&error))?;
        let said = parse(&text);
        // One that is not read is looked at again, until it is remarked.
        let is_settled = stamp.age() > GRANULARITY && (said.is_ok() || self.is_remarked);
        self.stamp = is_settled.then_some(stamp);
        said.map(Some).map_err(|error| unreadable(&error))
    }
}

fn wire(said: Progress) -> v1::JobProgress {
    let Progress { fraction, done, of, note, metrics } = said;
    v1::JobProgress { fraction, done, of, note, metrics: metrics.into_iter().collect(), at: None }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn file(dir: &tempfile::TempDir, path: &str) -> ProgressFile {
        ProgressFile { root: dir.path().to_owned(), path: path.to_owned() }
    }

    fn fraction(look: Option<Result<Progress, String>>) -> Option<f64> {
        look.and_then(|said| said.unwrap().fraction)
    }

    #[test]
    fn only_what_has_changed_is_news() {
        let dir = tempfile::tempdir().unwrap();
        let (file, mut last) = (file(&dir, "progress"), LastLook::default());
        let path = dir.path().join("progress");
        assert_eq!(last.look(&file), None, "it is not there yet");
        fs::write(&path, "0.25").unwrap();
        assert_eq!(fraction(last.look(&file)), Some(0.25));
        assert_eq!(last.look(&file), None);
        fs::write(&path, "").unwrap();
        assert_eq!(last.look(&file), None, "it is being written");
        fs::write(&path, "0.5").unwrap();
        assert_eq!(fraction(last.look(&file)), Some(0.5));
        fs::write(dir.path().join("next"), r#"{"done": 3, "of": 4}"#).unwrap();
        fs::rename(dir.path().join("next"), &path).unwrap();
        assert_eq!(fraction(last.look(&file)), Some(0.75));
        fs::remove_file(&path).unwrap();
        assert_eq!(last.look(&file), None);
        assert!(!last.is_remarked && last.unread == 0);
    }

    /// What is seen of a file at each of several looks.
    fn remarks(file: &ProgressFile) -> Vec<String> {
        let mut last = LastLook::default();
        let looks = (0..PATIENCE * 3).filter_map(|_| last.look(file));
        looks.map(|said| said.expect_err("nothing can be read")).collect()
    }

    #[test]
    fn what_can_not_be_read_is_remarked_once_and_nothing_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let remarked = |name: &str, part: &str| {
            let remarks = remarks(&file(&dir, name));
            assert!(remarks.len() == 1 && remarks[0].contains(part), "{name}: {remarks:?}");
        };
        fs::write(dir.path().join("good"), "0.5").unwrap();
        symlink(dir.path().join("good"), dir.path().join("link")).unwrap();
        symlink("/etc/shadow", dir.path().join("shadow")).unwrap();
        symlink("/proc/self", dir.path().join("proc")).unwrap();
        fs::create_dir(dir.path().join("dir")).unwrap();
        fs::write(dir.path().join("half"), r#"{"done": 4"#).unwrap();
        fs::write(dir.path().join("binary"), b"\x7fELF\xff\xfe\0").unwrap();
        fs::File::create(dir.path().join("large")).unwrap().set_len(10 << 30).unwrap();
        let made = std::process::Command::new("mkfifo").arg(dir.path().join("pipe")).status().unwrap();
        assert!(made.success());
        remarked("link", "link");
        remarked("shadow", "link");
        remarked("proc/comm", "link");
        remarked("dir", "directory");
        remarked("pipe", "pipe");
        remarked("half", "no whole JSON");
        remarked("binary", "UTF-8");
        remarked("large", "larger than 16 KiB");
    }
}
