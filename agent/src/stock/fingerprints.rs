//! What the volumes hold whose owner wants it known: looked at from the start, now and then, before each attempt that mounts
//! one and after it.
//!
//! A look is never made for one attempt alone: those that wait share the next. What an attempt has read is known if no file
//! was written to between a look before it began and one that began after its end.

mod look;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bt_engine::volumes::{Fingerprint, MountSource, Volumes};
use bt_model::hex::hex;
use look::{KnownFiles, Look, look};
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::record::volumes::VolumesSeen;
use crate::site::workdir::write_whole;

/// How old a look may be that an attempt begins with, and how many times as old as it took: what changed since is seen by
/// the one after its end.
const FRESH: Duration = Duration::from_secs(2);
const FRESH_PART: u32 = 10;
/// How often a volume is looked at that nobody asks for.
const UNASKED: Duration = Duration::from_secs(10);
/// Looking is at most this part of the time, and yet nobody waits longer than this for the next look to begin.
const LOOKING_PART: u32 = 5;
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a job waits for the fingerprint of a volume whose owner has not asked for one.
const MOMENT: Duration = Duration::from_secs(5);

/// The volumes that are fingerprinted.
#[derive(Debug, Default)]
pub(crate) struct Fingerprints {
    watched: BTreeMap<String, Watched>,
    news: Notify,
}

#[derive(Debug)]
struct Watched {
    root: PathBuf,
    /// Where it is written down what each file held.
    file: PathBuf,
    /// Jobs wait until it has been read.
    is_awaited: bool,
    wanted: Notify,
    latest: watch::Sender<Option<Latest>>,
}

#[derive(Clone, Debug)]
struct Latest {
    began: Instant,
    took: Duration,
    look: Option<Look>,
}

impl Fingerprints {
    /// Nothing is read yet. What is remembered of files is kept in `dir`.
    pub(crate) fn new(volumes: &Volumes, dir: &Path) -> Self {
        let mut watched = BTreeMap::new();
        for (name, volume) in volumes.iter() {
            if volume.fingerprint == Fingerprint::None {
                continue;
            }
            if let MountSource::Path(root) = &volume.source {
                let file = dir.join(format!("{name}.known"));
                let latest = watch::Sender::new(None);
                let is_awaited = volume.fingerprint == Fingerprint::Asked;
                let one = Watched { root: root.clone(), file, is_awaited, wanted: Notify::new(), latest };
                watched.insert(name.clone(), one);
            }
        }
        Self { watched, news: Notify::new() }
    }

    /// Those that are watched, by name, with 64 hexadecimal digits each; with nothing while that is not known.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&String, String)> {
        self.watched.iter().map(|(name, one)| {
            let latest = one.latest.borrow();
            let look = latest.as_ref().and_then(|latest| latest.look);
            (name, look.map(|look| hex(&look.fingerprint)).unwrap_or_default())
        })
    }

    /// Waits until one is another than when this was last waited for.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// Of these volumes those that are watched.
    pub(crate) fn of<'n>(&self, names: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
        let mut names: Vec<_> = names.filter(|name| self.watched.contains_key(*name)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// What these volumes hold before an attempt begins.
    pub(crate) async fn before(&self, names: &[&str]) -> VolumesSeen {
        let now = Instant::now();
        self.seen(names, |latest| latest.began + FRESH.max(latest.took * FRESH_PART) >= now).await
    }

    /// What is to be told of an attempt that began with this and has ended.
    pub(crate) async fn after(&self, before: &VolumesSeen) -> BTreeMap<String, String> {
        let names: Vec<_> = before.names().collect();
        let now = Instant::now();
        before.told(&self.seen(&names, |latest| latest.began >= now).await)
    }

    async fn seen(&self, names: &[&str], will_do: impl Fn(&Latest) -> bool) -> VolumesSeen {
        let mut seen = VolumesSeen::default();
        for name in names {
            let look = match self.watched.get(*name) {
                Some(one) => one.seen(&will_do).await,
                // The agent was started anew without it.
                None => None,
            };
            seen.add(name, look.map(|look| (hex(&look.fingerprint), hex(&look.version))));
        }
        seen
    }

    /// Looks at all of them until the agent ends.
    pub(crate) async fn run(&self, end: CancellationToken) {
        let watching = self.watched.iter().map(|(name, one)| self.watch(name, one, &end));
        futures_util::future::join_all(watching).await;
    }

    async fn watch(&self, name: &str, one: &Watched, end: &CancellationToken) {
        let mut known = KnownFiles::read(&one.file);
        let declined = if one.is_awaited {
            ""
        } else {
            "; jobs do not wait for it, and `:ro,nofingerprint` declines it"
        };
        info!("looking at all files of the volume {name} for its fingerprint{declined}");
        let mut trouble = String::new();
        while !end.is_cancelled() {
            let began = Instant::now();
            let (root, file, ending) = (one.root.clone(), one.file.clone(), end.clone());
            let looking = spawn_blocking(move || {
                let looked = look(&root, &mut known, &ending, &|known| write_down(&file, known));
                (looked, known)
            });
            let looked;
            (looked, known) =
                looking.await.unwrap_or_else(|_| (Err(look::Error::Broken), KnownFiles::default()));
            let look = match looked {
                Ok(look) => Some(look),
                Err(look::Error::Ended) => return,
                Err(error) => {
                    let told = error.to_string();
                    if told != trouble {
                        warn!("the volume {name} has no fingerprint: {told}");
                        trouble = told;
                    }
                    None
                }
            };
            let fingerprint = |latest: &Option<Latest>| latest.as_ref().and_then(|latest| latest.look);
            let took = began.elapsed();
            let before = one.latest.send_replace(Some(Latest { began, took, look }));
            let (before, now) = (fingerprint(&before), look);
            if before.map(|look| look.fingerprint) != now.map(|look| look.fingerprint) {
                let told = now.map_or_else(|| "not known".to_owned(), |look| hex(&look.fingerprint));
                info!(?took, "the fingerprint of the volume {name} is {told}");
                self.news.notify_one();
            }
            tokio::select! {
                () = end.cancelled() => return,
                () = sleep((took * LOOKING_PART).min(LONGEST_PAUSE)) => {}
            }
            let longest = UNASKED.max(took * LOOKING_PART * 4);
            tokio::select! {
                () = end.cancelled() => return,
                _ = timeout(longest, one.wanted.notified()) => {}
            }
        }
    }
}

impl Watched {
    /// What the first look saw that will do. Where nobody has asked for the fingerprint, a volume that takes long is not
    /// waited for, and is not known.
    async fn seen(&self, will_do: &impl Fn(&Latest) -> bool) -> Option<Look> {
        match self.is_awaited {
            true => self.waited_for(will_do).await,
            false => timeout(MOMENT, self.waited_for(will_do)).await.ok().flatten(),
        }
    }

    async fn waited_for(&self, will_do: &impl Fn(&Latest) -> bool) -> Option<Look> {
        let mut latest = self.latest.subscribe();
        loop {
            if let Some(seen) = latest.borrow_and_update().as_ref().filter(|seen| will_do(seen)) {
                return seen.look;
            }
            self.wanted.notify_one();
            if latest.changed().await.is_err() {
                return None;
            }
        }
    }
}

fn write_down(file: &Path, known: &KnownFiles) {
    let made = file.parent().map_or(Ok(()), std::fs::create_dir_all);
    let written = made.map_err(anyhow::Error::from).and_then(|()| write_whole(file, &known.to_bytes()));
    if let Err(error) = written {
        warn!(error = format!("{error:#}"), "what files held is not remembered, and they are read again");
    }
}
