//! How much of the machine's cpus other programs use than jobs and the agent itself.

use std::collections::{HashMap, VecDeque};
use std::fs;

use bt_engine::FoundState;
use bt_model::id::AttemptId;

use crate::agent::Agent;

/// Looks whose mean counts.
const LOOKS: usize = 3;
/// The kernel counts hundredths of a second for programs, whatever it counts by itself.
const MICROS_OF_TICK: u64 = 10_000;

#[derive(Debug, Default)]
pub(super) struct Load {
    last: Option<Counted>,
    recent: VecDeque<f64>,
}

#[derive(Debug)]
struct Counted {
    total: u64,
    busy: u64,
    agent: u64,
    /// Millionths of a second.
    jobs: HashMap<AttemptId, u64>,
}

impl Load {
    /// The mean part of all cpus of the last looks; nothing before there were enough.
    pub(super) async fn look(&mut self, agent: &Agent) -> Option<f64> {
        let (total, busy) = machine(&fs::read_to_string("/proc/stat").ok()?)?;
        let own = fs::read_to_string("/proc/self/stat").ok().and_then(|text| process(&text)).unwrap_or(0);
        let mut jobs = HashMap::new();
        let found = agent.site.engine.list(agent.site.identity.agent).await.unwrap_or_default();
        for container in found.into_iter().filter(|found| found.state == FoundState::Running) {
            let Some(id) = container.attempt else { continue };
            if let Ok(Some(sample)) = agent.site.engine.sample(id).await {
                jobs.insert(id, sample.cpu_micros);
            }
        }
        self.count(Counted { total, busy, agent: own, jobs })
    }

    fn count(&mut self, now: Counted) -> Option<f64> {
        if let Some(last) = &self.last {
            let of_jobs = now
                .jobs
                .iter()
                .map(|(id, used)| used.saturating_sub(last.jobs.get(id).copied().unwrap_or(0)));
            let of_jobs = of_jobs.sum::<u64>() / MICROS_OF_TICK;
            let total = now.total.saturating_sub(last.total).max(1);
            let busy = now.busy.saturating_sub(last.busy);
            let others = busy.saturating_sub(of_jobs).saturating_sub(now.agent.saturating_sub(last.agent));
            self.recent.push_back(others as f64 / total as f64);
            if self.recent.len() > LOOKS {
                self.recent.pop_front();
            }
        }
        self.last = Some(now);
        (self.recent.len() == LOOKS).then(|| self.recent.iter().sum::<f64>() / LOOKS as f64)
    }
}

/// Ticks of all cpus, and those in which something ran, by `/proc/stat`.
fn machine(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().take(8).filter_map(|word| word.parse().ok()).collect();
    let [user, nice, system, idle, waiting, interrupts, soft, stolen] = ticks[..] else { return None };
    let busy = user + nice + system + interrupts + soft;
    Some((busy + idle + waiting + stolen, busy))
}

/// Ticks of a process and of its children that have ended, by its `stat`.
fn process(stat: &str) -> Option<u64> {
    // Its name may hold anything; what follows counts from the state on.
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_whitespace().skip(11).take(4).filter_map(|word| word.parse::<u64>().ok()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_jobs_and_the_agent_use_is_not_the_owners() {
        let (one, gone) = (AttemptId::random(), AttemptId::random());
        let counted = |total, busy, agent, jobs: &[(AttemptId, u64)]| Counted {
            total,
            busy,
            agent,
            jobs: jobs.iter().copied().collect(),
        };
        let mut load = Load::default();
        assert_eq!(load.count(counted(1_000, 100, 5, &[(gone, 9)])), None);
        // Of 100 ticks 90 were busy: 50 a job's, 10 the agent's.
        assert_eq!(load.count(counted(1_100, 190, 15, &[(one, 500_000)])), None);
        assert_eq!(load.count(counted(1_200, 280, 25, &[(one, 1_000_000)])), None);
        let mean = load.count(counted(1_300, 370, 35, &[(one, 1_500_000)])).unwrap();
        assert!((mean - 0.3).abs() < 1e-9, "{mean}");
        let mean = load.count(counted(1_400, 370, 35, &[])).unwrap();
        assert!((mean - 0.2).abs() < 1e-9, "{mean}");
    }

    #[test]
    fn the_kernels_figures_are_read() {
        let stat = "cpu  10 20 30 400 5 6 7 8 90 0\ncpu0 1 1 1 1 1 1 1 1\n";
        assert_eq!(machine(stat), Some((486, 73)));
        assert_eq!(machine("intr 5\n"), None);
        let own = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 100 20 3 4 20 0";
        assert_eq!(process(own), Some(127));
        assert!(process(&fs::read_to_string("/proc/self/stat").unwrap()).is_some());
    }
}
