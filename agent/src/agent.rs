//! A running agent and its parts. Each part knows only the parts before it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::away::Away;
use crate::config::Options;
use crate::job::blame::Starts;
use crate::job::caches::Caches;
use crate::job::holdings::Holdings;
use crate::line::Line;
use crate::record::assignment::Manifests;
use crate::site::Site;
use crate::slots::Slots;
use crate::stock::Stock;
use crate::store_choice::StoreChoice;
use crate::warm::Warmth;

pub(crate) struct Agent {
    pub(crate) site: Arc<Site>,
    pub(crate) line: Arc<Line>,
    pub(crate) stock: Stock,
    /// Containers that wait for a next job of their sweep.
    pub(crate) slots: Slots,
    pub(crate) holdings: Holdings,
    pub(crate) manifests: Manifests,
    pub(crate) caches: Caches,
    pub(crate) starts: Starts,
    pub(crate) warmth: Warmth,
    pub(crate) leaving: Leaving,
    /// Whether the machine's owner lends it now.
    pub(crate) away: Away,
    /// Containers of several points that are not removed yet.
    pub(crate) batches: AtomicUsize,
}

/// Of the time in which jobs may finish: for their images before they start, and for their outputs.
const AROUND_JOBS: Duration = Duration::from_secs(30);

/// Whether the agent goes, and because of whom.
#[derive(Debug)]
pub(crate) struct Leaving {
    /// No new work is wanted.
    pub(crate) draining: CancellationToken,
    preempted: AtomicBool,
    time_left: OnceLock<Duration>,
    began: Instant,
}

impl Leaving {
    /// Notes that the machine's owner takes it back, and how long it will still be there, if that is known.
    pub(crate) fn take_back(&self, time_left: Option<Duration>) {
        if let Some(left) = time_left {
            self.time_left.get_or_init(|| left);
        }
        self.preempted.store(true, Ordering::Relaxed);
    }

    /// How long jobs may still run here, if the agent was started for some time only: when that is over it lets them finish, and
    /// of the time for that some is for their images and outputs.
    pub(crate) fn ends_in(&self, options: &Options) -> Option<Duration> {
        let life = options.lifetime?.saturating_sub(self.began.elapsed());
        Some(life.saturating_add(options.drain_timeout.saturating_sub(AROUND_JOBS)))
    }

    /// True if the machine's owner takes it back.
    pub(crate) fn is_preempted(&self) -> bool {
        self.preempted.load(Ordering::Relaxed)
    }

    /// How long the machine will still be there, once that is known.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        self.time_left.get().copied()
    }
}

impl Agent {
    pub(crate) fn new(site: Arc<Site>, store: StoreChoice, draining: CancellationToken) -> Self {
        let line = Arc::new(Line::new(site.clone(), store));
        Self {
            stock: Stock::new(&line),
            slots: Slots::new(site.clone()),
            holdings: Holdings::default(),
            manifests: Manifests::default(),
            caches: Caches::default(),
            starts: Starts::default(),
            warmth: Warmth::default(),
            leaving: Leaving {
                draining,
                preempted: AtomicBool::new(false),
                time_left: OnceLock::new(),
                began: Instant::now(),
            },
            away: Away::open(site.state.frozen_file()),
            batches: AtomicUsize::new(0),
            site,
            line,
        }
    }

    /// True while an attempt is held, a batch's container is there, or a user has a shell.
    pub(crate) fn is_busy(&self) -> bool {
        self.holdings.count() > 0 || self.batches.load(Ordering::Relaxed) > 0 || self.site.guests.has_shells()
    }
}
