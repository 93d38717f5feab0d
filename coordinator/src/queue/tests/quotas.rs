//! What owners may have: no more starts and no more is queued, however many ask at once.

use std::collections::HashMap;

use bt_model::id::BatchId;
use futures_util::future::join_all;

use super::*;
use crate::queue::{EVERYBODY, Quota, UNLIMITED};

impl Bench {
    async fn quota(&self, owner: &str, quota: Quota) {
        self.queue.set_quota(owner, &quota).await.unwrap();
    }

    /// A candidate as the dispatcher has it.
    async fn bound(&self, sweep: SweepId) -> Candidate {
        let candidate = self.queue.sweep_details(sweep).await.unwrap().candidate;
        let owners = self.queue.owners_running().await.unwrap();
        let has_quota = owners.get(&candidate.owner).is_some_and(|(_, room)| room.is_some());
        Candidate { has_quota, ..candidate }
    }

    async fn submit_as(&self, owner: &str, key: &str, jobs: u32) -> Result<Submitted, Error> {
        let submission = Submission { owner: owner.to_owned(), ..submission(key, jobs) };
        self.queue.submit(&submission, parameters(jobs)).await
    }
}

/// What an owner had running lately comes near what runs, and goes by half in each half-life when nothing does.
#[sqlx::test(migrator = "MIGRATOR")]
async fn shares_remember_what_ran_lately_and_forget_it(pool: PgPool) {
    let bench = Bench::new(pool.clone(), 100).await;
    let half_life = Duration::from_secs(600);
    let lately = async |owner: &str| {
        bench.queue.owners_lately(half_life).await.unwrap().get(owner).copied().unwrap_or(0.0)
    };
    let later = async |minutes: i32| {
        let back = "update owner_shares set noted_at = noted_at - make_interval(mins => $1)";
        sqlx::query(back).bind(minutes).execute(&pool).await.unwrap();
        bench.queue.note_shares(half_life).await.unwrap();
    };
    bench.queue.note_shares(half_life).await.unwrap();
    assert_eq!(lately("ann").await, 0.0);
    let want = Want { agent: bench.agent, session: 1, jobs: 8, batch: None };
    let candidate = bench.bound(bench.sweep).await;
    let claimed = bench.queue.claim(&candidate, &[want], 0, TERM).await.unwrap();
    assert_eq!(claimed.len(), 8);
    // A minute of eight in a half-life of ten, then ten minutes, then a day.
    bench.queue.note_shares(half_life).await.unwrap();
    let near = |figure: f64, right: f64| assert!((figure - right).abs() < 0.05, "{figure}, not {right}");
    let minute = 8.0 * (1.0 - 0.5_f64.powf(0.1));
    near(lately("ann").await, minute);
    later(10).await;
    near(lately("ann").await, minute / 2.0 + 4.0);
    later(24 * 60).await;
    near(lately("ann").await, 8.0);
    let row = bench.queue.quotas(None).await.unwrap().into_iter().find(|row| row.owner == "ann").unwrap();
    near(row.used.lately.unwrap(), 8.0);
    // Without jobs, half is left after each half-life, in between too, and nothing at last.
    sqlx::query("update sweep_counts set running = 0").execute(&pool).await.unwrap();
    later(10).await;
    near(lately("ann").await, 4.0);
    let back = "update owner_shares set noted_at = noted_at - interval '10 min'";
    sqlx::query(back).execute(&pool).await.unwrap();
    near(lately("ann").await, 2.0);
    later(24 * 60).await;
    assert_eq!(bench.queue.owners_lately(half_life).await.unwrap(), HashMap::new());
}

fn running(most: u64) -> Quota {
    Quota { running: Some(most), ..Quota::default() }
}

fn cpus(millis: u64) -> Quota {
    Quota { cpu_millis: Some(millis), ..Quota::default() }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>, words: &str) -> Option<u64> {
    match result {
        Err(Error::OverQuota { why, wait }) if why.contains(words) => wait,
        other => panic!("{words}: {other:?}"),
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn no_more_jobs_of_an_owner_run_than_the_quota_whoever_starts_them(pool: PgPool) {
    let bench = Bench::new(pool.clone(), 100).await;
    let second = bench.submit_as("ann", "second", 100).await.unwrap().id;
    let others = bench.submit_as("bob", "bobs", 100).await.unwrap().id;
    bench.quota("ann", running(7)).await;
    // As of several coordinators.
    let queues = [queue(&pool), queue(&pool), queue(&pool)];
    let candidates = [bench.bound(bench.sweep).await, bench.bound(second).await];
    let want = Want { agent: bench.agent, session: 1, jobs: 2, batch: None };
    let claims =
        (0..24).map(|n| queues[n % 3].claim(&candidates[n % 2], std::slice::from_ref(&want), 0, TERM));
    let claimed: Vec<_> = join_all(claims).await.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(claimed.len(), 7);
    let live = "select count(*) from attempts where state = 'leased'";
    assert_eq!(bench.number(live).await, 7);
    let unbound = bench.bound(others).await;
    assert!(!unbound.has_quota);
    assert_eq!(bench.queue.claim(&unbound, &[Want { jobs: 9, ..want }], 0, TERM).await.unwrap().len(), 9);

    // One that ends makes room for one.
    bench.settle(bench.me(), claimed[0].attempt, Ending::Published).await;
    let room = bench.queue.owners_running().await.unwrap()["ann"].1.unwrap();
    assert_eq!(room.jobs, 1);
    let again = bench.queue.claim(&candidates[0], &[want], 0, TERM).await.unwrap();
    assert_eq!(again.len(), 1);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn cpus_are_those_of_containers(pool: PgPool) {
    let bench = Bench::with(pool, Submission { batch: Some(10), ..submission("k", 100) }).await;
    bench.quota("ann", cpus(2_500)).await;
    let candidate = bench.bound(bench.sweep).await;
    let want = |jobs| Want { agent: bench.agent, session: 1, jobs, batch: Some(BatchId::random()) };
    // Two containers of which neither is full.
    let first = bench.queue.claim(&candidate, &[want(3), want(4), want(5)], 0, TERM).await.unwrap();
    assert_eq!(first.len(), 7);
    assert!(bench.queue.claim(&candidate, &[want(1)], 0, TERM).await.unwrap().is_empty());
    let room = bench.queue.owners_running().await.unwrap()["ann"].1.unwrap();
    assert_eq!((room.jobs, room.cpu_millis), (u64::MAX, 500));
    let single = bench.submit_as("ann", "single", 10).await.unwrap().id;
    let single = bench.bound(single).await;
    let one = Want { batch: None, ..want(5) };
    assert!(bench.queue.claim(&single, &[one], 0, TERM).await.unwrap().is_empty());
    bench.quota("ann", cpus(4_000)).await;
    assert_eq!(bench.queue.claim(&single, &[one], 0, TERM).await.unwrap().len(), 2);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn what_an_owner_has_not_of_its_own_is_everybodys(pool: PgPool) {
    let bench = Bench::new(pool, 10).await;
    bench.quota(EVERYBODY, Quota { running: Some(3), queued: Some(50), ..Quota::default() }).await;
    bench.quota("ann", Quota { queued: Some(20), ..Quota::default() }).await;
    let quota = async |owner: &str| bench.queue.quota_of(owner).await.unwrap().0;
    assert_eq!(quota("ann").await, Quota { running: Some(3), queued: Some(20), ..Quota::default() });
    assert_eq!(quota("bob").await, Quota { running: Some(3), queued: Some(50), ..Quota::default() });
    // None is less than everybody's.
    bench.quota("ann", running(UNLIMITED)).await;
    assert_eq!(quota("ann").await, Quota { queued: Some(20), ..Quota::default() });
    assert!(bench.queue.owners_running().await.unwrap()["ann"].1.is_some());
    assert_eq!(
        bench.queue.claim(&bench.bound(bench.sweep).await, &[bench.want(9)], 0, TERM).await.unwrap().len(),
        9
    );

    let rows = bench.queue.quotas(None).await.unwrap();
    let told: Vec<_> =
        rows.iter().map(|row| (row.owner.as_str(), row.set, row.used.queued, row.used.running)).collect();
    assert_eq!(told, [("", true, 0, 0), ("ann", true, 1, 9)]);
    let own = bench.queue.quotas(Some(&["bob".to_owned()])).await.unwrap();
    assert_eq!(own.len(), 1, "{own:?}");
    assert!(bench.queue.remove_quota("ann").await.unwrap());
    assert!(!bench.queue.remove_quota("ann").await.unwrap());
    assert_eq!(quota("ann").await, Quota { running: Some(3), queued: Some(50), ..Quota::default() });
}

impl Bench {
    fn want(&self, jobs: u32) -> Want {
        Want { agent: self.agent, session: 1, jobs, batch: None }
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn no_more_is_queued_than_the_quota_however_many_submit_at_once(pool: PgPool) {
    let bench = Bench::new(pool, 5).await;
    bench.quota("ann", Quota { queued: Some(38), ..Quota::default() }).await;
    let keys: Vec<_> = (0..12).map(|n| format!("k{n}")).collect();
    let submitted = join_all(keys.iter().map(|key| bench.submit_as("ann", key, 10))).await;
    assert_eq!(submitted.iter().filter(|submitted| submitted.is_ok()).count(), 3);
    assert_eq!(bench.number("select count(*) from jobs where state = 'queued'").await, 35);
    let told = "ann may have 38 queued jobs: 35 are queued, and these are 4; queue 3 at most";
    refused(bench.submit_as("ann", "more", 4).await, told);
    refused(bench.submit_as("ann", "many", 39).await, "queue 38 at most, in parts");
    assert_eq!(bench.number("select count(*) from sweeps").await, 4);
    bench.submit_as("bob", "bobs", 100).await.unwrap();
    // What is sent again is answered as before.
    bench.submit_as("ann", "k", 5).await.unwrap();

    // Jobs that start make room; jobs that are tried again or added take it.
    let claimed = bench.claim(5, 1).await;
    bench.submit_as("ann", "fits", 8).await.unwrap();
    for claimed in &claimed {
        bench.settle(bench.me(), claimed.attempt, Ending::Failed(Reason::Exit(2))).await;
    }
    let failed = [JobState::Failed];
    refused(
        bench.queue.retry(bench.sweep, &Chosen::All, &failed, &[]).await,
        "38 are queued, and these are 5",
    );
    assert_eq!(bench.number("select count(*) from jobs where state = 'failed'").await, 5);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn no_more_sweeps_are_submitted_within_a_minute_than_the_quota(pool: PgPool) {
    let bench = Bench::new(pool, 1).await;
    bench.quota("ann", Quota { submits_per_minute: Some(4), ..Quota::default() }).await;
    let keys: Vec<_> = (0..12).map(|n| format!("k{n}")).collect();
    let submitted = join_all(keys.iter().map(|key| bench.submit_as("ann", key, 1))).await;
    assert_eq!(submitted.iter().filter(|submitted| submitted.is_ok()).count(), 3);
    bench
        .execute("update sweeps set created_at = created_at - interval '20 s' where idempotency_key = 'k'")
        .await;
    let wait = refused(
        bench.submit_as("ann", "more", 1).await,
        "ann may submit 4 sweeps a minute, and has submitted 4",
    );
    assert!(wait.is_some_and(|wait| (30..=40).contains(&wait)), "{wait:?}");
    bench.submit_as("bob", "bobs", 1).await.unwrap();
    bench
        .execute("update sweeps set created_at = created_at - interval '41 s' where idempotency_key = 'k'")
        .await;
    bench.submit_as("ann", "later", 1).await.unwrap();
    refused(bench.submit_as("ann", "again", 1).await, "has submitted 4");
    bench.quota("ann", Quota { submits_per_minute: Some(0), ..Quota::default() }).await;
    assert_eq!(refused(bench.submit_as("ann", "never", 1).await, "an operator sets it"), None);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn nothing_is_submitted_while_results_take_more_than_the_quota(pool: PgPool) {
    let bench = Bench::new(pool, 2).await;
    bench.quota("ann", Quota { bytes: Some(1_000), ..Quota::default() }).await;
    let publish = async |path: &str, size: u64, stored: Option<u64>| {
        let attempt = bench.lease().await;
        let encoding = if stored.is_some() { Encoding::Zstd } else { Encoding::None };
        let publication =
            Publication { files: vec![published(path, size, encoding, stored)], ..Publication::default() };
        let settlement = Settlement { publication, ..Settlement::of(attempt, bench.me(), Ending::Published) };
        bench.queue.settle(&[settlement]).await.unwrap();
    };
    publish("a", 5_000, Some(400)).await;
    let used = async || {
        let rows = bench.queue.quotas(None).await.unwrap();
        rows.iter().find(|row| row.owner == "ann").unwrap().used.bytes
    };
    assert_eq!(used().await, Some(400));
    bench.submit_as("ann", "fits", 1).await.unwrap();
    publish("b", 600, None).await;
    let told = "ann may keep 1000 B of results, and keeps 1000 B";
    refused(bench.submit_as("ann", "more", 1).await, told);
    // Counted once, when the sweep has ended.
    bench.queue.tend_sweeps().await.unwrap();
    assert_eq!(bench.number("select count(*) from sweeps where ended_at is not null").await, 1);
    refused(bench.submit_as("ann", "more", 1).await, told);
    assert_eq!(used().await, Some(1_000));
    assert_eq!(bench.number("select bytes from result_sizes").await, 1_000);
    bench.submit_as("bob", "bobs", 1).await.unwrap();
    bench.execute("update sweeps set expired_at = now(), keep_seconds = 1 where ended_at is not null").await;
    bench.submit_as("ann", "more", 1).await.unwrap();
}
