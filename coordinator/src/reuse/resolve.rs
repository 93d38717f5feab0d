//! What the image of a sweep is before any job of it has started: an agent that could run it is asked, then another.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bt_model::id::{AgentId, SweepId};
use bt_proto::v1::{self, coordinator_message};
use tokio::time::Instant;

use super::{Error, Reuse};
use crate::bell::Event;
use crate::queue::Pending;
use crate::scheduling::misfit;

/// How long an agent may take to answer: it may have to pull the image, or to read a volume.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);
/// How long a sweep waits at least for an agent that can tell: one may just be about to connect, here or elsewhere.
const GRACE: Duration = Duration::from_secs(5);

/// The agents that were asked for a sweep's image.
pub(super) type Asked = HashMap<AgentId, Ask>;

#[derive(Debug)]
pub(super) struct Ask {
    session: u64,
    since: Instant,
    failed: Option<String>,
}

impl Ask {
    /// Why nothing is expected of it any more.
    fn failure(&self) -> Option<String> {
        let silent = || (self.since.elapsed() > PATIENCE).then(|| "the agent did not answer".to_owned());
        self.failed.clone().or_else(silent)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change under the lock is a single step, so a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reuse {
    /// Asks the next agent, unless one is at it. When all that are connected here have failed, the sweep is run as it is.
    pub(super) async fn resolve(&self, pending: &Pending) -> Result<(), Error> {
        let details = self.queue.sweep_details(pending.sweep).await?;
        let fits = |ready: &crate::sessions::Ready| {
            let offer = &ready.seat.offer;
            misfit(offer, &offer.capacity, &details.candidate).is_none()
        };
        let mut agents = self.sessions.ready();
        agents.retain(fits);
        let mut failure = None;
        let next = {
            let mut asked = lock(&self.asked);
            let asked = asked.entry(pending.sweep).or_default();
            asked.retain(|agent, ask| {
                agents.iter().any(|ready| ready.agent == *agent && ready.session == ask.session)
            });
            if asked.values().any(|ask| ask.failure().is_none()) {
                return Ok(());
            }
            failure = asked.values().find_map(Ask::failure).or(failure);
            agents.iter().find(|ready| !asked.contains_key(&ready.agent)).map(|ready| {
                asked
                    .insert(ready.agent, Ask { session: ready.session, since: Instant::now(), failed: None });
                ready.agent
            })
        };
        if let Some(agent) = next {
            let known = self.manifests.get(pending.sweep).await?;
            let sandbox = &known.manifest.sandbox;
            let ask = v1::ResolveImage {
                sweep: pending.sweep.to_string(),
                image: pending.image.clone(),
                platform: sandbox.platform.as_ref().map(ToString::to_string),
                pull: sandbox.pull().name().to_owned(),
            };
            self.sessions.send(agent, coordinator_message::Kind::ResolveImage(ask));
            let note = format!("an agent is asked what {} stands for", pending.image);
            self.queue.note_reuse(pending.sweep, &note).await?;
        } else if let Some(failure) = failure.filter(|_| pending.age > GRACE) {
            let why = format!("no agent could tell what {} stands for: {failure}", pending.image);
            self.queue.decline_reuse(pending.sweep, &why).await?;
        }
        Ok(())
    }

    /// Notes what an agent answered: nothing if the image is written down, or why it can't be had there.
    pub(crate) fn answered(&self, sweep: SweepId, agent: AgentId, failed: Option<String>) {
        if let Some(ask) = lock(&self.asked).get_mut(&sweep).and_then(|asked| asked.get_mut(&agent)) {
            ask.failed = failed;
        }
        self.bell.ring(Event::ImageAnswered);
    }
}
