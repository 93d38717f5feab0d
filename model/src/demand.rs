//! How many agents of one kind the queue wants: so many that what waits is done within a target time, as far as it is known how
//! long jobs take. More agents count at once, fewer only after a while ([`Recent`]), so that a group does not swing.

#[cfg(test)]
mod simulation;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::resources::Resources;

/// What the jobs of one sweep want, of those that wait for room and nothing else.
#[derive(Clone, Debug)]
pub struct Wants {
    pub sweep: String,
    /// Of each job.
    pub need: Resources,
    /// Labels that an agent must have.
    pub labels: BTreeMap<String, String>,
    pub queued: u64,
    pub running: u64,
    /// How long one of its jobs takes, in seconds; none before one has succeeded.
    pub seconds: Option<f64>,
    /// Most jobs of it that may run at once.
    pub at_once: Option<u64>,
}

/// Agents that are alike.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentKind {
    pub size: Resources,
    pub labels: BTreeMap<String, String>,
}

/// How many agents of a kind are wanted now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Demand {
    pub agents: u32,
    /// Queued and running jobs that could run there.
    pub queued: u64,
    pub running: u64,
    /// Seconds that its queued jobs take one after the other, of the sweeps that tell; see `unknown`.
    pub work_seconds: f64,
    /// Sweeps none of whose jobs has succeeded: one agent's worth of them is asked for, to find out.
    pub unknown: Vec<String>,
    /// Sweeps whose jobs are too large for such an agent.
    pub too_large: Vec<String>,
}

/// How many jobs with this need an agent of this size runs at once: as many as its scarcest resource allows.
pub fn jobs_at_once(need: &Resources, size: &Resources) -> u64 {
    let parts = |of: u64, one: u64| of.checked_div(one).unwrap_or(u64::MAX);
    parts(size.cpu_millis, need.cpu_millis)
        .min(parts(size.memory_bytes, need.memory_bytes))
        .min(parts(size.gpus.into(), need.gpus.into()))
        .min(parts(size.disk_bytes, need.disk_bytes))
        .min(size.jobs.into())
}

impl Wants {
    /// How many of its jobs are to run side by side for all to be done within this time; at least one, and those that run. Of
    /// a sweep that does not tell how long a job takes, all.
    pub fn side_by_side(&self, within: Duration) -> u64 {
        let all = self.queued + self.running;
        let needed = match self.seconds {
            Some(seconds) => (all as f64 * seconds / within.as_secs_f64().max(1.0)).ceil() as u64,
            None => all,
        };
        let needed = needed.clamp(u64::from(all > 0), all);
        needed.min(self.at_once.unwrap_or(u64::MAX)).max(self.running)
    }
}

impl AgentKind {
    /// How many of these would do all that waits within this time. Jobs that run keep their room.
    pub fn demand(&self, wants: &[Wants], within: Duration) -> Demand {
        let mut demand = Demand::default();
        let mut agents = 0.0;
        for want in wants {
            if !want.labels.iter().all(|(key, value)| self.labels.get(key) == Some(value)) {
                continue;
            }
            let each = jobs_at_once(&want.need, &self.size);
            if each == 0 {
                demand.too_large.push(want.sweep.clone());
                continue;
            }
            demand.queued += want.queued;
            demand.running += want.running;
            let side_by_side = match want.seconds {
                Some(seconds) => {
                    demand.work_seconds += want.queued as f64 * seconds;
                    want.side_by_side(within)
                }
                None => {
                    demand.unknown.push(want.sweep.clone());
                    want.side_by_side(within).min(each).max(want.running)
                }
            };
            agents += side_by_side as f64 / each as f64;
        }
        // Less than a thousandth of an agent is the sum's own error.
        demand.agents = (agents - 1e-3).ceil().max(0.0) as u32;
        demand
    }
}

/// What was wanted lately. The largest of it counts, so that a group grows at once, and shrinks when less was wanted for a while.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    /// Seconds on any clock, and agents; agents fall from front to back.
    peaks: VecDeque<(f64, u32)>,
}

impl Recent {
    /// What counts now, and has been wanted at some time of the last `hold`.
    pub fn settle(&mut self, now: f64, wanted: u32, hold: Duration) -> u32 {
        while self.peaks.back().is_some_and(|(_, peak)| *peak <= wanted) {
            self.peaks.pop_back();
        }
        self.peaks.push_back((now, wanted));
        while self.peaks.front().is_some_and(|(at, _)| now - at > hold.as_secs_f64()) {
            self.peaks.pop_front();
        }
        self.peaks.front().map_or(wanted, |(_, peak)| *peak)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUARTER: Duration = Duration::from_secs(900);

    fn kind(cpus: u64) -> AgentKind {
        let size = Resources {
            cpu_millis: cpus * 1_000,
            memory_bytes: 64 << 30,
            gpus: 0,
            disk_bytes: 1 << 40,
            jobs: 100,
        };
        AgentKind { size, labels: BTreeMap::from([("pool".to_owned(), "spot".to_owned())]) }
    }

    fn wants(queued: u64, running: u64, seconds: Option<f64>) -> Wants {
        Wants {
            sweep: "s".to_owned(),
            need: Resources { cpu_millis: 1_000, ..Resources::default() },
            labels: BTreeMap::new(),
            queued,
            running,
            seconds,
            at_once: None,
        }
    }

    #[test]
    fn an_agent_runs_as_many_as_its_scarcest_resource_allows() {
        let size = Resources { cpu_millis: 8_000, memory_bytes: 8 << 30, gpus: 2, disk_bytes: 0, jobs: 100 };
        let of = |cpu_millis: u64, memory_bytes: u64, gpus: u32| {
            jobs_at_once(&Resources { cpu_millis, memory_bytes, gpus, disk_bytes: 0, jobs: 1 }, &size)
        };
        assert_eq!(of(1_500, 0, 0), 5);
        assert_eq!(of(1_000, 4 << 30, 0), 2);
        assert_eq!(of(1_000, 0, 1), 2);
        assert_eq!(of(10, 0, 0), 100);
        assert_eq!(of(16_000, 0, 0), 0);
    }

    #[test]
    fn enough_agents_do_the_work_in_time_and_no_more() {
        let agents = |wants: &[Wants]| kind(4).demand(wants, QUARTER).agents;
        assert_eq!(agents(&[]), 0);
        // 3,600 jobs of 60 s are 216,000 s: 240 at once for 900 s, 60 agents of four.
        assert_eq!(agents(&[wants(3_600, 0, Some(60.0))]), 60);
        // Jobs longer than the time all run at once.
        assert_eq!(agents(&[wants(10, 0, Some(5_000.0))]), 3);
        assert_eq!(agents(&[wants(1, 0, Some(1.0))]), 1);
        // What runs keeps its room, even if nothing waits.
        assert_eq!(agents(&[wants(0, 9, Some(1.0))]), 3);
        // Two sweeps share an agent.
        assert_eq!(agents(&[wants(2, 0, Some(5_000.0)), wants(2, 0, Some(5_000.0))]), 1);
        // A sweep that may run two at once needs room for two.
        assert_eq!(agents(&[Wants { at_once: Some(2), ..wants(1_000, 0, Some(60.0)) }]), 1);
    }

    #[test]
    fn before_a_job_has_ended_one_agent_is_asked_for() {
        let demand = kind(4).demand(&[wants(10_000, 0, None)], QUARTER);
        assert_eq!((demand.agents, demand.unknown.len(), demand.work_seconds), (1, 1, 0.0));
        assert_eq!(kind(4).demand(&[wants(2, 0, None)], QUARTER).agents, 1);
    }

    #[test]
    fn what_does_not_fit_asks_for_nothing() {
        let elsewhere = BTreeMap::from([("pool".to_owned(), "nas".to_owned())]);
        assert_eq!(
            kind(4).demand(&[Wants { labels: elsewhere, ..wants(9, 0, Some(9.0)) }], QUARTER),
            Demand::default()
        );
        let spot = kind(4).labels;
        assert_eq!(kind(4).demand(&[Wants { labels: spot, ..wants(9, 0, Some(9.0)) }], QUARTER).agents, 1);
        let large =
            Wants { need: Resources { cpu_millis: 5_000, ..Resources::default() }, ..wants(9, 0, Some(9.0)) };
        let demand = kind(4).demand(&[large], QUARTER);
        assert_eq!((demand.agents, demand.queued, demand.too_large), (0, 0, vec!["s".to_owned()]));
    }

    #[test]
    fn more_counts_at_once_and_less_after_a_while() {
        let (mut recent, hold) = (Recent::default(), Duration::from_secs(60));
        let told: Vec<u32> =
            [(0.0, 3), (10.0, 9), (20.0, 4), (30.0, 5), (65.0, 4), (71.0, 4), (91.0, 2), (200.0, 0)]
                .map(|(now, wanted)| recent.settle(now, wanted, hold))
                .into();
        assert_eq!(told, [3, 9, 9, 9, 9, 5, 4, 0]);
    }
}
