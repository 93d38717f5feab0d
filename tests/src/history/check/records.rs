//! What Postgres and the store hold: every submit, every job ended once, one result of each that succeeded, and the files
//! of all results.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::Proof;

impl Proof<'_> {
    pub(super) fn submits_are_kept(&mut self) {
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

    pub(super) fn jobs_end_once(&mut self) {
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

    pub(super) fn leases_do_not_overlap(&mut self) {
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

    pub(super) fn one_attempt_is_published(&mut self) {
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

    pub(super) fn only_identical_jobs_share_a_result(&mut self) {
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

    pub(super) fn results_are_whole(&mut self, store: &Path) {
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
}

fn number(rows: &[Vec<String>]) -> u64 {
    rows.first().and_then(|row| row.first()).and_then(|text| text.parse().ok()).unwrap_or(0)
}
