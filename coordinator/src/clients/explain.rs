//! Why jobs wait, in words: what holds the sweep back, what holds the job back, and what each agent says to it.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use bt_model::id::AgentId;
use bt_model::reason::Reason;
use bt_model::resources::ByteSize;
use bt_model::state::{AttemptState, JobState};
use bt_proto::v1::{self, Obstacle};
use tonic::Status;

use super::Clients;
use super::attempts::how_it_ended;
use crate::manifests;
use crate::queue::{AgentRow, Candidate, Found, InQueue, Limit, SweepDetails, Usage};
use crate::rpc::status;
use crate::scheduling::misfit;

/// How an agent is, for people and for the question why a job waits.
pub(super) enum AgentState {
    Ready,
    Draining,
    /// Why it can't run containers.
    Unhealthy(String),
    /// Why its machine's owner does not lend it now.
    Unavailable(String),
    /// How long ago its stream ended.
    NotConnected(Duration),
    Offline,
}

impl AgentState {
    pub(super) fn wire(&self) -> v1::AgentState {
        match self {
            Self::Ready => v1::AgentState::Ready,
            Self::Draining => v1::AgentState::Draining,
            Self::Unhealthy(_) => v1::AgentState::Unhealthy,
            Self::Unavailable(_) => v1::AgentState::Unavailable,
            Self::NotConnected(_) => v1::AgentState::NotConnected,
            Self::Offline => v1::AgentState::Offline,
        }
    }
}

/// As `btctl agents ls` shows it; scripts read it there.
impl fmt::Display for AgentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::Draining => f.write_str("draining"),
            Self::Unhealthy(why) => write!(f, "unhealthy: {why}"),
            Self::Unavailable(why) => write!(f, "not available: {why}"),
            Self::NotConnected(since) => write!(f, "not connected {}", humantime::format_duration(*since)),
            Self::Offline => f.write_str("offline"),
        }
    }
}

pub(super) fn state(row: &AgentRow) -> AgentState {
    match row {
        AgentRow { offline: true, .. } => AgentState::Offline,
        AgentRow { disconnected: Some(since), .. } => AgentState::NotConnected(*since),
        AgentRow { unhealthy, .. } if !unhealthy.is_empty() => AgentState::Unhealthy(unhealthy.clone()),
        AgentRow { drained: true, .. } => AgentState::Draining,
        AgentRow { unavailable, .. } if !unavailable.is_empty() => {
            AgentState::Unavailable(unavailable.clone())
        }
        AgentRow { draining: true, .. } => AgentState::Draining,
        AgentRow { .. } => AgentState::Ready,
    }
}

impl Clients {
    /// Why no job of this sweep starts now; empty if one could.
    pub(super) async fn waiting(
        &self,
        details: &SweepDetails,
        queued: u32,
    ) -> Result<Vec<v1::Waiting>, Status> {
        let mut held = self.held_back(details).await?;
        let reused = self.queue.reused(details.candidate.sweep).await.map_err(status::queue)?;
        if reused.is_some_and(|reused| reused.attached > 0 && reused.attached == queued) {
            held.push("all that are queued wait for identical jobs".to_owned());
        }
        let waiting = self.queue.waiting_tests(details.candidate.sweep).await.map_err(status::queue)?;
        if waiting > 0 && waiting == queued {
            held.push(
                "all that are queued test what their windows' training finds, and wait for it".to_owned(),
            );
        }
        if !held.is_empty() {
            return Ok(held.into_iter().map(held_back).collect());
        }
        let agents = self.what_agents_say(&details.candidate).await?;
        match agents.iter().any(|waiting| waiting.obstacle() == Obstacle::None) {
            true => Ok(Vec::new()),
            false => Ok(agents),
        }
    }

    pub(super) async fn explain_job(&self, found: &Found, number: u32) -> Result<v1::ExplainReply, Status> {
        let details = self.queue.sweep_details(found.id).await.map_err(status::queue)?;
        let job = self.queue.in_queue(found.id, number).await.map_err(status::queue)?;
        let state = match job.state {
            JobState::Queued if details.cancelled => JobState::Cancelled,
            state => state,
        };
        let mut reply = v1::ExplainReply {
            state: v1::JobState::from(state).into(),
            reasons: Vec::new(),
            agents: Vec::new(),
            job: number,
            next: next_steps(state, &job, &format!("{}/{number}", found.address())),
            told: self.told(found).await?,
        };
        reply.reasons.extend(self.tests_what(found, number).await?);
        let failure = match state {
            JobState::Queued | JobState::Running => self.queue.last_failures(found.id, &[number]).await,
            _ => Ok(HashMap::new()),
        };
        let failure = failure.map_err(status::queue)?.remove(&number);
        if state != JobState::Queued {
            reply.reasons.push(elsewhere(state, &job));
            if state == JobState::Cancelled && !details.cancel_reason.is_empty() {
                reply.reasons.push(format!("its sweep was cancelled: {}", details.cancel_reason));
            }
            reply.reasons.extend(failure.as_ref().map(how_it_ended));
            if state == JobState::Running {
                reply.reasons.extend(self.pruned_when(found, number).await?);
            }
            return Ok(reply);
        }
        if job.is_attached {
            reply.reasons.push(self.waits_for_twin(found, number).await?);
            return Ok(reply);
        }
        if let Some(window) = job.waits_for {
            reply.reasons.push(self.waits_for_window(found, number, window).await?);
            return Ok(reply);
        }
        let held = self.held_back(&details).await?;
        let is_held = !held.is_empty();
        reply.reasons.extend(held);
        if let Some(failure) = failure {
            let next = match job.wait.as_secs_f64().ceil() {
                0.0 => "it may be tried again now".to_owned(),
                seconds => format!("the next try is due in {seconds} s"),
            };
            reply.reasons.push(format!("{}; {next}", how_it_ended(&failure)));
        }
        reply.reasons.extend(handed_back(&job));
        if job.before > 0 {
            let jobs = if job.before == 1 { "job" } else { "jobs" };
            reply.reasons.push(format!("{} queued {jobs} of its sweep go first", job.before));
        }
        reply.reasons.extend(self.others_first(found, &details.candidate).await?);
        let wanted = match job.memory_bytes {
            Some(bytes) => {
                let why = "because it ran out of memory before";
                reply.reasons.push(format!("its next attempt gets {} of memory, {why}", ByteSize(bytes)));
                details.candidate.with_memory(bytes)
            }
            None => details.candidate,
        };
        reply.reasons.extend(self.what_it_preempts(&wanted, is_held).await?);
        reply.agents = self.what_agents_say(&wanted).await?;
        Ok(reply)
    }

    /// What a job waits for that has an identical one.
    async fn waits_for_twin(&self, found: &Found, job: u32) -> Result<String, Status> {
        let twins = self.queue.twins(found.id, &[job]).await.map_err(status::queue)?;
        Ok(match twins.get(&job) {
            Some(twin) => format!(
                "it waits for the identical job {}/{} (of sweep {}), which is {}; cancel it and retry it to run it by itself",
                twin.sweep_name, twin.of.job, twin.of.sweep, twin.state
            ),
            // It has moved on since.
            None => "it waited for an identical job until a moment ago".to_owned(),
        })
    }

    /// Whose parameters a test has; nothing for other jobs.
    async fn tests_what(&self, found: &Found, job: u32) -> Result<Option<String>, Status> {
        let tests = self.queue.window_tests(found.id, Some(job)).await.map_err(status::queue)?;
        Ok(tests.first().and_then(|test| {
            let chosen = test.chosen?;
            Some(format!(
                "it has the parameters of job {}, the best of window {}: {} of its {} training jobs had reported the metric",
                chosen.job,
                test.window,
                chosen.reported,
                test.last - test.first + 1
            ))
        }))
    }

    /// What a test waits for.
    async fn waits_for_window(&self, found: &Found, job: u32, window: u32) -> Result<String, Status> {
        let tests = self.queue.window_tests(found.id, Some(job)).await.map_err(status::queue)?;
        let Some(test) = tests.first() else { return Ok(format!("it waits for window {window}")) };
        let jobs = test.last - test.first + 1;
        Ok(format!(
            "it waits for the training of window {window}, and then gets the parameters of the best: {} of the {jobs} jobs {} to {} \
             have ended",
            test.ended, test.first, test.last
        ))
    }

    /// What keeps the whole sweep from starting more jobs.
    async fn held_back(&self, details: &SweepDetails) -> Result<Vec<String>, Status> {
        let sweep = &details.candidate;
        let row = self.queue.sweep(sweep.sweep).await.map_err(status::queue)?;
        let counts = row.map(|row| row.counts).unwrap_or_default();
        let limits = match sweep.limits.is_empty() {
            true => Vec::new(),
            false => self.queue.limits().await.map_err(status::queue)?,
        };
        let mut reasons = holds(details, counts, &limits);
        reasons.extend(self.image_refusal(sweep).await?);
        reasons.extend(self.quota_refusal(sweep).await?);
        Ok(reasons)
    }

    /// Why the sweep's image may not run.
    pub(super) async fn image_refusal(&self, sweep: &Candidate) -> Result<Option<String>, Status> {
        if self.images.allows_all() {
            return Ok(None);
        }
        let known = match self.manifests.get(sweep.sweep).await {
            Ok(known) => known,
            // That is why it waits, and no reason to say nothing else of it.
            Err(error @ manifests::Error::Unreadable(..)) => return Ok(Some(error.to_string())),
            Err(error) => return Err(status::manifest(error)),
        };
        Ok(self.images.refusal_of_queued(&known.manifest.image, sweep.image_pin.as_deref()))
    }

    /// Why the quota of the sweep's owner lets no more of its jobs start.
    pub(super) async fn quota_refusal(&self, sweep: &Candidate) -> Result<Option<String>, Status> {
        let (quota, used) = self.queue.quota_of(&sweep.owner).await.map_err(status::queue)?;
        Ok(quota.holds_back(&sweep.owner, &used, sweep.needs.cpu_millis))
    }

    /// Sweeps whose jobs are started before this one's.
    async fn others_first(&self, found: &Found, sweep: &Candidate) -> Result<Vec<String>, Status> {
        let all = self.queue.candidates().await.map_err(status::queue)?;
        let readable = || all.iter().filter_map(|(_, other)| other.as_ref().ok());
        let others = || readable().filter(|other| other.sweep != found.id);
        let mut reasons = Vec::new();
        let higher: Vec<_> = others().filter(|other| other.priority > sweep.priority).collect();
        if !higher.is_empty() {
            let jobs: u64 = higher.iter().map(|other| u64::from(other.queued)).sum();
            reasons.push(format!("{jobs} queued jobs of {} sweeps have a higher priority", higher.len()));
        }
        let equal = others().filter(|other| other.priority == sweep.priority).count();
        if equal > 0 {
            reasons.push(format!("it takes turns with {equal} other sweeps of its priority"));
        }
        Ok(reasons)
    }

    /// Every agent's answer.
    async fn what_agents_say(&self, wanted: &Candidate) -> Result<Vec<v1::Waiting>, Status> {
        let agents = self.agents().await?;
        Ok(answers(&agents, &self.sessions.refusals(wanted.sweep), wanted))
    }
}

/// What keeps a sweep with so many jobs in each state from starting more.
pub(super) fn holds(details: &SweepDetails, counts: [u32; 6], limits: &[Limit]) -> Vec<String> {
    let sweep = &details.candidate;
    let mut reasons = Vec::new();
    if let Some(note) = &details.waits_for_reuse {
        let note = if note.is_empty() { String::new() } else { format!(": {note}") };
        reasons.push(format!("it is not known yet whose results its jobs can take{note}"));
    }
    if details.paused {
        let why = match details.pause_reason.as_str() {
            "" => String::new(),
            why => format!(" because {why}"),
        };
        reasons.push(format!("the sweep is paused{why}; btctl resume starts it again"));
    }
    if let Some(others) = &details.waits_after {
        reasons.push(match others.as_slice() {
            [] => "the sweeps that it waits for have just ended".to_owned(),
            [one] => format!("it waits for sweep {one} to end"),
            several => format!("it waits for the sweeps {} to end", several.join(", ")),
        });
    }
    let [_, running, succeeded, _, _, pruned] = counts;
    if let Some(canary) = sweep.canary
        && running + succeeded + pruned >= canary
    {
        reasons.push(format!("its first {canary} jobs, the canary, must succeed before the others start"));
    }
    if let Some(most) = sweep.max_parallel.filter(|most| running >= *most) {
        reasons.push(format!("{running} of its jobs run, and max_parallel is {most}"));
    }
    for (name, amount) in &sweep.limits {
        match limits.iter().find(|limit| limit.name == *name && limit.set) {
            None => reasons
                .push(format!("nobody has set the limit {name}; btctl limits set {name} CAPACITY does")),
            Some(limit) if limit.capacity.saturating_sub(limit.used) < *amount => reasons.push(format!(
                "the limit {name} is used up: {} of {}, and a job takes {amount}",
                limit.used, limit.capacity
            )),
            Some(_) => {}
        }
    }
    reasons
}

/// What each of these agents says to a job of a sweep.
pub(super) fn answers(
    agents: &[(AgentRow, Usage)],
    refusals: &HashMap<AgentId, String>,
    wanted: &Candidate,
) -> Vec<v1::Waiting> {
    if agents.is_empty() {
        return vec![v1::Waiting {
            agent: None,
            why: "no agent has ever connected; start one with `btctl agent`".into(),
            lasting: true,
            offline: false,
            obstacle: Obstacle::NoAgent.into(),
        }];
    }
    let answer = |(row, used): &(AgentRow, Usage)| {
        let (obstacle, why) = match state(row) {
            AgentState::Offline => (Obstacle::Offline, "it is offline".to_owned()),
            AgentState::NotConnected(since) => {
                let why = format!("it has not been connected for {} s", since.as_secs());
                (Obstacle::NotConnected, why)
            }
            AgentState::Unhealthy(why) => (Obstacle::Unhealthy, format!("it is unhealthy: {why}")),
            AgentState::Unavailable(why) => (Obstacle::Unavailable, format!("it is not available: {why}")),
            AgentState::Draining => (Obstacle::Draining, "it is draining".to_owned()),
            AgentState::Ready => match refusals.get(&row.id) {
                Some(why) => (Obstacle::Refused, format!("it could not start one a moment ago: {why}")),
                None => match misfit(&row.offer(), &row.capacity.less(&used.resources), wanted) {
                    Some(misfit) => (Obstacle::from(&misfit), misfit.to_string()),
                    None => (Obstacle::None, "it has room for a job of this sweep now".to_owned()),
                },
            },
        };
        let lasting = !matches!(obstacle, Obstacle::Busy | Obstacle::None);
        v1::Waiting {
            agent: Some(row.name.clone()),
            why,
            lasting,
            offline: row.offline,
            obstacle: obstacle.into(),
        }
    };
    agents.iter().map(answer).collect()
}
/// What holds for every agent.
fn held_back(why: String) -> v1::Waiting {
    v1::Waiting { why, obstacle: Obstacle::HeldBack.into(), ..v1::Waiting::default() }
}

/// Where a job is that does not wait.
fn elsewhere(state: JobState, job: &InQueue) -> String {
    let agent = job.agent.as_deref().unwrap_or("no agent");
    match state {
        JobState::Running => {
            let step = job.attempt_state.map_or("leased", |state| state.name());
            let note = job.note.as_deref().filter(|note| !note.is_empty());
            let note = note.map(|note| format!(": {note}")).unwrap_or_default();
            format!("it does not wait: attempt {} is {step} on agent {agent}{note}", job.latest)
        }
        JobState::Failed => {
            let reason = job.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            let attempts = if job.attempts == 1 { "attempt" } else { "attempts" };
            format!("it failed after {} {attempts}, the last one on agent {agent}{reason}", job.attempts)
        }
        JobState::Cancelled => "it was cancelled".to_owned(),
        JobState::Pruned => {
            let why = job.reason.as_ref().and_then(Reason::message).map(|why| format!(", because {why}"));
            format!(
                "it was pruned on agent {agent}{}; what it reported last is kept",
                why.unwrap_or_default()
            )
        }
        JobState::Succeeded | JobState::Queued => "it succeeded".to_owned(),
    }
}

/// What a queued job's latest agent did with it that did not try it.
fn handed_back(job: &InQueue) -> Option<String> {
    let agent = job.agent.as_ref().filter(|_| job.attempt_state == Some(AttemptState::Returned))?;
    let why = job.note.as_deref().filter(|note| !note.is_empty());
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    Some(format!("agent {agent} handed it back, which is no attempt{why}"))
}

/// What a user may do about a job, a command each.
fn next_steps(state: JobState, job: &InQueue, address: &str) -> Vec<String> {
    let logs = format!("btctl logs {address}: what it printed");
    let debug = format!("btctl debug {address}: a shell in a container as the job had it");
    let retry = format!("btctl retry {address}: run it again");
    match state {
        JobState::Failed => {
            let mut steps = vec![logs];
            if let Some(remedy) = job.reason.as_ref().and_then(remedy) {
                steps.push(remedy.to_owned());
            }
            steps.extend([debug, retry]);
            steps
        }
        JobState::Cancelled => vec![retry],
        JobState::Pruned => vec![logs, format!("btctl retry {address} --pruned: run it again")],
        JobState::Succeeded => vec![logs, format!("btctl results get {address} -d DIR: its files")],
        JobState::Running => vec![format!("btctl logs -f {address}: what it prints")],
        JobState::Queued => Vec::new(),
    }
}

/// What to change before a job that failed like this is submitted again.
fn remedy(reason: &Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::Oom => {
            "submit it with more memory (resources: { memory: .. }, or -m), or let it grow (retries: { oom: { times: 2, factor: 1.5 } }); \
             btctl submit --suggest-resources says how much"
        }
        Reason::Timeout => "submit it with a longer timeout (timeout: .., or --timeout)",
        Reason::Nproc => "submit it with more pids, or let it start fewer threads",
        Reason::Image(_) => {
            "check the image's name and tag; btctl image push hands in one that no registry has"
        }
        Reason::Manifest(_) => "change what the reason names, and submit it again",
        Reason::Volume(_) => "check the manifest's volumes; btctl agents ls lists what the agents offer",
        Reason::Outputs(_) => "check what it writes into its results directory",
        Reason::Exit(_) | Reason::Signal(_) | Reason::Agent(_) | Reason::Pruned(_) => return None,
    })
}
