use std::fs::{self, File};
use std::path::PathBuf;

use tokio::task::JoinSet;

use super::*;

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    (dir, path)
}

fn text(words: &str) -> Bytes {
    Bytes::copy_from_slice(words.as_bytes())
}

async fn commit(journal: &StateJournal, attempt: AttemptId, key: &str, value: &str) {
    journal.commit(attempt, vec![(key.to_owned(), text(value))]).await.unwrap();
}

/// All that is noted, in an order.
fn all(journal: &StateJournal) -> Vec<(AttemptId, String, Bytes)> {
    let mut all = Vec::new();
    for attempt in journal.attempts() {
        all.extend(journal.below(attempt, "").into_iter().map(|(key, value)| (attempt, key, value)));
    }
    all.sort_by(|a, b| (a.0.uuid(), &a.1).cmp(&(b.0.uuid(), &b.1)));
    all
}

fn syncs(journal: &StateJournal) -> u64 {
    lock(&journal.0.file).syncs
}

#[tokio::test]
async fn what_is_noted_is_there_again_and_the_latest_counts() {
    let (_dir, path) = place();
    let journal = StateJournal::open(&path).unwrap();
    let (a, b) = (AttemptId::random(), AttemptId::random());
    journal.ride(a, "x", text("1"));
    journal.ride(a, "x", text("2"));
    journal.ride(a, "up/1", text("u"));
    journal.ride(a, "up/2", text("v"));
    journal.drop_note(a, "up/2");
    commit(&journal, b, "y", "3").await;
    journal.forget(b);
    commit(&journal, a, "z", "").await;
    let read = StateJournal::open(&path).unwrap();
    assert_eq!(all(&read), all(&journal));
    assert_eq!(read.attempts(), [a]);
    assert_eq!(
        (read.get(a, "x"), read.get(a, "z"), read.get(b, "y")),
        (Some(text("2")), Some(text("")), None)
    );
    assert_eq!(read.below(a, "up/"), [("1".to_owned(), text("u"))]);
    assert_eq!(lock(&read.0.pages).live_bytes, lock(&journal.0.pages).live_bytes);
}

/// Whoever waited for a commit has all that was noted before it on the disk, of whatever attempt.
#[tokio::test]
async fn what_rides_is_on_the_disk_with_the_next_commit() {
    let (_dir, path) = place();
    let journal = StateJournal::open(&path).unwrap();
    let (a, b) = (AttemptId::random(), AttemptId::random());
    journal.ride(a, "gpus", text("[1]"));
    let before = StateJournal::open(&path).unwrap();
    assert!(before.attempts().is_empty(), "nothing was written for it alone");
    commit(&journal, b, "starting", "now").await;
    let after = StateJournal::open(&path).unwrap();
    assert_eq!(after.get(a, "gpus"), Some(text("[1]")));
}

/// A power cut may leave any beginning of what was being written. The records that are whole are read, and new ones follow
/// them.
#[tokio::test]
async fn a_tail_that_is_torn_at_any_byte_is_cut_off() {
    let (dir, path) = place();
    let journal = StateJournal::open(&path).unwrap();
    let attempt = AttemptId::random();
    let empty = fs::metadata(&path).unwrap().len() as usize;
    let mut ends = vec![empty];
    for key in ["a", "b", "c"] {
        commit(&journal, attempt, key, "some words").await;
        ends.push(fs::metadata(&path).unwrap().len() as usize);
    }
    let whole = fs::read(&path).unwrap();
    let torn = dir.path().join("torn");
    for length in empty..whole.len() {
        // A file may also have grown before what is in it was written.
        for filler in [&b""[..], &[0; 4096], &[0xff; 100]] {
            fs::write(&torn, [&whole[..length], filler].concat()).unwrap();
            let records = ends.iter().filter(|end| **end <= length).count() - 1;
            let read = StateJournal::open(&torn).unwrap();
            let keys: Vec<_> = all(&read).into_iter().map(|(_, key, _)| key).collect();
            assert_eq!(keys, ["a", "b", "c"][..records], "torn after {length} bytes");
            commit(&read, attempt, "d", "what comes next").await;
            let again = StateJournal::open(&torn).unwrap();
            assert_eq!(all(&again).len(), records + 1, "torn after {length} bytes");
        }
    }
}

#[tokio::test]
async fn a_record_that_has_changed_is_not_believed() {
    let (_dir, path) = place();
    let journal = StateJournal::open(&path).unwrap();
    let attempt = AttemptId::random();
    commit(&journal, attempt, "a", "first").await;
    let first = fs::metadata(&path).unwrap().len() as usize;
    commit(&journal, attempt, "b", "second").await;
    let whole = fs::read(&path).unwrap();
    for at in first..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        fs::write(&path, &changed).unwrap();
        let read = StateJournal::open(&path).unwrap();
        assert_eq!(
            (read.get(attempt, "a"), read.get(attempt, "b")),
            (Some(text("first")), None),
            "byte {at}"
        );
        assert_eq!(fs::metadata(&path).unwrap().len() as usize, first);
    }
}

#[test]
fn another_file_is_refused_and_left_as_it_is() {
    let (_dir, path) = place();
    for (content, why) in [("btctl agent journal 2\n...", "another version of btctl"), ("x", "no journal")] {
        fs::write(&path, content).unwrap();
        let error = format!("{:#}", StateJournal::open(&path).unwrap_err());
        assert!(error.contains(why), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
}

/// While one commit is on its way, a hundred others are asked for: they share the next one.
#[tokio::test]
async fn commits_share_a_sync() {
    let (_dir, path) = place();
    let journal = StateJournal::open(&path).unwrap();
    let (disk, before) = (journal.0.clone(), syncs(&journal));
    // The disk stalls until it is told to go on.
    let (go_on, told) = std::sync::mpsc::channel::<()>();
    let (stalls, stalled) = std::sync::mpsc::channel();
    let stalling = std::thread::spawn(move || {
        let _file = lock(&disk.file);
        stalls.send(()).unwrap();
        told.recv().ok();
    });
    stalled.recv().unwrap();
    let mut commits = JoinSet::new();
    for _ in 0..100 {
        let journal = journal.clone();
        commits.spawn(async move { commit(&journal, AttemptId::random(), "assignment", "x").await });
    }
    while lock(&journal.0.pages).waiting.len() < 100 {
        tokio::task::yield_now().await;
    }
    assert!(commits.try_join_next().is_none(), "nobody goes on before the disk has it");
    drop(go_on);
    stalling.join().unwrap();
    commits.join_all().await;
    assert_eq!(syncs(&journal) - before, 1);
    assert_eq!(StateJournal::open(&path).unwrap().attempts().len(), 100);
}

#[tokio::test]
async fn a_journal_that_has_grown_is_written_anew_with_what_is_live() {
    let (dir, path) = place();
    let journal = StateJournal::open(&path).unwrap();
    let kept = AttemptId::random();
    commit(&journal, kept, "assignment", "stays").await;
    let large = Bytes::from(vec![7; 1 << 20]);
    let mut longest = 0;
    for _ in 0..40 {
        let attempt = AttemptId::random();
        journal.commit(attempt, vec![("log".to_owned(), large.clone())]).await.unwrap();
        journal.forget(attempt);
        longest = longest.max(fs::metadata(&path).unwrap().len());
    }
    commit(&journal, kept, "ending", "too").await;
    assert!(longest < 20 << 20, "{longest} bytes");
    let read = StateJournal::open(&path).unwrap();
    assert_eq!(all(&read), all(&journal));
    assert_eq!(read.get(kept, "assignment"), Some(text("stays")));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
}

/// What the agent dies of while it writes the journal anew leaves the old one.
#[tokio::test]
async fn a_new_journal_without_its_name_does_not_count() {
    let (dir, path) = place();
    let journal = StateJournal::open(&path).unwrap();
    let attempt = AttemptId::random();
    commit(&journal, attempt, "a", "x").await;
    fs::write(dir.path().join("journal.new"), "btctl agent journal 1\nhalf").unwrap();
    let read = StateJournal::open(&path).unwrap();
    assert_eq!(read.get(attempt, "a"), Some(text("x")));
    assert!(!dir.path().join("journal.new").exists());
}

/// On a full disk a commit fails and nothing is noted; once there is room, the journal is written anew, whatever the failure
/// has left in it.
#[tokio::test]
async fn a_full_disk_fails_commits_until_there_is_room() {
    let (dir, path) = place();
    let journal = StateJournal::open(&path).unwrap();
    let (a, b) = (AttemptId::random(), AttemptId::random());
    commit(&journal, a, "assignment", "before").await;
    let full = || File::options().append(true).open("/dev/full").unwrap();
    lock(&journal.0.file).replace_with(full());
    std::os::unix::fs::symlink("/dev/full", dir.path().join("journal.new")).unwrap();
    for _ in 0..2 {
        let failed = journal.commit(b, vec![("assignment".to_owned(), text("no room"))]).await;
        assert!(failed.unwrap_err().to_string().contains("No space left"));
        assert_eq!(journal.get(b, "assignment"), None);
        std::os::unix::fs::symlink("/dev/full", dir.path().join("journal.new")).ok();
    }
    // What rides is not lost meanwhile.
    journal.ride(a, "gpus", text("[0]"));
    let copy = dir.path().join("copy");
    fs::copy(&path, &copy).unwrap();
    assert_eq!(all(&StateJournal::open(&copy).unwrap()).len(), 1, "the old journal is as it was");
    fs::remove_file(dir.path().join("journal.new")).unwrap();
    commit(&journal, b, "assignment", "after").await;
    let read = StateJournal::open(&path).unwrap();
    assert_eq!(all(&read), all(&journal));
    assert_eq!((read.get(a, "gpus"), read.get(b, "assignment")), (Some(text("[0]")), Some(text("after"))));
}
