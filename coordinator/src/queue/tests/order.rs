//! What holds jobs back, and what keeps a sweep and its counts together.

use bt_model::manifest::Retries;
use bt_model::reason::ReasonKind;

use super::*;

/// Jobs in each state, as clients see them.
async fn counts(bench: &Bench) -> [u32; 6] {
    bench.queue.sweep(bench.sweep).await.unwrap().unwrap().counts
}

async fn candidates(bench: &Bench) -> usize {
    bench.queue.candidates().await.unwrap().len()
}

fn with_policy(jobs: u32, policy: Policy) -> Submission {
    Submission { policy, ..submission("k", jobs) }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn counts_follow_every_move(pool: PgPool) {
    let bench = Bench::new(pool, 5).await;
    assert_eq!(counts(&bench).await, [5, 0, 0, 0, 0, 0]);
    let claimed = bench.claim(3, 1).await;
    assert_eq!(counts(&bench).await, [2, 3, 0, 0, 0, 0]);
    bench.settle(bench.me(), claimed[0].attempt, Ending::Published).await;
    bench.settle(bench.me(), claimed[1].attempt, Ending::Failed(Reason::Oom)).await;
    bench.settle(bench.me(), claimed[2].attempt, Ending::Lost).await;
    assert_eq!(counts(&bench).await, [3, 0, 1, 1, 0, 0]);
    for _ in 0..40 {
        let again = bench.claim(1, 1).await[0].attempt;
        bench.settle(Fence::None, again, Ending::Returned).await;
    }
    let rows = "select count(*) from sweep_counts";
    assert!(bench.number(rows).await > 80);
    bench.queue.tend_sweeps().await.unwrap();
    assert_eq!(bench.number(rows).await, 1, "changes are folded");
    assert_eq!(counts(&bench).await, [3, 0, 1, 1, 0, 0]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_ended_sweep_is_out_of_sight_until_it_is_retried(pool: PgPool) {
    let bench = Bench::new(pool, 1).await;
    assert_eq!(candidates(&bench).await, 1);
    let attempt = bench.lease().await;
    bench.queue.tend_sweeps().await.unwrap();
    assert_eq!(bench.number("select count(*) from sweeps where ended_at is null").await, 1);
    bench.settle(bench.me(), attempt, Ending::Failed(Reason::Exit(2))).await;
    bench.queue.tend_sweeps().await.unwrap();
    assert_eq!(bench.number("select count(*) from sweeps where ended_at is null").await, 0);
    let failed = [JobState::Failed];
    assert_eq!(bench.queue.retry(bench.sweep, &Chosen::All, &failed, &[ReasonKind::Oom]).await.unwrap(), 0);
    assert_eq!(bench.queue.retry(bench.sweep, &Chosen::All, &failed, &[ReasonKind::Exit]).await.unwrap(), 1);
    assert_eq!(candidates(&bench).await, 1);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_cancelled_sweep_is_cancelled_at_once_and_its_rows_later(pool: PgPool) {
    let bench = Bench::new(pool, 50).await;
    bench.claim(2, 1).await;
    let cancelled = bench.queue.cancel(bench.sweep, &Chosen::All).await.unwrap();
    assert_eq!((cancelled.cancelled, cancelled.stopping), (50, 2));
    let rows = "select count(*) from jobs where state = 'queued'";
    assert_eq!(bench.number(rows).await, 48);
    assert_eq!(counts(&bench).await, [0, 0, 0, 0, 50, 0]);
    let listed = bench.queue.jobs(bench.sweep, &JobFilter::default(), None, 100).await.unwrap();
    assert!(listed.iter().all(|job| job.state == JobState::Cancelled));
    bench.queue.tend_sweeps().await.unwrap();
    assert_eq!(bench.number(rows).await, 0);
    assert_eq!(counts(&bench).await, [0, 0, 0, 0, 50, 0]);
    let again = bench.queue.cancel(bench.sweep, &Chosen::All).await.unwrap();
    assert_eq!((again.cancelled, again.ended), (0, 50));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_cancel_that_is_taken_back_leaves_all_jobs_queued(pool: PgPool) {
    let bench = Bench::new(pool, 50).await;
    bench.queue.cancel(bench.sweep, &Chosen::All).await.unwrap();
    let both = [JobState::Failed, JobState::Cancelled];
    assert_eq!(bench.queue.retry(bench.sweep, &Chosen::All, &both, &[]).await.unwrap(), 50);
    bench.queue.tend_sweeps().await.unwrap();
    assert_eq!(counts(&bench).await, [50, 0, 0, 0, 0, 0]);
    assert_eq!(bench.claim(50, 1).await.len(), 50);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_paused_sweep_starts_nothing(pool: PgPool) {
    let bench = Bench::new(pool, 2).await;
    assert!(bench.queue.pause(bench.sweep).await.unwrap());
    assert!(!bench.queue.pause(bench.sweep).await.unwrap());
    assert_eq!(candidates(&bench).await, 0);
    assert!(bench.claim(2, 1).await.is_empty());
    assert!(bench.queue.resume(bench.sweep).await.unwrap());
    assert!(!bench.queue.resume(bench.sweep).await.unwrap());
    assert_eq!(bench.claim(2, 1).await.len(), 2);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn no_more_run_at_once_than_the_sweep_allows(pool: PgPool) {
    let policy = Policy { max_parallel: Some(3), ..Policy::default() };
    let bench = Bench::with(pool, with_policy(10, policy)).await;
    let claims = (0..5).map(|_| bench.claim(2, 1));
    let claimed: Vec<_> = futures_util::future::join_all(claims).await.into_iter().flatten().collect();
    assert_eq!(claimed.len(), 3);
    bench.settle(bench.me(), claimed[0].attempt, Ending::Published).await;
    assert_eq!(bench.claim(5, 1).await.len(), 1);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_limit_holds_for_all_sweeps_together(pool: PgPool) {
    let policy = Policy { limits: BTreeMap::from([("nas-io".into(), 2)]), ..Policy::default() };
    let bench = Bench::with(pool, with_policy(10, policy.clone())).await;
    assert!(bench.claim(5, 1).await.is_empty(), "nobody has set it");
    bench.queue.set_limit("nas-io", 5).await.unwrap();
    let other = Submission { idempotency_key: "other".into(), ..with_policy(10, policy) };
    let other = bench.queue.submit(&other, parameters(10)).await.unwrap().id;
    let other = Bench { queue: bench.queue.clone(), sweep: other, agent: bench.agent };
    let (mine, others) = tokio::join!(bench.claim(1, 1), other.claim(1, 1));
    assert_eq!((mine.len(), others.len()), (1, 1));
    assert!(bench.claim(5, 1).await.is_empty());
    let limit = bench.queue.limits().await.unwrap().remove(0);
    assert_eq!((limit.capacity, limit.used), (5, 4));
    bench.settle(bench.me(), mine[0].attempt, Ending::Published).await;
    assert_eq!(other.claim(5, 1).await.len(), 1);
    assert!(bench.queue.remove_limit("nas-io").await.unwrap());
    assert!(!bench.queue.remove_limit("nas-io").await.unwrap());
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_canary_goes_first_and_decides(pool: PgPool) {
    let policy = Policy { canary: Some(2), ..Policy::default() };
    let bench = Bench::with(pool, with_policy(10, policy)).await;
    let first = bench.claim(10, 1).await;
    assert_eq!(first.iter().map(|claimed| claimed.job).collect::<Vec<_>>(), [0, 1]);
    bench.settle(bench.me(), first[0].attempt, Ending::Published).await;
    bench.queue.judge_canaries().await.unwrap();
    assert!(bench.claim(10, 1).await.is_empty());
    bench.settle(bench.me(), first[1].attempt, Ending::Failed(Reason::Exit(1))).await;
    bench.queue.judge_canaries().await.unwrap();
    let shown = bench.queue.sweep(bench.sweep).await.unwrap().unwrap();
    assert!(shown.paused);
    assert_eq!(shown.pause_reason, "its canary failed");
    // Somebody wants the rest in spite of it.
    assert!(bench.queue.resume(bench.sweep).await.unwrap());
    bench.queue.judge_canaries().await.unwrap();
    assert_eq!(bench.claim(10, 1).await.len(), 8);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_canary_that_succeeds_releases_the_rest(pool: PgPool) {
    let policy = Policy { canary: Some(20), ..Policy::default() };
    let bench = Bench::with(pool, with_policy(3, policy)).await;
    for claimed in bench.claim(10, 1).await {
        bench.settle(bench.me(), claimed.attempt, Ending::Published).await;
    }
    bench.queue.judge_canaries().await.unwrap();
    assert_eq!(bench.number("select count(*) from sweeps where canary_passed_at is not null").await, 1);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn each_kind_of_failure_has_its_own_retries(pool: PgPool) {
    let retries =
        Retries { failures: Some(1), oom: Some(0), lost: Some(1), preempted: Some(0), ..Retries::default() };
    let policy = Policy { retries, ..Policy::default() };
    let bench = Bench::with(pool, with_policy(1, policy)).await;
    let end = async |ending| {
        bench.execute("update jobs set ready_at = now()").await;
        let attempt = bench.lease().await;
        bench.settle(bench.me(), attempt, ending).await;
        bench.job().await.state
    };
    assert_eq!(end(Ending::Failed(Reason::Exit(1))).await, JobState::Queued);
    assert_eq!(end(Ending::Lost).await, JobState::Queued);
    assert_eq!(end(Ending::Failed(Reason::Oom)).await, JobState::Failed);
    assert_eq!(bench.queue.retry(bench.sweep, &Chosen::All, &[JobState::Failed], &[]).await.unwrap(), 1);
    assert_eq!(end(Ending::Preempted).await, JobState::Failed);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_lease_that_never_reached_its_agent_costs_nothing(pool: PgPool) {
    let bench = Bench::new(pool, 1).await;
    let attempt = bench.lease().await;
    assert_eq!(
        bench.settle(Fence::Unreceived, attempt, Ending::Returned).await,
        Settled::Now(JobState::Queued)
    );
    let attempt = bench.lease().await;
    bench.advance(attempt, AttemptEvent::Prepares).await;
    assert_eq!(bench.settle(Fence::Unreceived, attempt, Ending::Returned).await, Settled::Renewed);
    assert_eq!(bench.number("select (losses + failures)::bigint from jobs").await, 0);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn points_of_a_matrix_take_the_place_of_parameters(pool: PgPool) {
    let queue = queue(&pool);
    let whole = queue.submit(&submission("whole", 250_000), Jobs::Whole).await.unwrap();
    let points = Jobs::Points(Box::new([7, 1 << 40, 9].into_iter()));
    let some = queue.submit(&submission("some", 3), points).await.unwrap();
    let page = async |sweep, after| queue.jobs(sweep, &JobFilter::default(), after, 2).await.unwrap();
    let last = page(whole.id, Some(249_998)).await;
    assert_eq!(last.iter().map(|job| &job.parameters).collect::<Vec<_>>(), [&Written::Point(249_999)]);
    let first = page(some.id, None).await;
    let first: Vec<_> = first.iter().map(|job| &job.parameters).collect();
    assert_eq!(first, [&Written::Point(7), &Written::Point(1 << 40)]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn jobs_go_to_several_agents_in_one_claim(pool: PgPool) {
    let bench = Bench::new(pool, 10).await;
    let other = Bench { queue: bench.queue.clone(), sweep: bench.sweep, agent: AgentId::random() };
    other.hello(4).await.unwrap();
    let candidate = bench.queue.sweep_details(bench.sweep).await.unwrap().candidate;
    let wants = [
        Want { agent: bench.agent, session: 1, jobs: 3, batch: None },
        Want { agent: other.agent, session: 4, jobs: 2, batch: None },
        Want { agent: AgentId::random(), session: 1, jobs: 5, batch: None },
    ];
    let claimed = bench.queue.claim(&candidate, &wants, 4, TERM).await.unwrap();
    let of = |agent| claimed.iter().filter(|claimed| claimed.agent == agent).count();
    assert_eq!((of(bench.agent), of(other.agent), claimed.len()), (3, 2, 5));
    assert!(claimed.iter().all(|claimed| claimed.job >= 4));
}

/// A plan that was made for an empty table would be followed until Postgres looks at the table by itself.
#[sqlx::test(migrator = "MIGRATOR")]
async fn statistics_are_made_of_what_has_grown(pool: PgPool) {
    let bench = Bench::new(pool, 5_000).await;
    let known = "select greatest(reltuples, 0)::bigint from pg_class where oid = 'jobs'::regclass";
    assert_eq!(bench.number(known).await, 0);
    let mut looks = tokio::time::interval(Duration::from_millis(50));
    // A connection tells what it has changed a second later at the earliest.
    let told = async {
        while !bench.queue.refresh_statistics().await.unwrap() {
            looks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), told).await.unwrap();
    assert_eq!(bench.number(known).await, 5_000);
    let unknown = "select count(*) from pg_class where oid = 'sweeps'::regclass and reltuples = -1";
    assert_eq!(bench.number(unknown).await, 1, "one sweep is no growth");
    assert!(!bench.queue.refresh_statistics().await.unwrap(), "nothing has changed since");
}
