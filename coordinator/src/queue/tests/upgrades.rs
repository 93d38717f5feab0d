//! Databases that coordinators of earlier versions left are brought up to date with what is in them, and the queue goes on.

use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, PgPool, raw_sql};
use uuid::uuid;

use super::*;

const GRID: SweepId = SweepId::from_uuid(uuid!("11111111-0000-4000-8000-000000000001"));
const MATRIX: SweepId = SweepId::from_uuid(uuid!("33333333-0000-4000-8000-000000000003"));
const TWIN: SweepId = SweepId::from_uuid(uuid!("44444444-0000-4000-8000-000000000004"));
const OLD: AgentId = AgentId::from_uuid(uuid!("aaaaaaaa-0000-4000-8000-000000000001"));
const RUNNING: AttemptId = AttemptId::from_uuid(uuid!("bbbbbbbb-0000-4000-8000-000000000003"));

/// An empty database again.
const EMPTY: &str = "drop schema public cascade; drop schema if exists reports cascade; create schema public";

/// The rows that a coordinator of this version had, all of them.
fn rows(version: i64) -> String {
    let parts = include_str!("upgrades.sql").split("-- version ").skip(1);
    let parts = parts.map(|part| part.split_once('\n').unwrap());
    parts.filter(|(since, _)| since.parse::<i64>().unwrap() <= version).map(|(_, sql)| sql).collect()
}

/// The database as a coordinator of this version left it.
async fn leave(pool: &PgPool, version: i64) {
    raw_sql(EMPTY).execute(pool).await.unwrap();
    let known = MIGRATOR.iter().filter(|migration| migration.version <= version).cloned();
    Migrator::with_migrations(known.collect()).run(pool).await.unwrap();
    raw_sql(AssertSqlSafe(rows(version))).execute(pool).await.unwrap();
}

/// How many jobs each sweep has in each state, by name.
async fn counts(queue: &Queue) -> BTreeMap<String, [u32; 6]> {
    let all = SweepFilter { all: true, ..SweepFilter::default() };
    let sweeps = queue.sweeps(&all, 100).await.unwrap();
    sweeps.into_iter().map(|sweep| (sweep.name, sweep.counts)).collect()
}

#[sqlx::test(migrations = false)]
async fn a_database_of_each_earlier_version_is_brought_up_to_date(pool: PgPool) {
    let versions: Vec<_> = MIGRATOR.iter().map(|migration| migration.version).collect();
    for version in versions {
        leave(&pool, version).await;
        let queue = queue(&pool);
        queue.pool.prepare(&MIGRATOR, SchemaRule::BringUpToDate).await.unwrap();
        nothing_is_lost(&queue, version).await;
        the_queue_goes_on(queue, version).await;
    }
}

async fn nothing_is_lost(queue: &Queue, version: i64) {
    let mut expected = BTreeMap::from([("grid", [1, 1, 1, 1, 1, 0]), ("done", [0, 0, 1, 0, 0, 0])]);
    if version >= 2 {
        expected.insert("matrix", [2, 0, 0, 0, 0, 0]);
    }
    if version >= 8 {
        expected.insert("twin", [1, 0, 1, 0, 0, 0]);
    }
    let counts = counts(queue).await;
    let counts: BTreeMap<_, _> = counts.iter().map(|(name, jobs)| (name.as_str(), *jobs)).collect();
    assert_eq!(counts, expected, "version {version}");

    let jobs = queue.jobs(GRID, &JobFilter::default(), None, 10).await.unwrap();
    let states: Vec<_> = jobs.iter().map(|job| job.state).collect();
    use JobState::{Cancelled, Failed, Queued, Running, Succeeded};
    assert_eq!(states, [Succeeded, Failed, Running, Queued, Cancelled], "version {version}");
    assert_eq!(jobs[1].reason, Some(Reason::Exit(3)));
    assert_eq!(jobs[2].parameters, Written::Out(r#"{"n": 2}"#.to_owned()));
    assert_eq!(jobs[3].attempts, 0, "what was handed back is no attempt to users");
    assert_eq!(jobs[0].measured.peak_memory_bytes, (version >= 3).then_some(1024));

    let looks = queue.looks("averages").await.unwrap();
    assert_eq!(looks.len(), usize::from(version >= 37), "version {version}");
    let cut = queue.sweep(GRID).await.unwrap().unwrap().cut_before;
    assert_eq!(cut.as_deref(), (version >= 37).then_some("2012-01-01"));
    let best = queue.sweep(GRID).await.unwrap().unwrap().best.unwrap();
    assert_eq!((best.metric.as_str(), best.value, best.job), ("sharpe", 1.5, 0), "version {version}");
    let result = queue.published(GRID, 0).await.unwrap().unwrap();
    assert_eq!(result.metrics.as_deref(), Some(r#"{"sharpe": 1.5}"#));
    let stored: Vec<_> = result.files.iter().map(PublishedFile::stored_as).collect();
    let expected: &[_] = if version >= 4 { &["a.pkl", "b.csv.zst"] } else { &["a.pkl"] };
    assert_eq!(stored, expected, "version {version}");
    let unwritten = queue.unwritten(None, 10).await.unwrap();
    assert_eq!(unwritten.len(), 1, "version {version}");
    assert_eq!(queue.known_store().await.unwrap().is_some(), version >= 18, "version {version}");

    let found = queue.find_sweep("1111").await.unwrap();
    assert_eq!((found.id, found.is_newest, found.same_name), (GRID, true, 1));
    assert_eq!(queue.find_agent("old", TERM).await.unwrap(), OLD);
    let views = "select (select count(*) from reports.jobs), (select count(*) from reports.files)";
    let reported: (i64, i64) = sqlx::query_as(views).fetch_one(&queue.pool).await.unwrap();
    let expected = match version {
        1 => (6, 2),
        2..4 => (8, 2),
        4..8 => (8, 3),
        _ => (10, 4),
    };
    assert_eq!(reported, expected, "version {version}");
}

/// The agent comes back, ends what it runs, and gets what waits; then nothing is left of the sweep.
async fn the_queue_goes_on(queue: Queue, version: i64) {
    let grid = Bench { queue, sweep: GRID, agent: OLD };
    assert!(matches!(grid.hello(3).await, Err(Error::Superseded(_))), "version {version}");
    grid.hello(4).await.unwrap();
    let beat = grid.queue.heartbeat(OLD, 4, &pulse(&[RUNNING]), TERM).await.unwrap();
    assert!(beat.gone.is_empty(), "version {version}");
    assert_eq!(grid.settle(grid.me(), RUNNING, Ending::Published).await, Settled::Now(JobState::Succeeded));
    let claimed = grid.claim(5, 4).await;
    assert_eq!(claimed.iter().map(|claimed| claimed.job).collect::<Vec<_>>(), [3], "version {version}");
    grid.settle(grid.me(), claimed[0].attempt, Ending::Failed(Reason::Exit(1))).await;
    assert_eq!(grid.queue.cancel(GRID, &Chosen::These(vec![3])).await.unwrap().cancelled, 1);
    grid.queue.follow().await.unwrap();
    grid.queue.tend_sweeps().await.unwrap();
    let counts = counts(&grid.queue).await;
    assert_eq!(counts["grid"], [0, 0, 2, 1, 2, 0], "version {version}");
    let open = grid.queue.sweeps(&SweepFilter::default(), 10).await.unwrap();
    let expected: &[_] = if version >= 2 { &["matrix"] } else { &[] };
    assert_eq!(open.iter().map(|sweep| &sweep.name).collect::<Vec<_>>(), expected, "version {version}");
    let folded = "select count(*) from sweep_counts
        where sweep_id in (select id from sweeps where ended_at is not null)";
    assert_eq!(grid.number(folded).await, if version >= 8 { 3 } else { 2 }, "version {version}");
    if version >= 2 {
        let matrix = Bench { queue: grid.queue.clone(), sweep: MATRIX, agent: OLD };
        let claimed = matrix.claim(5, 4).await;
        assert_eq!(claimed.len(), 1, "one at a time");
        assert_eq!(claimed[0].parameters, Written::Point(0));
    }
    if version >= 8 {
        let followed = grid.queue.jobs(TWIN, &JobFilter::default(), None, 10).await.unwrap();
        assert!(followed.iter().all(|job| job.state == JobState::Succeeded), "{followed:?}");
    }
}
