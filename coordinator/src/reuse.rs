//! `submit --reuse`: results of identical jobs in place of running them again, and waiting for those that are queued or
//! running in place of doubling them.
//!
//! A sweep that asks for it is held back until its image is known ([`resolve`]), and what its [`volumes`] hold, and its jobs are compared with those of
//! the same recipe and image ([`settle`]). What its jobs wait for then is looked after as long as one waits. All of it is
//! in Postgres: any coordinator goes on where another has died.

mod resolve;
mod settle;
mod volumes;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bt_model::id::SweepId;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::resolve::Asked;
use self::volumes::Content;
use crate::bell::{Bell, Event, Sleeper};
use crate::loops::{Health, PutOff};
use crate::manifests::{self, Manifests};
use crate::queue::{self, Followed, Pending, Queue};
use crate::sessions::Sessions;

/// How long a lost wake-up may go unnoticed.
const POLL: Duration = Duration::from_secs(1);
/// The least time between two looks at the jobs that wait.
const PAUSE: Duration = Duration::from_millis(100);
/// A look that finds nothing is followed by so many times its length without one.
const SHARE: u32 = 20;
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Queue(#[from] queue::Error),
    #[error(transparent)]
    Manifest(#[from] manifests::Error),
    #[error("sweep {0} has a job whose parameters can't be read: {1}")]
    Parameters(SweepId, #[source] bt_model::parameters::NotParameters),
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Reuse {
    queue: Queue,
    manifests: Manifests,
    sessions: Sessions,
    bell: Bell,
    /// An agent that was silent for this long is offline.
    silence: Duration,
    /// Which agents were asked for which sweep's image. Only a cache: they are asked again.
    asked: Arc<Mutex<HashMap<SweepId, Asked>>>,
}

impl Reuse {
    pub(crate) fn new(
        queue: Queue,
        manifests: Manifests,
        sessions: Sessions,
        bell: Bell,
        silence: Duration,
    ) -> Self {
        Self { queue, manifests, sessions, bell, silence, asked: Arc::default() }
    }

    /// Settles sweeps as they come.
    pub(crate) async fn run_settling(self, shutdown: CancellationToken) {
        let mut health = Health::new("looking for identical jobs");
        let mut put_off = PutOff::new("looking for jobs identical to those of sweep");
        loop {
            // Armed before the pass, so that what happens during the pass is not missed.
            let woken = self.bell.rung(Sleeper::Settling);
            health.note(self.settle_once(&mut put_off).await);
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = timeout(POLL, woken) => {}
            }
        }
    }

    /// Looks after jobs that wait for others. The more there are, the less often.
    pub(crate) async fn run_following(self, shutdown: CancellationToken) {
        let mut health = Health::new("looking after jobs that wait for identical ones");
        loop {
            let ended = self.bell.rung(Sleeper::Following);
            let began = Instant::now();
            let moved = health.note(self.follow_once().await).unwrap_or(false);
            let pause = if moved { PAUSE } else { (began.elapsed() * SHARE).clamp(PAUSE, LONGEST_PAUSE) };
            let due = Instant::now() + pause;
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = async {
                    if !moved {
                        timeout(POLL, ended).await.ok();
                    }
                    tokio::time::sleep_until(due).await;
                } => {}
            }
        }
    }

    /// One pass over the sweeps that wait. One that fails is put off by itself.
    pub(crate) async fn settle_once(&self, put_off: &mut PutOff<SweepId>) -> Result<(), Error> {
        let pending = self.queue.pending_reuse().await?;
        self.forget_all_but(&pending);
        put_off.keep(|id| pending.iter().any(|pending| pending.sweep == *id));
        for sweep in pending.iter().filter(|pending| put_off.is_due(&pending.sweep)).collect::<Vec<_>>() {
            put_off.note(&sweep.sweep, self.advance(sweep).await);
        }
        Ok(())
    }

    async fn advance(&self, pending: &Pending) -> Result<(), Error> {
        if self.manifests.get(pending.sweep).await?.manifest.is_process() {
            let why = "its jobs are processes (`driver: process`), and what their machines have is not known";
            return Ok(self.queue.decline_reuse(pending.sweep, why).await?);
        }
        let volumes = match self.volumes(pending).await? {
            Content::Known(volumes) => volumes,
            Content::Awaited(note) => return Ok(self.queue.note_reuse(pending.sweep, &note).await?),
            Content::Unknown(why) => return Ok(self.queue.decline_reuse(pending.sweep, &why).await?),
        };
        match &pending.known_image {
            Some(image) => self.settle(pending, image, &volumes).await,
            None => self.resolve(pending).await,
        }
    }

    /// One pass over the jobs that wait. True if any does no longer, or for another one.
    pub(crate) async fn follow_once(&self) -> Result<bool, Error> {
        let Followed { taken, promoted } = self.queue.follow().await?;
        if taken > 0 {
            self.bell.ring(Event::ResultsReused);
        }
        if taken + promoted > 0 {
            info!(
                taken,
                promoted, "jobs that waited for identical ones have their results, or run in their place"
            );
        }
        Ok(taken + promoted > 0)
    }

    fn forget_all_but(&self, pending: &[Pending]) {
        resolve::lock(&self.asked).retain(|sweep, _| pending.iter().any(|pending| pending.sweep == *sweep));
    }
}
