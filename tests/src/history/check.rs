//! The proof: reads Postgres, the store and the run log of the simulated engines after all has come to rest, and holds
//! them against what must always hold (docs/ARCHITECTURE.md). It shares no code with what it checks.

mod records;
mod runs;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use runs::{Run, read_runs};

use super::Seen;
use crate::postgres::PostgresServer;

/// How long before and after a fault its effects may show: a lease, and what a loaded machine needs.
const AROUND: u64 = 9_000_000;

/// How often each invariant was at stake, by its number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stakes(pub BTreeMap<u32, (&'static str, u64)>);

impl fmt::Display for Stakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (what, times)) in &self.0 {
            writeln!(f, "  {number}. {what}: {times} times")?;
        }
        Ok(())
    }
}

/// Checks all invariants; an error lists every violation.
pub fn check(
    postgres: &PostgresServer,
    store: &Path,
    run_logs: &[PathBuf],
    seen: &Seen,
) -> Result<Stakes, String> {
    let mut proof =
        Proof { postgres, seen, stakes: Stakes::default(), wrong: String::new(), attempts: Vec::new() };
    proof.attempts = proof.read_attempts();
    let runs: Vec<_> = run_logs.iter().flat_map(|log| read_runs(log)).collect();
    proof.submits_are_kept();
    proof.jobs_end_once();
    proof.leases_do_not_overlap();
    proof.one_attempt_is_published();
    proof.results_are_whole(store);
    proof.only_identical_jobs_share_a_result();
    proof.containers_are_stopped(&runs);
    proof.capacity_is_kept(&runs);
    proof.only_faults_cost_attempts();
    proof.all_was_at_stake(&runs);
    match proof.wrong.is_empty() {
        true => Ok(proof.stakes),
        false => Err(proof.wrong),
    }
}

/// An attempt, as Postgres has it.
#[derive(Clone, Debug)]
struct Attempt {
    id: String,
    /// Sweep, job and agent, for messages.
    what: String,
    machine: String,
    state: String,
    reason: String,
    started: bool,
    leased_at: u64,
    finished_at: u64,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, what, state, reason, leased_at, finished_at, .. } = self;
        write!(f, "{id} of {what}, {state} {reason}, leased {leased_at}, ended {finished_at}")
    }
}

struct Proof<'p> {
    postgres: &'p PostgresServer,
    seen: &'p Seen,
    stakes: Stakes,
    wrong: String,
    attempts: Vec<Attempt>,
}

impl Proof<'_> {
    fn stake(&mut self, number: u32, what: &'static str, times: u64) {
        self.stakes.0.insert(number, (what, times));
    }

    fn violated(&mut self, number: u32, what: &str) {
        self.wrong.push_str(&format!("invariant {number}: {what}\n"));
    }

    fn query(&mut self, sql: &str) -> Vec<Vec<String>> {
        match self.postgres.query(sql) {
            Ok(rows) => rows.iter().map(|row| row.split('|').map(str::to_owned).collect()).collect(),
            Err(error) => {
                self.violated(0, &format!("{sql}: {error}"));
                Vec::new()
            }
        }
    }

    /// Each row of this query is a violation.
    fn none(&mut self, number: u32, what: &str, sql: &str) {
        for row in self.query(sql) {
            self.violated(number, &format!("{what}: {}", row.join(" ")));
        }
    }

    fn read_attempts(&mut self) -> Vec<Attempt> {
        let rows = self.query(
            "select a.id, a.sweep_id, a.job, a.agent_id, regexp_replace(g.name, '-[0-9]+$', ''), a.state,
                coalesce(a.reason::text, ''), a.started_at is not null,
                (extract(epoch from a.leased_at) * 1000000)::bigint,
                (extract(epoch from a.finished_at) * 1000000)::bigint
            from attempts a join agents g on g.id = a.agent_id order by a.sweep_id, a.job, a.number",
        );
        let attempt = |row: &Vec<String>| {
            Some(Attempt {
                id: row.first()?.clone(),
                what: format!("{}/{} on {}", row.get(1)?, row.get(2)?, row.get(3)?),
                machine: row.get(4)?.clone(),
                state: row.get(5)?.clone(),
                reason: row.get(6)?.clone(),
                started: row.get(7)? == "t",
                leased_at: row.get(8)?.parse().ok()?,
                finished_at: row.get(9)?.parse().ok()?,
            })
        };
        let attempts: Vec<_> = rows.iter().filter_map(attempt).collect();
        if attempts.len() != rows.len() {
            self.violated(2, "there are attempts that have not ended");
        }
        attempts
    }

    /// True while this machine, or all that it could talk to, was not well.
    fn was_ill(&self, machine: &str, from: u64, to: u64) -> bool {
        let own = self.seen.faults.get(machine).into_iter().flatten();
        own.chain(&self.seen.outages).any(|(since, until)| *since < to + AROUND && from < until + AROUND)
    }

    /// Nothing is proved by what never happened.
    fn all_was_at_stake(&mut self, runs: &[Run]) {
        let logged: HashSet<_> = runs.iter().map(|run| run.attempt.as_str()).collect();
        let missing = self.attempts.iter().filter(|a| a.started && !logged.contains(a.id.as_str())).count();
        if missing > 0 || runs.is_empty() {
            self.violated(
                6,
                &format!("the run log has {} runs, and lacks {missing} attempts that have run", runs.len()),
            );
        }
        let always = [1, 2, 5];
        let never: Vec<_> = self
            .stakes
            .0
            .iter()
            .filter(|(number, (_, times))| *times == 0 && (self.seen.is_long || always.contains(*number)))
            .map(|(number, (what, _))| (*number, *what))
            .collect();
        for (number, what) in never {
            self.violated(number, &format!("was never at stake: {what}"));
        }
        for (fault, times) in self.seen.faults_done() {
            if times == 0 {
                self.violated(0, &format!("a fault was never done: {fault}"));
            }
        }
    }

    fn only_faults_cost_attempts(&mut self) {
        let mut times = 0;
        for attempt in self.attempts.clone() {
            let lost = attempt.state == "lost" && attempt.started;
            let machines = attempt.state == "failed" && attempt.reason == "agent";
            if lost || machines {
                times += 1;
                let mut own = self.seen.faults.get(&attempt.machine).into_iter().flatten();
                let caused = own.any(|(since, until)| {
                    *since < attempt.finished_at + AROUND && attempt.leased_at < until + AROUND
                });
                if !caused {
                    self.violated(8, &format!("lost though its agent was well: {attempt}"));
                }
            }
        }
        self.none(
            8,
            "lost more often than it was tried",
            "select sweep_id, number, losses, attempts from jobs where losses > attempts",
        );
        self.stake(8, "a fault cost an attempt", times);
    }
}
