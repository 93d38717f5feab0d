//! The proof: reads Postgres, the store and the run log of the simulated engines after all has come to rest, and holds
//! them against what must always hold (docs/ARCHITECTURE.md). It shares no code with what it checks.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::Seen;
use super::driver::CPUS;
use crate::postgres::PostgresServer;

/// How long a container may go on after its attempt was taken away, its agent being well: a heartbeat, and what a loaded
/// machine needs.
const STOPPED_WITHIN: u64 = 3_000_000;
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

/// A container of a simulated engine.
#[derive(Clone, Debug)]
struct Run {
    agent: String,
    attempt: String,
    cpu_millis: u64,
    start: u64,
    end: Option<u64>,
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

    fn submits_are_kept(&mut self) {
        let rows = self.query(
            "select s.idempotency_key, s.id, s.jobs, (select count(*) from jobs j where j.sweep_id = s.id)
            from sweeps s",
        );
        let kept: HashMap<_, _> = rows.iter().map(|row| (row[0].clone(), row[1..].to_vec())).collect();
        if kept.len() != rows.len() {
            self.violated(1, "two sweeps have one key");
        }
        for (key, id, jobs) in &self.seen.submits.clone() {
            let expected = [id.clone(), jobs.to_string(), jobs.to_string()];
            match kept.get(key) {
                Some(found) if *found == expected => {}
                found => {
                    self.violated(1, &format!("{key} was acknowledged as {expected:?}; there is {found:?}"))
                }
            }
        }
        self.stake(1, "a submit was acknowledged", self.seen.submits.len() as u64);
    }

    fn jobs_end_once(&mut self) {
        self.none(
            2,
            "not at an end",
            "select sweep_id, number, state from jobs where state in ('queued', 'running')",
        );
        self.none(
            2,
            "succeeded without exactly one attempt that did",
            "select j.sweep_id, j.number, count(a.id) from jobs j
            left join results r on r.sweep_id = j.sweep_id and r.job = j.number and r.reused
            left join attempts a on a.sweep_id = j.sweep_id and a.job = j.number and a.state = 'succeeded'
            group by j.sweep_id, j.number, r.job
            having (j.state = 'succeeded' and r.job is null) <> (count(a.id) = 1) or count(a.id) > 1",
        );
        self.none(
            2,
            "run again after it had succeeded",
            "select b.sweep_id, b.job, b.number from attempts a
            join attempts b on b.sweep_id = a.sweep_id and b.job = a.job
            where a.state = 'succeeded' and b.leased_at > a.finished_at",
        );
        let counted = self.query("select count(*) from jobs");
        self.stake(2, "a job ended", number(&counted));
        self.none(
            2,
            "counts that are not the jobs'",
            "select c.sweep_id from (
                select sweep_id, sum(queued) q, sum(running) r, sum(succeeded) s, sum(failed) f, sum(cancelled) c
                from sweep_counts group by sweep_id
            ) c join lateral (
                select count(*) filter (where state = 'succeeded') s, count(*) filter (where state = 'failed') f,
                    count(*) filter (where state = 'cancelled') c
                from jobs where sweep_id = c.sweep_id
            ) j on true
            where (c.q, c.r, c.s, c.f, c.c) <> (0, 0, j.s, j.f, j.c)",
        );
    }

    fn leases_do_not_overlap(&mut self) {
        self.none(
            3,
            "two attempts at once",
            "select a.sweep_id, a.job, a.number, b.number from attempts a
            join attempts b on b.sweep_id = a.sweep_id and b.job = a.job and b.number > a.number
            where a.leased_at < b.finished_at and b.leased_at < a.finished_at",
        );
        let again = self.query("select count(*) from jobs where attempts > 1");
        self.stake(3, "a job was leased again", number(&again));
    }

    fn one_attempt_is_published(&mut self) {
        self.none(
            4,
            "a result that is not its succeeded attempt's",
            "select r.sweep_id, r.job, a.state from results r join attempts a on a.id = r.attempt_id
            where a.state <> 'succeeded' or not r.reused and (a.sweep_id <> r.sweep_id or a.job <> r.job)",
        );
        self.none(
            4,
            "a succeeded job without a result, or another with one",
            "select j.sweep_id, j.number, j.state from jobs j
            left join results r on r.sweep_id = j.sweep_id and r.job = j.number
            where (j.state = 'succeeded') <> (r.job is not null)",
        );
        let late = self.query(
            "select count(*) from attempts a join jobs j on j.sweep_id = a.sweep_id and j.number = a.job
            where a.state in ('lost', 'returned', 'cancelled') and a.started_at is not null",
        );
        self.stake(4, "an attempt that had run was taken away", number(&late));
    }

    fn results_are_whole(&mut self, store: &Path) {
        let rows = self.query(
            "select s.name || '-' || left(s.id::text, 8), lpad(r.job::text, length((s.jobs - 1)::text), '0'), a.number,
                f.path, f.size, encode(f.sha256, 'hex'), r.reused,
                o.name || '-' || left(o.id::text, 8), lpad(a.job::text, length((o.jobs - 1)::text), '0')
            from results r join attempts a on a.id = r.attempt_id join sweeps s on s.id = r.sweep_id
            join sweeps o on o.id = a.sweep_id
            join result_files f on f.sweep_id = r.sweep_id and f.job = r.job",
        );
        let mut files = 0;
        for row in &rows {
            let [sweep, job, attempt, path, size, sha256, reused, made_by, made_as] = &row[..] else {
                continue;
            };
            let dir = store.join(sweep).join(job);
            let document = std::fs::read(dir.join("result.json")).unwrap_or_default();
            let document: Value = serde_json::from_slice(&document).unwrap_or_default();
            let named = document["files"].as_array().is_some_and(|named| {
                named.iter().any(|file| file["path"] == path.as_str() && file["sha256"] == sha256.as_str())
            });
            let own = if reused == "t" { "0" } else { attempt };
            if !named || document["attempt"].as_u64() != own.parse().ok() {
                self.violated(5, &format!("{}/result.json does not name {path}", dir.display()));
            }
            let made_in = format!("{made_by}/{made_as}/{attempt}");
            if reused == "t" && document["reused_from"]["dir"] != made_in.as_str() {
                self.violated(5, &format!("{}/result.json does not say where {path} is", dir.display()));
            }
            let file = store.join(made_in).join(path);
            let sum = Command::new("sha256sum").arg(&file).output();
            let sum =
                sum.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
            let length = std::fs::metadata(&file).map_or(0, |metadata| metadata.len());
            if sum.split(' ').next() != Some(sha256.as_str()) || length.to_string() != *size {
                self.violated(5, &format!("{} is not what was published", file.display()));
            }
            files += 1;
        }
        self.stake(5, "a published file was read", files);
    }

    fn only_identical_jobs_share_a_result(&mut self) {
        // The driver's jobs are identical if their sweeps have the same environment and number of threads, and they the
        // same number.
        self.none(
            4,
            "another job's result that is not an identical one's, or not asked for",
            "select r.sweep_id, r.job, a.sweep_id, a.job from results r
            join attempts a on a.id = r.attempt_id
            join sweeps s on s.id = r.sweep_id
            join sweeps o on o.id = a.sweep_id
            where r.reused and (
                r.job <> a.job or s.manifest ->> 'env' <> o.manifest ->> 'env' or s.image_pin <> o.image_pin
                or ceil(s.cpu_millis / 1000.0) <> ceil(o.cpu_millis / 1000.0) or s.reuse is distinct from 'settled'
            )",
        );
        self.none(
            2,
            "still waits for another",
            "select sweep_id, number from jobs where attached_sweep is not null",
        );
        self.none(
            2,
            "a job that is attached was counted",
            "select sweep_id, sum(attached) from sweep_counts group by sweep_id having sum(attached) <> 0",
        );
        let reused = self.query("select count(*) from results where reused");
        self.stake(9, "a result of an identical job was taken", number(&reused));
    }

    /// True while this machine, or all that it could talk to, was not well.
    fn was_ill(&self, machine: &str, from: u64, to: u64) -> bool {
        let own = self.seen.faults.get(machine).into_iter().flatten();
        let away = self.seen.outages.iter().chain(&self.seen.freezes);
        own.chain(away).any(|(since, until)| *since < to + AROUND && from < until + AROUND)
    }

    fn containers_are_stopped(&mut self, runs: &[Run]) {
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

    fn capacity_is_kept(&mut self, runs: &[Run]) {
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

fn number(rows: &[Vec<String>]) -> u64 {
    rows.first().and_then(|row| row.first()).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// An agent is one in each log: a copy of it is another.
fn read_runs(path: &Path) -> Vec<Run> {
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
