//! Makes room for sweeps that ask for it (`preempt`): ends running jobs of a lower priority, on agents that are connected here, and
//! keeps what that frees for them.

use std::collections::{HashMap, HashSet};

use bt_model::id::{AgentId, SweepId};
use tokio::time::Instant;
use tracing::info;

use super::Dispatcher;
use crate::bell::Event;
use crate::manifests;
use crate::queue::{Candidate, Lower, PAUSE};
use crate::scheduling::{Preemption, State, make_room, may_end};
use crate::sessions::Ready;

/// Containers that room is made for at once.
const AT_ONCE: u32 = 256;

/// Where room was made lately. Losing it does little harm: a sweep of a lower priority may get that room.
#[derive(Debug, Default)]
pub(super) struct Kept {
    agents: HashMap<AgentId, (SweepId, i32, Instant)>,
    /// When it was last looked for, by sweep.
    looked: HashMap<SweepId, Instant>,
}

impl Kept {
    /// Keeps others from the agents where room was made, while the sweep that it was made for has jobs waiting.
    pub(super) fn mark(&mut self, agents: &mut [Ready], sweeps: &[Candidate]) {
        let waiting: HashSet<_> = sweeps.iter().map(|sweep| sweep.sweep).collect();
        self.agents.retain(|_, (sweep, _, since)| since.elapsed() < PAUSE && waiting.contains(sweep));
        self.looked.retain(|sweep, since| since.elapsed() < PAUSE && waiting.contains(sweep));
        for agent in agents {
            let kept = self.agents.get(&agent.agent);
            agent.seat.kept_for = kept.map(|(sweep, priority, _)| (*sweep, *priority));
        }
    }

    /// A job of the sweep was started there.
    pub(super) fn taken(&mut self, agent: &mut Ready, sweep: SweepId) {
        if agent.seat.kept_for.is_some_and(|(kept, _)| kept == sweep) {
            agent.seat.kept_for = None;
            self.agents.remove(&agent.agent);
        }
    }

    /// True if it is time to look for room for this sweep.
    fn is_due(&mut self, sweep: SweepId) -> bool {
        let now = Instant::now();
        match self.looked.get(&sweep) {
            Some(_) => false,
            None => self.looked.insert(sweep, now).is_none(),
        }
    }
}

impl Dispatcher {
    /// Ends what must make room for sweeps that found every agent that suits them busy, the highest priority first.
    pub(super) async fn make_room(
        &mut self,
        agents: &[Ready],
        sweeps: &[Candidate],
        state: &State,
    ) -> Result<(), manifests::Error> {
        if self.preemption == Preemption::Off {
            return Ok(());
        }
        for sweep in sweeps.iter().filter(|sweep| sweep.preempts && sweep.queued > 0) {
            let suited: Vec<_> = agents.iter().filter(|agent| agent.seat.suits(sweep)).collect();
            let is_blocked = !suited.is_empty() && !suited.iter().any(|agent| agent.seat.has_room_for(sweep));
            if !is_blocked || !self.memory.kept.is_due(sweep.sweep) {
                continue;
            }
            match self.make_room_for(sweep, &suited, state).await {
                // The next pass gives that room away anew.
                Ok(true) => {
                    self.bell.ring(Event::AttemptsEnded { published: false });
                    return Ok(());
                }
                Ok(false) => {}
                Err(manifests::Error::Queue(error)) if error.is_one_items() => {
                    self.put_off.note(&sweep.sweep, Err::<(), _>(error));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// True if anything was ended.
    async fn make_room_for(
        &mut self,
        sweep: &Candidate,
        suited: &[&Ready],
        state: &State,
    ) -> Result<bool, manifests::Error> {
        let state = State { limits: self.limits_left(std::slice::from_ref(sweep)).await?, ..state.clone() };
        let batch = sweep.batch.unwrap_or(1).max(1);
        let allowed = state.jobs_allowed(sweep).min(AT_ONCE.saturating_mul(batch));
        // Those that wait for a time of their own need no room yet.
        let ready = if allowed == 0 { 0 } else { self.queue.ready_jobs(sweep, allowed).await? };
        if ready == 0 {
            return Ok(false);
        }
        let ids: Vec<_> = suited.iter().map(|agent| agent.agent).collect();
        let places: HashMap<_, _> = ids.iter().enumerate().map(|(seat, agent)| (*agent, seat)).collect();
        let lower = self.queue.lower_jobs(&ids, sweep.priority).await?.into_iter();
        let lower = lower.filter(|lower| self.preemption.reaches(sweep, lower) && may_end(lower));
        let lower: Vec<(usize, Lower)> =
            lower.filter_map(|lower| Some((*places.get(&lower.agent)?, lower))).collect();
        let seats = suited.iter().map(|agent| agent.seat.clone()).collect();
        let making = make_room(seats, sweep, &lower, ready.div_ceil(batch));
        let chosen = making.iter().flat_map(|making| &making.lower).map(|index| &lower[*index].1);
        let agent_of: HashMap<_, _> =
            chosen.flat_map(|lower| lower.attempts.iter().map(|attempt| (*attempt, lower.agent))).collect();
        if agent_of.is_empty() {
            return Ok(false);
        }
        let attempts: Vec<_> = agent_of.keys().copied().collect();
        let ended = self.queue.preempt(sweep, &attempts).await?;
        let now = Instant::now();
        for attempt in &ended {
            let agent = agent_of[attempt];
            self.sessions.take_away(agent, *attempt);
            self.memory.kept.agents.insert(agent, (sweep.sweep, sweep.priority, now));
        }
        if !ended.is_empty() {
            info!(sweep.id = %sweep.sweep, jobs = ended.len(), "running jobs of a lower priority make room");
        }
        Ok(!ended.is_empty())
    }
}
