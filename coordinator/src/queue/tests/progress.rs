//! How far running jobs are: who may say it, what a series keeps, and what it costs.

use bt_model::progress::Progress;

use super::*;

fn step(done: f64) -> Progress {
    let progress = Progress::from_parts(None, Some(done), Some(10_000.0)).unwrap();
    Progress { metrics: [("sharpe".to_owned(), done / 2.0)].into(), ..progress }
}

fn said(agent: AgentId, session: u64, attempt: AttemptId, progress: Progress) -> Said {
    Said { agent, session, attempt, progress }
}

async fn shown(bench: &Bench, job: u32) -> Option<Progress> {
    let mut all = bench.queue.progress_of_jobs(bench.sweep, &[job]).await.unwrap();
    all.remove(&job).map(|said| said.progress)
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn only_a_live_attempt_of_the_session_that_speaks_is_heard(pool: PgPool) {
    let bench = Bench::new(pool, 1).await;
    let attempt = bench.lease().await;
    let say = async |agent, session, done| {
        let said = [said(agent, session, attempt, step(done))];
        bench.queue.note_progress(&said).await.unwrap().len()
    };
    assert_eq!(say(bench.agent, 1, 1.0).await, 1);
    assert_eq!(say(bench.agent, 1, 1.0).await, 0, "that is no news");
    assert_eq!(say(AgentId::random(), 1, 2.0).await, 0, "another agent's");
    bench.hello(2).await.unwrap();
    assert_eq!(say(bench.agent, 1, 3.0).await, 0, "a session that was superseded");
    assert_eq!(shown(&bench, 0).await, Some(step(1.0)));
    assert_eq!(say(bench.agent, 2, 4.0).await, 1);
    let running = bench.queue.running_attempts(None, Some(bench.sweep), 9).await.unwrap();
    assert_eq!(running[0].progress.as_ref().unwrap().progress, step(4.0));
    assert!(bench.queue.running_attempts(None, Some(SweepId::random()), 9).await.unwrap().is_empty());

    // It starts from nothing when it is tried again, and what the first attempt says late is not heard.
    bench.settle(Fence::None, attempt, Ending::Preempted).await;
    assert_eq!((say(bench.agent, 2, 5.0).await, shown(&bench, 0).await), (0, None));
    bench.execute("update jobs set ready_at = now()").await;
    let second = bench.claim(1, 2).await[0].attempt;
    assert_eq!((say(bench.agent, 2, 6.0).await, shown(&bench, 0).await), (0, None));
    let series = bench.queue.progress_of_job(bench.sweep, 0).await.unwrap().unwrap();
    assert_eq!((series.attempt, series.latest, series.points.len()), (2, None, 0));
    bench.queue.note_progress(&[said(bench.agent, 2, second, step(0.0))]).await.unwrap();
    assert_eq!(shown(&bench, 0).await, Some(step(0.0)));

    // What has ended is forgotten after a while; what is live is not.
    bench.queue.forget_progress(Duration::ZERO).await.unwrap();
    assert_eq!(bench.number("select count(*) from progress").await, 1);
    assert_eq!(bench.number("select count(distinct attempt_id) from progress_points").await, 1);
    assert_eq!(shown(&bench, 0).await, Some(step(0.0)));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_long_series_keeps_its_shape(pool: PgPool) {
    let bench = Bench::new(pool, 1).await;
    let attempt = bench.lease().await;
    let mut most = 0;
    for done in 0..2_101 {
        let done = f64::from(done);
        bench.queue.note_progress(&[said(bench.agent, 1, attempt, step(done))]).await.unwrap();
        if done % 100.0 == 0.0 {
            // A note alone is no point of the series.
            let progress = Progress { note: Some("x".to_owned()), ..step(done) };
            bench.queue.note_progress(&[said(bench.agent, 1, attempt, progress)]).await.unwrap();
        }
        most = most.max(bench.number("select count(*) from progress_points").await);
    }
    assert_eq!(most, 1_000);
    let series = bench.queue.progress_of_job(bench.sweep, 0).await.unwrap().unwrap();
    let done: Vec<_> = series.points.iter().map(|point| point.progress.done.unwrap()).collect();
    let kept = (0..2_101).step_by(4).map(f64::from);
    assert_eq!(done, kept.collect::<Vec<_>>(), "each fourth, the first and the last among them");
    assert!(
        series
            .points
            .iter()
            .all(|point| point.progress.metrics["sharpe"] * 2.0 == point.progress.done.unwrap())
    );
    bench.queue.note_progress(&[said(bench.agent, 1, attempt, step(2_101.0))]).await.unwrap();
    let series = bench.queue.progress_of_job(bench.sweep, 0).await.unwrap().unwrap();
    assert_eq!(
        series.points.last().unwrap().progress.done,
        Some(2_101.0),
        "the newest is there, kept or not"
    );
    // Numbers come to rest when the job is over, and go with the sweep.
    bench.settle(bench.me(), attempt, Ending::Failed(Reason::Exit(1))).await;
    bench.queue.tend_sweeps().await.unwrap();
    let found = bench.queue.find_sweep(&bench.sweep.to_string()).await.unwrap();
    bench.queue.remove_sweep(found.id, &found, false).await.unwrap();
    assert_eq!(bench.number("select count(*) from progress_points").await, 0);
    assert_eq!(bench.number("select count(*) from progress").await, 0);
}
