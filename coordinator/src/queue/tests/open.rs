//! Sweeps that take more jobs until they are closed.

use super::*;

const FIRST: [u8; 32] = [1; 32];
const OTHER: [u8; 32] = [2; 32];

async fn bench(pool: PgPool) -> Bench {
    Bench::with(pool, Submission { open: true, ..submission("k", 2) }).await
}

fn rows(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|n| format!(r#"{{"n":{n}}}"#)).collect()
}

impl Bench {
    async fn row(&self) -> SweepRow {
        self.queue.sweep(self.sweep).await.unwrap().unwrap()
    }

    async fn cancel_all(&self) {
        self.queue.cancel(self.sweep, &Chosen::All).await.unwrap();
        self.queue.tend_sweeps().await.unwrap();
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn jobs_are_added_with_the_next_numbers_and_once_for_each_key(pool: PgPool) {
    let bench = bench(pool).await;
    let add = async |key, fingerprint, numbers| {
        bench.queue.add_jobs(bench.sweep, key, fingerprint, &rows(numbers)).await
    };
    let added = |first_job, jobs, existed| AddedJobs { first_job, jobs, existed };
    assert_eq!(add("a", &FIRST, 2..5).await.unwrap(), added(2, 3, false));
    assert_eq!(add("b", &OTHER, 5..6).await.unwrap(), added(5, 1, false));
    assert_eq!(add("a", &FIRST, 2..5).await.unwrap(), added(2, 3, true));
    assert!(matches!(add("a", &OTHER, 9..10).await, Err(Error::KeyReused(_))));
    assert_eq!(bench.row().await.counts, [6, 0, 0, 0, 0, 0]);
    let jobs = bench.queue.jobs(bench.sweep, &JobFilter::default(), None, 100).await.unwrap();
    assert_eq!(jobs.iter().map(|job| job.number).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    let found = bench.queue.find_sweep(&bench.sweep.to_string()).await.unwrap();
    assert_eq!((found.known, found.jobs), (6, bt_model::manifest::MAX_JOBS));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_open_sweep_ends_only_when_it_is_closed(pool: PgPool) {
    let bench = bench(pool).await;
    let both = Chosen::These(vec![0, 1]);
    bench.queue.cancel(bench.sweep, &both).await.unwrap();
    bench.queue.tend_sweeps().await.unwrap();
    let row = bench.row().await;
    assert!(row.open && row.finished.is_none() && row.counts == [0, 0, 0, 0, 2, 0], "{row:?}");
    let listed = bench.queue.sweeps(&SweepFilter::default(), 10).await.unwrap();
    assert_eq!(listed.len(), 1, "it is not among the finished ones");
    assert!(bench.queue.close_sweep(bench.sweep).await.unwrap());
    assert!(!bench.queue.close_sweep(bench.sweep).await.unwrap());
    bench.queue.tend_sweeps().await.unwrap();
    let row = bench.row().await;
    assert!(!row.open && row.finished.is_some(), "{row:?}");
    let refused = bench.queue.add_jobs(bench.sweep, "a", &FIRST, &rows(0..1)).await.unwrap_err();
    assert!(refused.to_string().contains("it was closed"), "{refused}");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_cancelled_sweep_and_one_that_is_not_open_take_no_jobs(pool: PgPool) {
    let open = bench(pool.clone()).await;
    open.cancel_all().await;
    let refused = open.queue.add_jobs(open.sweep, "a", &FIRST, &rows(0..1)).await.unwrap_err();
    assert!(refused.to_string().contains("it was cancelled"), "{refused}");
    assert!(!open.row().await.open);
    let other = Submission { name: "other".into(), ..submission("other", 1) };
    let parameters = parameters(1);
    let sweep = open.queue.submit(&other, parameters).await.unwrap().id;
    let refused = open.queue.add_jobs(sweep, "a", &FIRST, &rows(0..1)).await.unwrap_err();
    assert!(refused.to_string().contains("submit --open"), "{refused}");
}
