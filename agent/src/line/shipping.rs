//! Outputs go to the store while their job still runs: a file that was closed, or renamed into its place, is sent soon
//! after, so that most of what a long job has computed is kept when its machine goes. What is sent counts only when the
//! attempt is published, and only if the file is still the same then; publishing decides that anew.
//!
//! One file of an attempt is sent at a time, and only so many of all attempts. A file that changes again and again is
//! sent ever less often, and so is everything of a job that removes or renames what was sent.

mod journal;
mod waiting;
mod watch;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bt_engine::collect::{self, FilesSeen, Stamp};
use bt_model::reason::Reason;
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use waiting::{AFTER_A_CUT, FilesToSend, Past, rising};
use watch::{Added, Event, Watch};

use crate::job::holdings::Held;
use crate::line::Line;
use crate::line::upload::{self, Failure, What};
use crate::record::ending::{Ending, StoredOutput};

pub(crate) use journal::{InStore, Journal};

/// How long a container runs before anything is looked at: short jobs pay nothing.
const BEGIN: Duration = Duration::from_millis(1500);
/// How long events are gathered before they are read, and how many are read then.
const GATHER: Duration = Duration::from_millis(100);
const EVENTS: usize = 4_000;
/// A file that nobody saw being closed must not have changed for so long; longer where nothing is watched.
const SETTLED: Duration = Duration::from_secs(3);
const SETTLED_UNWATCHED: Duration = Duration::from_secs(10);
/// What is younger may change again without its times showing it: the kernel's clock for them is coarse.
const GRANULARITY: Duration = Duration::from_millis(50);
/// Looking through directories takes this part of the time at most.
const LOOKING_PART: u32 = 20;
/// Files, and bytes of their paths, that are sent while a job runs. More are no outputs.
const MOST_FILES: usize = 100_000;
const MOST_NAMING: usize = 8 << 20;
/// So many files more that were sent and have gone since than are still there are a habit; a large one counts for each so
/// many bytes.
const STRAYS: u64 = 50;
const LARGE_STRAY: u64 = 64 << 20;
/// How long what is left of a failed attempt may take to be sent before its end is reported, and of one that is handed
/// back, because the agent or its machine goes.
const AFTER_FAILURE: Duration = Duration::from_secs(30);
const AFTER_RELEASE: Duration = Duration::from_secs(5);

/// Sends outputs as they come until `ended`, and then what is being sent to its end. The journal says what is in the
/// store.
pub(crate) async fn as_they_come(line: &Line, held: &Held, ended: &CancellationToken) -> Journal {
    // Where containers see no directory, they write to it when they end.
    let may_begin = line.site.engine.mounts_files();
    let begun = tokio::select! {
        () = ended.cancelled() => false,
        () = sleep(BEGIN), if may_begin => true,
    };
    let journal = journal(held);
    match begun {
        true => Box::pin(Shipping::new(line, held, journal).run(ended)).await,
        false => journal,
    }
}

/// The journal of an attempt of which this run of the agent has sent nothing yet.
pub(crate) fn journal(held: &Held) -> Journal {
    match held.taken_back {
        true => Journal::open(held.dir.stored()),
        false => Journal::new(held.dir.stored()),
    }
}

/// Sends what is left of an attempt that has failed or is handed back, within limits: what was computed is kept.
pub(crate) async fn rest(line: &Line, held: &Held, ending: &Ending, shipped: impl Future<Output = Journal>) {
    let limit = match ending {
        Ending::Released { .. } => AFTER_RELEASE,
        Ending::Succeeded { .. } | Ending::Failed { .. } => AFTER_FAILURE,
    };
    let sending = async {
        let mut journal = shipped.await;
        let mut seen = look(held.dir.results(), String::new(), |_, _| {}).await;
        seen.files
            .retain(|(path, stamp)| journal.find(path, stamp) == InStore::No && journal.void(path).is_ok());
        let sending = stream::iter(seen.files).map(|(path, _)| async move {
            send(line, held, &path, Duration::ZERO, &AtomicU32::new(0)).await
        });
        // One that the store does not take must not keep the others.
        let mut sending = pin!(sending.buffer_unordered(line.site.options.uploads_at_once as usize));
        while let Some(sent) = sending.next().await {
            match sent {
                Sent::Stored(stamp, output) => journal.note(stamp, output),
                Sent::TakenAway => return,
                Sent::Young(_) | Sent::Changed | Sent::Gone => {}
            }
        }
    };
    if timeout(limit, sending).await.is_err() {
        warn!(attempt.id = %held.id(), "not all that it left is in the store: it took longer than {limit:?}");
    }
}

/// What became of a file that was to be sent.
enum Sent {
    Stored(Stamp, StoredOutput),
    /// It was changed too short a time ago; it may be old enough after this.
    Young(Duration),
    Changed,
    /// It is not there any more, or can't be read or kept.
    Gone,
    TakenAway,
}

/// Sends a file as it is now, if it is not younger than `settled`. `tries` counts how often it was begun.
async fn send(line: &Line, held: &Held, path: &str, settled: Duration, tries: &AtomicU32) -> Sent {
    let root = held.dir.results();
    let stamp = || {
        let file = collect::open(&root, path).ok()?;
        Stamp::of(&file).ok()
    };
    let Some(before) = stamp() else { return Sent::Gone };
    if let Some(left) = settled.checked_sub(before.age()).filter(|left| !left.is_zero()) {
        return Sent::Young(left);
    }
    let open = || {
        tries.fetch_add(1, Ordering::Relaxed);
        let file = collect::open(&root, path).map_err(|error| Reason::Outputs(error.to_string()))?;
        match Stamp::of(&file) {
            Ok(now) if now == before => Ok(file),
            _ => Err(Reason::Outputs(format!("{path} has changed"))),
        }
    };
    match upload::upload(line, held, What::Output(path.to_owned()), open).await {
        Ok(output) if stamp() == Some(before) && output.size == before.size => Sent::Stored(before, output),
        Ok(_) => Sent::Changed,
        Err(Failure::TakenAway) => Sent::TakenAway,
        Err(Failure::Refused(reason)) => {
            debug!(attempt.id = %held.id(), "{path} is not sent now: {reason}");
            if stamp().is_some() { Sent::Changed } else { Sent::Gone }
        }
    }
}

async fn look(
    root: PathBuf,
    below: String,
    enter: impl FnMut(&std::os::fd::OwnedFd, &str) + Send + 'static,
) -> FilesSeen {
    let looking = tokio::task::spawn_blocking(move || collect::look(&root, &below, enter));
    looking.await.unwrap_or_default()
}

type Sending<'a> = Pin<Box<dyn Future<Output = (String, Sent, u32)> + Send + 'a>>;

struct Shipping<'a> {
    line: &'a Line,
    held: &'a Held,
    journal: Journal,
    /// None where nothing can be watched.
    watch: Option<Watch>,
    waiting: FilesToSend,
    past: HashMap<String, Past>,
    /// Directories that are to be looked through, and when; the empty one is all.
    unseen: BTreeSet<String>,
    next_look: Instant,
    /// When what has happened is read, if something has.
    next_read: Option<Instant>,
    /// Files that were sent and have gone since.
    strays: u64,
    /// Nothing is sent before.
    pause: Instant,
    /// The file that is being sent was closed meanwhile.
    closed_while_sent: bool,
}

impl<'a> Shipping<'a> {
    fn new(line: &'a Line, held: &'a Held, journal: Journal) -> Self {
        let now = Instant::now();
        let mut this = Self {
            line,
            held,
            journal,
            watch: None,
            waiting: FilesToSend::default(),
            past: HashMap::new(),
            unseen: BTreeSet::from([String::new()]),
            next_look: now,
            next_read: None,
            strays: 0,
            pause: now,
            closed_while_sent: false,
        };
        match Watch::new() {
            Ok(watch) => this.watch = Some(watch),
            Err(error) => this.stop_watching(&error),
        }
        this
    }

    async fn run(mut self, ended: &CancellationToken) -> Journal {
        let mut sending: Option<(String, Sending<'a>)> = None;
        loop {
            let now = Instant::now();
            if sending.is_none()
                && self.may_send(now)
                && let Some((path, closed)) = self.waiting.take(now)
                // What it says of how far it is becomes old at once; its last word is stored with the other outputs.
                && !self.held.is_progress_file(&path)
            {
                sending = self.begin(path, closed);
            }
            let wake = self.wake(sending.is_some());
            tokio::select! {
                () = ended.cancelled() => break,
                (path, sent, tries) = progress(&mut sending) => {
                    sending = None;
                    self.sent(path, sent, tries);
                }
                () = happened(self.watch.as_ref()), if self.next_read.is_none() => {
                    self.next_read = Some(Instant::now() + GATHER);
                }
                () = sleep_until(wake) => {}
            }
            let now = Instant::now();
            if self.next_read.is_some_and(|time| time <= now) {
                let current = sending.as_ref().map(|(path, _)| path.as_str());
                let more = self.read_events(current);
                self.next_read = more.then(|| Instant::now() + GATHER);
            }
            if self.waiting.left_out && self.waiting.is_empty() {
                self.waiting.left_out = false;
                self.must_look(String::new());
            }
            if self.next_look <= now && !self.unseen.is_empty() {
                self.look().await;
            }
        }
        if let Some((_, sending)) = sending {
            let (path, sent, tries) = sending.await;
            self.sent(path, sent, tries);
        }
        // Nobody writes any more: whoever wrote to what was sent has been heard of now.
        while self.read_events(None) {}
        self.journal
    }

    fn may_send(&self, now: Instant) -> bool {
        self.pause <= now && self.journal.len() < MOST_FILES && self.journal.naming() < MOST_NAMING
    }

    /// When there is something to do next.
    fn wake(&self, is_sending: bool) -> Instant {
        let file = match is_sending || !self.may_send(self.pause) {
            true => None,
            false => self.waiting.due().map(|due| due.max(self.pause)),
        };
        let look = (!self.unseen.is_empty()).then_some(self.next_look);
        let times = [file, look, self.next_read];
        times.into_iter().flatten().min().unwrap_or_else(|| Instant::now() + Duration::from_secs(3600))
    }

    /// Begins to send a file, unless what is in the store can't be taken back in the journal.
    fn begin(&mut self, path: String, closed: bool) -> Option<(String, Sending<'a>)> {
        if let Err(error) = self.journal.void(&path) {
            warn!(attempt.id = %self.held.id(), %error, "{path} is not sent again before the job ends");
            return None;
        }
        self.closed_while_sent = false;
        let (line, held, settled) = (self.line, self.held, if closed { GRANULARITY } else { self.settled() });
        let named = path.clone();
        let sending = async move {
            // Closed for ever only when the agent ends.
            let Ok(_turn) = line.shipping.acquire().await else { return (path, Sent::TakenAway, 0) };
            let tries = AtomicU32::new(0);
            let sent = send(line, held, &path, settled, &tries).await;
            (path, sent, tries.into_inner())
        };
        Some((named, Box::pin(sending)))
    }

    fn sent(&mut self, path: String, sent: Sent, tries: u32) {
        let now = Instant::now();
        if tries > 0 {
            let past = self.past.entry(path.clone()).or_insert(Past { times: 0, last: now });
            let cut = if tries > 1 { AFTER_A_CUT } else { 0 };
            *past = Past { times: (past.times + 1).max(cut), last: now };
            let steps = self.strays.saturating_sub(self.journal.len() as u64) / STRAYS;
            if steps > 0 {
                self.pause = now + rising(u32::try_from(steps).unwrap_or(u32::MAX));
            }
            if self.past.len() > MOST_FILES {
                self.past.clear();
            }
        }
        let past = self.past.get(&path).copied();
        match sent {
            Sent::Stored(stamp, output) => {
                self.journal.note(stamp, output);
                if self.closed_while_sent || self.watch.is_none() {
                    self.journal.doubt(&path);
                }
            }
            Sent::Young(left) => self.waiting.found(&path, past, now + left),
            Sent::Changed => self.waiting.found(&path, past, now + self.settled()),
            Sent::Gone => drop(self.past.remove(&path)),
            // The container is being stopped.
            Sent::TakenAway => self.pause = now + Duration::from_secs(3600),
        }
    }

    /// How long a file must not have changed that nobody saw being closed.
    fn settled(&self) -> Duration {
        if self.watch.is_some() { SETTLED } else { SETTLED_UNWATCHED }
    }

    /// Reads what has happened; true if there may be more.
    fn read_events(&mut self, current: Option<&str>) -> bool {
        let Some(watch) = &mut self.watch else { return false };
        let events = watch.events(EVENTS);
        let more = events.len() >= EVENTS;
        let now = Instant::now();
        for event in events {
            match event {
                Event::Closed(path) => {
                    // Whatever its times say, somebody may have written to it since it was sent.
                    self.journal.doubt(&path);
                    self.closed_while_sent |= current == Some(&path);
                    self.waiting.closed(&path, self.past.get(&path).copied(), now);
                }
                Event::Gone(path) => {
                    self.waiting.forget(&path);
                    if let Some(size) = self.journal.size(&path) {
                        self.strays += 1 + size / LARGE_STRAY;
                        self.void(&path);
                    }
                }
                Event::Dir(path) => self.must_look(path),
                Event::DirMoved => self.journal.doubt_all(),
                Event::Overflow => {
                    self.journal.doubt_all();
                    self.must_look(String::new());
                }
            }
        }
        more
    }

    fn void(&mut self, path: &str) {
        if let Err(error) = self.journal.void(path) {
            warn!(attempt.id = %self.held.id(), %error, "the journal can't be written");
        }
    }

    fn must_look(&mut self, path: String) {
        if self.unseen.len() >= EVENTS {
            self.unseen = BTreeSet::from([String::new()]);
        } else if !self.unseen.contains("") {
            self.unseen.insert(path);
        }
    }

    /// Looks through what is to be looked through, and watches the directories in it.
    async fn look(&mut self) {
        let mut dirs = std::mem::take(&mut self.unseen);
        if dirs.contains("") {
            dirs = BTreeSet::from([String::new()]);
        }
        let began = Instant::now();
        for dir in dirs {
            let seen = self.look_into(dir).await;
            self.waiting.left_out |= seen.cut;
            let (now, settled) = (Instant::now(), self.settled());
            for (path, stamp) in seen.files {
                if self.journal.find(&path, &stamp) == InStore::No {
                    let left = settled.saturating_sub(stamp.age());
                    self.waiting.found(&path, self.past.get(&path).copied(), now + left);
                }
            }
        }
        self.next_look = Instant::now() + GATHER.max(began.elapsed() * LOOKING_PART);
        if self.watch.is_none() {
            self.unseen.insert(String::new());
            self.next_look = self.next_look.max(Instant::now() + SETTLED_UNWATCHED);
        }
    }

    async fn look_into(&mut self, dir: String) -> FilesSeen {
        let root = self.held.dir.results();
        let Some(handle) = self.watch.as_ref().and_then(|watch| watch.handle().ok()) else {
            return look(root, dir, |_, _| {}).await;
        };
        let looking = tokio::task::spawn_blocking(move || {
            let mut added = Added::default();
            let seen = collect::look(&root, &dir, |dir, path| added.add(&handle, dir, path));
            (seen, added)
        });
        let (seen, added) = looking.await.unwrap_or_default();
        let named = self.watch.as_mut().map_or(Ok(()), |watch| watch.name(added));
        if let Err(error) = named {
            self.stop_watching(&error);
        }
        seen
    }

    fn stop_watching(&mut self, error: &watch::Error) {
        info!(
            attempt.id = %self.held.id(),
            "its results directory is not watched, but looked through every {SETTLED_UNWATCHED:?}: {error}"
        );
        self.watch = None;
        self.next_read = None;
        self.journal.doubt_all();
        self.unseen.insert(String::new());
    }
}

async fn progress(sending: &mut Option<(String, Sending<'_>)>) -> (String, Sent, u32) {
    match sending {
        Some((_, sending)) => sending.await,
        None => std::future::pending().await,
    }
}

async fn happened(watch: Option<&Watch>) {
    match watch {
        Some(watch) => watch.happened().await,
        None => std::future::pending().await,
    }
}
