//! Logs of live attempts that are followed: the agent sends each once, however many follow it here.
//!
//! What came last is kept, so that followers read it at their own pace. The fastest of them sets the pace at which the
//! agent sends: nothing is given up that none of them has taken. Whoever is so far behind that its next line was given up
//! must get it from the agent by itself, until it meets what is kept.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bt_model::id::AttemptId;
use bt_model::log::LogLine;
use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

/// Bytes that are kept of each log.
const KEPT: usize = 1 << 20;
/// What a line takes besides its text.
const LINE: usize = 64;
/// Followers of a log that read from the agent at once, because they are behind.
const READ_AT_ONCE: usize = 8;
/// Lines that a follower takes at once.
const AT_ONCE: usize = 64;

/// A line as an agent sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) line: LogLine,
    /// Where the next one begins; 0 from an agent that does not say so.
    pub(super) end: u64,
    /// The agent's file, with the first line of a stream, else 0.
    pub(super) file: u64,
}

/// How far a follower is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: u64,
    pub(super) at: u64,
}

/// Why no more comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The log is complete.
    End,
    /// It goes on, but can't be had now.
    Broken(String),
}

/// What there is for a follower.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Lines, and the place behind them.
    Lines(Vec<LogLine>, Place),
    NotYet,
    /// Its next line was given up, or is in another file.
    Behind,
    Over(Over),
}

/// All logs that are followed here. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Followed {
    logs: Arc<Mutex<HashMap<AttemptId, Arc<Log>>>>,
}

/// What came of one attempt's log.
#[derive(Debug, Default)]
pub(super) struct Log {
    kept: Mutex<Kept>,
    /// Changed under the lock of all logs.
    followers: AtomicUsize,
    came: watch::Sender<()>,
    taken: Notify,
    abandoned: CancellationToken,
    turns: Turns,
}

/// Who is behind reads in turn.
#[derive(Debug)]
struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        Self(Semaphore::new(READ_AT_ONCE))
    }
}

#[derive(Debug, Default)]
struct Kept {
    /// Each with the place where it ends.
    lines: VecDeque<(LogLine, u64)>,
    bytes: usize,
    /// Where the first of them begins, and the last one ends.
    start: u64,
    end: u64,
    /// As far as the fastest follower has got.
    taken: u64,
    /// None before the first line, 0 if the agent does not say where lines stand.
    file: Option<u64>,
    over: Option<Over>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change under the lock is a single step, so a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Someone who follows a log, until it is dropped.
#[derive(Debug)]
pub(super) struct Follower {
    followed: Followed,
    attempt: AttemptId,
    pub(super) log: Arc<Log>,
}

impl Followed {
    /// Joins those who follow a log. True for the first of them, who must see to it that the log comes.
    pub(super) fn join(&self, attempt: AttemptId) -> (Follower, bool) {
        let mut logs = lock(&self.logs);
        let log = logs.entry(attempt).or_default().clone();
        let is_first = log.followers.fetch_add(1, Ordering::Relaxed) == 0;
        (Follower { followed: self.clone(), attempt, log }, is_first)
    }

    /// Nothing more comes of a log. Whoever joins from now on has it sent anew.
    pub(super) fn end(&self, attempt: AttemptId, log: &Arc<Log>, over: Over) {
        self.forget(&mut lock(&self.logs), attempt, log);
        lock(&log.kept).over = Some(over);
        log.came.send_replace(());
    }

    fn forget(&self, logs: &mut HashMap<AttemptId, Arc<Log>>, attempt: AttemptId, log: &Arc<Log>) {
        if logs.get(&attempt).is_some_and(|known| Arc::ptr_eq(known, log)) {
            logs.remove(&attempt);
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut logs = lock(&self.followed.logs);
        if self.log.followers.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.followed.forget(&mut logs, self.attempt, &self.log);
            self.log.abandoned.cancel();
        }
    }
}

impl Log {
    /// Returns when its last follower has left.
    pub(super) async fn abandoned(&self) {
        self.abandoned.cancelled().await;
    }

    /// Changes when there may be more to read.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.came.subscribe()
    }

    /// Keeps a line, as soon as there is room for it.
    pub(super) async fn push(&self, placed: Placed) {
        let size = placed.line.text.len() + LINE;
        loop {
            let taken = self.taken.notified();
            {
                let mut kept = lock(&self.kept);
                if kept.make_room(size) {
                    kept.push(placed, size);
                    break;
                }
            }
            taken.await;
        }
        self.came.send_replace(());
    }

    /// What comes next for a follower; all before its place is taken.
    pub(super) fn next(&self, place: Place) -> Next {
        let mut kept = lock(&self.kept);
        let is_elsewhere = place.at > 0 && kept.file != Some(place.file);
        if place.at > kept.taken && !is_elsewhere {
            kept.taken = place.at;
            self.taken.notify_one();
        }
        if place.at < kept.start || is_elsewhere {
            return Next::Behind;
        }
        let from = kept.lines.partition_point(|(_, end)| *end <= place.at);
        let lines: Vec<_> = kept.lines.range(from..).take(AT_ONCE).cloned().collect();
        match lines.last() {
            Some((_, at)) => {
                let place = Place { file: kept.file.unwrap_or(0), at: *at };
                Next::Lines(lines.into_iter().map(|(line, _)| line).collect(), place)
            }
            None => kept.over.clone().map_or(Next::NotYet, Next::Over),
        }
    }

    /// Waits until it is a follower's turn to read from the agent. None once the log is closed.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.0.acquire().await.ok()
    }

    /// True if its lines say where they stand in the agent's file.
    pub(super) fn has_places(&self) -> bool {
        lock(&self.kept).file.is_some_and(|file| file != 0)
    }

    /// True if what follows on a place in the agent's file is kept, or comes next.
    pub(super) fn meets(&self, place: Place) -> bool {
        let kept = lock(&self.kept);
        place.file != 0 && kept.file == Some(place.file) && (kept.start..=kept.end).contains(&place.at)
    }
}

impl Kept {
    /// Gives up lines that were taken. False if there is no room for one of this size yet.
    fn make_room(&mut self, size: usize) -> bool {
        while self.bytes + size > KEPT
            && let Some((line, end)) = self.lines.front()
        {
            if *end > self.taken {
                return false;
            }
            self.bytes -= line.text.len() + LINE;
            self.start = *end;
            self.lines.pop_front();
        }
        true
    }

    fn push(&mut self, placed: Placed, size: usize) {
        let file = *self.file.get_or_insert(placed.file);
        // Lines that don't say where they stand are counted.
        self.end = if file == 0 { self.end + 1 } else { placed.end };
        self.lines.push_back((placed.line, self.end));
        self.bytes += size;
    }
}

#[cfg(test)]
mod tests {
    use bt_model::log::Stream;
    use jiff::Timestamp;

    use super::*;

    const FILE: u64 = 7;

    /// The nth line; each is as long as a sixteenth of what is kept.
    fn line(number: u64) -> Placed {
        let mut text = vec![b' '; KEPT / 16 - LINE];
        text[..8].copy_from_slice(&number.to_be_bytes());
        let line = LogLine { time: Timestamp::UNIX_EPOCH, stream: Stream::Stdout, text };
        Placed { line, end: (number + 1) * 100, file: if number == 0 { FILE } else { 0 } }
    }

    fn numbers(lines: &[LogLine]) -> Vec<u64> {
        lines.iter().map(|line| u64::from_be_bytes(line.text[..8].try_into().unwrap())).collect()
    }

    /// All that there is for a follower now.
    fn read(log: &Log, place: &mut Place) -> Vec<u64> {
        let mut read = Vec::new();
        while let Next::Lines(lines, next) = log.next(*place) {
            read.extend(numbers(&lines));
            *place = next;
        }
        read
    }

    #[tokio::test]
    async fn each_follower_reads_all_at_its_own_pace() {
        let followed = Followed::default();
        let attempt = AttemptId::random();
        let (fast, is_first) = followed.join(attempt);
        let (slow, is_second) = followed.join(attempt);
        assert!(is_first && !is_second && Arc::ptr_eq(&fast.log, &slow.log));
        let (mut fast_at, mut slow_at) = (Place::default(), Place::default());
        let mut fast_read = Vec::new();
        for number in 0..16 {
            fast.log.push(line(number)).await;
            fast_read.extend(read(&fast.log, &mut fast_at));
        }
        assert_eq!(read(&slow.log, &mut slow_at)[..], fast_read[..], "what is kept is there for all");
        for number in 16..40 {
            fast.log.push(line(number)).await;
            fast_read.extend(read(&fast.log, &mut fast_at));
        }
        assert_eq!(fast_read, (0..40).collect::<Vec<_>>());
        assert_eq!(slow.log.next(slow_at), Next::Behind);
        // It reads by itself until it meets what is kept.
        let mut met = Vec::new();
        while !slow.log.meets(slow_at) {
            met.push(slow_at.at / 100);
            slow_at.at += 100;
        }
        met.extend(read(&slow.log, &mut slow_at));
        assert_eq!(met, (16..40).collect::<Vec<_>>());
        let elsewhere = Place { file: FILE + 1, ..slow_at };
        assert!(!slow.log.meets(elsewhere), "another file's places mean nothing");
        assert_eq!(slow.log.next(elsewhere), Next::Behind);
    }

    #[tokio::test]
    async fn nothing_is_given_up_that_nobody_has_taken() {
        let (follower, _) = Followed::default().join(AttemptId::random());
        let log = follower.log.clone();
        let sending = tokio::task::JoinSet::from_iter([async move {
            for number in 0..100 {
                log.push(line(number)).await;
            }
        }]);
        let mut place = Place::default();
        let mut changes = follower.log.changes();
        let mut all: Vec<u64> = Vec::new();
        while all.len() < 100 {
            changes.borrow_and_update();
            let some = read(&follower.log, &mut place);
            all.extend(&some);
            assert!(lock(&follower.log.kept).bytes <= KEPT);
            if some.is_empty() {
                changes.changed().await.unwrap();
            }
        }
        sending.join_all().await;
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_log_is_forgotten_with_its_last_follower_or_its_end() {
        let followed = Followed::default();
        let attempt = AttemptId::random();
        let (first, _) = followed.join(attempt);
        let (second, _) = followed.join(attempt);
        drop(first);
        assert!(!second.log.abandoned.is_cancelled());
        let log = second.log.clone();
        drop(second);
        assert!(log.abandoned.is_cancelled() && lock(&followed.logs).is_empty());
        let (third, is_first) = followed.join(attempt);
        assert!(is_first, "it is sent anew");
        third.log.push(line(0)).await;
        followed.end(attempt, &third.log, Over::End);
        let (fourth, is_first) = followed.join(attempt);
        assert!(is_first);
        drop(third);
        assert!(!fourth.log.abandoned.is_cancelled() && lock(&followed.logs).len() == 1);
    }

    #[tokio::test]
    async fn what_was_kept_is_read_before_the_end() {
        let followed = Followed::default();
        let attempt = AttemptId::random();
        let (follower, _) = followed.join(attempt);
        follower.log.push(line(0)).await;
        let over = Over::Broken("gone".to_owned());
        followed.end(attempt, &follower.log, over.clone());
        let mut place = Place::default();
        assert_eq!(read(&follower.log, &mut place), [0]);
        assert_eq!(follower.log.next(place), Next::Over(over));
    }
}
