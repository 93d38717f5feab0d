//! Agents that get no work for a while, because they handed the last back without running it.
//!
//! Handing back costs a job nothing, so an agent in trouble of its own (its disk can't be written, it has no descriptors
//! left) would get the same jobs again at once, and each round is written to Postgres. So after each hand-back an agent
//! rests, twice as long as before, until it runs something again. This outlives its session: an agent that
//! dies of its trouble comes back with a new one.

use std::collections::HashMap;
use std::time::Duration;

use bt_model::id::AgentId;
use tokio::time::Instant;

/// How long an agent rests at first, and at most.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// Refusals of jobs, of whatever sweeps, without one that ran between: so many are the agent's own trouble.
const REFUSALS: u32 = 8;
/// Agents that are remembered.
const REMEMBERED: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Rests(HashMap<AgentId, Rest>);

#[derive(Debug)]
struct Rest {
    until: Instant,
    pause: Duration,
    /// Refusals since it ran something.
    refusals: u32,
    why: String,
}

impl Rests {
    /// Notes that an agent handed a job back that it could have run.
    pub(super) fn handed_back(&mut self, agent: AgentId, why: &str, now: Instant) {
        let rest = self.of(agent, now);
        // Others that were under way together.
        if rest.until > now {
            return;
        }
        rest.pause = (rest.pause * 2).clamp(FIRST, LONGEST);
        rest.until = now + rest.pause;
        why.clone_into(&mut rest.why);
    }

    /// Notes that an agent could not start a sweep's job. Those of other sweeps it may be able to start, if it does not
    /// refuse one after the other.
    pub(super) fn refused(&mut self, agent: AgentId, why: &str, now: Instant) {
        let rest = self.of(agent, now);
        rest.refusals += 1;
        if rest.refusals >= REFUSALS {
            self.handed_back(agent, why, now);
        }
    }

    fn of(&mut self, agent: AgentId, now: Instant) -> &mut Rest {
        if self.0.len() >= REMEMBERED && !self.0.contains_key(&agent) {
            self.0.retain(|_, rest| rest.until > now);
        }
        let new = || Rest { until: now, pause: Duration::ZERO, refusals: 0, why: String::new() };
        self.0.entry(agent).or_insert_with(new)
    }

    /// Notes that an agent runs a job.
    pub(super) fn runs(&mut self, agent: AgentId) {
        self.0.remove(&agent);
    }

    /// Why an agent gets no work now, if it rests.
    pub(super) fn why(&self, agent: AgentId, now: Instant) -> Option<&str> {
        self.0.get(&agent).filter(|rest| rest.until > now).map(|rest| rest.why.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_rests_for_longer_each_time_until_it_runs_something() {
        let (agent, other) = (AgentId::random(), AgentId::random());
        let mut rests = Rests::default();
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for _ in 0..12 {
            (0..100).for_each(|_| rests.handed_back(agent, "its disk can't be written", now));
            assert_eq!(rests.why(agent, now), Some("its disk can't be written"));
            assert_eq!(rests.why(other, now), None);
            let began = now;
            while rests.why(agent, now).is_some() {
                now += Duration::from_secs(1);
            }
            pauses.push((now - began).as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        rests.runs(agent);
        rests.handed_back(agent, "again", now);
        assert_eq!(rests.why(agent, now + FIRST), None);
    }

    #[test]
    fn an_agent_that_refuses_one_sweep_gets_others() {
        let agent = AgentId::random();
        let now = Instant::now();
        let mut rests = Rests::default();
        (1..REFUSALS).for_each(|_| rests.refused(agent, "no such volume", now));
        assert_eq!(rests.why(agent, now), None);
        rests.refused(agent, "no such volume", now);
        assert_eq!(rests.why(agent, now), Some("no such volume"));
    }
}
