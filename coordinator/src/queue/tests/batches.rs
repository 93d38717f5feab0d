//! Jobs that are leased in batches: who gets how many, what they take together, and which ones are alone.

use std::collections::BTreeMap;

use bt_model::id::BatchId;
use bt_model::reason::Reason;

use super::*;

/// A sweep of so many jobs whose batches have ten.
async fn bench(pool: PgPool, jobs: u32) -> Bench {
    Bench::with(pool, Submission { batch: Some(10), ..submission("k", jobs) }).await
}

impl Bench {
    /// Leases batches with room for so many jobs: the jobs of each.
    async fn batches(&self, from: u32, sizes: &[u32]) -> Vec<Vec<Claimed>> {
        let candidate = self.queue.sweep_details(self.sweep).await.unwrap().candidate;
        let want = |jobs: &u32| {
            let batch = Some(BatchId::random());
            Want { agent: self.agent, session: 1, jobs: *jobs, batch }
        };
        let wants: Vec<_> = sizes.iter().map(want).collect();
        let claimed = self.queue.claim(&candidate, &wants, from, TERM).await.unwrap();
        let of =
            |want: &Want| claimed.iter().filter(|claimed| claimed.batch == want.batch).cloned().collect();
        wants.iter().map(of).collect()
    }
}

fn numbers(batches: &[Vec<Claimed>]) -> Vec<Vec<u32>> {
    batches.iter().map(|batch| batch.iter().map(|claimed| claimed.job).collect()).collect()
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn each_batch_gets_jobs_that_follow_each_other_up_to_its_size(pool: PgPool) {
    let bench = bench(pool, 12).await;
    let first = bench.batches(1, &[3, 2]).await;
    assert_eq!(numbers(&first), [vec![1, 2, 3], vec![4, 5]]);
    // What is left, the one before the cursor too, and no batch for nothing.
    let rest = bench.batches(0, &[10, 10]).await;
    assert_eq!(numbers(&rest), [vec![0, 6, 7, 8, 9, 10, 11], vec![]]);
    assert!(first.iter().chain(&rest).flatten().all(|claimed| claimed.number == 1));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_batch_takes_the_place_of_one_job_until_its_last_attempt_has_ended(pool: PgPool) {
    let bench = bench(pool, 12).await;
    let batches = bench.batches(0, &[10, 10]).await;
    let used =
        async || bench.queue.used(&[bench.agent]).await.unwrap().remove(&bench.agent).unwrap_or_default();
    let usage = used().await;
    assert_eq!((usage.running, usage.resources.cpu_millis, usage.resources.jobs), (12, 2_000, 2));
    assert_eq!(bench.queue.owners_running().await.unwrap(), [("ann".to_owned(), (2, None))].into());
    let attempts: Vec<_> = batches[1].iter().map(|claimed| claimed.attempt).collect();
    let taken = bench.queue.taken_by(&attempts).await.unwrap();
    assert!(taken.values().all(|(_, _, batch)| *batch == batches[1][0].batch));
    bench.settle(bench.me(), attempts[0], Ending::Published).await;
    assert_eq!(used().await.resources.cpu_millis, 2_000);
    bench.settle(bench.me(), attempts[1], Ending::Published).await;
    let usage = used().await;
    assert_eq!((usage.running, usage.resources.cpu_millis), (10, 1_000));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn what_ended_by_its_containers_doing_is_alone_from_then_on(pool: PgPool) {
    let bench = bench(pool, 12).await;
    let batches = bench.batches(0, &[7]).await;
    let by_job: BTreeMap<_, _> = batches[0].iter().map(|claimed| (claimed.job, claimed.attempt)).collect();
    let end = async |job: u32, ending| bench.settle(bench.me(), by_job[&job], ending).await;
    end(0, Ending::Published).await;
    end(1, Ending::Hindered(Reason::Oom)).await;
    end(2, Ending::Hindered(Reason::Agent("its machine".to_owned()))).await;
    end(3, Ending::Lost).await;
    end(4, Ending::Returned).await;
    end(5, Ending::Hindered(Reason::Exit(1))).await;
    end(6, Ending::Hindered(Reason::Image("its registry".to_owned()))).await;
    bench.execute("update jobs set ready_at = now() where state = 'queued'").await;
    let again = bench.batches(0, &[4, 4, 4]).await;
    assert_eq!(numbers(&again), [vec![1], vec![5], vec![2, 3, 4, 6]]);
    assert_eq!(numbers(&bench.batches(0, &[9]).await), [vec![7, 8, 9, 10, 11]]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn those_that_are_alone_wait_for_batches_of_their_own(pool: PgPool) {
    let bench = bench(pool, 6).await;
    for claimed in bench.batches(0, &[4]).await.into_iter().flatten() {
        bench.settle(bench.me(), claimed.attempt, Ending::Hindered(Reason::Timeout)).await;
    }
    bench.execute("update jobs set ready_at = now() where state = 'queued'").await;
    assert_eq!(numbers(&bench.batches(0, &[5, 5]).await), [[0], [1]]);
    assert_eq!(numbers(&bench.batches(0, &[5, 5, 5]).await), [vec![2], vec![3], vec![4, 5]]);
}
