//! What clients ask over gRPC: each call finds its sweep, asks the queue, and encodes the answer.

mod aliases;
mod assess;
mod attempts;
mod calls;
mod chosen;
mod debug;
mod demand;
mod describe;
mod estimate;
mod explain;
mod figures;
mod files;
mod held_out;
mod images;
mod import;
mod jobs;
mod keda;
mod keep;
mod landscape;
mod layers;
mod many;
mod open;
mod partial;
mod preempt;
mod progress;
mod queued;
mod record;
mod report;
mod reuse;
mod schedules;
mod shell;
mod shown;
mod spool;
mod submit;
mod tend;
mod trials;
mod walk;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use bt_model::id::{AgentId, SweepId};
use bt_model::image_policy::ImagePolicy;
use bt_store::Store;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use tonic::Status;

use crate::access::call;
use crate::answers::Answers;
use crate::assess::Assessor;
use crate::bell::Bell;
use crate::calculations::Calculations;
use crate::collector::Collector;
use crate::events::Events;
use crate::examiner::Examiner;
use crate::landscapes::Landscapes;
use crate::log_filter::LogFilter;
use crate::manifests::Manifests;
use crate::queue::{Changeable, Found, Queue};
use crate::relay::Relay;
use crate::resolutions::Resolutions;
use crate::results::Results;
use crate::rpc::{answer, status};
use crate::scheduling::Preemption;
use crate::sessions::Sessions;
use crate::telling::Ways;
use crate::trials::Trials;

pub(crate) use demand::{AskDemand, RecentDemand};
pub(crate) use keda::Keda;
pub(crate) use queued::WaitingSweep;
pub(crate) use schedules::Fired;

/// The clients' service. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Clients {
    pub(crate) queue: Queue,
    pub(crate) store: Store,
    pub(crate) sessions: Sessions,
    pub(crate) manifests: Manifests,
    pub(crate) relay: Relay,
    pub(crate) bell: Bell,
    pub(crate) calculations: Calculations,
    pub(crate) landscapes: Landscapes,
    pub(crate) trials: Trials,
    pub(crate) assessor: Assessor,
    /// Parts of pages that look at all jobs of a sweep, by what was asked for.
    pub(crate) parts: Answers<(SweepId, String), String>,
    pub(crate) events: Events,
    pub(crate) tasks: TaskTracker,
    /// An agent that was silent for this long is shown as offline.
    pub(crate) silence: Duration,
    /// Other machines reach this coordinator, and nobody is asked who they are.
    pub(crate) is_insecure: bool,
    /// How old garbage in the store must be to be removed.
    pub(crate) garbage_age: Duration,
    /// How those are told whom a manifest names.
    pub(crate) ways: Ways,
    pub(crate) recent_demand: RecentDemand,
    /// Looks for what is wrong.
    pub(crate) examiner: Arc<Examiner>,
    /// Which images may run.
    pub(crate) images: Arc<ImagePolicy>,
    /// Whose jobs may be ended to make room.
    pub(crate) preemption: Preemption,
    /// Asks agents what images stand for.
    pub(crate) resolutions: Resolutions,
    pub(crate) log: LogFilter,
}

impl Clients {
    pub(crate) async fn find(&self, sweep: &str) -> Result<Found, Status> {
        self.queue.find_sweep(sweep).await.map_err(status::queue)
    }

    /// Finds a sweep that the caller may change.
    pub(crate) async fn find_to_change(&self, sweep: &str) -> Result<(Found, Changeable), Status> {
        let found = self.find(sweep).await?;
        call::about(&found.name, &found.id.to_string());
        let changeable = call::sphere(|sphere| found.changeable(sphere)).map_err(status::queue)?;
        Ok((found, changeable))
    }

    /// Refuses an image that may not run here; `pin` is what it stands for, where that is known.
    pub(crate) fn allow_image(&self, image: &str, pin: Option<&str>) -> Result<(), Status> {
        self.images.refusal(image, pin).map_or(Ok(()), |why| Err(Status::permission_denied(why)))
    }

    /// Refuses to start jobs of a sweep whose image may not run here any more.
    pub(super) async fn allow_image_of(&self, sweep: SweepId) -> Result<(), Status> {
        let sweep = self.queue.sweep_details(sweep).await.map_err(status::queue)?.candidate;
        let refusal = self.image_refusal(&sweep).await?;
        refusal.map_or(Ok(()), |why| Err(Status::permission_denied(why)))
    }

    async fn find_agent(&self, agent: &str) -> Result<AgentId, Status> {
        self.queue.find_agent(agent, self.silence).await.map_err(status::queue)
    }

    pub(crate) fn results(&self) -> Results {
        Results { queue: self.queue.clone(), store: self.store.clone() }
    }

    fn collector(&self) -> Collector {
        Collector { queue: self.queue.clone(), store: self.store.clone() }
    }

    /// Sends a long answer from a task of its own.
    fn answer<T: Send + 'static>(
        &self,
        answers: mpsc::Sender<Result<T, Status>>,
        sending: impl Future<Output = Result<(), Status>> + Send + 'static,
    ) {
        answer(&self.tasks, answers, sending);
    }
}
