//! How Postgres finds the rows of the statements that run often: by which index, and by which of its columns. The plans are
//! the ones that coordinators follow: made in sessions and transactions of the same kind, for values of the same kind. They
//! must be the same for tables of any size, whatever is known about them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool, raw_sql};

use super::*;

/// A statement that runs often.
struct Hot {
    statement: &'static str,
    /// What it is given; names in braces stand for rows of the tables.
    given: &'static str,
    /// The indexes that it uses, each with the columns that it looks for. Without columns the whole index is read: it
    /// must be one that holds few rows.
    by: &'static [&'static str],
}

#[rustfmt::skip]
const HOT: &[Hot] = &[
    Hot { statement: "claim/claim_jobs", given: "{sweep}, {agents}, {sessions}, '60s', 0, null", by: &["agents_pkey(id)", "jobs by place", "jobs_grown(sweep_id, memory_bytes, number)", "jobs_queued(sweep_id, number)", "sweeps_pkey(id)"] },
    Hot { statement: "claim/grown_jobs", given: "{sweeps}", by: &["jobs_grown(sweep_id, memory_bytes)"] },
    Hot { statement: "claim/claim_batches", given: "{sweep}, {agents}, {sessions}, '60s', 0, {agents}, array_fill(3, array[{many}])", by: &["agents_pkey(id)", "attempts_sweep_id_job_number_key(sweep_id, job)", "jobs by place", "jobs_queued(sweep_id, number)", "sweeps_pkey(id)"] },
    Hot { statement: "claim/candidates", given: "1000", by: &["secrets_pkey(name)", "sweep_counts_by_sweep(sweep_id)", "sweeps_open()"] },
    Hot { statement: "walk/due_tests", given: "1000", by: &["attempts_one_live(sweep_id, job)", "jobs_awaiting()", "jobs_queued(sweep_id, number)", "jobs_waiting(sweep_id, number)", "sweeps_pkey(id)", "window_tests_pkey(sweep_id, job)"] },
    Hot { statement: "claim/owners_running", given: "", by: &["attempts_one_live(sweep_id)", "quotas_of_cpus()", "quotas_pkey(owner)", "sweep_counts_by_sweep(sweep_id)", "sweeps_open()"] },
    Hot { statement: "quotas/quota_of_owner", given: "'ann'", by: &["quotas_pkey(owner)"] },
    Hot { statement: "quotas/used_by_owner", given: "'ann'", by: &["attempts_one_live(sweep_id)", "sweep_counts_by_sweep(sweep_id)", "sweeps_open_by_owner(owner)"] },
    Hot { statement: "claim/used_by_agents", given: "{agents}", by: &["agents_pkey(id)", "attempts_live_by_agent(agent_id)", "sweeps_pkey(id)"] },
    Hot { statement: "claim/taken_by_attempts", given: "{attempts}", by: &["agents_pkey(id)", "attempts_pkey(id)", "sweeps_pkey(id)"] },
    Hot { statement: "claim/hold_limits", given: "'{a,b}'", by: &["limits_pkey(name)"] },
    Hot { statement: "claim/used_of_limits", given: "'{a,b}'", by: &["attempts_one_live(sweep_id)", "sweeps_open()"] },
    Hot { statement: "claim/hold_parallel", given: "{sweep}", by: &["sweeps_pkey(id)"] },
    Hot { statement: "claim/count_live", given: "{sweep}", by: &["attempts_one_live(sweep_id)"] },
    Hot { statement: "record/hold_sessions", given: "{agents}, {sessions}", by: &["agents_pkey(id)"] },
    Hot { statement: "record/advance_attempts", given: "{attempts}, array_fill('running'::attempt_state, array[{many}]), array_fill('i'::text, array[{many}]), {agents}", by: &["attempts_pkey(id)"] },
    Hot { statement: "progress/note", given: "{attempts}, {agents}, {sessions}, array_fill(0.5::float8, array[{many}]), array_fill(1::float8, array[{many}]), array_fill(2::float8, array[{many}]), array_fill('n'::text, array[{many}]), array_fill('{}'::jsonb, array[{many}]), 1000", by: &["agents_pkey(id)", "attempts_pkey(id)", "progress_points_pkey(attempt_id)"] },
    Hot { statement: "preempt/ready_jobs", given: "{sweep}, null, 100, 10", by: &["jobs_queued(sweep_id, number)"] },
    Hot { statement: "preempt/lower_jobs", given: "{agents}, 10, 1000", by: &["agents_pkey(id)", "attempts_live_by_agent(agent_id)", "attempts_sweep_id_job_number_key(sweep_id, job)", "sweeps_pkey(id)"] },
    Hot { statement: "preempt/take_turn", given: "{sweep}, '2s'", by: &["sweeps_pkey(id)"] },
    Hot { statement: "preempt/note_preemptor", given: "{attempts}, {sweep}", by: &["attempts_pkey(id)"] },
    Hot { statement: "prune/to_judge", given: "{attempts}, {agents}, {sessions}", by: &["agents_pkey(id)", "attempts_pkey(id)", "jobs_pkey(sweep_id, number)", "sweeps_pkey(id)"] },
    Hot { statement: "progress/of_jobs", given: "{sweep}, {numbers}", by: &["attempts_one_live(sweep_id, job)", "progress_pkey(attempt_id)"] },
    Hot { statement: "settle/hold_sweeps", given: "{attempts}", by: &["attempts_pkey(id)", "sweeps_pkey(id)"] },
    Hot { statement: "settle/lock_attempts", given: "{attempts}", by: &["agents_pkey(id)", "attempts_pkey(id)", "jobs_pkey(sweep_id, number)", "sweeps_pkey(id)"] },
    Hot { statement: "settle/end_attempts", given: "{attempts}, array_fill('succeeded'::attempt_state, array[{many}]), null, null, null, null, null, null, null, null, null, null, null", by: &["attempts_pkey(id)"] },
    Hot { statement: "settle/end_jobs", given: "{sweeps}, {numbers}, array_fill('running'::job_state, array[{many}]), array_fill('succeeded'::job_state, array[{many}]), null, null, null, null, null, null, null, null, null, null, null", by: &["jobs_pkey(sweep_id, number)"] },
    Hot { statement: "session/note_encoding", given: "{attempt}, 'zstd'", by: &["attempts_pkey(id)"] },
    Hot { statement: "session/heartbeat", given: "{agent}, 1, '', false, '{}', '', ''", by: &["agents_pkey(id)"] },
    Hot { statement: "session/renew_leases", given: "{attempts}, {agent}, '60s'", by: &["attempts_pkey(id)"] },
    Hot { statement: "session/note_progress", given: "{agent}, {attempts}, array_fill('pulling'::text, array[{many}])", by: &["attempts_pkey(id)"] },
    Hot { statement: "session/known_attempts", given: "{attempts}, {agent}", by: &["attempts_pkey(id)"] },
    Hot { statement: "session/live_attempts_of_agent", given: "{agent}", by: &["attempts_live_by_agent(agent_id)"] },
    Hot { statement: "maintain/expired_attempts", given: "500", by: &["the live attempts"] },
    Hot { statement: "maintain/grant_full_term", given: "'60s'", by: &["the live attempts"] },
    Hot { statement: "maintain/fold_counts", given: "64", by: &["sweep_counts_by_sweep(sweep_id)", "sweeps_open()"] },
    Hot { statement: "maintain/finished_sweeps", given: "", by: &["sweep_counts_by_sweep(sweep_id)", "sweeps_open()"] },
    Hot { statement: "maintain/end_sweep", given: "{sweep}", by: &["attempts_one_live(sweep_id)", "jobs_pkey(sweep_id)", "jobs_queued(sweep_id)", "jobs_waiting(sweep_id)", "sweeps_pkey(id)"] },
    Hot { statement: "maintain/judged_canaries", given: "", by: &["jobs_pkey(sweep_id, number)", "sweeps_open()"] },
    Hot { statement: "maintain/cancel_left_over", given: "20000", by: &["jobs by place", "jobs_queued(sweep_id)", "jobs_waiting(sweep_id)", "sweeps_open()"] },
    Hot { statement: "cancel/lock_sweep", given: "{sweep}", by: &["sweeps_pkey(id)"] },
    Hot { statement: "cancel/sum_counts", given: "{sweep}", by: &["sweep_counts_by_sweep(sweep_id)"] },
    Hot { statement: "cancel/live_attempts_of_sweep", given: "{sweep}", by: &["attempts_one_live(sweep_id)"] },
    Hot { statement: "cancel/live_attempts_of_jobs", given: "{sweep}, {numbers}", by: &["attempts_one_live(sweep_id, job)"] },
    Hot { statement: "cancel/cancel_queued_jobs", given: "{sweep}, {numbers}", by: &["jobs_pkey(sweep_id, number)"] },
    Hot { statement: "cancel/cancel_sweep", given: "{sweep}", by: &["sweeps_pkey(id)"] },
    Hot { statement: "maintain/unwritten_results", given: "'-infinity', {sweep}, 0, 256", by: &["results_unwritten(published_at)"] },
    Hot { statement: "maintain/published_results", given: "{sweeps}, {numbers}", by: &["agents_pkey(id)", "attempts_pkey(id)", "image_descriptions_pkey(image_id)", "jobs_pkey(sweep_id, number)", "results_pkey(sweep_id, job)", "sweeps_pkey(id)"] },
    Hot { statement: "files/files_of_results", given: "{sweeps}, {numbers}", by: &["result_files_pkey(sweep_id, job)"] },
    Hot { statement: "files/published_files", given: "{sweep}, {numbers}, array_fill('a'::text, array[{many}])", by: &["attempts_pkey(id)", "result_files_pkey(sweep_id, job, path)", "results_pkey(sweep_id, job)", "sweeps_pkey(id)"] },
    Hot { statement: "maintain/mark_written", given: "{sweeps}, {numbers}, array_fill(0, array[{many}]), array_fill(null::text, array[{many}])", by: &["results_pkey(sweep_id, job)"] },
    Hot { statement: "session/attempt_place", given: "{attempt}, {agent}, 1", by: &["agents_pkey(id)", "attempts_pkey(id)", "sweeps_pkey(id)"] },
    Hot { statement: "session/pin_of_attempt", given: "{attempt}, {agent}, 1", by: &["agents_pkey(id)", "attempts_pkey(id)", "sweeps_pkey(id)"] },
    Hot { statement: "session/pin_image", given: "{attempt}, {agent}, 1, 'i'", by: &["agents_pkey(id)", "attempts_pkey(id)", "sweeps_pkey(id)"] },
    Hot { statement: "session/note_sharing", given: "{attempt}, {agent}, 1, 'reuse', 'why', '{}'", by: &["agents_pkey(id)", "attempts_pkey(id)", "sweeps_pkey(id)"] },
    Hot { statement: "reuse/ended_leaders", given: "10000", by: &["jobs_pkey(sweep_id, number)", "jobs_waiting()", "sweeps_pkey(id)"] },
    Hot { statement: "reuse/take_results", given: "{sweeps}, {numbers}, {sweeps}, {numbers}", by: &["attempts_pkey(id)", "jobs_pkey(sweep_id, number)", "result_files_pkey(sweep_id, job)", "results_pkey(sweep_id, job)", "sweeps_pkey(id)"] },
    Hot { statement: "submit/sweep_by_key", given: "'k'", by: &["sweeps_idempotency_key_key(idempotency_key)"] },
    Hot { statement: "find/resolve_sweep", given: "'sweep-1', '00000000-0000-0000-0000-000000000000', '0000ffff-ffff-ffff-ffff-ffffffffffff'", by: &["sweeps_by_name(name)", "sweeps_pkey(id)"] },
    Hot { statement: "find/find_agents", given: "'agent-1', '00000000-0000-0000-0000-000000000000', '0000ffff-ffff-ffff-ffff-ffffffffffff', '45s'", by: &["agents_by_name(name)", "agents_pkey(id)"] },
    Hot { statement: "read/sweep_details", given: "{sweep}", by: &["secrets_pkey(name)", "sweeps_pkey(id)"] },
    Hot { statement: "read/list_jobs", given: "{sweep}, -1, '{}', 2147483647, 100", by: &["agents_pkey(id)", "attempts_sweep_id_job_number_key(sweep_id, job, number)", "jobs_pkey(sweep_id, number)", "sweeps_pkey(id)"] },
    Hot { statement: "maintain/fold_counts_of_sweep", given: "{sweep}", by: &["sweep_counts_by_sweep(sweep_id)"] },
    Hot { statement: "rank/jobs_by_number", given: "{sweep}, {numbers}", by: &["agents_pkey(id)", "attempts_sweep_id_job_number_key(sweep_id, job, number)", "jobs_pkey(sweep_id, number)"] },
    Hot { statement: "read/job_in_queue", given: "{sweep}, 1", by: &["agents_pkey(id)", "attempts_sweep_id_job_number_key(sweep_id, job, number)", "jobs_pkey(sweep_id, number)", "jobs_queued(sweep_id, number)"] },
    Hot { statement: "read/find_attempt", given: "{sweep}, 1, 0", by: &["agents_pkey(id)", "attempts_sweep_id_job_number_key(sweep_id, job)"] },
    Hot { statement: "attempts/attempts_of_job", given: "{sweep}, 1, 100", by: &["agents_pkey(id)", "attempts_sweep_id_job_number_key(sweep_id, job)", "sweeps_pkey(id)"] },
    Hot { statement: "attempts/last_failures", given: "{sweep}, {numbers}", by: &["agents_pkey(id)", "attempts_sweep_id_job_number_key(sweep_id, job)", "jobs_pkey(sweep_id, number)"] },
    Hot { statement: "keep/attempts_in_store", given: "{numbers}, array_fill(1, array[{many}]), {sweep}, '1 day', false", by: &["attempts_sweep_id_job_number_key(sweep_id, job, number)", "results_own(attempt_id)", "results_reused(attempt_id)", "sweeps_pkey(id)"] },
    Hot { statement: "keep/published_among", given: "{sweep}, {numbers}, array_fill('a'::text, array[{many}]), array_fill('none'::encoding, array[{many}]), array_fill('a'::text, array[{many}]), null, null", by: &["result_files_pkey(sweep_id, job)", "result_files_pkey(sweep_id, job, path)"] },
    Hot { statement: "unpublished/unpublished_attempts", given: "{sweep}, -1, 0, null, 0, 100", by: &["attempts_sweep_id_job_number_key(sweep_id)", "results_pkey(sweep_id, job)"] },
];

/// Indexes of the same rows: which of them is used depends on how large they are.
const ALIKE: &[(&str, &str)] = &[
    ("attempts_one_live()", "the live attempts"),
    ("attempts_live_by_agent()", "the live attempts"),
    ("sweeps_open_by_owner()", "sweeps_open()"),
    ("sweeps_by_directory(name)", "sweeps_by_name(name)"),
];

/// The columns of each index.
type Indexes = BTreeMap<String, Vec<String>>;

async fn indexes(pool: &PgPool) -> Indexes {
    let rows: Vec<(String, Vec<String>)> = sqlx::query_as(
        "select c.relname::text, array(
            select a.attname::text from pg_attribute a where a.attrelid = c.oid order by a.attnum
        ) from pg_class c where c.relkind = 'i' and c.relnamespace = 'public'::regnamespace",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    rows.into_iter().collect()
}

/// How a plan finds its rows.
fn ways(node: &Value, indexes: &Indexes, found: &mut BTreeSet<String>) {
    let text = |key: &str| node[key].as_str().unwrap_or_default();
    let kind = text("Node Type");
    if let Some(columns) = indexes.get(text("Index Name")) {
        let condition = text("Index Cond");
        let is_named = |column: &&String| {
            let before = ["(", "ROW(", ", "].iter();
            let mut around = before.flat_map(|before| [" ", ",", ")"].map(|after| (before, after)));
            around.any(|(before, after)| condition.contains(&format!("{before}{column}{after}")))
        };
        let columns: Vec<_> = columns.iter().filter(is_named).cloned().collect();
        let way = format!("{}({})", text("Index Name"), columns.join(", "));
        let alike = ALIKE.iter().find(|(name, _)| *name == way);
        found.insert(alike.map_or(way, |(_, name)| (*name).to_owned()));
    } else if kind == "Tid Scan" {
        found.insert(format!("{} by place", text("Relation Name")));
    } else if ["Seq Scan", "Hash Join", "Merge Join"].contains(&kind) {
        found.insert(format!("{kind} {}", text("Relation Name")));
    }
    for below in node["Plans"].as_array().into_iter().flatten() {
        ways(below, indexes, found);
    }
}

/// Rows that a statement is given, as many of them as `many`.
struct Rows {
    many: usize,
    sweep: String,
    agent: String,
    attempts: Vec<String>,
}

impl Rows {
    async fn of(pool: &PgPool, many: usize) -> Self {
        let some = async |sql: &'static str| {
            let ids: Vec<uuid::Uuid> = sqlx::query_scalar(sql).fetch_all(pool).await.unwrap();
            let ids = ids.into_iter().chain(std::iter::repeat(uuid::Uuid::nil()));
            ids.take(many).map(|id| id.to_string()).collect::<Vec<_>>()
        };
        let sweep = some("select id from sweeps order by jobs desc, id limit 1").await.remove(0);
        let agent = some("select id from agents order by id limit 1").await.remove(0);
        let attempts = some(
            "select id from attempts
            where sweep_id = (select id from sweeps order by jobs desc, id limit 1) order by job limit 100",
        );
        Self { many, sweep, agent, attempts: attempts.await }
    }

    fn fill_in(&self, given: &str) -> String {
        let Self { many, sweep, agent, attempts } = self;
        let numbers: Vec<_> = (0..*many).map(|number| number.to_string()).collect();
        let filled = [
            ("{sweeps}", format!("array_fill('{sweep}'::uuid, array[{many}])")),
            ("{agents}", format!("array_fill('{agent}'::uuid, array[{many}])")),
            ("{sessions}", format!("array_fill(1::bigint, array[{many}])")),
            ("{attempts}", format!("'{{{}}}'", attempts.join(","))),
            ("{numbers}", format!("'{{{}}}'", numbers.join(","))),
            ("{sweep}", format!("'{sweep}'")),
            ("{agent}", format!("'{agent}'")),
            ("{attempt}", format!("'{}'", attempts[0])),
            ("{many}", many.to_string()),
        ];
        filled.iter().fold(given.to_owned(), |text, (name, rows)| text.replace(name, rows))
    }
}

/// The plan that a coordinator follows for this statement: one that is kept for any values, or one for these.
async fn plan(queue: &Queue, hot: &Hot, rows: &Rows, kept: bool) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("queries/{}.sql", hot.statement));
    let text = std::fs::read_to_string(path).unwrap();
    let given = if hot.given.is_empty() { String::new() } else { format!("({})", rows.fill_in(hot.given)) };
    let mut tx = queue.by_key.begin().await.unwrap();
    let run = |sql: String| raw_sql(AssertSqlSafe(sql));
    let mode = if kept { "force_generic_plan" } else { "force_custom_plan" };
    run(format!("set local plan_cache_mode = {mode}")).execute(&mut *tx).await.unwrap();
    run(format!("prepare hot as {text}")).execute(&mut *tx).await.unwrap();
    let explain = AssertSqlSafe(format!("explain (format json) execute hot{given}"));
    let plan: Value = sqlx::query_scalar(explain).fetch_one(&mut *tx).await.unwrap();
    run("deallocate hot".to_owned()).execute(&mut *tx).await.unwrap();
    tx.rollback().await.unwrap();
    plan[0]["Plan"].clone()
}

async fn check(queue: &Queue, pool: &PgPool, tables: &str, many: usize) {
    let (indexes, rows) = (indexes(pool).await, Rows::of(pool, many).await);
    let mut wrong = String::new();
    // Postgres makes a plan for the values at hand, or keeps one for any, whichever it takes to be cheaper.
    for (hot, kept) in HOT.iter().flat_map(|hot| [(hot, false), (hot, true)]) {
        let mut found = BTreeSet::new();
        ways(&plan(queue, hot, &rows, kept).await, &indexes, &mut found);
        let expected: BTreeSet<_> = hot.by.iter().map(|&way| way.to_owned()).collect();
        if found != expected {
            let statement = hot.statement;
            wrong += &format!("\n{statement} with {tables}, kept {kept}: {found:?}, expected {expected:?}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Six sweeps of so many jobs each, of which every second has ended; two hundred sweeps and as many agents besides.
async fn fill(pool: &PgPool, jobs: u32) {
    let sql = include_str!("plans.sql").replace(":jobs", &jobs.to_string());
    raw_sql(AssertSqlSafe(sql)).execute(pool).await.unwrap();
}

async fn analyze(pool: &PgPool) {
    raw_sql("analyze").execute(pool).await.unwrap();
}

/// Rows of which a statement is given few, and many.
const FEW: usize = 3;
const MANY: usize = 100;
/// Jobs of each of the large sweeps: 120,000 in all.
const LARGE: u32 = 20_000;

#[sqlx::test(migrator = "MIGRATOR")]
async fn hot_statements_go_by_keys_while_tables_grow(pool: PgPool) {
    let queue = queue(&pool);
    check(&queue, &pool, "empty tables", FEW).await;
    fill(&pool, 10).await;
    check(&queue, &pool, "small tables of which nothing is known", FEW).await;
    analyze(&pool).await;
    check(&queue, &pool, "small tables", FEW).await;
    fill(&pool, LARGE).await;
    check(&queue, &pool, "large tables that were small", MANY).await;
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn hot_statements_go_by_keys_in_large_tables(pool: PgPool) {
    let queue = queue(&pool);
    fill(&pool, LARGE).await;
    check(&queue, &pool, "large tables of which nothing is known", MANY).await;
    analyze(&pool).await;
    check(&queue, &pool, "large tables", MANY).await;
}

/// The worst that can be known: that there is nothing.
#[sqlx::test(migrator = "MIGRATOR")]
async fn hot_statements_go_by_keys_in_large_tables_that_were_empty(pool: PgPool) {
    let queue = queue(&pool);
    analyze(&pool).await;
    fill(&pool, LARGE).await;
    check(&queue, &pool, "large tables that were known to be empty", MANY).await;
}

/// Elsewhere a plan that was made for empty tables is never followed when they are large: each is followed once.
#[sqlx::test(migrator = "MIGRATOR")]
async fn no_plan_outlives_the_tables_it_was_made_for(pool: PgPool) {
    let mut tx = queue(&pool).pool.begin().await.unwrap();
    for _ in 0..8 {
        let counted =
            query_file!("queries/claim/count_live.sql", uuid::Uuid::nil()).fetch_one(&mut *tx).await;
        assert_eq!(counted.unwrap().live, 0);
    }
    let counts = "select generic_plans, custom_plans from pg_prepared_statements where statement like 'select count%live%'";
    let (kept, made): (i64, i64) = sqlx::query_as(counts).fetch_one(&mut *tx).await.unwrap();
    assert_eq!((kept, made), (0, 8));
    tx.rollback().await.unwrap();
}
