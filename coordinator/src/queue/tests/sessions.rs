//! What sessions with Postgres stand: other defaults, spells in which nothing may be written, backends that don't move,
//! callers that leave.

use std::process::Command;
use std::time::{Duration, Instant};

use sqlx::PgPool;

use super::*;

/// Longer than anything here may take on a loaded machine, and shorter than what would stop without the limits tested.
const SOON: Duration = Duration::from_secs(60);

async fn all(pool: &PgPool, statements: &[&str]) {
    for statement in statements {
        let sql = format!("do $$ begin execute format($f${statement}$f$, current_database()); end $$");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(pool).await.unwrap();
    }
}

async fn setting(queue: &Queue, name: &str) -> String {
    sqlx::query_scalar("select current_setting($1)").bind(name).fetch_one(&queue.pool).await.unwrap()
}

async fn wait_for(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !look().await {
        assert!(began.elapsed() < SOON, "waited in vain until {what}");
        tokio::task::yield_now().await;
    }
}

fn signal(pid: i32, signal: &str) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "send {signal} to {pid}");
}

#[sqlx::test(migrations = "../migrations")]
async fn defaults_of_others_change_nothing(pool: PgPool) {
    all(
        &pool,
        &[
            "alter database %I set default_transaction_isolation = 'serializable'",
            "alter database %I set default_transaction_deferrable = on",
            "alter database %I set statement_timeout = '500ms'",
            "alter database %I set lock_timeout = '1ms'",
            "alter database %I set idle_in_transaction_session_timeout = 0",
            "alter database %I set search_path = ''",
            "alter database %I set work_mem = '64kB'",
            "alter database %I set timezone = 'Asia/Kathmandu'",
            "alter database %I set datestyle = 'German'",
            "alter database %I set intervalstyle = 'sql_standard'",
            "alter database %I set bytea_output = 'escape'",
            "alter database %I set synchronous_commit = off",
            "alter database %I set enable_indexscan = off",
            "alter database %I set enable_nestloop = off",
            "alter database %I set enable_bitmapscan = off",
            "alter database %I set enable_hashjoin = off",
            "alter database %I set session_replication_role = replica",
            // The last: from then on the test's own sessions end quickly too.
            "alter database %I set idle_session_timeout = '1s'",
        ],
    )
    .await;
    let bench = Bench::new(pool, 3).await;
    for (name, value) in [
        ("transaction_isolation", "read committed"),
        ("idle_in_transaction_session_timeout", "10s"),
        ("lock_timeout", "10s"),
        ("statement_timeout", "15min"),
        ("idle_session_timeout", "0"),
        ("search_path", "public, pg_temp"),
        ("work_mem", "16MB"),
        ("TimeZone", "UTC"),
        ("synchronous_commit", "on"),
        ("enable_indexscan", "on"),
        ("enable_bitmapscan", "on"),
        ("enable_hashjoin", "on"),
        ("session_replication_role", "origin"),
        ("tcp_user_timeout", "0"),
    ] {
        // A socket of this machine has no TCP; there the setting stays 0.
        assert_eq!(setting(&bench.queue, name).await, value, "{name}");
    }
    let attempt = bench.claim(3, 1).await[0].attempt;
    let settled = bench.settle(Fence::None, attempt, Ending::Cancelled).await;
    assert_eq!(settled, Settled::Now(JobState::Cancelled));
    // The triggers have counted it.
    let row =
        bench.queue.sweeps(&SweepFilter { all: true, ..SweepFilter::default() }, 1).await.unwrap().remove(0);
    assert_eq!(row.counts, [0, 2, 0, 0, 1, 0]);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_read_only_spell_is_told_and_ends_with_it(pool: PgPool) {
    all(&pool, &["alter database %I set default_transaction_read_only = on"]).await;
    let queue = queue(&pool);
    let began = Instant::now();
    let error = queue.candidates().await.unwrap_err();
    assert!(matches!(error, Error::ReadOnly(_)) && error.is_transient(), "{error}");
    assert!(error.to_string().contains("default_transaction_read_only"), "{error}");
    assert!(began.elapsed() < SOON);
    sqlx::raw_sql("set default_transaction_read_only = off").execute(&pool).await.unwrap();
    let reset = "do $$ begin execute format('alter database %I reset default_transaction_read_only',
        current_database()); end $$";
    let mut own = pool.acquire().await.unwrap();
    sqlx::raw_sql("set default_transaction_read_only = off").execute(&mut *own).await.unwrap();
    sqlx::raw_sql(reset).execute(&mut *own).await.unwrap();
    queue.candidates().await.unwrap();
    // A session that alone is read-only, as those are that were opened during a spell.
    sqlx::raw_sql("set default_transaction_read_only = on").execute(&queue.pool).await.unwrap();
    let submitted = queue.submit(&submission("k", 2), parameters(2)).await.unwrap();
    assert_eq!(submitted.jobs, 2);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_frozen_backend_holds_nobody_up(pool: PgPool) {
    let queue = queue(&pool);
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&queue.pool).await.unwrap();
    signal(pid, "STOP");
    let began = Instant::now();
    let answered = queue.candidates().await;
    let took = began.elapsed();
    signal(pid, "CONT");
    answered.unwrap();
    assert!(took < SOON, "{took:?}");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_statement_ends_with_its_caller(pool: PgPool) {
    let queue = queue(&pool);
    queue.set_limit("l", 1).await.unwrap();
    let mut holder = pool.begin().await.unwrap();
    sqlx::raw_sql("update limits set capacity = 2").execute(&mut *holder).await.unwrap();
    let waiting = "select count(*) from pg_locks where not granted and database = (
        select oid from pg_database where datname = current_database())";
    let waits = async || {
        let count: i64 = sqlx::query_scalar(waiting).fetch_one(&pool).await.unwrap();
        // Another transaction's end is waited for without a database.
        let rows = "select count(*) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'";
        let more: i64 = sqlx::query_scalar(rows).fetch_one(&pool).await.unwrap();
        count + more
    };
    let mut callers = tokio::task::JoinSet::new();
    let called = queue.clone();
    callers.spawn(async move { called.set_limit("l", 3).await });
    wait_for("the caller waits", async || waits().await > 0).await;
    let began = Instant::now();
    callers.abort_all();
    wait_for("the statement has ended", async || waits().await == 0).await;
    // Long before the lock's own time limit would have ended it.
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    drop(holder);
    queue.set_limit("l", 4).await.unwrap();
}

#[sqlx::test(migrations = "../migrations")]
async fn a_transaction_that_does_not_move_loses_its_locks(pool: PgPool) {
    let queue = queue(&pool);
    queue.set_limit("l", 1).await.unwrap();
    let mut frozen = queue.pool.begin().await.unwrap();
    sqlx::raw_sql("update limits set capacity = 2").execute(&mut *frozen).await.unwrap();
    let began = Instant::now();
    // Perhaps the lock's time limit comes first; callers try again.
    wait_for("the lock is free", async || match queue.set_limit("l", 3).await {
        Ok(()) => true,
        Err(error) => {
            assert!(error.is_transient(), "{error}");
            false
        }
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let late = sqlx::raw_sql("update limits set capacity = 4").execute(&mut *frozen).await;
    assert!(Error::from(late.unwrap_err()).is_transient());
    drop(frozen);
    assert_eq!(queue.limits().await.unwrap()[0].capacity, 3);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_transaction_that_is_dropped_is_rolled_back(pool: PgPool) {
    let queue = queue(&pool);
    queue.set_limit("l", 1).await.unwrap();
    for _ in 0..40 {
        let mut tx = queue.pool.begin().await.unwrap();
        sqlx::raw_sql("update limits set capacity = 2").execute(&mut *tx).await.unwrap();
    }
    assert_eq!(queue.limits().await.unwrap()[0].capacity, 1);
}
