//! The containers of the simulated engines, as their log has them: each is stopped when its attempt is taken away, and
//! an agent never runs more than it has room for.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::Value;

use super::Proof;
use crate::history::driver::CPUS;

/// How long a container may go on after its attempt was taken away, its agent being well: a heartbeat, and what a loaded
/// machine needs.
const STOPPED_WITHIN: u64 = 3_000_000;

/// A container of a simulated engine.
#[derive(Clone, Debug)]
pub(super) struct Run {
    agent: String,
    pub(super) attempt: String,
    cpu_millis: u64,
    start: u64,
    end: Option<u64>,
}

impl Proof<'_> {
    pub(super) fn containers_are_stopped(&mut self, runs: &[Run]) {
        let mut times = 0;
        let attempts: HashMap<_, _> = self.attempts.iter().map(|a| (a.id.clone(), a.clone())).collect();
        for run in runs {
            let Some(attempt) = attempts.get(&run.attempt) else {
                self.violated(6, &format!("a container ran for no attempt: {run:?}"));
                continue;
            };
            let Some(end) = run.end else {
                // It died with its machine.
                let killed = self.was_ill(&attempt.machine, run.start, attempt.finished_at);
                if !killed {
                    self.violated(6, &format!("a container has no end: {attempt}"));
                }
                continue;
            };
            if ["lost", "cancelled"].contains(&attempt.state.as_str()) && end > attempt.finished_at {
                let late = end - attempt.finished_at;
                // The part of it in which nothing but its agent could be to blame.
                let is_well = !self.was_ill(
                    &attempt.machine,
                    attempt.finished_at,
                    end.min(attempt.finished_at + STOPPED_WITHIN),
                );
                times += u64::from(is_well);
                if late > STOPPED_WITHIN && is_well {
                    self.violated(6, &format!("stopped {late} us after it was taken away: {attempt}"));
                }
            }
        }
        self.stake(6, "a container outlived its attempt, and its agent was well", times);
    }

    pub(super) fn capacity_is_kept(&mut self, runs: &[Run]) {
        let ended: HashMap<_, _> = self.attempts.iter().map(|a| (a.id.clone(), a.clone())).collect();
        let mut moves: BTreeMap<&str, Vec<(u64, i64)>> = BTreeMap::new();
        for run in runs {
            // One without an end died at the latest when its machine's next fault began.
            let fault = ended.get(&run.attempt).and_then(|attempt| {
                let faults = self.seen.faults.get(&attempt.machine)?;
                faults.iter().map(|(since, _)| *since).filter(|since| *since >= run.start).min()
            });
            let end = run.end.or(fault).unwrap_or(run.start);
            let moves = moves.entry(&run.agent).or_default();
            moves.push((run.start, run.cpu_millis as i64));
            moves.push((end, -(run.cpu_millis as i64)));
        }
        let mut most = 0;
        let mut wrong = Vec::new();
        for (agent, mut moves) in moves {
            // What ends at the same moment ends first.
            moves.sort_unstable();
            let mut taken = 0;
            for (at, change) in moves {
                taken += change;
                most = most.max(taken);
                if taken > CPUS as i64 * 1000 {
                    wrong.push(format!("agent {agent} ran {taken} thousandths of a cpu at {at}"));
                }
            }
        }
        for wrong in wrong {
            self.violated(7, &wrong);
        }
        let full = u64::from(most >= CPUS as i64 * 1000);
        self.stake(7, "an agent was full to the brim (0 or 1)", full);
    }
}

/// An agent is one in each log: a copy of it is another.
pub(super) fn read_runs(path: &Path) -> Vec<Run> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut runs: Vec<Run> = Vec::new();
    let mut open: HashMap<(String, String), usize> = HashMap::new();
    for line in text.lines() {
        let Ok(entry) = serde_json::from_str::<Value>(line) else { continue };
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let key = (format!("{} of {}", text("agent"), path.display()), text("attempt"));
        let at = entry["at"].as_u64().unwrap_or(0);
        match entry["event"].as_str() {
            Some("start") => {
                open.insert(key.clone(), runs.len());
                let cpu_millis = entry["cpu_millis"].as_u64().unwrap_or(0);
                runs.push(Run { agent: key.0, attempt: key.1, cpu_millis, start: at, end: None });
            }
            _ => {
                if let Some(index) = open.remove(&key) {
                    runs[index].end = Some(at);
                }
            }
        }
    }
    runs
}
