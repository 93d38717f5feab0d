//! What an image's name stands for, asked of an agent on behalf of a caller who waits for the answer, where no sweep has asked.
//! An agent answers as it does for a sweep (`ResolveImage`, `PinImage`), by an id that belongs to no sweep.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bt_model::id::{AgentId, SweepId};
use bt_model::manifest::Pull;
use bt_proto::v1::{self, coordinator_message};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::sessions::Sessions;

/// Agents that are asked, one after the other, and how long one may take: it may have to pull the image.
const TRIES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(300);
/// How often it is looked whether the agent is still there.
const LOOK: Duration = Duration::from_secs(1);

/// An image's pin, or why it can't be had there.
type Answer = Result<String, String>;
/// By the ids that they were asked by, with the agent that was asked.
type Open = HashMap<SweepId, (AgentId, oneshot::Sender<Answer>)>;

/// The questions that are open here. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolutions {
    open: Arc<Mutex<Open>>,
}

/// A question that is closed when it is dropped.
struct Question<'r> {
    resolutions: &'r Resolutions,
    id: SweepId,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.resolutions.lock().remove(&self.id);
    }
}

impl Resolutions {
    /// Asks agents that are connected here what an image stands for. None if there is no agent; the error says why the first
    /// one that was asked could not tell.
    pub(crate) async fn ask(&self, sessions: &Sessions, image: &str) -> Option<Answer> {
        let mut failure = None;
        for ready in sessions.ready().into_iter().take(TRIES) {
            match self.ask_agent(sessions, ready.agent, ready.session, image).await {
                Ok(pin) => return Some(Ok(pin)),
                Err(why) => failure = failure.or(Some(Err(why))),
            }
        }
        failure
    }

    async fn ask_agent(&self, sessions: &Sessions, agent: AgentId, session: u64, image: &str) -> Answer {
        let question = Question { resolutions: self, id: SweepId::random() };
        let (sender, mut answer) = oneshot::channel();
        self.lock().insert(question.id, (agent, sender));
        let ask = v1::ResolveImage {
            sweep: question.id.to_string(),
            image: image.to_owned(),
            platform: None,
            pull: Pull::Missing.name().to_owned(),
        };
        sessions.send(agent, coordinator_message::Kind::ResolveImage(ask));
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until && sessions.is_current(agent, session) {
            tokio::select! {
                answered = &mut answer => return answered.unwrap_or_else(|_| Err("the agent did not answer".to_owned())),
                () = sleep(LOOK) => {}
            }
        }
        Err("the agent did not answer".to_owned())
    }

    /// Hands over what an agent has answered. False if nothing of this id is asked here.
    pub(crate) fn answered(&self, id: SweepId, agent: AgentId, answer: &Answer) -> bool {
        let mut open = self.lock();
        match open.get(&id).is_some_and(|(asked, _)| *asked == agent) {
            true => {
                if let Some((_, sender)) = open.remove(&id) {
                    // The caller may have left.
                    sender.send(answer.clone()).ok();
                }
                true
            }
            false => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // Each change under the lock is a single step.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
