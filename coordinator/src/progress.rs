//! What running jobs say of how far they are. All that agents pass on arrives here, a moment of it is gathered, and it is
//! written in one statement. It waits for no commit and nobody is told: what gets lost is said again, or overtaken. Whether
//! a job is pruned for it (`stop_when`) is decided here too.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use bt_model::id::{AgentId, SweepId};
use bt_model::parameters::read_map;
use bt_model::progress::Progress;
use bt_model::stop_when::StopWhen;
use bt_proto::v1;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use crate::manifests::{self, Known, Manifests};
use crate::queue::{self, Pruning, Queue, Said, ToJudge};

/// What may wait to be written; more is dropped.
const WAITING: usize = 16_384;
/// What is written together.
const BATCH: usize = 4_096;
/// How long what comes first waits for more.
const GATHER: Duration = Duration::from_millis(500);
/// Expressions of sweeps that are kept; when there are more, all are compiled again as they are needed.
const KEPT: usize = 512;
/// When what could not be judged is judged again.
const AGAIN: Duration = Duration::from_secs(5);
/// How often, and of which age, what attempts said is forgotten that have ended.
const FORGET_EVERY: Duration = Duration::from_secs(3600);
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Where it is handed in. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Hearing {
    said: mpsc::Sender<Said>,
}

/// The other end: writes until nobody hands in any more.
#[derive(Debug)]
pub(crate) struct Writer {
    said: mpsc::Receiver<Said>,
    queue: Queue,
    manifests: Manifests,
    rules: HashMap<SweepId, StopWhen>,
    /// What could not be judged yet: a job that says no more must not run on for that.
    unjudged: Vec<Said>,
}

pub(crate) fn open(queue: Queue, manifests: Manifests) -> (Hearing, Writer) {
    let (sender, said) = mpsc::channel(WAITING);
    let writer = Writer { said, queue, manifests, rules: HashMap::new(), unjudged: Vec::new() };
    (Hearing { said: sender }, writer)
}

impl Hearing {
    /// Hands in what an agent passes on. What can't be read, or finds no room, is left out.
    pub(crate) fn hear(&self, agent: AgentId, session: u64, jobs: v1::JobsProgress) {
        for v1::AttemptProgress { attempt, progress } in jobs.attempts {
            let (Ok(attempt), Some(progress)) = (attempt.parse(), progress.and_then(read)) else {
                debug!(agent.id = %agent, attempt, "what an attempt says can't be read");
                continue;
            };
            if self.said.try_send(Said { agent, session, attempt, progress }).is_err() {
                debug!(agent.id = %agent, "no more is taken in of what attempts say");
                return;
            }
        }
    }
}

/// Within the bounds that hold for all, whatever the agent has made of them.
fn read(said: v1::JobProgress) -> Option<Progress> {
    let v1::JobProgress { fraction, done, of, note, metrics, at: _ } = said;
    let read = Progress::from_parts(fraction, done, of).ok()?;
    Some(Progress { note, metrics: metrics.into_iter().collect(), ..read }.bounded())
}

impl Writer {
    pub(crate) async fn run(mut self) {
        let mut said = Vec::with_capacity(BATCH);
        let mut forget = Instant::now();
        loop {
            let first = match self.unjudged.is_empty() {
                true => self.said.recv().await,
                false => timeout(AGAIN, self.said.recv()).await.unwrap_or_else(|_| self.unjudged.pop()),
            };
            let Some(first) = first else { return };
            sleep(GATHER).await;
            // What is said now overtakes it.
            said.append(&mut self.unjudged);
            said.push(first);
            while let Ok(more) = self.said.try_recv() {
                said.push(more);
                if said.len() >= BATCH {
                    break;
                }
            }
            let said = latest(said.drain(..));
            self.write(&said).await;
            self.judge(said).await;
            if forget <= Instant::now() {
                forget = Instant::now() + FORGET_EVERY;
                if let Err(error) = self.queue.forget_progress(FORGET_AFTER).await {
                    warn!(error = %error, "what attempts said that have ended is forgotten later");
                }
            }
        }
    }

    /// Writes what attempts said.
    async fn write(&self, said: &[Said]) {
        match self.queue.note_progress(said).await {
            Ok(news) => debug!(said = said.len(), news = news.len(), "attempts say how far they are"),
            Err(error) => warn!(error = %error, "what running jobs say of how far they are is lost"),
        }
    }

    /// Prunes the jobs whose metrics are as their manifest says. What was said before is judged too: the coordinator that
    /// heard it may have died before it did.
    async fn judge(&mut self, said: Vec<Said>) {
        let reported: Vec<_> = said.iter().filter(|said| !said.progress.metrics.is_empty()).collect();
        if let Err(error) = self.prune(&reported).await {
            warn!(error = %error, "whether jobs are pruned is decided later");
            self.unjudged = said;
            self.unjudged.truncate(BATCH);
        }
    }

    async fn prune(&mut self, reported: &[&Said]) -> Result<(), queue::Error> {
        let mut prunings = Vec::new();
        for judged in self.queue.to_judge(reported).await? {
            let Some(said) = reported.get(judged.place) else { continue };
            let known = match self.manifests.get(judged.sweep).await {
                Err(manifests::Error::Queue(error)) => return Err(error),
                known => known,
            };
            match known.map_err(anyhow::Error::from).and_then(|known| self.why(&known, &judged, said)) {
                Ok(None) => {}
                Ok(Some(why)) => {
                    info!(
                        attempt.id = %judged.attempt, sweep.id = %judged.sweep, job = judged.job, "pruned: {why}"
                    );
                    prunings.push(Pruning::of(judged.attempt, why, said));
                }
                // `btctl explain` says so too.
                Err(error) => debug!(
                    sweep.id = %judged.sweep, job = judged.job, error = %format_args!("{error:#}"), "not judged"
                ),
            }
        }
        let failed = match self.queue.prune(&prunings).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        if prunings.len() == 1 || failed.is_transient() {
            return Err(failed);
        }
        // One that can't be pruned does not keep the others from it.
        for pruning in &prunings {
            if let Err(error) = self.queue.prune(std::slice::from_ref(pruning)).await {
                warn!(attempt.id = %pruning.attempt, error = %error, "its job is not pruned");
            }
        }
        Ok(())
    }

    /// Why a job is to be pruned; nothing if it goes on.
    fn why(&mut self, known: &Known, judged: &ToJudge, said: &Said) -> anyhow::Result<Option<String>> {
        let parameters = read_map(&known.reader()?.json(judged.parameters.clone()))?;
        if self.rules.len() >= KEPT && !self.rules.contains_key(&judged.sweep) {
            self.rules.clear();
        }
        let rule = match self.rules.entry(judged.sweep) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(StopWhen::new(&judged.stop_when)?),
        };
        Ok(rule.holds(judged.job, &parameters, &said.progress.metrics)?)
    }
}

/// The last that each attempt said in each session.
fn latest(said: impl Iterator<Item = Said>) -> Vec<Said> {
    let by_attempt = said.map(|said| ((said.attempt, said.agent, said.session), said));
    by_attempt.collect::<HashMap<_, _>>().into_values().collect()
}
